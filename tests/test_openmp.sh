#!/bin/sh
# test_openmp.sh - with -fopenmp any number of threads gives the same bits as
# a build without it.
cd "$(dirname "$0")" || exit 1
. ./common.sh
log=$work/log

# build NAME COMPILER FLAGS...
build() {
    name=$1
    shift
    "$@" $strict openmp.c -o "$work/$name" -lm
}

# prints_same THREADS PROGRAM
prints_same() {
    OMP_NUM_THREADS=$1 within 120 "$work/$2" >"$work/shared" &&
        cat "$work/alone" "$work/shared" && cmp "$work/alone" "$work/shared"
}

found=0
echo "int main(void) { return 0; }" >"$work/empty.c"
languages c99 '' >"$work/languages"
while read -r compiler of; do
    for option in "" -DMOE_SAME_BITS -DMOE_DOUBLE; do
        flags="$of -O2 $option"
        if ! $compiler $of -fopenmp "$work/empty.c" -o "$work/empty" \
            2>/dev/null; then
            echo "$compiler here has no OpenMP: left out"
            break
        fi
        found=1
        holds "$compiler $option builds" build one $compiler $flags
        holds "$compiler $option -fopenmp builds" \
            build many $compiler $flags -fopenmp
        "$work/one" >"$work/alone"
        for threads in 1 2 3 8; do
            holds "$compiler $option: $threads threads, the same bits" \
                prints_same $threads many
        done
    done
done <"$work/languages"
[ $found = 1 ] || holds "openmp.c builds without OpenMP" build one cc -O2
check_done
