#!/usr/bin/env python3
"""from_controller.py - a character controller from a folder of raw matrices
into a model file of moe.h, with blended weights.

    python3 from_controller.py FOLDER MODEL [gate_columns=0-2,7,9]
    python3 from_controller.py FOLDER MODEL points=000,012,025,037

A raw matrix is float32 numbers, least byte first, out x in row by row; its file
is NAME or NAME.bin.  Both forms have Xmean, Xstd (inputs) and Ymean, Ystd
(outputs); a deviation of 0 counts as 1.  Activations are elu.

Mode-adaptive (Zhang, Starke, Komura & Saito 2018): the gate is wc0_w, wc0_b,
wc1_w, ...; layer L of expert i is cpL_ai (weights) and cpL_bi (biases).  The
gate sees all columns of x, or the gate_columns.

Phase-functioned (Holden, Komura & Saito 2017): layer L at a control point is
WL_000, bL_000, WL_012, ...: all points in the folder, or those named, are the
experts.  No gate: p is the caller's, cyclic Catmull-Rom weights of the phase,
to moe_predict_with.
"""
import os
import re
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import moe_file


class Folder:
    """Raw matrices by name; what is missing, short or long is told by name."""

    def __init__(self, path):
        self.path = path
        self.file = {name[:-4] if name.endswith(".bin") else name: name
                     for name in sorted(os.listdir(path))}

    def __contains__(self, name):
        return name in self.file

    def vector(self, name):
        if name not in self:
            raise ValueError(f"{name} is missing")
        path = os.path.join(self.path, self.file[name])
        if os.path.getsize(path) % 4 or not os.path.getsize(path):
            raise ValueError(f"{name} is not whole: {os.path.getsize(path)} "
                             "bytes are not float32 numbers")
        values = np.fromfile(path, "<f4")
        moe_file.check_finite(name, values.tolist())
        return values

    def matrix(self, name, rows, columns):
        """(rows, columns); of one column a vector."""
        values = self.vector(name)
        if len(values) != rows * columns:
            raise ValueError(f"{name} has {len(values)} numbers, not "
                             f"{rows} x {columns}")
        return values.reshape(rows, columns) if columns > 1 else values

    def layer(self, weight, bias, inputs):
        """moe.h's (in,out) and (out): as many outputs as there are biases."""
        b = self.vector(bias)
        W = self.matrix(weight, len(b), inputs).reshape(len(b), inputs)
        return W.T, b

    def layers(self, names, inputs):
        """Of names(0), names(1), ... as long as there are any."""
        found = []
        while not found or any(name in self for name in names(len(found))):
            found.append(self.layer(*names(len(found)), inputs))
            inputs = len(found[-1][1])
        return found


def widths(layers):
    return [len(bias) for _, bias in layers[:-1]]


def scales(folder, config):
    """(x - mean) / deviation goes in, y = mean + deviation y' comes out."""
    tensors = {}
    for which, name, size in (("x", "X", config["inputs"]),
                              ("d", "Y", config["outputs"])):
        mean = folder.matrix(f"{name}mean", size, 1)
        deviation = folder.matrix(f"{name}std", size, 1)
        deviation = np.where(deviation == 0, np.float32(1), deviation)
        tensors[f"scale.{which}"] = np.stack(
            [mean, 1 / deviation if which == "x" else deviation])
    return tensors


def experts(folder, names, config):
    """The layers of all experts, which are of the same sizes."""
    tensors, stacks = {}, []
    for name in names:
        stacks.append(folder.layers(name, config["inputs"]))
        for l, (mine, first) in enumerate(zip(stacks[-1], stacks[0])):
            if mine[0].shape != first[0].shape:
                raise ValueError(f"{name(l)[0]} is {mine[0].shape[::-1]}, "
                                 f"{names[0](l)[0]} {first[0].shape[::-1]}")
        if len(stacks[-1]) != len(stacks[0]):
            short = name if len(stacks[-1]) < len(stacks[0]) else names[0]
            raise ValueError(f"{short(min(len(stacks[-1]), len(stacks[0])))[0]}"
                             " is missing")
    last = names[0](len(stacks[0]) - 1)
    if len(stacks[0][-1][1]) != config["outputs"]:
        raise ValueError(f"{last[1]} has {len(stacks[0][-1][1])} numbers, "
                         f"Ymean {config['outputs']}")
    config.update(experts=len(names), hidden=widths(stacks[0]))
    for l in range(len(stacks[0])):
        tensors[f"experts.{l}.weight"] = np.stack([s[l][0] for s in stacks])
        tensors[f"experts.{l}.bias"] = np.stack([s[l][1] for s in stacks])
    return tensors


def gate(folder, config):
    seen = moe_file.complete(config)["gate_sees"][1]
    layers = folder.layers(lambda l: (f"wc{l}_w", f"wc{l}_b"), seen)
    if len(layers[-1][1]) != config["experts"]:
        raise ValueError(f"wc{len(layers) - 1}_b has {len(layers[-1][1])} "
                         f"numbers for {config['experts']} experts")
    config["gate_hidden"] = widths(layers)
    tensors = {"gate.balance": np.zeros(config["experts"])}
    for l, (weight, bias) in enumerate(layers):
        tensors[f"gate.{l}.weight"] = weight
        tensors[f"gate.{l}.bias"] = bias
    return tensors


def of_expert(i):
    return lambda l: (f"cp{l}_a{i}", f"cp{l}_b{i}")


def at_point(point):
    return lambda l: (f"W{l}_{point}", f"b{l}_{point}")


def read(path, options):
    """(config, tensors) of a folder."""
    folder = Folder(path)
    config = {"inputs": len(folder.vector("Xmean")),
              "outputs": len(folder.vector("Ymean")),
              "activation": "elu", "loss": "blend", "blend": "weights"}
    tensors = scales(folder, config)
    points = options.get("points", "").split(",") if "points" in options else [
        name[3:] for name in folder.file if re.fullmatch(r"W0_\d+", name)]
    if points:
        config["gate"] = "none"
        names = [at_point(point) for point in points]
        return config, dict(tensors, **experts(folder, names, config))
    if "gate_columns" in options:
        config["gate_columns"] = options["gate_columns"]
    count = 1
    while f"cp0_a{count}" in folder or f"cp0_b{count}" in folder:
        count += 1
    names = [of_expert(i) for i in range(count)]
    tensors.update(experts(folder, names, config))
    return config, dict(tensors, **gate(folder, config))


def main(path, model, *options):
    for option in options:
        if "=" not in option:
            raise ValueError(f"{option}: an option is name=value")
    options = dict(option.split("=", 1) for option in options)
    unknown = set(options) - {"gate_columns", "points"}
    if unknown:
        raise ValueError(f"no option {', '.join(sorted(unknown))}")
    config, tensors = read(path, options)
    moe_file.write(model, config, tensors)
    print(f"{model}: {config['inputs']}, {config['hidden']}, "
          f"{config['outputs']}, {config['experts']} experts, "
          + ("no gate" if "gate" in config else "a gate"))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (OSError, ValueError) as fault:
        sys.exit(f"{sys.argv[1]}: {fault}")
