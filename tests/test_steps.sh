#!/bin/sh
# test_steps.sh - how far it is from moe_predict to the multiply-add: the line
# steps that gdb takes at -O0 through the prediction of one case by two experts,
# and the functions that they go through.  With LIST=1 says which.
cd "$(dirname "$0")" || exit 1
. ./common.sh
log=$work/log

most_steps=384
most_functions=37

# walk WHAT SIMD: the two numbers, with plain loops (1) or the widest vectors.
walk() {
    within 120 gdb -q -nx -batch -x steps.py --args "$work/steps" "$2" \
        >"$work/walked" 2>&1
    sed -n 's/^    \( *[0-9]* [a-z_].*\)/\1/p' "$work/walked" | sort -rn
    awk -v what="$1" '/^steps [0-9]/ { print what ":", $2, "steps through", $4,
                                       "functions" }' "$work/walked"
    awk '/^steps [0-9]/ { print $2, $4 }' "$work/walked" >"$work/numbers"
}

reached() {
    cat "$work/walked"
    read -r steps functions <"$work/numbers" &&
        [ "$steps" -gt 20 ] && [ "$functions" -gt 5 ] &&
        [ "$steps" -le "$most_steps" ] && [ "$functions" -le "$most_functions" ]
}

have gdb && gdb -q -nx -batch -ex 'python print(1)' 2>&1 | grep -qx 1 ||
    { echo "gdb with python is not installed: left out"; exit 0; }
compiler=gcc
have gcc || compiler=clang
holds "the program compiles" \
    "$compiler" -std=c99 -O0 -g $strict steps.c -o "$work/steps"
holds "it predicts" "$work/steps" 1
walk "widest vectors" 0
walk "plain loops" 1
holds "at most $most_steps steps through $most_functions functions" reached
check_done
