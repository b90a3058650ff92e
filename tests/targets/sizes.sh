#!/bin/sh
# sizes.sh [FILE] - measures code, stack, RAM and instructions, and rewrites
# the lines between the markers in FILE, which is README.md.  A target whose
# tools are missing has a dash.
cd "$(dirname "$0")/.." || exit 1
. ./common.sh
readme=${1:-../README.md}
source=targets/size.c
arm='arm-none-eabi-gcc -std=gnu99 -mthumb'

compiler_of() {
    case $1 in
    M0) echo "$arm -mcpu=cortex-m0" ;;
    M4F) echo "$arm -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16" ;;
    RV32) echo "riscv64-unknown-elf-gcc -std=gnu99 -march=rv32imac" \
        "-mabi=ilp32 -ffreestanding" ;;
    AVR) echo "avr-gcc -std=gnu99 -mmcu=atmega1284p" ;;
    x86-64) echo "gcc -std=gnu99" ;;
    esac
}

# code TARGET PARTS: code and constants + the sentences, of what is used.
code() {
    set -- $(compiler_of "$1") -Os "-DPARTS=$2" -ffunction-sections \
        -fdata-sections $source -r -nostdlib -Wl,--gc-sections,-u,used \
        -o "$work/x.o"
    if have "$1" && "$@" 2>"$work/said"; then
        "${1%gcc}size" -A "$work/x.o" | awk '
            /^\.rodata.*\.str/ { sentences += $2; next }
            /^\.(text|rodata|data|progmem)/ { code += $2 }
            END { printf "%d + %d", code, sentences }'
    else
        printf -- '-'
    fi
}

# program TARGET PARTS TIMES LEVEL: runs it, if that is known how to.
program() {
    target=$1
    set -- $(compiler_of "$1") "$4" "-DPARTS=$2" "-DTIMES=$3" $source \
        -o "$work/program"
    have "$1" || return 0
    case $target in
    x86-64) "$@" && within 30 "$work/program" ;;
    M0 | M4F)
        have qemu-system-arm && "$@" targets/cortex_m.c -DTARGET_BARE \
            -nostartfiles -ffunction-sections --specs=nano.specs \
            -Wl,--gc-sections,--defsym=ram_size=64K -Ttargets/cortex_m.ld &&
            within 60 qemu-system-arm -M mps2-an386 -nographic -monitor none \
                -serial none -semihosting-config enable=on,target=native \
                $plugin -kernel "$work/program" </dev/null 2>&1
        ;;
    esac
}

stack() {
    plugin=
    program "$1" "$2" 2 -Os >"$work/said"
    grep -xE '[0-9]+' "$work/said" || echo -
}

# Of 101 predictions less those of one, a hundredth.
instructions() {
    gcc -shared -fPIC targets/count.c -o "$work/count.so" &&
        plugin="-plugin $work/count.so"
    for times in 1 101; do
        program M4F 1 $times -O2 | sed -n 's/^instructions //p'
    done | awk '{ of[NR] = $1 }
                END { if (NR == 2) printf "%d", (of[2] - of[1]) / 100
                      else printf "-" }'
}

table() {
    cat <<'END'
Bytes at `-Os` with gcc, `MOE_STATIC` and `--gc-sections` (`make -C tests
sizes`): code and constants + the sentences of `status` and `why`; the
compiler's own arithmetic, where there is no FPU, is not counted. "Predict" is
open, attach and predict, "learn" has gradient, step and train too. The stack is
the deepest seen in a run by painting it: 4 experts of 16-32-4 predict, 2 of
16-4-4 train.

| | predict | and learn | all but files | and files | stack, predict | train |
|---|--:|--:|--:|--:|--:|--:|
END
    for target in M0 M4F RV32 AVR x86-64; do
        echo "| $target | $(code $target 1) | $(code $target 2)" \
            "| $(code $target 3) | $(code $target 4)" \
            "| $(stack $target 1) | $(stack $target 2) |"
    done
    cat <<'END'

| RAM, bytes | predict from flash | learn, case by case | `moe_train` |
|---|--:|--:|--:|
END
    gcc -std=c99 -O1 targets/ram.c -o "$work/ram" && "$work/ram"
    echo
    echo "One prediction of 4 experts of 16-32-4 takes $(instructions)" \
        "instructions on a"
    echo "Cortex-M4F at \`-O2\`."
}

table >"$work/table"
awk -v table="$work/table" '
    /^<!-- sizes begin -->$/ {
        print
        while ((getline line <table) > 0)
            print line
        found = inside = 1
    }
    /^<!-- sizes end -->$/ { inside = 0 }
    !inside && !/^<!-- sizes begin -->$/ { print }
    END { exit !found || inside }' "$readme" >"$work/readme" || {
    echo "$readme has no markers for the sizes"
    exit 1
}
cat "$work/readme" >"$readme"
cat "$work/table"
