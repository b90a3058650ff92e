#!/bin/sh
# export_quality.sh FOLDER [CC [SEEDS]] - models trained on the data of FOLDER,
# beside the same in integers by export_c --int8: a line for each seed, then for
# each model the mean and the largest difference.
cd "$(dirname "$0")" || exit 1
data=$1 cc=${2:-cc} seeds=${3:-"1 2 3 4 5 6 7 8 9 10"} build=build/export
mkdir -p "$build"
cat >"$build/moe.c" <<'END_C'
#define MOE_IMPLEMENTATION
#include "../../../moe.h"
END_C
"$cc" -O2 ../examples/export_c.c -o "$build/export_c" &&
    "$cc" -O2 -c "$build/moe.c" -o "$build/moe.o" &&
    "$cc" -O2 export_quality.c -o "$build/train" -lm || exit 1

# one MODEL SEED: a line
one() {
    files="$build/net.safetensors $build/inputs.csv $build/cases.csv"
    "$build/train" train "$data" "$1" "$2" $files &&
        "$build/export_c" --int8 --calibrate "$build/inputs.csv" \
            "$build/net.safetensors" net >"$build/net.c" &&
        "$cc" -O2 -DNET='"build/export/net.c"' -DNET_FLOAT export_quality.c \
            "$build/moe.o" -o "$build/compare" -lm && "$build/compare" \
        "$build/net.safetensors" "$build/cases.csv" "$1"
}

summary() {
    awk 'function size(x) { return x < 0 ? -x : x }
        / x / { off = 100 * ($NF - 1); unit = "% of the RMSE" }
        /right/ {
            sub(/.*integers: /, "")
            off = $1 + 0; changed += $2; unit = "points"
        }
        {
            n++; sum += off; sizes += size(off)
            if (size(off) > worst) worst = size(off)
        }
        END {
            printf "mean %+.3f, mean size %.3f, largest %.2f %s", sum / n,
                sizes / n, worst, unit
            if (unit == "points") printf ", %.1f answers changed", changed / n
            print ""
        }'
}

for model in kin8nm-8x8 kin8nm-2of16 vowels-8 vowels-8x8; do
    for seed in $seeds; do
        one $model "$seed" || exit 1
    done >"$build/lines" || exit 1
    cat "$build/lines"
    echo "$model: $(summary <"$build/lines")"
done
