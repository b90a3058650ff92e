#!/bin/sh
# test_openmp.sh - with -fopenmp any number of threads gives the same bits as
# a build without it.
cd "$(dirname "$0")" || exit 1
. ./common.sh

# prints_same THREADS
prints_same() {
    OMP_WAIT_POLICY=passive OMP_NUM_THREADS=$1 \
        within 120 "$dir/many" >"$dir/shared" &&
        cat "$dir/alone" "$dir/shared" && cmp "$dir/alone" "$dir/shared"
}

# one_build COMPILER FLAGS...: without and with threads.
one_build() {
    what=$*
    holds "$what builds" "$@" $strict openmp.c -o "$dir/one" -lm
    if ! "$@" -fopenmp "$work/empty.c" -o "$dir/empty" 2>/dev/null; then
        echo "$1 here has no OpenMP: left out"
        return
    fi
    holds "$what -fopenmp builds" \
        "$@" $strict -fopenmp openmp.c -o "$dir/many" -lm || return
    "$dir/one" >"$dir/alone"
    for threads in 1 2 3 8; do
        holds "$what: $threads threads, the same bits" prints_same $threads
    done
}

echo "int main(void) { return 0; }" >"$work/empty.c"
languages c99 '' | while read -r language; do
    for option in "-O1 $one_set" "-O1 $one_set -DMOE_SAME_BITS" \
        "-O1 $one_set -DMOE_DOUBLE"; do
        echo "$language $option"
    done
done | thin 4 >"$work/builds"
share one_build "$work/builds"
check_done
