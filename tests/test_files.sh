#!/bin/sh
# test_files.sh - model files outside the library: a model goes through
# examples/export_c.c into a program that has no code for files and predicts
# the same; an independent reader finds in the header what is documented; two
# programs save to one path; the fuzzing harness passes its seeds.
cd "$(dirname "$0")" || exit 1
. ./common.sh
root=$(cd .. && pwd)
log=$work/log
dir=$work

# Trains, saves to argument 1 and prints predictions; model number 2.  All
# with the same bits, whatever the compiler.
cat >"$work/make.c" <<'END_C'
#define MOE_SAME_BITS
#define MOE_IMPLEMENTATION
#include "moe.h"
#include <stdlib.h>
#include <string.h>
#include "show.h"

int main(int count, char **word)
{
    float x[90], d[60];
    moe_config c;
    moe_data data;
    moe_training t;
    moe m;
    int i, model = count > 2 ? atoi(word[2]) : 0;

    memset(&c, 0, sizeof c);
    memset(&data, 0, sizeof data);
    memset(&t, 0, sizeof t);
    for (i = 0; i < 30; i++) {
        x[3 * i] = (float)(i % 7) - 3;
        x[3 * i + 1] = (float)(i % 5) - 2;
        x[3 * i + 2] = (float)(i % 3);
        d[2 * i] = (float)(i % 2);
        d[2 * i + 1] = 1 - d[2 * i];
    }
    c.inputs = 3;
    c.outputs = 2;
    c.experts = model == 1 ? 1 : 3;
    c.top_k = model == 2 ? 2 : 0;
    c.hidden[0] = model == 0 ? 0 : 4;
    c.gate_hidden[0] = model == 2 ? 3 : 0;
    c.activation = model == 3 ? MOE_ACT_SILU : MOE_ACT_TANH;
    c.output = model == 3 ? MOE_OUT_SOFTMAX : MOE_OUT_LINEAR;
    c.expert_inputs.first = model == 2;
    data.n = 30;
    data.x = x;
    data.d = d;
    t.epochs = 5;
    if (count < 2 || moe_open(&m, &c, NULL, 0) != MOE_OK ||
        moe_train(&m, &data, NULL, &t, NULL) != MOE_OK ||
        moe_save(&m, MOE_MODE_TRAIN, word[1]) != MOE_OK)
        return 1;
    show(&m);
    moe_close(&m);
    return 0;
}
END_C
cat >"$work/show.h" <<'END_C'
static int show_bits(float y)
{
    union { float y; int bits; } word;
    word.y = y;
    return word.bits;
}

static void show(moe *m)
{
    float x[3], y[2];
    int i;

    for (i = 0; i < 20; i++) {
        x[0] = (float)i - 10;
        x[1] = (float)(i % 4);
        x[2] = (float)(i % 3) / 2;
        moe_predict(m, x, 1, y);
        printf("%d %d\n", show_bits(y[0]), show_bits(y[1]));
    }
}
END_C
# The device: work memory of just NET_BYTES, neither heap nor files.
cat >"$work/device.c" <<'END_C'
#define MOE_SAME_BITS
#define MOE_STATIC
#define MOE_PREDICT_ONLY
#define MOE_NO_MALLOC
#define MOE_NO_STDIO
#define MOE_IMPLEMENTATION
#include "moe.h"
#include "net.c"
#include <stdio.h>
#include "show.h"

int main(void)
{
    static float memory[NET_BYTES / sizeof(float)];
    moe m;

    if (moe_work_bytes(&net_config) != sizeof memory ||
        moe_attach(&m, &net_config, net_weights, memory, NET_BYTES) != MOE_OK)
        return 1;
    show(&m);
    moe_close(&m);
    return 0;
}
END_C

# exported MODEL COMPILER FLAGS...
exported() {
    model=$1
    shift
    what="model $model, $1 $(last "$@")"
    set -- "$@" $strict -O1 $one_set -I"$root" -I"$work"
    holds "$what: is saved" \
        sh -c '"$1" "$2" "$3" >"$4"' - "$work/make" "$work/net.moe" "$model" \
        "$work/due"
    holds "$what: is exported" \
        sh -c '"$1" "$2" net >"$3"' - "$work/export_c" "$work/net.moe" \
        "$work/net.c"
    holds "$what: compiles" "$@" "$work/device.c" -o "$work/device"
    holds "$what: runs" sh -c '"$1" >"$2"' - "$work/device" "$work/given"
    holds "$what: predicts the same bits" same "$work/due" "$work/given"
    none "$what: no code for files" file_code "$work/device"
}

same() {
    [ -s "$1" ] && diff "$1" "$2"
}

file_code() {
    nm "$1" | grep -i ' [a-z] .*\(moe_save\|moe_load\|fopen\)'
    [ $? = 1 ]
}

