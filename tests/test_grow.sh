#!/bin/sh
# test_grow.sh - examples/grow.c on a table of which half a percent follows a
# law of its own: the expert that has it alone is hardly used, and is missed.
# The log-likelihood of this table is above 0, so that its loss is below.
cd "$(dirname "$0")" || exit 1
. ./common.sh
log=$work/log

awk 'BEGIN {
    for (n = 0; n < 4000; n++) {
        x = n * 37 % 1001 / 500 - 1
        noise = (n * 7919 % 1009 / 1009 - .5) / 50
        print x "," (x > .99 ? 5 - 100 * (x - .99) : x < 0 ? x : 1 - 2 * x) \
            + noise
    } }' >"$work/table.csv"

grown() {
    "$work/grow" "$work/table.csv" >"$work/said" && cat "$work/said"
}

# loss PATTERN CONDITION: of every change of the loss, v, in lines with it
loss() {
    cat "$work/said"
    grep "$1" "$work/said" | sed 's/.*loss \([-+0-9.]*\) %.*/\1/' |
        awk "{ v = \$1; seen = 1; bad += !($2) } END { exit !seen || bad }"
}

holds "grow.c compiles" ${CC:-cc} -std=c99 $strict -O2 $one_set -I.. \
    ../examples/grow.c -o "$work/grow" -lm
holds "grow.c runs" grown
holds "what is missed raises a loss below 0" loss 'in training' 'v > 0.5'
holds "so it is kept" loss 'these alone' 'v > -0.5 && v < 0.5'
check_done
