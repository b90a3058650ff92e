"""moe_train beside the same training in PyTorch, on one thread.

    python3 training.py build/training

Both train 8 experts of 8 tanh units by (1.3) with Adam in batches of 32,
shuffled anew in each epoch; they take turns, and the least time of each counts.
PyTorch's experts are stacked, one torch.baddbmm for all of them, and its Adam
is told foreach=True: its fastest way here.
"""

import subprocess
import sys
import time

import torch

torch.set_num_threads(1)
TURNS = 3
TASKS = ((100, 100), (1000, 10), (10000, 2))        # rows, epochs
LEAST = 10


def uniform(*shape, fan_in):
    return torch.nn.Parameter((torch.rand(*shape) * 2 - 1) / fan_in ** 0.5)


def train(rows, epochs):
    x = torch.rand(rows, 8) * 2 - 1
    d = (x[:, 0::2] * x[:, 1::2]).sum(1, keepdim=True)
    b1, w1 = uniform(8, 1, 8, fan_in=8), uniform(8, 8, 8, fan_in=8)
    b2, w2 = uniform(8, 1, 1, fan_in=8), uniform(8, 8, 1, fan_in=8)
    gate = torch.nn.Linear(8, 8)
    parameters = [b1, w1, b2, w2, *gate.parameters()]
    adam = torch.optim.Adam(parameters, lr=0.01, foreach=True)
    start = time.process_time()
    for epoch in range(epochs):
        order = torch.randperm(rows)
        for first in range(0, rows, 32):
            index = order[first:first + 32]
            xb, db = x[index], d[index]
            h = torch.tanh(torch.baddbmm(b1, xb.expand(8, -1, -1), w1))
            o = torch.baddbmm(b2, h, w2).squeeze(2).t()
            log_p = torch.log_softmax(gate(xb), 1)
            loss = -torch.logsumexp(log_p - (o - db).square() / 2, 1).mean()
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
    return time.process_time() - start


def main():
    missed = False
    print("training: 8 experts of 8 units, batch 32, one thread; PyTorch",
          torch.__version__)
    print("   rows  epochs   moe.h, s  PyTorch, s   times")
    for rows, epochs in TASKS:
        ours, theirs = [], []
        for turn in range(TURNS):
            said = subprocess.run([sys.argv[1], str(rows), str(epochs)],
                                  check=True, stdout=subprocess.PIPE)
            ours.append(float(said.stdout))
            theirs.append(train(rows, epochs))
        ratio = min(theirs) / min(ours)
        missed |= ratio < LEAST
        print("%7d %7d %10.4f %11.4f %7.1f%s" % (
            rows, epochs, min(ours), min(theirs), ratio,
            "" if ratio >= LEAST else "  MISSED"))
    sys.exit(missed)


if __name__ == "__main__":
    main()
