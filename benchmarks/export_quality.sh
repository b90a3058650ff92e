#!/bin/sh
# export_quality.sh FOLDER [CC [SEEDS]] - models trained on the data of FOLDER,
# beside the same in integers by export_c --int8; a line for each seed.
cd "$(dirname "$0")" || exit 1
data=$1 cc=${2:-cc} seeds=${3:-"1 2 3 4 5"} build=build/export
mkdir -p "$build"
"$cc" -O2 ../examples/export_c.c -o "$build/export_c" &&
    "$cc" -O2 export_quality.c -o "$build/train" -lm || exit 1
for model in kin8nm-8x8 kin8nm-2of16 vowels-8 vowels-8x8; do
    for seed in $seeds; do
        files="$build/net.safetensors $build/inputs.csv $build/cases.csv"
        "$build/train" train "$data" $model $seed $files &&
            "$build/export_c" --int8 --calibrate "$build/inputs.csv" \
                "$build/net.safetensors" net >"$build/net.c" &&
            "$cc" -O2 -DNET='"build/export/net.c"' -DNET_FLOAT export_quality.c \
                -o "$build/compare" -lm && "$build/compare" \
            "$build/net.safetensors" "$build/cases.csv" "$model" || exit 1
    done
done
