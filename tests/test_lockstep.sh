#!/bin/sh
# test_lockstep.sh - examples/lockstep.c: every build, with every instruction
# set that it can be told to take, plays the same game to the bit.  Long tests
# have one more, with the wildest flags; test_same_bits.sh always has these.
cd "$(dirname "$0")" || exit 1
. ./common.sh
source=../examples/lockstep.c

builds() {
    languages c99 '' | sed 's/$/ -O1/'
    echo "gcc -std=c99 -O0"
    [ -z "$long" ] ||
        echo "gcc -std=gnu99 -O3 -march=native -ffp-contract=fast"
}

# one_build COMPILER FLAGS...: a line for each set: hash of all text, build.
one_build() {
    what=$*
    if ! have "$1" || ! "$@" -x c -fsyntax-only /dev/null >"$log" 2>&1; then
        echo "$what: not understood, left out"
        return
    fi
    holds "$what: compiles" "$@" $strict $source -o "$dir/program" || return
    for bits in 0 1 128 256 512; do
        if within 60 "$dir/program" "$bits" >"$dir/said" 2>&1; then
            echo "$(cksum <"$dir/said") $what, $bits bits" >>"$work/games"
            cp "$dir/said" "$work/game"
        else
            holds "$what, $bits bits: only a set that is not here is refused" \
                grep -q 'no vectors of simd bits' "$dir/said"
        fi
    done
}

# The hash would see it: another first weight is another game.
other_game() {
    sed 's/\.seed = 7/.seed = 8/; s/"\.\.\/moe\.h"/"moe.h"/' \
        $source >"$work/other.c"
    $1 -O1 $one_set -I.. "$work/other.c" -o "$work/other" &&
        "$work/other" >"$work/other.said" &&
        tail -n 1 "$work/other.said" | grep frame &&
        ! grep -qF "$(tail -n 1 "$work/other.said")" "$work/game"
}

: >"$work/games"
missing_compilers
builds >"$work/builds"
share one_build "$work/builds"
log=$work/log
sort "$work/games" | uniq >"$work/sorted"
due=$(sed -n 1p "$work/sorted" | cut -d ' ' -f 1,2)
while read -r sum bytes what; do
    holds "$what: the same game" [ "$sum $bytes" = "$due" ]
done <"$work/sorted"
holds "it goes to the last frame" grep -q 'frame 10000' "$work/game"
holds "another seed is another game" \
    other_game "$(sed -n '1s/ .*//p' "$work/builds")"
tail -n 1 "$work/game"
check_done
