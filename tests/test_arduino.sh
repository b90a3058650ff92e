#!/bin/sh
# test_arduino.sh - the sketches, as the Arduino IDE compiles them: gnu++17
# with Arduino.h before all else, and without the -w and -fpermissive by which
# it hides what a compiler says; for an Uno, a Mega and a 32-bit board, and
# here.  Both run here and on a simulated AVR, there for a quarter of the rounds
# but for long tests, and say the same.
cd "$(dirname "$0")" || exit 1
. ./common.sh
log=$work/log
few=10
[ -z "$long" ] || few=40
rounds='#ifndef ROUNDS
#define ROUNDS 40
#endif
int main() { setup(); for (int i = 0; i < ROUNDS; i++) loop(); }'

# sketch NAME: a folder of the IDE's, with moe.h beside the sketch
sketch() {
    mkdir -p "$work/$1"
    cp ../moe.h targets/arduino/Arduino.h "$work/$1"
    { echo '#include <Arduino.h>'; echo '#line 1 "sketch"'
        cat "../examples/arduino/$1/$1.ino"
        echo "$rounds"; } >"$work/$1/$1.cpp"
}

# compile NAME COMPILER FLAGS...
compile() {
    name=$1
    shift
    "$@" -Os -Wall -Wextra -Werror -fno-exceptions -ffunction-sections \
        -fdata-sections -fno-threadsafe-statics -fno-rtti -I"$work/$name" \
        "$work/$name/$name.cpp"
}

# on NAME BOARD COMPILER FLAGS...: without a warning
on() {
    name=$1 board=$2
    shift 2
    have "$1" || { echo "$1 is not installed: left out"; return 1; }
    standard=-std=gnu++17
    "$1" $standard -x c++ -fsyntax-only /dev/null 2>/dev/null ||
        standard=-std=gnu++1z
    holds "$name, $board: compiles" compile "$name" "$@" $standard \
        -c -o "$work/$name/$board.o"
}

# put.c has target_put for here; on the AVR it is targets/avr.c.
cat >"$work/put.c" <<'END'
#include <stdio.h>
void target_put(int c);
void target_put(int c) { putchar(c); }
END

# fits NAME BYTES: flash of a whole AVR program
fits() {
    bytes=$(avr-size "$work/$1/avr.elf" | awk 'NR == 2 { print $1 + $2 }')
    echo "$bytes of $2"
    [ "$bytes" -le "$2" ]
}

on_avr() {
    name=$1 flash=$2
    have simavr && [ -f "$work/$name/1284.o" ] || return
    holds "$name: links for AVR" avr-gcc -mmcu=atmega1284p -Os \
        -Wl,--gc-sections targets/avr.c "$work/$name/1284.o" \
        -o "$work/$name/avr.elf" || return
    holds "$name: fits" fits "$name" "$flash"
    within 100 simavr -m atmega1284p -f 16000000 "$work/$name/avr.elf" \
        2>&1 | sed -n 's/.*\[32m\(.*\)\.$/\1/p' >"$work/$name/avr"
    head -n $few "$work/$name/here" >"$work/$name/due"
    holds "$name: the same on an AVR" cmp "$work/$name/due" "$work/$name/avr"
}

for name in predict learn; do
    sketch $name
    on $name here g++ &&
        holds "$name: links" gcc "$work/put.c" "$work/$name/here.o" -o \
            "$work/$name/program" && "$work/$name/program" \
            >"$work/$name/here"
    on $name samd arm-none-eabi-g++ -mcpu=cortex-m4 -mthumb -nostdlib
    on $name zero arm-none-eabi-g++ -mcpu=cortex-m0plus -mthumb -nostdlib
    [ $name = learn ] || on $name uno avr-g++ -mmcu=atmega328p
    on $name mega avr-g++ -mmcu=atmega2560
    on $name 1284 avr-g++ -mmcu=atmega1284p -DROUNDS=$few
done
on_avr predict 32256
on_avr learn 122880

# |x|, of readings 37, 74, ... less 512 in units of 512.
holds "predict: |x|" grep -qx 0.928 "$work/predict/here"
holds "predict: no refusal" not grep -q '[a-z]' "$work/predict/here"
holds "learn: learns" awk 'NR == 1 { first = $1 } { last = $1 }
    END { exit !(NR == 40 && last < first / 20) }' "$work/learn/here"
check_done
