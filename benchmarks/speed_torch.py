"""PyTorch's side of speed_torch.c: one thread, asked over pipes.

At first it says its version.  Then, each answered with one line:

  prepare TASK EXPERTS TOP_K ROWS CASES RATE INPUTS WIDTH...
               followed by the parameters, x and d as floats of this machine;
               the answer is the form that was fastest
  result       "ok", then as floats what came out: y of all cases, or the
               parameters after one step
  run TIMES    how many nanoseconds so many calls took
  release      "ok"

Forms: the experts in a loop, or their weights stacked and all of them worked
by torch.baddbmm; each as it stands, and for one case also traced and frozen by
torch.jit.  Sparse mixtures: the cases sorted by expert with index_select, the
experts in a loop, and index_add_; or for one case the weights of the chosen
gathered for one torch.baddbmm.  Steps are autograd, and p += -rate * gradient
for all parameters at once by torch._foreach_add_.
"""

import array
import sys
import time
import warnings

import torch
import torch.nn.functional as F

warnings.filterwarnings("ignore")   # torch's remarks on its own tracing
torch.set_num_threads(1)

source = sys.stdin.buffer
sink = sys.stdout.buffer


def say(text):
    sink.write((text + "\n").encode())
    sink.flush()


def read_floats(*shape):
    count = 1
    for n in shape:
        count *= n
    return torch.frombuffer(bytearray(source.read(4 * count)),
                            dtype=torch.float32).reshape(shape)


def write_floats(tensors):
    for t in tensors:
        sink.write(array.array("f", t.detach().flatten().tolist()).tobytes())
    sink.flush()


class Loop(torch.nn.Module):
    """Every expert has its own weights (out,in), one runs after another."""

    name = "loop"

    def __init__(self, layers, gate):
        super().__init__()
        self.E = layers[0][0].shape[0]
        self.L = len(layers)
        self.p = torch.nn.ParameterList(
            [torch.nn.Parameter(t.contiguous().clone())
             for e in range(self.E) for b, w in layers
             for t in (b[e], w[e].t())])
        if gate:
            self.p.append(torch.nn.Parameter(gate[0].clone()))
            self.p.append(torch.nn.Parameter(gate[1].t().contiguous().clone()))

    def outputs(self, x):
        """(n,E,O)"""
        all_of_them = []
        for e in range(self.E):
            at = 2 * self.L * e
            h = x
            for l in range(self.L):
                h = F.linear(h, self.p[at + 2 * l + 1], self.p[at + 2 * l])
                if l + 1 < self.L:
                    h = torch.relu(h)
            all_of_them.append(h)
        return h if self.E == 1 else torch.stack(all_of_them, 1)

    def logits(self, x):
        return F.linear(x, self.p[-1], self.p[-2])

    def forward(self, x):
        o = self.outputs(x)
        if self.E == 1:
            return o
        p = torch.softmax(self.logits(x), 1)
        return torch.bmm(p.unsqueeze(1), o).squeeze(1)

    def loss(self, x, d):
        o = self.outputs(x)
        if self.E == 1:
            return (o - d).square().sum() / len(x)
        e = (o - d.unsqueeze(1)).square().sum(2)
        log_p = torch.log_softmax(self.logits(x), 1)
        return -torch.logsumexp(log_p - e / 2, 1).sum() / len(x)

    def flat(self):
        """The parameters in the order of moe.h."""
        per_expert = [[self.p[2 * (self.L * e + l) + i]
                       for e in range(self.E)]
                      for l in range(self.L) for i in (0, 1)]
        for group in per_expert:
            for t in group:
                yield t.t() if t.dim() == 2 else t
        if self.E > 1:
            yield self.p[-2]
            yield self.p[-1].t()


class Stacked(Loop):
    """The weights of a layer are one tensor (E,in,out)."""

    name = "stacked"

    def __init__(self, layers, gate):
        torch.nn.Module.__init__(self)
        self.E = layers[0][0].shape[0]
        self.L = len(layers)
        tensors = [t for b, w in layers for t in (b.unsqueeze(1), w)]
        tensors += [gate[0], gate[1].t().contiguous()]
        self.p = torch.nn.ParameterList(
            [torch.nn.Parameter(t.clone()) for t in tensors])

    def outputs(self, x):
        h = x.unsqueeze(0).expand(self.E, -1, -1)
        for l in range(self.L):
            h = torch.baddbmm(self.p[2 * l], h, self.p[2 * l + 1])
            if l + 1 < self.L:
                h = torch.relu(h)
        return h.transpose(0, 1)

    def flat(self):
        yield from self.p[:-1]
        yield self.p[-1].t()


