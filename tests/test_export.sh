#!/bin/sh
# test_export.sh - models as C without a library: examples/export_c.c --code is
# moe.h to 1e-6; --int8 gives one hash of 100,000 outputs (of the first tenth of
# them where the simulator is slow, but for long tests) with every compiler and
# processor that is here, wraps nothing, stays near the floats, and is as
# small and as fast as was said; names, paths and inputs that are wrong are
# refused with a sentence; large models take no longer than their size.
cd "$(dirname "$0")" || exit 1
. ./common.sh
log=$work/log
dir=$work
int_models="0 1 2 3 4 5 6 9"
all_models="0 1 2 3 4 5 6 7 8 9 10 11"

# exported FILE WORDS...: what export_c writes
exported() {
    file=$1
    shift
    "$work/export_c" "$@" >"$file"
}

holds "moe.h compiles" moe_object float
moe=$objects/float.o
holds "what makes the models compiles" cc -std=c99 $strict -O1 $one_set \
    export_models.c -o "$work/models"
holds "export_c compiles" cc -std=c99 $strict -O1 -DMOE_IMPLEMENTED \
    ../examples/export_c.c "$moe" -o "$work/export_c"
for model in $all_models; do
    holds "model $model is made" "$work/models" $model "$work/$model.moe" \
        "$work/$model.csv"
done

# --------------------------------------------------------------- code in floats
# code MODEL COMPILER FLAGS...
code() {
    model=$1
    shift
    what="code of model $model, $1 $(last "$@")"
    exported "$dir/net.c" --code "$work/$model.moe" net
    holds "$what: compiles alone" "$@" $strict -c "$dir/net.c" \
        -o "$dir/net.o" || return
    none "$what: needs nothing" needed "$dir/net.o"
    holds "$what: compiles beside moe.h" "$@" $strict "-DNET=\"$dir/net.c\"" \
        -c export_code.c -o "$dir/net.o" &&
        holds "$what: links" "$1" "$dir/net.o" "$moe" -o "$dir/code" &&
        holds "$what: is moe.h to 1e-6" "$dir/code" "$work/$model.moe" \
            "$work/$model.csv"
}

# All that an object file wants of others, but for copying memory.
needed() {
    nm -u "$1" | grep -v ' \(memcpy\|memset\|__stack_chk_fail\|_GLOBAL_OFF.*\)$'
    [ $? = 1 ]
}

languages c99 c++11 >"$work/languages"
# Every fourth one, which the empty line makes others for the next model.
for model in $all_models; do
    sed "s/^/$model /; s/$/ -O1/" "$work/languages"
    echo "$model gcc -std=c99 -O3 -march=native"
    echo "$model gcc -std=c99 -O2 -DNET_PLAIN"
    echo "$model"
done | thin 4 | grep ' ' >"$work/codes"
share code "$work/codes"
log=$work/log
dir=$work

# avr-gcc 5 knows no pragma that unrolls.
if have avr-gcc; then
    exported "$work/net.c" --code "$work/10.moe" net
    holds "code compiles for AVR" avr-gcc -mmcu=atmega1284p -std=c99 -Os \
        $strict -c "$work/net.c" -o "$work/net.o"
else
    echo "avr-gcc is not installed: code for AVR left out"
fi

# ------------------------------------------------------- arrays for moe.h
cat >"$work/bytes.c" <<'END_C'
#include "moe.h"
#include NET
#include <stdio.h>
int main(void)
{
    static float memory[NET_BYTES / sizeof(float)];
    moe m;

    printf("%d bytes, %lu are needed\n", (int)NET_BYTES,
           (unsigned long)moe_work_bytes(&net_config));
    return NET_BYTES != moe_work_bytes(&net_config)
        || moe_attach(&m, &net_config, net_weights, memory, sizeof memory)
           != MOE_OK;
}
END_C

# attached MODEL: as many bytes of memory as are needed, and no more
attached() {
    exported "$work/bytes_of.c" "$work/$1.moe" net &&
        cc -std=c99 $strict -I.. "-DNET=\"$work/bytes_of.c\"" \
            "$work/bytes.c" "$moe" -o "$work/bytes" && "$work/bytes"
}

holds "a checkpoint with frozen layers is made" "$work/models" frozen \
    "$work/frozen.moe"
