#!/bin/sh
# test_same_bits.sh - MOE_SAME_BITS: one hash over what is learnt and
# predicted, whatever the compiler, language, optimisation, set of vectors,
# rows in a block and order of calls; and refusals where that cannot be.  Long
# tests build with every compiler at every level.
cd "$(dirname "$0")" || exit 1
. ./common.sh
root=$(cd .. && pwd)

cat >"$work/alone.c" <<'END'
#define MOE_SAME_BITS
#define MOE_IMPLEMENTATION
#include "moe.h"
END
echo "int main(void) { return 0; }" >"$work/empty.c"

# The GNU dialects let gcc contract where it can; -ffp-contract=fast asks for
# it in so many words, but clang's heeds no pragma: see refusals.
builds() {
    languages gnu99 gnu++11 | while read -r compiler; do
        for level in $(levels "$compiler"); do
            echo "$compiler $level" | tr ';' ' '
        done
    done
}

levels() {
    case $long$1 in
    gcc*) echo '-O0 -O3;-march=native;-ffp-contract=fast -O1;-DMOE_DOUBLE' ;;
    clang\ *) echo '-O1' ;;
    clang++*) echo '-O0;-DMOE_DOUBLE' ;;
    g++*) echo '-O1' ;;
    *) echo '-O0 -O1 -O2 -O3 -O3;-march=native -O2;-DMOE_DOUBLE' ;;
    esac
}

# What takes long to build comes first, so that none is waited for at the end.
long_first() {
    { grep native "$1"; grep -v native "$1"; } >"$1.sorted"
    mv "$1.sorted" "$1"
}

# one_build COMPILER FLAGS...
one_build() {
    what=$*
    if ! "$@" -fsyntax-only "$work/empty.c" >"$log" 2>&1; then
        echo "$what: not understood, left out"
        return
    fi
    case $what in
    *-O0*) how=few ;;
    *) how=all ;;
    esac
    holds "$what: compiles" "$@" same_bits.c -o "$dir/program" &&
        holds "$what: sets, rows and calls agree" hash &&
        holds "$what: moe_open refuses to flush subnormal numbers" \
            within 60 "$dir/program" flush
}

# A line with width, hash and build.
hash() {
    within 60 "$dir/program" "$how" >"$dir/said" 2>&1 ||
        { cat "$dir/said"; return 1; }
    case $what in
    *-DMOE_DOUBLE*) width=double ;;
    *) width=float ;;
    esac
    echo "$width $(cat "$dir/said") $what" >>"$work/hashes"
}

# agree WIDTH: every build of that width has the hash that most have.
agree() {
    most=$(awk -v width="$1" '$1 == width { print $2 }' "$work/hashes" |
        sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }')
    echo "$1: $most"
    while read -r width hash what; do
        [ "$width" != "$1" ] ||
            holds "$what: the same bits as the others, not $hash" \
                [ "$hash" = "$most" ]
    done <"$work/hashes"
}

# refusals COMPILER FLAGS...: what a preprocessor can tell; that calls refuse
# fused sums, which clang cannot, is looked at in C alone but for long tests.
# -m32 alone, then with registers of 80 bits.
refusals() {
    what=$*
    due='error.*"moe.h: MOE_SAME_BITS '
    set -- "$@" -I"$root" "$work/alone.c"
    holds "$what: is accepted" "$@" -fsyntax-only
    refuses "$what: -ffast-math" "$due" "$@" -E -ffast-math
    refuses "$what: -Ofast" "$due" "$@" -E -Ofast
    case $long$what in
    clang++*) ;;
    *clang*)                # which tells the text of no part of -ffast-math
        fma=
        grep -q ' fma .*avx2' /proc/cpuinfo 2>/dev/null && fma='-mavx2 -mfma'
        for level in -O1 -Os; do
            holds "$what $level: -ffp-contract=fast compiles" $what $level \
                $fma $one_set -ffp-contract=fast same_bits.c -o "$dir/fused" &&
                holds "$what $level: and moe_open refuses it" \
                    within 60 "$dir/fused" fused
        done
        ;;
    *)
        refuses "$what: -freciprocal-math" "$due" "$@" -E \
            -freciprocal-math
        refuses "$what: -fassociative-math" "$due" "$@" -E \
            -fassociative-math -fno-signed-zeros -fno-trapping-math
        ;;
    esac
    set -- "$@" -ffreestanding -E -m32 -DMOE_NO_MALLOC \
        '-DMOE_ASSERT(e)='
    if "$@" -msse2 -mfpmath=sse >"$log" 2>&1; then
        refuses "$what: -m32 -mfpmath=387" "$due" "$@" -mfpmath=387
    else
        echo "$what: -m32 does not compile here, left out"
    fi
}

: >"$work/hashes"
missing_compilers
builds >"$work/builds"
long_first "$work/builds"
languages c99 c++11 >"$work/languages"

share one_build "$work/builds"
share refusals "$work/languages"
log=$work/log
agree float
agree double
check_done
