#!/bin/sh
# test_fast_math.sh - builds with -ffast-math and its like refuse what others
# refuse, and compute what they compute.
cd "$(dirname "$0")" || exit 1
. ./common.sh

programs="faults_numbers extremes scales training sparse_choice sparse_gradient
sparse_balance sparse_odd sparse_memory reference refusals files"

# A line each: NUMBER PROGRAMS COMPILER FLAGS..., with ";" between programs.
# The first of each compiler has all instruction sets.
builds() {
    all=$(echo $programs | tr ' ' ';') some=faults_numbers
    {
        languages c99 '' | sed "s/^/$all /; s/$/ -Ofast -ffast-math/"
        languages c99 '' | sed -n "/^clang/s/^/$some /p" |
            sed 's/$/ -O2 -ffast-math -include immintrin.h/'
        languages c99 '' | while read -r compiler; do
            echo "$some;files $compiler -O1 -ffinite-math-only $one_set"
            echo "$some;refusals $compiler -Os -ffast-math"
            echo "$some $compiler -O1 -ffast-math $one_set -DMOE_DOUBLE"
        done | thin 3
    } | awk '{ print NR, $0 }'
}

# one_object NUMBER PROGRAMS COMPILER FLAGS...: what its programs link with.
one_object() {
    object=$work/$1.o
    shift 2
    if "$@" $strict -fsyntax-only "$work/empty.c" >"$log" 2>&1; then
        holds "moe.c: $*: compiles" "$@" $strict -c moe.c -o "$object"
    else
        echo "$*: not understood, left out"
    fi
}

# one_program NUMBER PROGRAM COMPILER FLAGS...: what links with moe.h's code is
# itself compiled in less time.
one_program() {
    object=$work/$1.o program=test_$2
    shift 2
    what="$program: $*"
    [ -f "$object" ] || return
    if is_linked "$program"; then
        set -- "$@" -O0 -DLINKED "$program.c" -x none "$object"
    else
        set -- "$@" "$program.c"
    fi
    holds "$what compiles" "$@" $strict -o "$dir/program" -lm -lpthread &&
        holds "$what passes" within 600 "$dir/program"
}

echo "int main(void) { return 0; }" >"$work/empty.c"
missing_compilers
builds >"$work/builds"
share one_object "$work/builds"
while read -r number of rest; do
    for program in $(echo "$of" | tr ';' ' '); do
        echo "$number $program $rest"
    done
done <"$work/builds" >"$work/programs"
share one_program "$work/programs"
check_done