holds "arrays of a model" attached 0
holds "arrays of a checkpoint with frozen layers" attached frozen

# -------------------------------------------------------------------- integers
# Code without its comments, the part behind NAME_FLOAT and the scales.
floats() {
    sed '/^#ifdef NET[0-9]*_FLOAT/,/^#endif/d; s/\/\*.*\*\///
         /^#define NET[0-9]*_[XY]_SCALES/,/[^\\]$/d
         /^\/\*/,/\*\//d' "$1" | grep -n 'float\|double\|[0-9]\.[0-9]'
    [ $? = 1 ]
}

for model in $int_models; do
    holds "model $model is exported to integers" exported \
        "$work/net$model.c" --int8 --calibrate "$work/$model.csv" \
        "$work/$model.moe" net$model
    none "model $model: no float but in the wrapper" floats "$work/net$model.c"
done

holds "scales in integers compile" cc -std=c99 $strict -DNET0_FLOAT \
    -I"$work" export_scales.c -o "$work/scales" &&
    holds "scales in integers are those in floats" "$work/scales"

# hash COMPILER FLAGS...
hash() {
    what="integers, $1 $(last "$@")"
    holds "$what: compiles" "$@" $strict -I"$work" export_hash.c \
        -o "$dir/hash" && holds "$what: runs" "$dir/hash" || return
    keep_hash "$what"
}

# Lines of eight digits, for the board's simulator may say something before: the
# hash of a tenth, that of all and the number of wrong vectors.
keep_hash() {
    grep -xE '[0-9a-f]{8}' "$log" |
        awk -v what="$1" '{ of[NR] = $0 }
                          END { print "tenth", of[1], what
                                if (NR > 2) print "all", of[2], what }' \
            >>"$work/hashes"
}

# On these boards an unaligned word is a fault, and newlib's memcpy, which gcc
# would call for a loop that copies, reads such words.
m='arm-none-eabi-gcc -std=c99 -mthumb -mno-unaligned-access'
m="$m -fno-tree-loop-distribute-patterns"
m4f='-mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16'

# hash_arm BOARD COMPILER FLAGS...
hash_arm() {
    board=$1
    shift
    have "$1" && have qemu-system-arm ||
        { echo "$1 or qemu-system-arm is not installed: left out"; return; }
    what="integers, $board $(last "$@")"
    holds "$what: compiles" "$@" $strict -I"$work" export_hash.c \
        targets/cortex_m.c -DTARGET_BARE -nostartfiles --specs=nano.specs \
        -ffunction-sections -Wl,--gc-sections -Ttargets/cortex_m.ld \
        -o "$dir/hash" && holds "$what: runs" on_board || return
    keep_hash "$what"
}

on_board() {
    within 240 qemu-system-arm -M "$board" -nographic -monitor none \
        -serial none -semihosting-config enable=on,target=native \
        -kernel "$dir/hash" </dev/null
}

# hash_user RUNNER COMPILER FLAGS...
hash_user() {
    runner=$1
    shift
    have "$1" && have "$runner" ||
        { echo "$1 or $runner is not installed: left out"; return; }
    what="integers, $runner"
    holds "$what: compiles" "$@" $strict -I"$work" export_hash.c -static \
        -o "$dir/hash" && holds "$what: runs" "$runner" "$dir/hash" || return
    keep_hash "$what"
}

# hash_32 COMPILER FLAGS...: if there is a library for these
hash_32() {
    "$@" "$work/empty.c" -o "$dir/hash" 2>"$log" ||
        { echo "$*: compiles nothing here, left out"; return; }
    hash "$@"
}

# Constants in flash, in ISO C in RAM; an int of 16 bits.  avr-gcc 5 says of
# constants that it has worked out at once that they are not initialised.
hash_avr() {
    tenth=-DTENTH
    [ -z "$long" ] || tenth=
    have avr-gcc && have simavr ||
        { echo "avr-gcc or simavr is not installed: left out"; return; }
    what="integers, avr $1"
    holds "$what: compiles" avr-gcc -mmcu=atmega1284p $strict "$@" \
        -Wno-uninitialized -I"$work" export_hash.c targets/avr.c \
        -DTARGET_BARE $tenth -o "$dir/hash" &&
        holds "$what: runs" on_avr || return
    keep_hash "$what"
}

