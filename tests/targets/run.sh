#!/bin/sh
# run.sh [WORD] - targets/target.c on every target whose tools are here, and
# the tools that look for mistakes; with a WORD only the lines with it.  Each
# line: target, compiler, what runs it, checks passed, and under MOE_SAME_BITS
# the hash, which must be the same on all.  "make -C tests targets-install"
# installs the tools.
cd "$(dirname "$0")/.." || exit 1
. ./common.sh
root=$(cd .. && pwd)
source=targets/target.c
log=$work/log
only=${1:-.}

# Left out: names and shapes of parameters, products of sizes that fit (they
# are checked at the door), macros that hold a list or a type, characters that
# are plain ASCII.
tidy='-*, bugprone-*, clang-analyzer-*, misc-*, cert-err*, cert-str*,
-bugprone-easily-swappable-parameters, -bugprone-macro-parentheses,
-bugprone-implicit-widening-of-multiplication-result, -bugprone-branch-clone,
-bugprone-sizeof-expression, -bugprone-signed-char-misuse,
-bugprone-narrowing-conversions, -bugprone-misplaced-widening-cast,
-misc-redundant-expression, -cert-str34-c'

# TARGET TOOL RUNNER COMPILER FLAGS...: TOOL is what must be there to run it,
# RUNNER a function below; ";" stands for a blank in RUNNER.
targets() {
    m='arm-none-eabi-gcc -std=c99 -mthumb -mno-unaligned-access'
    x86='-std=gnu99 -O2 -m32'
    cat <<END_OF_TARGETS
gcc - here gcc -std=c99 -O2
gcc-native - here gcc -std=gnu99 -O3 -march=native
gcc-c++ - here g++ -x c++ -std=c++11 -O1
clang - here clang -std=c99 -O2
clang-native - here clang -std=gnu99 -O3 -march=native
tcc - here tcc -DFLT_EVAL_METHOD=0
x86-32 - here gcc $x86 -msse2 -mfpmath=sse
x86-32-x87 - here,unequal gcc $x86 -mfpmath=387
x86-32-x87-c99 - here,unequal gcc -std=c99 -O1 -m32 -mfpmath=387
fast-math - none,unequal gcc -std=c99 -O2 -ffast-math
cortex-m0 qemu-system-arm arm;microbit $m -Os -mcpu=cortex-m0
cortex-m3 qemu-system-arm arm;lm3s6965evb $m -O2 -mcpu=cortex-m3
cortex-m4f qemu-system-arm arm;mps2-an386 $m -O2 -mcpu=cortex-m4 \
-mfloat-abi=hard -mfpu=fpv4-sp-d16
cortex-m7 qemu-system-arm arm;mps2-an500 $m -O3 -mcpu=cortex-m7 \
-mfloat-abi=hard -mfpu=fpv5-d16
cortex-m55 qemu-system-arm arm;mps3-an547 $m -O3 -mcpu=cortex-m55 \
-mfloat-abi=hard
aarch64 qemu-aarch64 user aarch64-linux-gnu-gcc -O2 -static
riscv64 qemu-riscv64 user riscv64-linux-gnu-gcc -O2 -static
s390x qemu-s390x user s390x-linux-gnu-gcc -std=gnu99 -O2 -static
s390x-c99 qemu-s390x user,unequal s390x-linux-gnu-gcc -std=c99 -O2 -static
avr simavr avr avr-gcc -std=c99 -Os -mmcu=atmega1284p
windows wine64 windows x86_64-w64-mingw32-gcc -std=c99 -O2
wasm node wasm clang -std=c99 -O2 --target=wasm32
wasm-simd node wasm clang -std=c99 -O2 --target=wasm32 -msimd128
msan - here clang -std=c99 -O1 -g -fsanitize=memory
valgrind valgrind valgrind gcc -std=c99 -O1 -g
END_OF_TARGETS
}

# --------------------------------------------------------- building, running
# Each is called as: build_RUNNER ARGUMENT PROGRAM COMMAND...
build_here() {
    program=$2
    shift 2
    "$@" -o "$program"
}
build_none() { build_here "$@"; }
build_user() { build_here "$@"; }

# It knows no way to flush subnormal numbers.
build_valgrind() { build_here "$@" -DTARGET_NO_FLUSH; }

build_windows() {
    program=$2.exe
    shift 2
    "$@" -o "$program"
}

