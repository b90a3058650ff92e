#!/bin/sh
# test_controller.sh - from_controller.py on folders that are made here: what C
# predicts of the model file against the matrices blended in NumPy, in both
# forms; folders with something missing, short or of another size.
cd "$(dirname "$0")" || exit 1
. ./common.sh
log=$work/log
python=$(cd ../examples/python && pwd)

# predict MODEL ROWS Y: binary floats; a row is x, and p where there is no gate
cat >"$work/predict.c" <<'END_OF_C'
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdio.h>
int main(int count, char **argument)
{
    static float row[1000], y[1000];
    FILE *in, *out;
    moe m;

    if (count != 4 || moe_load(&m, argument[1], NULL) != MOE_OK)
        return puts(count == 4 ? m.error : "predict MODEL ROWS Y"), 1;
    in = fopen(argument[2], "rb");
    out = fopen(argument[3], "wb");
    if (in == NULL || out == NULL)
        return 1;
    if (m.config.gate == MOE_GATE_NONE)
        while (fread(row, sizeof *row,
                     (size_t)(m.config.inputs + m.config.experts), in) > 0) {
            moe_predict_with(&m, row, row + m.config.inputs, 1, y);
            fwrite(y, sizeof *y, (size_t)m.config.outputs, out);
        }
    else
        while (fread(row, sizeof *row, (size_t)m.config.inputs, in) > 0) {
            moe_predict(&m, row, 1, y);
            fwrite(y, sizeof *y, (size_t)m.config.outputs, out);
        }
    moe_close(&m);
    return fclose(in) != 0 || fclose(out) != 0;
}
END_OF_C

# make FOLDER, and agree FOLDER PROGRAM: raw matrices, and what they mean
cat >"$work/controller.py" <<'END_OF_PYTHON'
import os, subprocess, sys
import numpy as np

I, H, G, O, EXPERTS, POINTS, CASES = 23, 16, 5, 9, 4, 4, 40
SEEN = [3, 4, 5, 11, 20, 0]
random = np.random.default_rng(1991)

def make(top):
    os.makedirs(top + "/mode")
    os.makedirs(top + "/phase")
    def put(name, *shape):
        values = random.uniform(-2, 2, shape) / shape[-1] ** .5
        values.astype("<f4").tofile(f"{top}/{name}.bin")
    for form in ("mode", "phase"):
        for name, size in (("X", I), ("Y", O)):
            put(f"{form}/{name}mean", size)
            (random.uniform(.5, 2, size) * (np.arange(size) != 2)).astype(
                "<f4").tofile(f"{top}/{form}/{name}std.bin")
    for l, (a, b) in enumerate(((len(SEEN), G), (G, G), (G, EXPERTS))):
        put(f"mode/wc{l}_w", b, a)
        put(f"mode/wc{l}_b", b)
    for l, (a, b) in enumerate(((I, H), (H, H), (H, O))):
        for i in range(EXPERTS):
            put(f"mode/cp{l}_a{i}", b, a)
            put(f"mode/cp{l}_b{i}", b)
        for point in ("000", "012", "025", "037"):
            put(f"phase/W{l}_{point}", b, a)
            put(f"phase/b{l}_{point}", b)

def elu(a):
    return np.where(a > 0, a, np.expm1(np.minimum(a, 0)))

def read(folder, name):
    return np.fromfile(f"{folder}/{name}.bin", "<f4").astype(float)

def catmull_rom(phase):
    at = phase * POINTS
    k, t = int(at), at - int(at)
    p = np.zeros(POINTS)
    p[k - 1] = t * (-.5 + t * (1 - .5 * t))
    p[k] = 1 + t * t * (-2.5 + 1.5 * t)
    p[(k + 1) % POINTS] = t * (.5 + t * (2 - 1.5 * t))
    p[(k + 2) % POINTS] = t * t * (-.5 + .5 * t)
    return p

def network(folder, z, p, names):
    for l in range(3):
        W = sum(q * read(folder, w) for q, (w, _) in zip(p, names(l)))
        b = sum(q * read(folder, v) for q, (_, v) in zip(p, names(l)))
        z = W.reshape(len(b), -1) @ z + b
        z = elu(z) if l < 2 else z
    return z

def y(folder, x, phase):
    std = {name: read(folder, name + "std") for name in "XY"}
    for s in std.values():
        s[s == 0] = 1
    z = (x - read(folder, "Xmean")) / std["X"]
    if phase is not None:
        p = catmull_rom(phase)
        names = lambda l: [(f"W{l}_{at}", f"b{l}_{at}")
                           for at in ("000", "012", "025", "037")]
    else:
        g = z[SEEN]
        for l in range(3):
            b = read(folder, f"wc{l}_b")
            g = read(folder, f"wc{l}_w").reshape(len(b), -1) @ g + b
            g = elu(g) if l < 2 else np.exp(g - g.max())
        p = g / g.sum()
        names = lambda l: [(f"cp{l}_a{i}", f"cp{l}_b{i}")
                           for i in range(EXPERTS)]
    return read(folder, "Ymean") + std["Y"] * network(folder, z, p, names)

