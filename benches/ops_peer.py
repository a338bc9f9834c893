"""PyTorch's side of `ops_compare.py`: each public op as PyTorch has it, eager, in f32.

It answers lines of its input, as `benches/ops/every/mod.rs` says: `case` is followed by a JSON object with op, operands,
settings and layout, `time` by seconds. Operands are the same functions of an element's number as there.

Images come in NHWC. Layout `nhwc` gives PyTorch the same memory as channels_last, `nchw` copies it to its own order first.
What is a view in PyTorch is made contiguous, as a tensor here always is. `dwt` and `idwt` are sums of strided slices, `drop_path`
and `focal_loss` are composed.
"""

import argparse
import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F


def second(parts):
    """The second of several parts, all of which are made contiguous."""
    return [part.contiguous() for part in parts][1]


def dwt(x):
    """Images by their Haar transform: LL of all channels, then LH, HL and HH of each."""
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    top, bottom, left, right = a + b, c + d, a - b, c - d
    bands = torch.stack((top - bottom, left + right, left - right), dim=2).flatten(1, 2)
    return torch.cat((top + bottom, bands), dim=1) * 0.5


def idwt(x):
    n, c, h, w = x.shape
    low, bands = x[:, : c // 4] * 0.5, x[:, c // 4 :].reshape(n, c // 4, 3, h, w) * 0.5
    lh, hl, hh = bands.unbind(2)
    y = x.new_empty(n, c // 4, 2 * h, 2 * w)
    y[..., ::2, ::2], y[..., ::2, 1::2] = low + lh + hl + hh, low + lh - hl - hh
    y[..., 1::2, ::2], y[..., 1::2, 1::2] = low - lh + hl - hh, low - lh - hl + hh
    return y


def focal_loss(x, labels):
    log_p = torch.log_softmax(x, 1).gather(1, labels[:, None]).squeeze(1)
    return -((1 - log_p.exp()) ** 2 * log_p).mean()


def drop_path(x):
    kept = x.new_empty(x.shape[0], *[1] * (x.ndim - 1)).bernoulli_(0.9)
    return x * kept.div_(0.9)


def with_stats(y):
    """y, once its channels' variance and mean are known."""
    torch.var_mean(y.detach(), (0, 2, 3), correction=0)
    return y


def moves(s):
    return {name: s[name] for name in ("stride", "padding", "groups") if name in s}


def axis(op, **more):
    return lambda x, s: op(x[0], dim=s["axis"], **more)


# Of one operand.
FUNCTIONS = {
    "add_scalar": lambda x: x + 0.5, "mul_scalar": lambda x: 0.5 * x, "div_scalar": lambda x: x / 0.3,
    "neg": torch.neg, "abs": torch.abs, "exp": torch.exp, "log": torch.log, "log1p": torch.log1p, "sqrt": torch.sqrt,
    "square": torch.square, "recip": torch.reciprocal, "powf": lambda x: torch.pow(x, 1.7), "sin": torch.sin, "cos": torch.cos,
    "erf": torch.erf, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "clamp": lambda x: torch.clamp(x, -0.5, 0.5), "relu": F.relu,
    "relu6": F.relu6, "leaky_relu": F.leaky_relu, "elu": F.elu, "gelu": F.gelu, "silu": F.silu, "hardswish": F.hardswish,
    "softplus": F.softplus, "dropout": F.dropout, "drop_path": drop_path, "cast": lambda x: x.to(torch.bfloat16),
    "gelu_dropout": lambda x: F.dropout(F.gelu(x)), "sum_all": torch.sum, "mean_all": torch.mean,
    "argmax": lambda x: torch.argmax(x, 1), "argmin": lambda x: torch.argmin(x, 1),
    "argsort": lambda x: torch.argsort(x, dim=1, stable=True), "sort": lambda x: torch.sort(x, dim=1, stable=True)[0],
    "topk": lambda x: torch.topk(x, 5)[0], "reshape": lambda x: x.reshape(-1), "flatten": lambda x: x.flatten(1),
    "squeeze": lambda x: x.squeeze(1), "unsqueeze": lambda x: x.unsqueeze(1), "pad": lambda x: F.pad(x, (0, 0, 2, 2, 2, 2)),
    "tril": torch.tril, "triu": lambda x: torch.triu(x, 1), "dft_real": lambda x: torch.fft.fftn(x, dim=(1, 2)).real.contiguous(),
    "global_avg_pool": lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1), "dwt": dwt, "idwt": idwt,
}

# Of several operands.
SEVERAL = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum, "minimum": torch.minimum,
    "eq": torch.eq, "ne": torch.ne, "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge,
    "select": lambda mask, a, b: torch.where(mask.bool(), a, b), "matmul": torch.matmul, "matmul_with": lambda a, b: a @ b.mT,
    "einsum": lambda a, b: torch.einsum("bhid,bhjd->bhij", a, b), "attention": F.scaled_dot_product_attention, "linear": F.linear,
    "embedding": lambda weight, i: F.embedding(i, weight), "cross_entropy": F.cross_entropy, "nll_loss": F.nll_loss,
    "focal_loss": focal_loss, "mse": F.mse_loss, "l1_loss": F.l1_loss, "huber_loss": lambda x, y: F.huber_loss(x, y, delta=0.5),
    "smooth_l1_loss": lambda x, y: F.smooth_l1_loss(x, y, beta=0.5), "bce_with_logits": F.binary_cross_entropy_with_logits,
    "layer_norm": lambda x, g, b: F.layer_norm(x, g.shape, g, b), "rms_norm": lambda x, g: F.rms_norm(x, g.shape, g, 1e-5),
    "gelu_dropout_conv2d": lambda x, w, b: F.conv2d(F.dropout(F.gelu(x)), w, b),
    "batch_norm": lambda x, g, b: F.batch_norm(x, None, None, g, b, training=True),
}

