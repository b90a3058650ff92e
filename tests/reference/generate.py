#!/usr/bin/env python3
"""Write ../reference_vectors.h: what moe.h has to compute.

    python3 tests/reference/generate.py

A second implementation of the formulas, as they stand in the paper, in NumPy
and double precision.  No derivative is written down here: gradients come from
the complex step, dE/dw = Im E(w + i h) / h with h = 1e-30, which is exact to
rounding.  So a wrong derivative cannot be wrong in the same way in both.

All inputs (weights, x, d, sigma) are multiples of 1/1024 (x: of 1/64), exact
in float and in double, so that every width starts from the same numbers.
"""
import os

import numpy as np

STEP = 1e-30

ACTIVATIONS = {
    "RELU": lambda a: np.where(a.real > 0, a, 0),
    "TANH": np.tanh,
    "LOGISTIC": lambda a: 1 / (1 + np.exp(-a)),
    "ELU": lambda a: np.where(a.real > 0, a, np.exp(a) - 1),
    "SILU": lambda a: a / (1 + np.exp(-a)),
}


def softmax(a):
    e = np.exp(a - a.real.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


OUTPUTS = {
    "LINEAR": lambda a: a,
    "LOGISTIC": ACTIVATIONS["LOGISTIC"],
    "SOFTMAX": softmax,
}


class Case:
    """One configuration, its data, and what is expected of it."""

    def __init__(self, name, **settings):
        self.name = name
        self.inputs, self.outputs, self.experts = 3, 2, 3
        self.hidden, self.gate_hidden = (), ()
        self.expert_sees, self.gate_sees = (0, 0), (0, 0)
        self.activation, self.output, self.loss = "TANH", "LINEAR", "MIXTURE"
        self.sigma, self.rows, self.n = 1.0, 8, 6
        self.labelled, self.spread, self.offset = False, 1.0, 0.0
        self.gate_gain = 1
        for key, value in settings.items():
            assert hasattr(self, key), key
            setattr(self, key, value)

    def seen(self, span):
        """The columns of a span; count 0 means to the end of the row."""
        first, count = span
        return slice(first, first + count if count else self.inputs)

    def shapes(self):
        """(copies, in, out) of each layer, in the order of params."""
        columns = range(self.inputs)
        experts = [len(columns[self.seen(self.expert_sees)]), *self.hidden,
                   self.outputs]
        gate = [len(columns[self.seen(self.gate_sees)]), *self.gate_hidden,
                self.experts]
        shapes = [(self.experts, i, o) for i, o in zip(experts, experts[1:])]
        if self.experts > 1:
            shapes += [(1, i, o) for i, o in zip(gate, gate[1:])]
        return shapes

    def layers(self, params):
        """Each layer's (bias (copies,out), weight (copies,in,out))."""
        at, layers = 0, []
        for copies, i, o in self.shapes():
            bias = params[at:at + copies * o].reshape(copies, o)
            at += copies * o
            weight = params[at:at + copies * i * o].reshape(copies, i, o)
            at += copies * i * o
            layers.append((bias, weight))
        assert at + 2 * (self.outputs + self.inputs) == params.size
        return layers

    def scales(self, params):
        """scale.d (2,O) and scale.x (2,I): shift, then factor."""
        d = params[params.size - 2 * (self.outputs + self.inputs):]
        d, x = d[:2 * self.outputs], d[2 * self.outputs:]
        return d.reshape(2, -1).real, x.reshape(2, -1).real

    def net(self, layers, z):
        """Weighted sums (n,copies,out) of the last of these layers."""
        copies = layers[0][0].shape[0]
        act = np.repeat(z[:, None, :], copies, axis=1)
        for k, (bias, weight) in enumerate(layers):
            act = np.einsum("nci,cio->nco", act, weight) + bias
            if k < len(layers) - 1:
                act = ACTIVATIONS[self.activation](act)
        return act

    def forward(self, params, x):
        """s, p (n,E), o (n,E,O), y (n,O), standardised."""
        shift, factor = self.scales(params)[1]
        z = (x - shift) * factor
        layers = self.layers(params)
        depth = len(self.hidden) + 1
        a = self.net(layers[:depth], z[:, self.seen(self.expert_sees)])
        o = OUTPUTS[self.output](a)
        s = np.zeros((len(x), 1))
        if self.experts > 1:
            s = self.net(layers[depth:], z[:, self.seen(self.gate_sees)])[:, 0]
        p = softmax(s)
        return s, p, o, np.einsum("ne,neo->no", p, o)

    def errors(self, params, o):
        """What stands in the exponent of (1.3), and e of (1.2), (n,E)."""
        shift, factor = self.scales(params)[0]
        if self.output == "SOFTMAX":
            e = -(self.d[:, None, :] * np.log(o)).sum(axis=2)
            return e, e
        e = (((self.d - shift) / factor)[:, None, :] - o) ** 2
        e = e.sum(axis=2)
        return e / (2 * self.sigma ** 2), e

    def losses(self, params):
        """E of every case."""
        s, p, o, y = self.forward(params, self.x)
        exponent, e = self.errors(params, o)
        if self.loss == "MIXTURE":
            return -np.log((p * np.exp(-exponent)).sum(axis=1))
        if self.loss == "EXPECTED":
            return (p * e).sum(axis=1)
        if self.output == "SOFTMAX":
            return -(self.d * np.log(y)).sum(axis=1)
        shift, factor = self.scales(params)[0]
        return (((self.d - shift) / factor - y) ** 2).sum(axis=1)

    def user_y(self, params, x):
        shift, factor = self.scales(params)[0]
        return shift + factor * self.forward(params, x)[3]

    def expect(self):
        """Everything that the test compares."""
        params, x = self.params, self.x
        shift, factor = self.scales(params)[0]
        s, p, o, y = self.forward(params, x)
        likelihood = p * np.exp(-self.errors(params, o)[0])
        self.s, self.p = s, p
        self.o, self.y = shift + factor * o, shift + factor * y
        self.h = likelihood / likelihood.sum(axis=1, keepdims=True)
        self.loss_sum = self.losses(params).sum()
        trained = params.size - 2 * (self.outputs + self.inputs)
        self.grads = derivative(lambda w: self.losses(w).sum(), params)
        self.grads = self.grads[:trained]

        def own(w, x):
            return (self.dE_dy * self.user_y(w, x)).sum()

        self.own_grads = derivative(lambda w: own(w, x), params)[:trained]
        self.dE_dx = derivative(lambda v: own(params, v), x)


def derivative(function, at):
    """The gradient of function, by one complex step in each direction."""
    result = np.zeros(at.shape)
    for index in np.ndindex(at.shape):
        there = at.astype(complex)
        there[index] += 1j * STEP
        result[index] = function(there).imag / STEP
    return result


def exact(values, grain=1024):
    return np.round(np.asarray(values) * grain) / grain


def fill(case, random):
    """Weights, scales and data: none of them trivial, all of them exact."""
    columns = np.arange(case.inputs)
    center = exact(case.offset + columns - 1)
    width = exact(case.spread * (1 + columns / 2))
    case.x = exact(center + width * random.randn(case.n, case.inputs), 64)
    weights = [exact(np.concatenate([
        random.uniform(-0.5, 0.5, copies * o),
        random.uniform(-2, 2, copies * i * o) / np.sqrt(i)]))
        for copies, i, o in case.shapes()]
    weights[-1] *= case.gate_gain
    d_scale = np.zeros((2, case.outputs))
    d_scale[1] = 1
    if case.output == "LINEAR":
        d_scale[0] = exact(3 + np.arange(case.outputs))
        d_scale[1] = exact(2.5 + np.arange(case.outputs))
    x_scale = np.stack([center, exact(1 / width)])
    case.params = np.concatenate(weights + [d_scale.ravel(), x_scale.ravel()])
    case.labels = None
    if case.labelled:
        case.labels = random.randint(0, case.outputs, case.n)
        case.d = np.eye(case.outputs)[case.labels]
    elif case.output == "SOFTMAX":
        case.d = exact(random.dirichlet(np.ones(case.outputs), case.n))
        case.d[:, 0] += 1 - case.d.sum(axis=1)
    elif case.output == "LOGISTIC":
        case.d = exact(random.uniform(0, 1, (case.n, case.outputs)))
    else:
        case.d = exact(d_scale[0] + d_scale[1]
                       * random.randn(case.n, case.outputs))
    case.dE_dy = exact(random.randn(case.n, case.outputs))


def cases():
    return [
        Case("1991: linear experts, one logistic output",
             inputs=2, outputs=1, experts=4, output="LOGISTIC", n=12),
        Case("blend of relu experts in case-major blocks", hidden=(5,),
             activation="RELU", loss="BLEND", n=21, rows=16),
        Case("labels, likelihood", outputs=4, output="SOFTMAX",
             labelled=True, n=10),
        Case("soft targets, blend, tanh", outputs=3, hidden=(4,),
             output="SOFTMAX", loss="BLEND"),
        Case("soft targets, expected, elu, deep gate", outputs=3,
             hidden=(3,), gate_hidden=(4, 3), activation="ELU",
             output="SOFTMAX", loss="EXPECTED"),
        Case("expected, silu, two layers, spans", inputs=5,
             hidden=(4, 3), gate_hidden=(3,), expert_sees=(0, 3),
             gate_sees=(2, 2), activation="SILU", loss="EXPECTED", n=9,
             rows=4),
        Case("small sigma, logistic units", hidden=(4,),
             activation="LOGISTIC", sigma=0.375, n=20, rows=20),
        Case("one expert", experts=1, hidden=(4,), sigma=2.0),
        Case("a narrow column far from zero, decisive gate", inputs=2,
             outputs=1, spread=16.0, offset=101325.0, sigma=0.5, n=8,
             experts=6, gate_hidden=(6,), gate_gain=8),
        Case("logistic outputs, blend, a wide layer", inputs=2, outputs=2,
             experts=2, hidden=(18,), activation="RELU", output="LOGISTIC",
             loss="BLEND", n=18, rows=18),
    ]


def array(kind, name, values, form):
    """static const kind name[] = {...}, at most 79 columns."""
    lines, line = [], "   "
    for value in np.asarray(values).ravel():
        word = " " + form(value) + ","
        if len(line + word) > 79:
            lines.append(line)
            line = "   "
        line += word
    return "static const %s %s[] = {\n%s\n};\n" % (
        kind, name, "\n".join(lines + [line.rstrip(",")]))


def pair(values):
    return "{%d, %d}" % (tuple(values) + (0, 0))[:2]


def entry(k, case):
    """One row of the table at the end of the header."""
    labels = "NULL" if case.labels is None else "labels_%d" % k
    d = "NULL" if case.labels is not None else "d_%d" % k
    return (
        '    {"%s",\n     %d, %d, %d, %s, %s, %s, %s,\n'
        "     MOE_ACT_%s, MOE_OUT_%s, MOE_LOSS_%s,\n     %r, %d, %d,\n"
        "     params_%d, x_%d, %s, %s, s_%d, p_%d, o_%d, y_%d, h_%d,\n"
        "     %.14g, grads_%d, dE_dy_%d, own_grads_%d, dE_dx_%d}" % (
            case.name, case.inputs, case.outputs, case.experts,
            pair(case.hidden), pair(case.gate_hidden),
            pair(case.expert_sees), pair(case.gate_sees), case.activation,
            case.output, case.loss, case.sigma, case.rows, case.n,
            k, k, d, labels, k, k, k, k, k, case.loss_sum, k, k, k, k))


def header(all_cases):
    given, expected = repr, "{:.14g}".format
    text = ["/* reference_vectors.h - generated, do not edit:\n"
            "   python3 tests/reference/generate.py */\n"]
    for k, case in enumerate(all_cases):
        text.append("\n/* %s */\n" % case.name)
        for name in ("params", "x", "d", "dE_dy"):
            if name != "d" or case.labels is None:
                text.append(array("double", "%s_%d" % (name, k),
                                  getattr(case, name),
                                  lambda v: given(float(v))))
        if case.labels is not None:
            text.append(array("int", "labels_%d" % k, case.labels, str))
        for name in ("s", "p", "o", "y", "h", "grads", "own_grads", "dE_dx"):
            text.append(array("double", "%s_%d" % (name, k),
                              getattr(case, name), expected))
    text.append("\nstatic const reference_case reference_cases[] = {\n")
    text.append(",\n".join(entry(k, c) for k, c in enumerate(all_cases)))
    text.append("\n};\n")
    return "".join(text)


def main():
    random = np.random.RandomState(1991)
    all_cases = cases()
    for case in all_cases:
        fill(case, random)
        case.expect()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                        "reference_vectors.h")
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write(header(all_cases))


if __name__ == "__main__":
    main()