class Sparse(Loop):
    """Only the experts with the top_k largest logits run for a case."""

    name = "sorted, loop"

    def __init__(self, layers, gate, top_k):
        super().__init__(layers, gate)
        self.K = top_k

    def run(self, x):
        """order (n K) of the choices by expert; their outputs (n K,O) in it;
        log p (n,K)"""
        s, chosen = torch.topk(self.logits(x), self.K, 1)
        flat = chosen.flatten()
        order = flat.argsort()
        counts = torch.bincount(flat, minlength=self.E).tolist()
        parts = x.index_select(0, order // self.K).split(counts)
        o = torch.cat([self.expert(e, part) for e, part in enumerate(parts)
                       if counts[e]])
        return order, o, torch.log_softmax(s, 1)

    def expert(self, e, h):
        at = 2 * self.L * e
        for l in range(self.L):
            h = F.linear(h, self.p[at + 2 * l + 1], self.p[at + 2 * l])
            if l + 1 < self.L:
                h = torch.relu(h)
        return h

    def forward(self, x):
        order, o, log_p = self.run(x)
        o = o * log_p.exp().flatten()[order].unsqueeze(1)
        y = torch.zeros(len(x), o.shape[1])
        return y.index_add_(0, order // self.K, o)

    def loss(self, x, d):
        order, o, log_p = self.run(x)
        e = (o - d.index_select(0, order // self.K)).square().sum(1)
        e = torch.zeros(e.shape).index_copy(0, order, e).view(-1, self.K)
        return -torch.logsumexp(log_p - e / 2, 1).sum() / len(x)


class Gathered(Stacked):
    """The same with the weights of the chosen experts gathered."""

    name = "gathered"

    def __init__(self, layers, gate, top_k):
        super().__init__(layers, gate)
        self.K = top_k

    def forward(self, x):
        s, chosen = torch.topk(self.logits(x), self.K, 1)
        flat = chosen.flatten()
        h = x.repeat_interleave(self.K, 0).unsqueeze(1)
        for l in range(self.L):
            h = torch.baddbmm(self.p[2 * l].index_select(0, flat), h,
                              self.p[2 * l + 1].index_select(0, flat))
            if l + 1 < self.L:
                h = torch.relu(h)
        p = torch.softmax(s, 1)
        return torch.bmm(p.unsqueeze(1),
                         h.view(len(x), self.K, -1)).squeeze(1)


class Workload:
    def __init__(self, words):
        self.task = words[0]
        self.E, self.K, self.rows, self.cases = (int(w) for w in words[1:5])
        self.rate = float(words[5])
        widths = [int(w) for w in words[6:]]
        E = self.E
        self.layers = [(read_floats(E, n), read_floats(E, m, n))
                       for m, n in zip(widths, widths[1:])]
        self.gate = None
        if E > 1:
            self.gate = (read_floats(E), read_floats(widths[0], E))
        self.x = read_floats(self.cases, widths[0])
        self.d = read_floats(self.cases, widths[-1])
        self.xs = self.x.split(self.rows)
        self.ds = self.d.split(self.rows)
        self.call, self.form = self.fastest()

    def forms(self):
        """(name, what makes a call) of all forms that could be fastest"""
        for kind in self.kinds():
            word = kind.name if self.E > 1 else ""
            if self.task == "step":
                yield word, lambda kind=kind: self.stepper(kind)
                continue
            yield word, lambda kind=kind: self.predictor(kind, False)
            if self.rows == 1 and kind is not Sparse:
                yield (word + " jit").strip(), \
                    lambda kind=kind: self.predictor(kind, True)

    def kinds(self):
        if self.K:
            gather = self.rows == 1 and self.task == "predict"
            return (Sparse, Gathered) if gather else (Sparse,)
        return (Loop, Stacked) if self.E > 1 else (Loop,)

    def model_of(self, kind):
        more = (self.K,) if self.K else ()
        return kind(self.layers, self.gate, *more)

    def predictor(self, kind, traced):
        model = self.model_of(kind).eval()
        if traced:
            model = torch.jit.freeze(torch.jit.trace(model, self.xs[0]))
        self.model = model
        xs, mask = self.xs, len(self.xs) - 1

        def calls(times):
            with torch.inference_mode():
                for i in range(times):
                    model(xs[i & mask])
        return calls

    def stepper(self, kind):
        model = self.model_of(kind)
        self.model = model
        parameters = list(model.parameters())
        sparse = self.K > 0
        xs, ds, mask, rate = self.xs, self.ds, len(self.xs) - 1, -self.rate

        def calls(times):
            for i in range(times):
                loss = model.loss(xs[i & mask], ds[i & mask])
                grads = torch.autograd.grad(loss, parameters,
                                            allow_unused=sparse)
                used = [(p, g) for p, g in zip(parameters, grads)
                        if g is not None] if sparse else None
                with torch.no_grad():
                    torch._foreach_add_(*(zip(*used) if sparse else
                                          (parameters, grads)), alpha=rate)
        return calls

    def fastest(self):
        tried = []
        for name, make in self.forms():
            calls = make()
            calls(3)
            best = min(nanoseconds(calls, 1) for _ in range(3))
            times = max(1, int(1e6 / best))
            best = min(nanoseconds(calls, times) / times for _ in range(9))
            tried.append((best, len(tried), name, make))
        _, _, name, make = min(tried)
        return make(), name

    def result(self):
        if self.task == "step":
            self.call(1)
            return list(self.model.flat())
        with torch.inference_mode():
            return [self.model(x) for x in self.xs]


def nanoseconds(calls, times):
    start = time.perf_counter_ns()
    calls(times)
    return time.perf_counter_ns() - start


def main():
    say(f"{torch.__version__}, {torch.get_num_threads()} thread, "
        "its own choice of kernels and BLAS")
    now = None
    for line in source:
        words = line.decode().split()
        if words[0] == "prepare":
            now = Workload(words[1:])
            say(now.form)
        elif words[0] == "result":
            tensors = now.result()
            say("ok")
            write_floats(tensors)
        elif words[0] == "run":
            say(str(nanoseconds(now.call, int(words[1]))))
        else:
            now = None
            say("ok")


main()
