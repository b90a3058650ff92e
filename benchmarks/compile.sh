#!/bin/sh
# compile.sh [OLD] - how long gcc and clang take for moe.h at -O2, and beside it
# in turn for OLD, a header of version 0.1: processor seconds, the median of
# five; and the bytes of code that gcc makes (.text, on x86-64).
cd "$(dirname "$0")" || exit 1
build=build/compile old=$1 files=new
mkdir -p "$build" || exit 1
header=$(cd .. && pwd)/moe.h
printf '#define MOE_IMPLEMENTATION\n#include "%s"\n' "$header" >"$build/new.c"
[ -z "$old" ] || {
    printf '#define MOE_IMPLEMENTATION\n#include "%s"\n' "$old" >"$build/old.c"
    files='new old'
}

# seconds CC FILE: user and system time of one compilation.
seconds() {
    { time -p "$1" -std=c99 -O2 -c "$build/$2.c" -o "$build/$2.o"; } 2>&1 |
        awk '/^(user|sys)/ { all += $2 } !/^(real|user|sys)/ { print >"/dev/stderr" }
             END { print all }'
}

median() {
    sort -n "$1" | awk '{ of[NR] = $1 } END { print of[int((NR + 1) / 2)] }'
}

for cc in gcc clang; do
    command -v $cc >/dev/null || {
        echo "$cc is not installed: left out"
        continue
    }
    for file in $files; do
        : >"$build/$file.times"
    done
    for turn in 1 2 3 4 5; do
        for file in $files; do
            seconds $cc $file >>"$build/$file.times"
        done
    done
    new=$(median "$build/new.times")
    if [ -z "$old" ]; then
        echo "$cc: $new s"
    else
        awk -v cc=$cc -v new="$new" -v old="$(median "$build/old.times")" \
            'BEGIN { printf "%s: %.2f s, version 0.1 %.2f s: %.2f of it\n",
                            cc, new, old, new / old }'
    fi
    [ $cc != gcc ] || size -A "$build/new.o" |
        awk '/^\.text/ { all += $2 } END { print ".text: " all " bytes" }'
done