on_avr() {
    within 600 simavr -m atmega1284p -f 16000000 "$dir/hash" 2>&1 |
        sed -n 's/.*\[32m\(.*\)\.$/\1/p' | grep .
}

echo 'int main(void) { return 0; }' >"$work/empty.c"
undefined='-fsanitize=undefined,address -fno-sanitize-recover=all'
{
    while read -r language; do
        for level in -O0 -O1 -O2 -O3; do
            case $language$level in
            *++*-O[02]) ;;
            *) echo "hash $language $level" ;;
            esac
        done
    done <"$work/languages"
    echo "hash gcc -std=c99 -O3 -march=native"
    echo "hash gcc -std=c99 $undefined"
    echo "hash clang -std=c99 $undefined -fsanitize=integer"
    echo "hash_arm microbit $m -mcpu=cortex-m0 -Os"
    echo "hash_arm lm3s6965evb $m -mcpu=cortex-m3 -O2"
    echo "hash_arm mps2-an386 $m $m4f -O0"
    echo "hash_arm mps2-an386 $m $m4f -O2"
    echo "hash_arm mps2-an386 $m $m4f -O3"
    echo "hash_user qemu-s390x s390x-linux-gnu-gcc -std=c99 -O2"
    echo "hash_user qemu-aarch64 aarch64-linux-gnu-gcc -std=c99 -O2"
    echo "hash_user qemu-riscv64 riscv64-linux-gnu-gcc -std=c99 -O2"
    echo "hash_32 gcc -std=c99 -O2 -m32"
    echo "hash_avr -std=gnu99 -Os"
    echo "hash_avr -std=c99 -Os"
} >"$work/builds"

# Only the hash's inner unsigned arithmetic wraps, and means to.
one_build() {
    case $* in
    *integer*) set -- "$@" -fno-sanitize=unsigned-integer-overflow \
        -fno-sanitize=implicit-conversion -fno-sanitize=unsigned-shift-base ;;
    esac
    "$@"
}

: >"$work/hashes"
share one_build "$work/builds"
log=$work/log
dir=$work
for part in tenth all; do
    due=$(awk -v part=$part '$1 == part { print $2 }' "$work/hashes" | sort |
        uniq -c | sort -rn | awk 'NR == 1 { print $2 }')
    while read -r of hash what; do
        [ $of != $part ] ||
            holds "$what: $hash is the hash of the others, $due" \
                [ "$hash" = "$due" ]
    done <"$work/hashes"
    echo "$(grep -c "^$part" "$work/hashes") builds, $part: $due"
done

# ---------------------------------------------------------- how near, how large
# error MODEL: the largest root mean square error of an output, in thousandths
# of the standard deviation of what it should be.
error() {
    sed -n 's/^ *y\[[0-9]*\]  \(.*\)/\1/p' "$work/net$1.c" |
        awk -F ', ' '{ e = 1000 * $1 / $3; if (e > most) most = e }
                     END { printf "%d\n", most }'
}

below() {
    echo "$1; less than $2 is allowed"
    [ "$1" -lt "$2" ]
}

for model in 0 2 3 4 5 6; do
    holds "integers of model $model: near the floats" \
        below "$(error $model)" 60
done

# code_bytes FLAGS...: what is not constants, tests aside
code_bytes() {
    $m -Os "$@" -ffunction-sections -fdata-sections -c "$work/net0.c" \
        -o "$work/x.o" && $m -Os "$@" -nostdlib -r -Wl,--gc-sections \
        -Wl,-u,net0_predict "$work/x.o" -o "$work/y.o" &&
        arm-none-eabi-size -A "$work/y.o" |
        awk '/^\.text/ { code += $2 } END { print code }'
}

cat >"$work/times.c" <<'END_C'
#include <stdint.h>
#include "net0.c"
static int16_t x[16], y[4];
int main(void)
{
    int i;
    for (i = 0; i < 16; i++)
        x[i] = (int16_t)(i % 3 * 1000 - 500);
    for (i = 0; i < TIMES; i++) {
        x[0] = (int16_t)i;
        net0_predict(x, y);
    }
    return 0;
}
END_C