# Of operands and settings.
SETTLED = {
    "sum": axis(torch.sum), "mean": axis(torch.mean), "var": axis(torch.var), "std": axis(torch.std), "prod": axis(torch.prod),
    "norm": axis(torch.linalg.vector_norm), "max": lambda x, s: torch.max(x[0], s["axis"])[0],
    "min": lambda x, s: torch.min(x[0], s["axis"])[0], "cumsum": axis(torch.cumsum), "softmax": axis(torch.softmax),
    "log_softmax": axis(torch.log_softmax), "permute": lambda x, s: x[0].permute(s["order"]).contiguous(),
    "transpose": lambda x, s: x[0].transpose(*s["axes"]).contiguous(), "flip": lambda x, s: x[0].flip(s["axis"]),
    "slice": lambda x, s: x[0].narrow(s["axis"], s["length"] // 4, s["length"] // 4 * 3 - s["length"] // 4).contiguous(),
    "split": lambda x, s: second(x[0].split([s["length"] // 4, s["length"] - s["length"] // 4], s["axis"])),
    "chunk": lambda x, s: second(x[0].chunk(2, s["axis"])), "unbind": lambda x, s: second(x[0].unbind(s["axis"])),
    "expand": lambda x, s: x[0].expand(s["shape"]).contiguous(), "sum_to": lambda x, s: x[0].sum_to_size(s["shape"]),
    "concat": lambda x, s: torch.cat(x, s["axis"]), "stack": lambda x, s: torch.stack(x, s["axis"]),
    "gather": lambda x, s: torch.gather(x[0], s["axis"], x[1]),
    "scatter_add": lambda x, s: torch.scatter_add(x[0], s["axis"], x[1], x[2]),
    "index_select": lambda x, s: torch.index_select(x[0], s["axis"], x[1]),
    "one_hot": lambda x, s: F.one_hot(x[0], s["classes"]).float(), "conv1d": lambda x, s: F.conv1d(*x, **moves(s)),
    "conv2d": lambda x, s: F.conv2d(*x, **moves(s)), "conv_transpose2d": lambda x, s: F.conv_transpose2d(*x, **moves(s)),
    "conv_transpose2d_with_stats": lambda x, s: with_stats(F.conv_transpose2d(*x, **moves(s))),
    "avg_pool2d": lambda x, s: F.avg_pool2d(x[0], s["kernel"], **moves(s)),
    "max_pool2d": lambda x, s: F.max_pool2d(x[0], s["kernel"], **moves(s)),
    "upsample": lambda x, s: F.interpolate(x[0], size=(s["size"], s["size"]), mode=s["mode"]),
    "group_norm": lambda x, s: F.group_norm(x[0], s["groups"], x[1], x[2]),
}

# Those whose operands with a place for channels are turned.
IMAGES = {"conv1d", "conv2d", "conv_transpose2d", "conv_transpose2d_with_stats", "gelu_dropout_conv2d", "avg_pool2d", "max_pool2d",
          "global_avg_pool", "upsample", "dwt", "idwt", "batch_norm", "group_norm"}


def call(op, operands, settings):
    if op in FUNCTIONS:
        return FUNCTIONS[op](*operands)
    return SEVERAL[op](*operands) if op in SEVERAL else SETTLED[op](operands, settings)


def numbers(count, seed):
    """Bits that are functions of an element's number: two rounds of xor-shift and multiplication."""
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) + np.uint32(seed * 0x9E3779B9 % 2**32)
        for factor in (0x7FEB352D, 0x846CA68B):
            x ^= x >> np.uint32(16)
            x *= np.uint32(factor)
        return x ^ x >> np.uint32(15)


def build(shape, values, seed, below=0):
    bits = numbers(int(np.prod(shape)), seed)
    if values == "index":
        return torch.from_numpy((bits % np.uint32(below)).astype(np.int64)).reshape(shape)
    if values == "mask":
        return torch.from_numpy((bits & np.uint32(1)).astype(np.uint8)).reshape(shape)
    unit = (bits >> np.uint32(8)).astype(np.float32) / np.float32(2**24)
    made = {"plain": lambda: 2 * unit - 1, "positive": lambda: unit + np.float32(0.1), "near one": lambda: 1 + np.float32(0.01) * (2 * unit - 1)}
    return torch.from_numpy(made[values]()).reshape(shape)


def turned(x, layout):
    """Channels from the last place to the second, in PyTorch's own order of memory or as they lie."""
    x = x.movedim(-1, 1) if x.ndim > 2 else x
    return x.contiguous() if layout == "nchw" else x


def sums(x):
    x = x.detach().double()
    return [x.sum().item(), x.abs().sum().item()]


class Case:
    def __init__(self, op, operands, settings, layout):
        turn = (lambda x: turned(x, layout)) if op in IMAGES else (lambda x: x)
        self.op, self.settings = op, settings
        self.operands = [turn(build(o["shape"], o["values"], i, o["below"])).requires_grad_(o["leaf"]) for i, o in enumerate(operands)]
        self.leaves = [x for x in self.operands if x.requires_grad]
        y = self.run()
        back = (lambda shape: [shape[0], *shape[2:], shape[1]]) if op in IMAGES and y.ndim > 2 else list
        self.shape = back(y.shape)
        dy = build(self.shape, "plain", 100)
        self.dy = turn(dy) if y.ndim > 2 else dy
        self.dy = self.dy.to(y.dtype) if y.requires_grad else None
        self.sums = [sums(y)] + ([sums(g) for g in self.backward(y)] if y.requires_grad else [])

    def run(self):
        return call(self.op, self.operands, self.settings)

    def backward(self, y):
        return torch.autograd.grad(y, self.leaves, self.dy)

    def times(self, seconds):
        """Forward and backward in turns: five times each at least, and for so long."""
        forward, backward, clock = [], [], time.perf_counter
        y = self.run()
        if self.dy is not None:
            self.backward(y)
        began = clock()
        while len(forward) < 5 or clock() - began < seconds:
            del y
            start = clock()
            y = self.run()
            forward.append(clock() - start)
            if self.dy is not None:
                start = clock()
                gradients = self.backward(y)
                backward.append(clock() - start)
                del gradients
        return {"forward": forward, "backward": backward}


def answer(line, case):
    """The answer, and the case that is built now."""
    what, _, rest = line.strip().partition(" ")
    if what == "case":
        case = Case(**json.loads(rest))
        return {"shape": case.shape, "sums": case.sums}, case
    return case.times(float(rest)), case


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    print(json.dumps({"torch": torch.__version__, "ops": sorted({*FUNCTIONS, *SEVERAL, *SETTLED}), "images": sorted(IMAGES)}), flush=True)
    case = None
    for line in sys.stdin:
        try:
            reply, case = answer(line, case)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
        print(json.dumps(reply), flush=True)


main()