# Another's eyes on the header: Python's own json.
cat >"$work/header.py" <<'END_PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
length, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + length].decode("ascii"))
meta = header.pop("__metadata__")
assert (8 + length) % 64 == 0
assert all(type(value) is str for value in meta.values())
assert meta["file"] == "moe.h 1" and meta["inputs"] == "3"
names = list(header)
behind = names.index("scale.x") + 1     # of params, which are sorted
assert names[:behind] == sorted(names[:behind])
assert names[behind] == "scale.sigma"
assert names[behind + 1:] == sorted(names[behind + 1:])     # of training
end = 0
for name, tensor in header.items():
    count = 1
    for side in tensor["shape"]:
        count *= side
    assert tensor["dtype"] == "F32"
    assert tensor["data_offsets"] == [end, end + 4 * count], name
    end += 4 * count
assert len(data) == 8 + length + end
assert header["experts.0.weight"]["shape"][-1] in (2, 4)
sigma, = struct.unpack("<f", struct.pack("<I", int(meta["sigma"], 16)))
assert sigma == (0 if meta["output"] == "linear" else 1)    # 0: learnt
END_PY

holds "what makes the models compiles" cc -std=c99 $strict -O0 $one_set \
    -I"$root" "$work/make.c" -o "$work/make"
holds "export_c compiles" cc -std=c99 $strict -O0 $one_set \
    ../examples/export_c.c -o "$work/export_c"
holds "export_c asks for its words" not "$work/export_c"
holds "export_c refuses what is no model" \
    not "$work/export_c" "$work/make.c" net
languages c99 c++11 >"$work/languages"
for model in 0 1 2 3; do
    exported $model $(sed -n "$((model + 1))p" "$work/languages" | grep . ||
        sed -n 1p "$work/languages")
    if have python3; then
        holds "model $model: the header as Python reads it" \
            python3 "$work/header.py" "$work/net.moe"
    fi
done
have python3 || echo "python3 is not installed: its view of files left out"

# Two programs save to one path, two models of different length, while a third
# loads it: each load finds one or the other, whole.
cat >"$work/stress.c" <<'END_C'
#define MOE_IMPLEMENTATION
#include "moe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int save_again(const char *path, int inputs)
{
    moe_config c;
    moe m;
    int i, failed = 0;

    memset(&c, 0, sizeof c);
    c.inputs = inputs;
    c.outputs = c.experts = 2;
    if (moe_open(&m, &c, NULL, 0) != MOE_OK)
        return 1;
    for (i = 0; i < 2000; i++)
        failed += moe_save(&m, MOE_MODE_TRAIN, path) != MOE_OK;
    moe_close(&m);
    printf("%d saves failed\n", failed);
    return failed;
}

static int load_again(const char *path)
{
    moe m;
    int i, failed = 0, seen[2] = {0, 0};

    for (i = 0; i < 600; i++) {
        if (moe_load(&m, path, NULL) != MOE_OK) {
            printf("%s\n", m.error);
            failed++;
        } else if (m.config.inputs == 10 || m.config.inputs == 1000) {
            seen[m.config.inputs == 10]++;
        }
        moe_close(&m);
    }
    printf("%d loads failed, %d and %d\n", failed, seen[0], seen[1]);
    return failed != 0 || seen[0] + seen[1] != 600;
}

int main(int count, char **word)
{
    int inputs = count == 3 ? atoi(word[2]) : -1;

    return inputs < 0 || (inputs > 0 ? save_again(word[1], inputs)
                                     : load_again(word[1]));
}
END_C

# The first save is over before the first load.
stress() {
    "$work/stress" "$1" 10 >"$work/one" &
    one=$!
    "$work/stress" "$1" 1000 >"$work/two" &
    two=$!
    while [ ! -f "$1" ] && kill -0 $one 2>/dev/null; do :; done
    within 120 "$work/stress" "$1" 0
    loaded=$?
    wait $one && wait $two && [ $loaded = 0 ]
}

holds "the stress test compiles" cc -std=c99 $strict -O1 $one_set -I"$root" \
    "$work/stress.c" -o "$work/stress"
mkdir "$work/shared"
holds "two programs save to one path, 600 loads are whole" \
    stress "$work/shared/model.moe"
holds "nothing is left beside it" [ "$(ls "$work/shared")" = model.moe ]

mkdir "$work/seeds"
holds "the fuzzing seeds compile" cc -std=c99 $strict $one_set \
    -DFUZZ_SEEDS fuzz/fuzz_files.c -o "$work/write_seeds"
holds "the seeds are written" "$work/write_seeds" "$work/seeds"
holds "the fuzzing harness compiles" cc -std=c99 $strict $one_set \
    -DFUZZ_MAIN fuzz/fuzz_files.c -o "$work/harness"
set +f
holds "the harness passes its seeds" "$work/harness" "$work"/seeds/*.moe
holds "the harness passes what is no model" "$work/harness" ./*.c
check_done