# Only the smallest board has less than 64 KB of RAM.  Boards trap unaligned
# words, which gcc else makes of two halves where no source asks for it.
build_arm() {
    size=64K
    [ "$1" != microbit ] || size=16K
    program=$2
    shift 2
    "$@" targets/cortex_m.c -DTARGET_BARE -mno-unaligned-access \
        -ffunction-sections -nostartfiles -Ttargets/cortex_m.ld \
        -Wl,--gc-sections,--defsym=ram_size=$size \
        --specs=nano.specs -o "$program"
}

build_avr() {
    program=$2
    shift 2
    "$@" targets/avr.c -DTARGET_BARE -o "$program"
}

build_wasm() {
    program=$2
    shift 2
    "$@" -nostdlib -ffreestanding -mbulk-memory -Dmain=target_main \
        -DTARGET_BARE -Wl,--no-entry -Wl,--export=target_main \
        -Wl,--allow-undefined -o "$program"
}

# And as: run_RUNNER ARGUMENT PROGRAM
run_here() { within 120 "$2"; }
run_user() { within 120 "$tool" "$2"; }
run_wasm() { within 60 node targets/wasm.mjs "$2"; }
run_valgrind() { within 240 valgrind -q --error-exitcode=9 "$2"; }

run_arm() {
    within 120 qemu-system-arm -M "$1" -nographic -monitor none -serial none \
        -semihosting-config enable=on,target=native -kernel "$2" 2>&1
}

run_windows() {
    WINEPREFIX=$work/wine WINEDEBUG=-all \
        within 120 "$(wine_path)" "$2.exe" >"$dir/text" ||
        return 1
    tr -d '\r' <"$dir/text"
}

# The simulator colours what comes through the serial port, and shows the end
# of a line as a dot.
run_avr() {
    within 240 simavr -m atmega1284p -f 16000000 "$2" 2>&1 |
        sed -n 's/.*\[32m\(.*\)\.$/\1/p'
}

# ---------------------------------------------------------------- one of them
wine_path() {
    command -v wine64 || echo /usr/lib/wine/wine64
}

has_tool() {
    [ "$1" = - ] || have "$1" || { [ "$1" = wine64 ] && [ -x "$(wine_path)" ]; }
}

# What a compiler or simulator calls its version; simavr does not tell.
version() {
    case $1 in
    - | simavr) ;;
    tcc) tcc -v 2>&1 ;;
    wine64) "$(wine_path)" --version ;;
    *) "$1" --version ;;
    esac >"$dir/version" 2>/dev/null
    grep -o '[0-9]\{1,\}\.[0-9.]*[0-9]' "$dir/version" | head -n 1 |
        grep . || sed -n 's/.*GCC) //p' "$dir/version"
}

# Headers and flags are there.
usable() {
    echo '#include <stdint.h>' >"$dir/probe.c"
    "$@" -c "$dir/probe.c" -o "$dir/probe.o" >"$log" 2>&1
}

# tcc knows no warnings; where a float is worked as a double, all are one.
compiles() {
    warnings=$strict
    case $1,$how in
    tcc,* | *,unequal) warnings= ;;
    esac
    "build_$runner" "$argument" "$dir/program" "$@" $warnings $source
}