def agree(top, form, program):
    folder = f"{top}/{form}"
    x = random.uniform(-2, 2, (CASES, I)).astype("<f4")
    phase = [None if form == "mode" else .01 + i / CASES
             for i in range(CASES)]
    rows = x if form == "mode" else np.hstack(
        [x, [catmull_rom(at) for at in phase]]).astype("<f4")
    rows.tofile(top + "/rows")
    subprocess.run([program, f"{top}/{form}.moe", top + "/rows", top + "/y"],
                   check=True)
    got = np.fromfile(top + "/y", "<f4").reshape(CASES, O)
    want = np.array([y(folder, a, at) for a, at in zip(x.astype(float), phase)])
    off = abs(got - want).max() / abs(want).max()
    print(f"{form}: off by {off:.1e}; y between {want.min():.2f} and "
          f"{want.max():.2f}, its deviation over cases {want.std(0).max():.2f}")
    return off < 1e-5 and want.std(0).max() > .1

if sys.argv[1] == "make":
    make(sys.argv[2])
elif not agree(*sys.argv[2:]):
    sys.exit(1)
END_OF_PYTHON

# spoilt WHAT WORDS FORM COMMAND...: what the command does to a copy of a folder
# is told in so many words.
spoilt() {
    claim=$1 words=$2 form=$3
    shift 3
    rm -rf "$work/spoilt"
    cp -r "$work/raw/$form" "$work/spoilt"
    (cd "$work/spoilt" && "$@")
    refuses "$claim" "$words" "$with_numpy" "$python/from_controller.py" \
        "$work/spoilt" "$work/spoilt.moe" $columns
}

cut() {
    head -c "$2" "$1" >whole && mv whole "$1"
}

infinite() {
    cut "$1" "$(($(wc -c <"$1") - 4))"
    printf '\000\000\200\177' >>"$1"
}

with_numpy=
for one in python3 /usr/bin/python3; do
    if [ -z "$with_numpy" ] && "$one" -c 'import numpy' >/dev/null 2>&1; then
        with_numpy=$one
    fi
done
if [ -z "$with_numpy" ]; then
    echo "no Python here has numpy: left out"
    echo passed >>"$work/counts"
    check_done
    exit
fi
holds "the program builds" ${CC:-cc} -std=c99 -O1 $strict $one_set -I. \
    "$work/predict.c" -o "$work/predict"
holds "folders are made" "$with_numpy" "$work/controller.py" make "$work/raw"
holds "a mode-adaptive controller is read" "$with_numpy" \
    "$python/from_controller.py" "$work/raw/mode" "$work/raw/mode.moe" \
    gate_columns=3-5,11,20,0
holds "C predicts what its matrices, blended, do" "$with_numpy" \
    "$work/controller.py" agree "$work/raw" mode "$work/predict"
holds "a phase-functioned controller is read" "$with_numpy" \
    "$python/from_controller.py" "$work/raw/phase" "$work/raw/phase.moe"
holds "C predicts what its matrices, blended, do" "$with_numpy" \
    "$work/controller.py" agree "$work/raw" phase "$work/predict"
holds "the same by its points" "$with_numpy" "$python/from_controller.py" \
    "$work/raw/phase" "$work/copy.moe" points=000,012,025,037
holds "is the same" cmp "$work/raw/phase.moe" "$work/copy.moe"
holds "there and back, byte for byte" sh -c "$with_numpy $python/moe_file.py \
    $work/raw/mode.moe $work/copy.moe && cmp $work/raw/mode.moe $work/copy.moe"

columns=gate_columns=3-5,11,20,0
spoilt "a missing scale" "Xmean is missing" mode rm Xmean.bin
spoilt "a missing layer" "cp1_a2 is missing" mode rm cp1_a2.bin
spoilt "a missing bias" "cp0_b3 is missing" mode rm cp0_b3.bin
spoilt "a missing layer of the gate" "wc1_b is missing" mode rm wc1_b.bin
spoilt "a missing last layer" "cp2_a1 is missing" mode \
    rm cp2_a1.bin cp2_b1.bin
spoilt "a short matrix" "cp0_a1 has 10 numbers, not 16 x 23" mode \
    cut cp0_a1.bin 40
spoilt "half a number" "cp0_a1 is not whole" mode cut cp0_a1.bin 41
spoilt "a short scale" "Ystd has 4 numbers, not 9" mode cut Ystd.bin 16
spoilt "an infinite number" "cp2_b0 has a number that is NaN" mode \
    infinite cp2_b0.bin
spoilt "outputs unlike Ymean" "Ystd has 9 numbers, not 8" mode \
    cut Ymean.bin 32
spoilt "a gate of fewer experts" "wc2_b has 3 numbers for 4 experts" mode \
    sh -c 'head -c 12 wc2_b.bin >a; mv a wc2_b.bin
           head -c 60 wc2_w.bin >a; mv a wc2_w.bin'
columns=
spoilt "a gate of all columns" "wc0_w has 30 numbers, not 5 x 23" mode true
spoilt "a missing point" "W1_025 is missing" phase rm W1_025.bin
columns=points=000,013
spoilt "a point that is not there" "b0_013 is missing" phase true
columns=gate_columns=3-5,11,20,23
spoilt "a column beyond x" "gate_columns is not inside" mode true
columns=gate_column=1
spoilt "an unknown option" "no option gate_column" mode true
columns=gate_columns
spoilt "an option without a value" "an option is name=value" mode true
check_done
