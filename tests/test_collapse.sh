#!/bin/sh
# test_collapse.sh - examples/collapse.c: the gate does collapse, is diagnosed,
# stays so if nothing is done, and comes back in three ways.
cd "$(dirname "$0")" || exit 1
. ./common.sh
log=$work/log

# line RUN EPOCH: error, imbalance, dead experts, entropy and the diagnosis.
line() {
    awk -v run="$1" -v epoch="$2" '
        /^[a-z]/ { at = index($0, run) == 1 }
        at && $1 == epoch { sub(/^ *[0-9]+ +/, ""); print }' "$work/said"
}

# is CONDITION RUN EPOCH: of the numbers $1 .. $4 of that line.
is() {
    line "$2" "$3"
    line "$2" "$3" | awk "{ seen = 1 } !($1) { bad = 1 }
                          END { exit !seen || bad }"
}

says() {
    line "$2" "$3" | grep -q "$1"
}

changes() {
    sed -n 's/^changes by \([0-9.]*\) at most.*/\1/p' "$work/said" |
        awk '{ seen = $1 > 0 && $1 < 0.1 } END { exit !seen }'
}

drawn() {
    [ "$(grep -c '^<polygon' "$work/collapse.svg")" -eq 32 ] &&
        ! grep -qi nan "$work/collapse.svg"
}

one_build() {
    for run in nothing balance loss-free revival; do
        holds "$1: $run: collapsed at first" is '$2 > 3.9 && $3 == 5' $run 0
        holds "$1: $run: and called so" says 'dominates' $run 0
    done
    holds "$1: nothing: and so it stays" is '$2 > 3.9 && $3 == 5' nothing 300
    for run in balance loss-free revival; do
        holds "$1: $run: all experts live" is '$3 == 0 && $2 < 1.5' $run 300
        holds "$1: $run: a third of the error" is '$1 < 1.55 / 3' $run 300
        holds "$1: $run: healthy" says 'Healthy' $run 300
    done
    holds "$1: one revival changes a dense prediction little" changes
    holds "$1: the picture" drawn
}

languages c99 '' | sed -n 1p | while read -r compiler; do
    for options in '' -DMOE_SAME_BITS; do
        holds "collapse.c $options compiles" $compiler $strict -O1 $one_set \
            $options ../examples/collapse.c -o "$work/collapse" &&
            (cd "$work" && within 60 ./collapse >said) &&
            one_build "collapse.c $options"
    done
done
check_done
