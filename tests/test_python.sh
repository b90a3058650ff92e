#!/bin/sh
# test_python.sh - model files between C and Python: byte for byte through
# moe_file.py, through PyTorch, and read by others' reader of safetensors.
cd "$(dirname "$0")" || exit 1
. ./common.sh
log=$work/log
python=../examples/python
model=$work/model.safetensors

holds "model_file.c builds" ${CC:-cc} -std=c99 -O0 $strict \
    ../examples/model_file.c -o "$work/model_file"
holds "it trains and saves" "$work/model_file" train "$model"

# checkpoint FILE: sparse, softmax, with all that training keeps
cat >"$work/checkpoint.c" <<'END_OF_C'
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <string.h>
int main(int count, char **argument)
{
    static float x[64][3];
    static int labels[64];
    moe_config config;
    moe_training t;
    moe_data data = {64, &x[0][0], NULL, labels, NULL};
    moe m;
    int i;

    memset(&config, 0, sizeof config);
    memset(&t, 0, sizeof t);
    config.inputs = 3;
    config.outputs = config.experts = 4;
    config.top_k = 2;
    config.hidden[0] = 7;
    config.gate_hidden[0] = 5;
    config.gate_hidden[1] = 6;
    config.gate_inputs.first = 1;
    config.output = MOE_OUT_SOFTMAX;
    t.epochs = 3;
    for (i = 0; i < 64; i++) {
        x[i][i % 3] = (float)i;
        labels[i] = i % 4;
    }
    return count != 2 || moe_open(&m, &config, NULL, 0) != MOE_OK
        || moe_train(&m, &data, NULL, &t, NULL) != MOE_OK
        || moe_save(&m, MOE_MODE_TRAIN, argument[1]) != MOE_OK;
}
END_OF_C
holds "a checkpoint is written" sh -c "${CC:-cc} -I. $work/checkpoint.c \
    -o $work/checkpoint && $work/checkpoint $work/checkpoint.safetensors"

through_python() {
    "$1" $python/moe_file.py "$2" "$work/copy" && cmp "$2" "$work/copy"
}

# damaged NAME COMMAND...: Python refuses what the command makes of the file
damaged() {
    claim=$1
    shift
    "$@" <"$model" >"$work/damaged"
    refuses "refused: $claim" "damaged: " python3 $python/moe_file.py \
        "$work/damaged"
}

# The last number is the factor of the last input.
not_finite() {
    cat >"$work/whole"
    head -c "$(($(wc -c <"$work/whole") - 4))" "$work/whole"
    printf '\000\000\200\177'
}

if have python3; then
    holds "there and back, byte for byte" through_python python3 "$model"
    holds "a checkpoint too" \
        through_python python3 "$work/checkpoint.safetensors"
    damaged "a cut file" head -c 700
    damaged "another shape" sed 's/"shape":\[3,5\]/"shape":[5,3]/'
    damaged "another type" sed 's/F32/F16/'
    damaged "another word" sed 's/tanh/tame/'
    damaged "not ours" sed 's/moe\.h 1/moe.h 9/'
    damaged "more numbers" sed '$s/$/12345678/'
    damaged "an infinite number" not_finite
else
    echo "python3 is not installed: left out"
fi

with_torch=
for one in python3 /usr/bin/python3; do
    if [ -z "$with_torch" ] &&
        "$one" -c 'import torch' >/dev/null 2>&1; then
        with_torch=$one
    fi
done
if [ "$with_torch" ]; then
    holds "from PyTorch to C and back" within 100 "$with_torch" \
        $python/from_torch.py "$work/model_file"
else
    echo "no Python here has torch: left out"
fi

# Somebody else's reader, if the registry of Node's packages can be reached.
cat >"$work/parse.mjs" <<'END_OF_JS'
import { readFileSync } from 'node:fs';
import { parseSafetensorsMetadata } from '@huggingface/hub';
const bytes = readFileSync(process.argv[2]);
const fetch = async (_, asked) => {
    const range = /bytes=(\d+)-(\d+)/.exec(new Headers(asked?.headers)
        .get('range') ?? '');
    const part = range ? bytes.subarray(+range[1], +range[2] + 1) : bytes;
    return new Response(part, { status: range ? 206 : 200, headers: {
        'content-length': String(part.length), etag: '"1"',
        'content-range': `bytes ${range?.[1] ?? 0}-${range?.[2] ??
            bytes.length - 1}/${bytes.length}` } });
};
const seen = await parseSafetensorsMetadata({ repo: 'a/b', fetch,
    path: 'model.safetensors' });
console.log(JSON.stringify(seen.header ?? seen));
END_OF_JS
if have npm && have node && (cd "$work" && within 60 npm install --silent \
    --no-audit --no-fund @huggingface/hub) >/dev/null 2>&1; then
    (cd "$work" && within 30 node parse.mjs "$model") >"$work/parsed" 2>&1
    holds "others read the header" \
        contains '"experts.0.weight":{"dtype":"F32"' "$work/parsed"
else
    echo "@huggingface/hub cannot be had here: left out"
fi
check_done