# instructions BOARD FLAGS...: a hundredth of what 101 cases take beyond one
instructions() {
    board=$1
    shift
    for times in 1 101; do
        $m -O2 "$@" -DTIMES=$times -I"$work" "$work/times.c" \
            targets/cortex_m.c -DTARGET_BARE -nostartfiles --specs=nano.specs \
            -Ttargets/cortex_m.ld -o "$dir/hash" &&
            within 60 qemu-system-arm -M "$board" -nographic -monitor none \
                -serial none -semihosting-config enable=on,target=native \
                -plugin "$work/count.so" -kernel "$dir/hash" </dev/null 2>&1 |
            sed -n 's/^instructions //p'
    done | awk '{ of[NR] = $1 } END { print int((of[2] - of[1]) / 100) }'
}

# Calls of the compiler's own arithmetic of floats, where scales are integers.
soft_floats() {
    $m -mcpu=cortex-m0 -Os $strict -DINTEGERS -I"$work" -c export_scales.c \
        -o "$work/x.o" && arm-none-eabi-nm -u "$work/x.o" |
        grep '__aeabi_\([fd]\|u\{0,1\}[il]2\)'
    [ $? = 1 ]
}

{ echo '#include "net0.c"'
  echo 'typedef int16_t number;'
  cat targets/times.c; } | sed 's/NET_/NET0_/g; s/net_/net0_/g' >"$work/stack.c"

# stack BOARD FLAGS...: as deep as painting shows
stack() {
    board=$1
    shift
    $m -Os "$@" -DTIMES=2 -I"$work" -Itargets "$work/stack.c" \
        targets/cortex_m.c -DTARGET_BARE -nostartfiles --specs=nano.specs \
        -Ttargets/cortex_m.ld -o "$dir/hash" &&
        on_board 2>&1 | grep -xE '[0-9]+'
}

if have arm-none-eabi-gcc && have qemu-system-arm &&
    gcc -shared -fPIC targets/count.c -o "$work/count.so"; then
    m0=$(code_bytes -mcpu=cortex-m0) m4=$(code_bytes $m4f)
    fast=$(instructions mps2-an386 $m4f)
    slow=$(instructions microbit -mcpu=cortex-m0)
    echo "4 x 16-32-4: $m0 and $m4 bytes of code on M0 and M4, $slow and" \
        "$fast instructions"
    holds "bytes of code on M0" below "$m0" 1301
    holds "bytes of code on M4" below "$m4" 1301
    holds "instructions on M0" below "$slow" 27001
    holds "instructions on M4 with SMLAD" below "$fast" 7501
    for board in "microbit -mcpu=cortex-m0" "mps2-an386 $m4f"; do
        holds "stack of ${board%% *}" below "$(stack $board)" 301
    done
    none "scales in integers need no floats" soft_floats
    holds "arrays on the stack" below \
        "$(sed -n 's/^   RAM *\([0-9]*\) .*/\1/p' "$work/net0.c")" 201
fi

# -------------------------------------------------------------------- refusals
refuses "no words" usage "$work/export_c"
refuses "two ways at once" usage "$work/export_c" --code --int8 a b
refuses "an unknown word" usage "$work/export_c" --int4 a b
for name in 2net 'a b' 'n;t' '' '*/' _net a__b a_ _ moe moe_net Moe mOE_net \
    MOE 'n-t' aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; do
    refuses "the name '$name'" 'export_c: .*name' "$work/export_c" --code \
        "$work/0.moe" "$name"
done
refuses "integers without inputs" 'needs --calibrate' "$work/export_c" --int8 \
    "$work/0.moe" net
refuses "inputs without integers" 'goes with --int8' "$work/export_c" \
    --calibrate "$work/0.csv" "$work/0.moe" net
refuses "no such model" 'export_c: ' "$work/export_c" --code \
    "$work/none.moe" net
refuses "a folder for a model" 'export_c: ' "$work/export_c" --code "$work" net
refuses "a text for a model" 'export_c: ' "$work/export_c" --code \
    "$work/0.csv" net

for block in abc 1x 0 -1 '' ' 1' 32768 4294967297; do
    refuses "the block '$block'" 'block must be' "$work/export_c" \
        "$work/0.moe" net "$block"
done

