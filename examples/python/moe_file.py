#!/usr/bin/env python3
"""moe_file.py - reads and writes the model files of moe.h.

    python3 moe_file.py MODEL         what is in it
    python3 moe_file.py MODEL COPY    read, and written again

They are safetensors: the length of the header (8 bytes, least first), the
header in JSON, then float32 numbers (least byte first).  Only the standard
library is used; with numpy=True tensors are NumPy arrays, else flat arrays.

Tensors, written in this order and read in any, with others beside them; E
experts, [in][out] row by row:

    experts.L.bias (E,out)   experts.L.weight (E,in,out)    L = 0, 1, ...
    gate.L.bias (out)        gate.L.weight (in,out)         if there is a gate:
    gate.balance (E)                            E > 1, not none; absent: zeros
    scale.d (2,O)            scale.x (2,I)      row 0: shift, row 1: factor
    scale.sigma (1+E)        of (1.3), of each expert; may be absent
    training.best, .first, .second (trained), .state (4)    of a checkpoint

z = (x - shift) factor goes in, y = shift + factor y' comes out.  Files of
version 0.1 have no gate.balance where all experts run; it is then zeros.
"""
import array
import json
import math
import struct
import sys

WORDS = {"activation": ("relu", "tanh", "logistic", "elu", "silu"),
         "output": ("linear", "logistic", "softmax", "bernoulli"),
         "loss": ("mixture", "expected", "blend"),
         "blend": ("outputs", "weights"), "gate": ("softmax", "none")}
LISTS = {"hidden": 4, "gate_hidden": 4, "expert_sees": 2, "gate_sees": 2,
         "training": 5, "restarts": 3, "frozen": 2}
REALS = ("top_p", "sigma", "balance", "restarts_loss", "best_sigma")
DEFAULTS = {"top_k": 0, "hidden": [], "gate_hidden": [], "expert_sees": [],
            "gate_sees": [], "activation": "relu", "output": "linear",
            "loss": "mixture", "blend": "outputs", "gate": "softmax",
            "sigma": 1.0, "balance": 0.0, "seed": 0}
ORDER = ("inputs", "outputs", "experts", "top_k", "top_p", "hidden",
         "gate_hidden", "expert_sees", "gate_sees", "expert_columns",
         "gate_columns", "activation", "output", "loss", "blend", "gate",
         "sigma", "balance", "seed")
TRAINING = ("training", "restarts", "restarts_loss", "best_sigma", "frozen",
            "frozen_experts")
TEXTS = ("expert_columns", "gate_columns")    # as "0-2,7,9"; none: the parts


def from_text(name, text):
    if name in WORDS:
        if text not in WORDS[name]:
            raise ValueError(f"{name} is {text!r}")
        return text
    if name in TEXTS:
        columns(text)
        return text
    if name in REALS:
        return struct.unpack("<f", struct.pack("<I", int(text, 16)))[0]
    if name in LISTS:
        return [int(part) for part in text.split(",")]
    return int(text)


def to_text(name, value):
    if name in WORDS or name in TEXTS:
        return from_text(name, value)
    if name in REALS:
        return "0x%x" % struct.unpack("<I", struct.pack("<f", value))[0]
    if name in LISTS:
        value = list(value)
        while len(value) > 1 and value[-1] == 0:
            value.pop()
        return ",".join(map(str, value or [0]))
    return str(int(value))


def complete(config):
    """A configuration with its defaults filled in, as moe_open does."""
    c = dict(DEFAULTS, **config)
    c["top_k"] = c["top_k"] or c["experts"]
    for net in ("expert", "gate"):
        first, count = (list(c[f"{net}_sees"]) + [0, 0])[:2]
        c[f"{net}_sees"] = [first, count or c["inputs"] - first]
        if f"{net}_columns" in c:
            listed = columns(c[f"{net}_columns"])
            if min(listed) < 0 or max(listed) >= c["inputs"]:
                raise ValueError(f"{net}_columns is not inside a row of x")
            c[f"{net}_sees"] = [0, len(listed)]
    return c


def layout(config, balance=True, sigma=False):
    """The names and shapes that a configuration implies, in order, with the
    tensors that need not be there, if they are."""
    c = complete(config)
    E, tensors = c["experts"], []

    def net(name, copies, first, hidden, last):
        sizes = [first] + [h for h in hidden if h] + [last]
        for l, (a, b) in enumerate(zip(sizes, sizes[1:])):
            tensors.append((f"{name}.{l}.bias", copies + (b,)))
            tensors.append((f"{name}.{l}.weight", copies + (a, b)))

    net("experts", (E,), c["expert_sees"][1], c["hidden"], c["outputs"])
    gate = E > 1 and c["gate"] == "softmax"
    if gate:
        net("gate", (), c["gate_sees"][1], c["gate_hidden"], E)
    if gate and balance:
        tensors.append(("gate.balance", (E,)))
    trained = sum(size(shape) for _, shape in tensors)
    tensors.append(("scale.d", (2, c["outputs"])))
    tensors.append(("scale.x", (2, c["inputs"])))
    if sigma:
        tensors.append(("scale.sigma", (1 + E,)))
    if "training" in c:
        for part in ("best", "first", "second"):
            tensors.append((f"training.{part}", (trained,)))
        tensors.append(("training.state", (4,)))
    return tensors


