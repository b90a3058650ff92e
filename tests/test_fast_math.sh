#!/bin/sh
# test_fast_math.sh - builds with -ffast-math and its like refuse what others
# refuse, and compute what they compute.
cd "$(dirname "$0")" || exit 1
. ./common.sh

programs="faults_numbers refusals extremes scales training files sparse_choice
sparse_gradient sparse_balance sparse_odd sparse_memory
reference"

builds() {
    languages c99 '' | while read -r compiler; do
        for flags in "-O3 -ffast-math" "-O1 -ffinite-math-only"; do
            for program in $programs; do
                echo "$program $compiler $flags"
            done
        done
        echo "faults_numbers $compiler -Ofast"
        echo "refusals $compiler -Ofast"
        echo "faults_numbers $compiler -Os -ffast-math"
        echo "refusals $compiler -Os -ffast-math"
        echo "faults_numbers $compiler -O2 -ffast-math -DMOE_DOUBLE"
    done
}

# one_build PROGRAM COMPILER FLAGS...
one_build() {
    program=test_$1
    shift
    what="$program: $*"
    if ! "$@" $strict -fsyntax-only "$work/empty.c" >"$log" 2>&1; then
        echo "$what: not understood, left out"
        return
    fi
    holds "$what compiles" "$@" $strict "$program.c" -o "$dir/program" \
        -lm -lpthread &&
        holds "$what passes" within 600 "$dir/program"
}

echo "int main(void) { return 0; }" >"$work/empty.c"
missing_compilers
builds >"$work/builds"
share one_build "$work/builds"
check_done
