#!/bin/sh
# sizes.sh - measures code, stack, RAM and instructions, and rewrites the lines
# between the markers: some in README.md, all in benchmarks/README.md.  A target
# whose tools are missing has a dash.
cd "$(dirname "$0")/.." || exit 1
. ./common.sh
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

# code TARGET PARTS: code and constants of what is used.
code() {
    set -- $(compiler_of "$1") -Os "-DPARTS=$2" -ffunction-sections \
        -fdata-sections "$source" -r -nostdlib -Wl,--gc-sections,-u,used \
        -o "$work/x.o"
    if have "$1" && "$@" 2>"$work/said"; then
        "${1%gcc}size" -A "$work/x.o" | awk '
            /^\.(text|rodata|data|progmem)/ { code += $2 }
            END { printf "%d", code }'
    else
        printf -- '-'
    fi
}

# program TARGET PARTS TIMES FLAGS...: runs it, if that is known how to.
program() {
    target=$1 parts=$2 times=$3
    shift 3
    set -- $(compiler_of "$target") "$@" "-DPARTS=$parts" "-DTIMES=$times" \
        "$source" -Itargets -o "$work/program"
    have "$1" || return 0
    case $target in
    x86-64) "$@" && within 30 "$work/program" ;;
    M0 | M4F)
        have qemu-system-arm && "$@" targets/cortex_m.c -DTARGET_BARE \
            -DTARGET_UNALIGNED -nostartfiles -ffunction-sections \
            --specs=nano.specs -Wl,--gc-sections,--defsym=ram_size=64K \
            -Ttargets/cortex_m.ld &&
            within 60 qemu-system-arm -M mps2-an386 -nographic -monitor none \
                -serial none -semihosting-config enable=on,target=native \
                $plugin -kernel "$work/program" </dev/null 2>&1
        ;;
    esac
}

# stack TARGET PARTS FLAGS...: the deepest of two cases, in bytes.
stack() {
    plugin= target=$1 parts=$2
    shift 2
    program "$target" "$parts" 2 -Os "$@" >"$work/said" 2>"$work/why"
    grep -xE '[0-9]+' "$work/said" || echo -
}

# structure TARGET: the bytes of a moe.
structure() {
    set -- $(compiler_of "$1") -Os -DPARTS=3 -DTIMES=1 -DTARGET_BARE -c \
        "$source" -o "$work/x.o"
    nm=${1%gcc}nm
    if have "$1" && "$@" 2>"$work/said"; then
        "$nm" -S "$work/x.o" | awk '$NF == "m" { print $2 }' | {
            read -r bytes && echo $((0x$bytes))
        }
    else
        echo -
    fi
}

# instructions TARGET PARTS FLAGS...: of 101 cases less those of one, a
# hundredth.
instructions() {
    target=$1 parts=$2
    shift 2
    gcc -shared -fPIC targets/count.c -o "$work/count.so" &&
        plugin="-plugin $work/count.so"
    for times in 1 101; do
        program "$target" "$parts" $times -O2 "$@" 2>/dev/null |
            sed -n 's/^instructions //p'
    done | awk '{ of[NR] = $1 }
                END { if (NR == 2) printf "%d", (of[2] - of[1]) / 100
                      else printf "-" }'
}

# row NAME PARTS SHAPE...: instructions, with products and sums fused and not
row() {
    name=$1 parts=$2
    shift 2
    echo "| $name | $(instructions M4F "$parts" "$@") |" \
        "$(instructions M4F "$parts" -ffp-contract=off "$@") |"
}