def columns(text):
    """The columns that a list such as "0-2,7,9" names."""
    listed = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        listed += range(int(first), int(last or first) + 1)
    return listed


def size(shape):
    product = 1
    for side in shape:
        product *= side
    return product


def flat(values):
    """Numbers one after the other, from a list of lists or an array."""
    if hasattr(values, "reshape"):
        values = values.reshape(-1).tolist()
    for value in values:
        if hasattr(value, "__len__"):
            yield from flat(value)
        else:
            yield float(value)


def check_finite(name, values):
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{name} has a number that is NaN or infinite")


def parse(data):
    """(config, {name: (shape, first byte, last byte + 1)}, numbers)"""
    if len(data) < 8:
        raise ValueError("too short for a header")
    end = 8 + struct.unpack("<Q", data[:8])[0]
    if end > len(data) or end > 8 + (1 << 20):
        raise ValueError("the header is longer than the file or than 1 MiB")
    header = json.loads(data[8:end].decode("utf-8"), object_pairs_hook=once)
    meta = header.pop("__metadata__", {})
    if meta.get("file") != "moe.h 1":
        raise ValueError("this is not a file of moe.h")
    names = ORDER + TRAINING
    config = {k: from_text(k, v) for k, v in meta.items() if k in names}
    check_tiles(header, len(data) - end)
    places = {}
    for name, shape in layout(config, "gate.balance" in header,
                              "scale.sigma" in header):
        tensor = header.get(name, {})
        if tensor.get("dtype") != "F32" or tensor["shape"] != list(shape):
            raise ValueError(f"{name} is {tensor}, not F32 {list(shape)}")
        start, stop = tensor["data_offsets"]
        if stop - start != 4 * size(shape):
            raise ValueError(f"{name} has not {size(shape)} numbers")
        places[name] = (shape, start, stop)
    return config, places, data[end:]


def once(pairs):
    """A dictionary of members, each of which may stand there once."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name stands twice in the header")
    return members


def check_tiles(header, size):
    """The numbers have neither gaps nor overlaps."""
    at = 0
    for start, stop in sorted(t["data_offsets"] for t in header.values()):
        if start != at or stop < start:
            raise ValueError("the tensors leave gaps or overlap")
        at = stop
    if at != size:
        raise ValueError("the numbers are not as many as the header says")


def read(path, numpy=False):
    """(config, {name: (shape, numbers)}), or arrays of that shape."""
    with open(path, "rb") as file:
        config, places, numbers = parse(file.read())
    tensors = {}
    for name, (shape, start, end) in places.items():
        values = array.array("f", numbers[start:end])
        if sys.byteorder == "big":
            values.byteswap()
        check_finite(name, values)
        tensors[name] = (shape, values)
        if numpy:
            import numpy as np
            tensors[name] = np.array(values, np.float32).reshape(shape)
    return config, tensors


def write(path, config, tensors):
    """tensors: {name: numbers}, nested, flat, or as read gives them."""
    config = complete(config)
    meta = {name: to_text(name, config[name]) for name in ORDER
            if name in config}
    meta["file"] = "moe.h 1"
    for name in TRAINING:
        if name in config:
            meta[name] = to_text(name, config[name])
    header, at, numbers = {"__metadata__": meta}, 0, array.array("f")
    for name, shape in layout(config, "gate.balance" in tensors,
                              "scale.sigma" in tensors):
        values = tensors[name]
        values = values[1] if isinstance(values, tuple) else values
        before = len(numbers)
        numbers.extend(flat(values))
        check_finite(name, numbers[before:])
        if len(numbers) - before != size(shape):
            raise ValueError(f"{name} has not {size(shape)} numbers")
        end = at + 4 * size(shape)
        header[name] = {"dtype": "F32", "shape": list(shape),
                        "data_offsets": [at, end]}
        at = end
    if sys.byteorder == "big":
        numbers.byteswap()
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-(8 + len(text)) % 64)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + numbers.tobytes())


def main(arguments):
    config, tensors = read(arguments[0])
    if len(arguments) > 1:
        write(arguments[1], config, tensors)
        return
    for name, value in config.items():
        print(f"{name:12} {value}")
    for name, (shape, values) in tensors.items():
        print(f"{name:16} {str(shape):14} {min(values):.4g} to "
              f"{max(values):.4g}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        main(sys.argv[1:])
    except (OSError, ValueError, KeyError) as fault:
        sys.exit(f"{sys.argv[1]}: {fault}")
