#!/usr/bin/env python3
"""from_torch.py - a mixture trained in PyTorch, predicted by a C program, and
the way back.

    cc -O2 examples/model_file.c -o model_file
    python3 examples/python/from_torch.py ./model_file

Both must agree to 1e-5 of the size of y; the exit status says so.
"""
import os
import subprocess
import sys
import tempfile

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import moe_file

CONFIG = {"inputs": 2, "outputs": 1, "experts": 3, "hidden": [5],
          "activation": "tanh"}


class Mixture(torch.nn.Module):
    """y = sum_i p_i o_i, p = softmax of a linear gate; tanh experts with one
    hidden layer; parameters by the names that moe.h has for them."""

    def __init__(self, config):
        super().__init__()
        self.tensor = {}
        for name, shape in moe_file.layout(config):
            value = torch.zeros(shape)
            if name.startswith("experts") and name.endswith("weight"):
                value.uniform_(-1, 1).mul_(shape[1] ** -0.5)
            self.tensor[name] = value

    def learns(self):
        return [t.requires_grad_() for name, t in self.tensor.items()
                if not name.startswith("scale")]

    def measure(self, x, d):
        t = self.tensor
        t["scale.x"] = torch.stack([x.mean(0), 1 / x.std(0)])
        t["scale.d"] = torch.stack([d.mean(0), d.std(0)])

    def parts(self, x):
        """log p (n,E) and o (E,n,O), in standardised units."""
        t = self.tensor
        z = (x - t["scale.x"][0]) * t["scale.x"][1]
        a = torch.tanh(torch.baddbmm(t["experts.0.bias"][:, None],
                                     z.expand(len(t["experts.0.bias"]), -1,
                                              -1), t["experts.0.weight"]))
        o = torch.baddbmm(t["experts.1.bias"][:, None], a,
                          t["experts.1.weight"])
        s = z @ t["gate.0.weight"] + t["gate.0.bias"]
        return torch.log_softmax(s, 1), o

    def loss(self, x, d):
        """(1.3): -log sum_i p_i exp(-|d - o_i|^2 / 2)"""
        log_p, o = self.parts(x)
        d = (d - self.tensor["scale.d"][0]) / self.tensor["scale.d"][1]
        e = ((d - o) ** 2).sum(2).t()
        return -torch.logsumexp(log_p - e / 2, 1).mean()

    def forward(self, x):
        log_p, o = self.parts(x)
        y = (log_p.exp().t()[:, :, None] * o).sum(0)
        return self.tensor["scale.d"][0] + self.tensor["scale.d"][1] * y


def regimes(n):
    x = torch.rand(n, 2) * 2 - 1
    d = torch.where(x[:, 0] < 0, 10 + 3 * x[:, 0], 12 - 4 * x[:, 1])
    return x, d[:, None]


def predicted_by(program, model, x):
    rows = "\n".join(" ".join(map(repr, row)) for row in x.tolist())
    said = subprocess.run([program, "predict", model], input=rows, text=True,
                          capture_output=True, check=True).stdout
    return torch.tensor([[float(word) for word in line.split()]
                         for line in said.splitlines()])


def agree(what, a, b):
    off = ((a - b).abs().max() / b.abs().max()).item()
    print(f"{what}: {off:.1e}")
    return off < 1e-5


def main(program):
    torch.manual_seed(1991)
    x, d = regimes(512)
    model = Mixture(CONFIG)
    model.measure(x, d)
    adam = torch.optim.Adam(model.learns(), 0.02)
    for _ in range(300):
        adam.zero_grad()
        model.loss(x, d).backward()
        adam.step()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = os.path.join(folder, "model.safetensors")
        moe_file.write(path, CONFIG, {name: t.detach()
                                      for name, t in model.tensor.items()})
        good = agree("trained in PyTorch, predicted in C",
                     predicted_by(program, path, x), model(x))
        subprocess.run([program, "train", path], check=True)
        config, tensors = moe_file.read(path)
        for name, (shape, values) in tensors.items():
            model.tensor[name] = torch.tensor(list(values)).reshape(shape)
        good &= agree("trained in C, predicted in PyTorch", model(x),
                      predicted_by(program, path, x))
    return 0 if good else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