# exported TARGET WAY: a row of the code that export_c writes, alone.
exported() {
    $(compiler_of "$1") -Os -ffunction-sections -fdata-sections \
        "$work/net$2.c" -r -nostdlib -Wl,--gc-sections,-u,net_predict \
        -o "$work/x.o" || return
    bytes=$(arm-none-eabi-size -A "$work/x.o" | awk '
        /^\.text/ { code += $2 }
        /^\.rodata/ { constants += $2 }
        END { print code " | " constants }')
    source=$work/times$2.c
    echo "| \`$2\`, $1 | $bytes | $(stack "$1" 0) | $(instructions "$1" 0) |"
    source=targets/size.c
}

# The same model, 4 experts of 16-32-4, in integers and in floats.
exports() {
    gcc -O1 export_models.c -o "$work/models" &&
        gcc -O1 ../examples/export_c.c -o "$work/export_c" &&
        "$work/models" 0 "$work/0.moe" "$work/0.csv" || return
    "$work/export_c" --code "$work/0.moe" net >"$work/net--code.c"
    "$work/export_c" --int8 --calibrate "$work/0.csv" "$work/0.moe" net \
        >"$work/net--int8.c"
    for way in --int8 --code; do
        number=int16_t
        [ $way = --int8 ] || number=float
        { echo "#include \"net$way.c\""
          echo "typedef $number number;"
          cat targets/times.c; } >"$work/times$way.c"
        for target in M0 M4F; do
            exported $target $way
        done
    done
}

table() {
    cat <<'END'
Bytes at `-Os` with gcc, `MOE_STATIC`, `MOE_NO_TEXT` and `--gc-sections` (`make
-C tests sizes`): code and constants; the compiler's own arithmetic, where there
is no FPU, is not counted. "Predict" is open, attach and predict. The stack is
the deepest seen in a run by painting it: 4 experts of 16-32-4 predict and
learn, 2 of 16-4-4 train.

| | predict | + learn | + train | + files | a `moe` | stack | learn | train |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
END
    for target in M0 M4F RV32 AVR x86-64; do
        echo "| $target | $(code $target 1) | $(code $target 2)" \
            "| $(code $target 3) | $(code $target 4) | $(structure $target)" \
            "| $(stack $target 1) | $(stack $target 2) | $(stack $target 3) |"
    done
    echo
    echo "On a moe that is open, a prediction takes" \
        "$(stack M0 1 -DOPENED) bytes of a Cortex-M0's stack"
    echo "and $(stack M4F 1 -DOPENED) of a Cortex-M4F's."
    cat <<'END'

"Predict" and "tune", of the last layers and the gate, are over weights in
flash.

| RAM, bytes | predict | tune | `moe_learn` | a gradient | `moe_train` |
|---|--:|--:|--:|--:|--:|
END
    gcc -std=c99 -O1 targets/ram.c -o "$work/ram" && "$work/ram"
    cat <<'END'

| Instructions of a Cortex-M4F at `-O2` | | `-ffp-contract=off` |
|---|--:|--:|
END
    big='-DIN=16 -DHIDDEN=32 -DOUT=4 -DEXPERTS=4'
    row 'predict, 4 x 16-32-4' 1 $big
    row 'predict, 2 of 4 x 16-32-4' 1 $big -DTOP_K=2
    row 'predict, 4 x 2-1' 1 -DIN=2 -DHIDDEN=0 -DOUT=1 -DEXPERTS=4
    row 'learn a case, 4 x 16-32-4' 2 $big
    row 'learn it by the last layers alone' 2 $big -DTUNE
    cat <<'END'

What `export_c` makes of 4 experts of 16-32-4, alone: bytes at `-Os`, without
the test vectors of `--int8`, and the stack; instructions at `-O2`. Below it
what the products of these layers take in libraries, as once counted so.

| | code | constants | stack | instructions |
|---|--:|--:|--:|--:|
END
    have arm-none-eabi-gcc && have qemu-system-arm && exports
    cat <<'END'
| CMSIS-NN, 8 bits, M0 | | | | 41733 |
| CMSIS-NN, 8 bits, M4F | | | | 16244 |
| CMSIS-DSP, floats, M4F | | | | 9707 |
END
}

# The rows that one asks for first, of the whole table.
short() {
    awk -F ' *[|] *' '
        function row(what, code, ram, stack, instructions, cmsis) {
            printf "| %s | %s | %s | %s | %s | %s |\n", what, code, ram, stack,
                   instructions, cmsis
        }
        BEGIN {
            print "| Cortex-M4F | code | RAM | stack | instructions | CMSIS |"
            print "|---|--:|--:|--:|--:|--:|"
        }
        FNR == NR {
            if (/^\| CMSIS/)
                cmsis[/NN/ ? (/M0/ ? "int8 M0" : "int8 M4F") : "floats"] = $6
            next
        }
        $2 == "M4F" { split($0, of) }
        /^\| a sensor/ { split($0, ram) }
        /^\| predict, 4 x 16-32-4/ {
            row("predict", of[3], ram[3], of[8], $3, cmsis["floats"])
        }
        /^\| learn a case/ {
            row("learn a case, too", of[4], ram[5], of[9], $3)
            row("`moe_train`, too", of[5], ram[7], of[10], "")
        }
        /^\| `--(int8|code)`, M/ && !/code`, M0/ {
            row("exported in " ($2 ~ /int8/ ? "integers" : "floats") \
                ($2 ~ /M0/ ? ", Cortex-M0" : ""), $3 + $4, 0, $5, $6,
                cmsis[$2 ~ /int8/ ? $2 ~ /M0/ ? "int8 M0" : "int8 M4F" \
                                  : "floats"])
        }' "$work/table" "$work/table"
}

# between FILE TABLE: puts the table between the markers in the file.
between() {
    awk -v table="$2" '
        /^<!-- sizes begin -->$/ {
            print
            while ((getline line <table) > 0)
                print line
            found = inside = 1
        }
        /^<!-- sizes end -->$/ { inside = 0 }
        !inside && !/^<!-- sizes begin -->$/ { print }
        END { exit !found || inside }' "$1" >"$work/readme" || {
        echo "$1 has no markers for the sizes"
        exit 1
    }
    cat "$work/readme" >"$1"
}

table >"$work/table"
short >"$work/short"
between ../README.md "$work/short"
between ../benchmarks/README.md "$work/table"
cat "$work/table"