holds "a model with top_p is made" "$work/models" top_p "$work/p.moe"
refuses "top_p" 'top_p is for' "$work/export_c" --code "$work/p.moe" net
refuses "top_p in integers" 'top_p is for' "$work/export_c" --int8 \
    --calibrate "$work/0.csv" "$work/p.moe" net
holds "top_p: an array and a configuration" exported "$work/net.c" \
    "$work/p.moe" net
holds "top_p: the configuration has it" grep -q 5.00000000e-01f "$work/net.c"
sed 's/"loss":"mixture"/"loss":"blend"  /
    s/"blend":"outputs"/"blend":"weights"/' "$work/0.moe" >"$work/weights.moe"
refuses "blended weights" 'blended weights are for' "$work/export_c" --code \
    "$work/weights.moe" net

# bad WHAT SENTENCE TEXT: inputs that are refused
bad() {
    printf "$3" >"$work/bad.csv"
    refuses "inputs: $1" "$2" "$work/export_c" --int8 --calibrate \
        "$work/bad.csv" "$work/2.moe" net
}

bad "nothing" 'no row' ''
bad "a heading alone" 'no row' 'a,b,c\n'
bad "too few numbers in the first row" 'line 1 has 2 numbers' '1,2\n1,2,3\n'
bad "nan in the first row" 'line 1 has 0 numbers' 'nan,1,2\n1,2,3\n'
bad "a gap in the first row" 'line 1 has 0 numbers' ',1,2\n1,2,3\n'
bad "too few numbers" 'line 2 has 2 numbers' '1,2,3\n1,2\n'
bad "a word" 'line 2 has 1 numbers' '1,2,3\n1,word,3\n'
bad "nan" 'line 2 has 0 numbers' '1,2,3\nnan,1,2\n'
bad "infinity" 'line 2 has 2 numbers' '1,2,3\n1,2,1e39\n'
bad "glued numbers" 'line 2 has' '1,2,3\n1x,2,3\n'
refuses "inputs: a folder" 'no row' "$work/export_c" --int8 --calibrate \
    "$work" "$work/2.moe" net
refuses "inputs: no such file" 'cannot be opened' "$work/export_c" --int8 \
    --calibrate "$work/none.csv" "$work/2.moe" net
for model in 7 8; do
    refuses "model $model: elu and silu in integers" 'only relu, tanh' \
        "$work/export_c" --int8 --calibrate "$work/$model.csv" \
        "$work/$model.moe" net
done
printf '\n1,2,3\n' >"$work/good.csv"
holds "inputs: an empty line first" exported "$work/net.c" --int8 --calibrate \
    "$work/good.csv" "$work/2.moe" net
printf '1st;2nd;3rd\r\n 1 ; 2 ; 3 ; 4\r\n\r\n-1\t-2\t-3e0' >"$work/good.csv"
holds "inputs: a heading, other separators, columns beyond" exported \
    "$work/net.c" --int8 --calibrate "$work/good.csv" "$work/2.moe" net
refuses "standard output that is full" 'cannot be written' sh -c \
    '"$1" --code "$2" net >/dev/full' - "$work/export_c" "$work/0.moe"

# ------------------------------------------------------------------- 10 MB
# took COMMAND...: hundredths of a second of the processor
took() {
    { LC_ALL=C; export LC_ALL; time -p "$@" >"$work/large.c"; } 2>&1 |
        awk '/^user/ { printf "%d", 100 * $2 }'
}

# linear WAY...: a model four times as large takes at most six times as long
linear() {
    small=$(took "$work/export_c" "$@" "$work/small.moe" net)
    large=$(took "$work/export_c" "$@" "$work/large.moe" net)
    echo "$small and $large hundredths of a second"
    [ "$large" -gt 0 ] && [ "$large" -le $((6 * small + 60)) ]
}

holds "a model of 2.5 MB" "$work/models" large 250 "$work/small.moe"
holds "a model of 10 MB" "$work/models" large 1000 "$work/large.moe"
awk 'BEGIN { for (n = 0; n < 20; n++) {
    for (i = 0; i < 1000; i++) printf "%g,", (n * i * 37 % 101) / 50 - 1
    print "" } }' >"$work/wide.csv"
for way in "" "--code" "--int8 --calibrate $work/wide.csv"; do
    holds "10 MB take four times as long as 2.5: export_c $way" linear $way
done
check_done