# one_target TARGET TOOL RUNNER COMPILER FLAGS...: as fast as can be, and as
# everywhere.
one_target() {
    name=$1 tool=$2 runner=${3%%[;,]*} argument=${3#*;} how=${3#*,} said=
    shift 3
    for needed in "$1" "$tool"; do
        if ! has_tool "$needed"; then
            echo "$name: $needed is not installed: left out"
            return
        fi
    done
    if ! usable "$@"; then
        echo "$name: $1 lacks headers or libraries for it: left out"
        return
    fi
    start=$(date +%s)
    [ "$runner" = none ] || one_run fast "$@"
    if [ "$how" = unequal ]; then
        refuses "$name: MOE_SAME_BITS" 'moe.h: MOE_SAME_BITS ' \
            compiles "$@" -DMOE_SAME_BITS && said="$said refused"
    else
        one_run same "$@" -DMOE_SAME_BITS
    fi
    line "$name" "$1 $(version "$1")" "$tool $(version "$tool")" "$said"
}

line() {
    printf '%-15s %-29s %-22s%s %ds\n' "$1" "$2" "${3#- }" "$4" \
        $(($(date +%s) - start))
}

# one_run WHICH COMPILER FLAGS...
one_run() {
    which=$1
    shift
    holds "$name, $which: compiles" compiles "$@" || return
    holds "$name, $which: works" works "run_$runner" || return
    said="$said $(sed -n 's/ passed.*//p' "$dir/printed")"
    awk -v name="$name, $which" '/^result/ { print $2, $3, name }' \
        "$dir/printed" >>"$work/results"
    awk '/^hash/ { print $2 }' "$dir/printed" >"$dir/hash"
    [ ! -s "$dir/hash" ] || said="$said $(cat "$dir/hash")"
    awk -v name="$name" '/^hash/ { print $2, name }' \
        "$dir/printed" >>"$work/hashes"
}

# The program says that nothing failed, and says all that it should.
works() {
    "$1" "$argument" "$dir/program" >"$dir/printed" 2>&1
    status=$?
    cat "$dir/printed"
    [ $status = 0 ] && grep -q '^[1-9][0-9]* passed, 0 failed$' \
        "$dir/printed" && grep -q '^result' "$dir/printed" &&
        { [ "$which" = fast ] || grep -q '^hash' "$dir/printed"; }
}

# --------------------------------------------------- what looks for mistakes
# one_check NAME COMMAND...: a line if the command is here
one_check() {
    start=$(date +%s)
    name=$1
    shift
    have "$1" || { echo "$name: $1 is not installed: left out"; return; }
    "check_$name" "$@" && line "$name" "$1 $(version "$1")" "" ""
}

checks() {
    cat <<'END'
tsan clang -std=c99 -O1 -g -fsanitize=thread
cppcheck cppcheck
tidy clang-tidy
twice gcc -std=c99
twice clang -std=c99
twice g++ -x c++ -std=c++11
twice tcc
double avr-gcc -mmcu=atmega1284p
lockstep aarch64-linux-gnu-gcc qemu-aarch64
lockstep riscv64-linux-gnu-gcc qemu-riscv64
lockstep s390x-linux-gnu-gcc qemu-s390x
firmware arm-none-eabi-gcc predict
firmware arm-none-eabi-gcc learn
firmware arm-none-eabi-gcc tune
simavr avr-gcc -std=c99 -Os -mmcu=atmega1284p
firmware arm-none-eabi-gcc integer
END
}

check_tsan() {
    holds "$name: compiles" "$@" test_threads.c -o "$dir/threads" \
        -lpthread -lm && holds "$name: no race" within 240 "$dir/threads"
}

# It does not see that what is pointed to may be written, nor that a number
# tells of a pointer; MSan and clang's analyzer do.
check_cppcheck() {
    set -- -q --std=c99 --error-exitcode=1 --enable=warning,portability \
        --suppress=missingIncludeSystem --suppress=uninitvar \
        --suppress=nullPointerRedundantCheck -DMOE_IMPLEMENTATION -DMOE_STATIC
    for options in -DMOE_FLOAT -DMOE_DOUBLE -DMOE_PREDICT_ONLY; do
        holds "$name $options: finds nothing" within 240 \
            cppcheck "$@" $options ../moe.h
    done
}

check_tidy() {
    holds "$name: finds nothing" within 240 clang-tidy --quiet \
        '--warnings-as-errors=*' '--header-filter=.*' \
        "--checks=$(echo "$tidy" | tr -d ' \n')" $source -- -std=c99
}

# A double of 32 bits is none, and is not taken for one.
check_double() {
    refuses "$name: MOE_DOUBLE" 'moe.h: MOE_DOUBLE ' \
        "$@" -DNAME=one -DMOE_DOUBLE -c targets/twice.c -o "$dir/x.o"
}

# Two copies of the code in one program.
check_twice() {
    holds "$name, $1: compiles" "$@" -DNAME=one -c targets/twice.c \
        -o "$dir/one.o" && holds "$name, $1: and again" "$@" -DNAME=two \
        -DOTHER=one -c targets/twice.c -o "$dir/two.o" &&
        holds "$name, $1: links" "$1" "$dir/one.o" "$dir/two.o" \
            -o "$dir/twice" && holds "$name, $1: works" "$dir/twice"
}

# The same game on another processor; test_lockstep.sh has the builds for this
# one.
check_lockstep() {
    have "$2" || { echo "$name: $2 is not installed: left out"; return 1; }
    name="$name, ${1%%-*}"
    holds "$name: compiles here" \
        gcc -O2 ../examples/lockstep.c -o "$dir/here" &&
        holds "$name: compiles" \
            "$1" -O3 -static ../examples/lockstep.c -o "$dir/there" || return
    within 60 "$dir/here" >"$dir/game"
    within 120 "$2" "$dir/there" >"$dir/other"
    holds "$name: is played" grep -q 'frame 10000' "$dir/game"
    holds "$name: the same game" cmp "$dir/game" "$dir/other"
}

# The examples in a copy of the project: on the board as on the host, and no
# double where a float is meant.  They look alike but for the last rounding.
check_firmware() {
    have qemu-system-arm ||
        { echo "$name: qemu-system-arm is not installed: left out"; return 1; }
    name="$name, $2"
    mkdir -p "$dir/tests" "$dir/examples"
    cp -R targets "$dir/tests" && cp -R ../examples/firmware "$dir/examples"
    (set +f && cp ../moe.h "$dir" && cp ../examples/export* "$dir/examples")
    set -- "$1" "$2" "$dir/examples/firmware/$2"
    rm -rf "$3/build"
    holds "$name: builds" make -s -C "$3" "CFLAGS=-Werror" || return
    holds "$name: runs on the board" within 60 make -s -C "$3" run || return
    cp "$log" "$dir/board"
    holds "$name: runs here" within 60 make -s -C "$3" host || return
    cp "$log" "$dir/here"
    holds "$name: both say the same" alike "$dir/board" "$dir/here"
    arm-none-eabi-nm "$3/build/$2.elf" >"$dir/symbols"
    none "$name: no arithmetic of double" double_arithmetic "$dir/symbols"
}

# firmware/predict on an AVR, which has 8 bits and no FPU.
check_simavr() {
    have simavr ||
        { echo "$name: simavr is not installed: left out"; return 1; }
    mkdir -p "$dir/examples"
    cp -R ../examples/firmware "$dir/examples" && cp ../moe.h "$dir"
    predict=$dir/examples/firmware/predict
    rm -rf "$predict/build"
    holds "$name: is trained" make -s -C "$predict" build/predict || return
    holds "$name: runs here" within 60 make -s --no-print-directory \
        -C "$predict" host || return
    cp "$log" "$dir/here"
    holds "$name: builds" "$@" -DTARGET_BARE "-I$predict/build" \
        "$predict/main.c" targets/avr.c -o "$dir/avr" || return
    run_avr - "$dir/avr" >"$dir/board"
    holds "$name: both say the same" alike "$dir/board" "$dir/here"
}

# Words are equal, and numbers that are millionths nearly so.
alike() {
    awk 'NR == FNR { line[FNR] = $0; next }
         { n = split(line[FNR], word); lines++
           if (n != NF) exit wrong = 1
           for (i = 1; i <= n; i++)
               if (word[i] != $i && (word[i] - $i > 20 || $i - word[i] > 20 ||
                                     $i !~ /^[0-9]+,?$/))
                   exit wrong = 1 }
         END { exit wrong || lines == 0 }' "$1" "$2" ||
        { cat "$1" "$2"; false; }
}

double_arithmetic() {
    grep -q ' main$' "$1" || echo "no symbols"
    grep -E '__aeabi_(c?d|[a-z]+2d)' "$1" || true
}

# ------------------------------------------------------------ what all agree in
# One hash; and one trained model, as far as rounding lets it be.
agree() {
    most=$(awk '{ print $1 }' "$work/hashes" | sort | uniq -c | sort -rn |
        awk 'NR == 1 { print $2 }')
    while read -r hash name; do
        holds "$name: the same bits as the others, not $hash" \
            [ "$hash" = "$most" ]
    done <"$work/hashes"
    due=$(sed -n 1p "$work/results")
    while read -r error y name; do
        holds "$name: the trained model, $error $y, is that of ${due#* * }" \
            near ${due%% *} "$error" && holds "$name: so is what it predicts" \
            near "$(echo "$due" | cut -d ' ' -f 2)" "$y"
    done <"$work/results"
    echo "$(awk '{ print $1 }' "$work/hashes" | sort -u | wc -l) hash of" \
        "$(wc -l <"$work/hashes") targets: $most"
}

# In millionths.
near() {
    echo "$1 and $2"
    [ $(($1 - $2)) -le 100 ] && [ $(($2 - $1)) -le 100 ]
}

: >"$work/hashes"
: >"$work/results"
targets | grep -e "$only" >"$work/targets"
checks | grep -e "$only" >"$work/checks"
share one_target "$work/targets"
share one_check "$work/checks"
log=$work/log
agree
check_done
