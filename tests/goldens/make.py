"""Makes the golden files of this folder with PyTorch and the WaveMix authors' package, the numerical reference.

    python3 -m venv venv
    venv/bin/pip install torch==2.11.0 "numpy<2" PyWavelets einops safetensors
    venv/bin/pip install --no-deps wavemix==0.2.4
    venv/bin/python tests/goldens/make.py

README.md beside this file says what each golden holds. Tensors stay in PyTorch's layouts: images are NCHW, convolution
weights OIHW, transposed convolutions IOHW. Two runs on one machine write the same bytes.
"""

import copy
import json
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

# The package builds its wavelet filters in the default type as it is imported. Filters made in f32 and widened by
# `wavemix.xf1.double()` keep the rounding of f32: they are wrong by 2e-8. Hence f64 first, then the import.
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

import wavemix
import wavemix.classification
import wavemix.SemSegment
import wavemix.sisr

HERE = pathlib.Path(__file__).resolve().parent
BLOCKS = [wavemix.Level1Waveblock, wavemix.Level2Waveblock, wavemix.Level3Waveblock, wavemix.Level4Waveblock]


class Residual(torch.nn.Module):
    """A block as every model of the package applies it: block(x) + x."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x):
        return self.block(x) + x


def write(name, config, tensors):
    """Writes one golden; `config` (a dict) goes into the file's metadata as a JSON string."""
    tensors = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
    save_file(tensors, HERE / f"{name}.safetensors", {"config": json.dumps(config, sort_keys=True)})


def roughen(model):
    """Moves BatchNorm off its starting values (1, 0, 0, 1, 0), which would hide a swapped or forgotten tensor."""
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(m.weight, 0.5, 1.5)
            torch.nn.init.normal_(m.bias, 0.0, 0.2)
            m.running_mean.normal_(0.0, 0.2)
            m.running_var.uniform_(0.5, 1.5)
            m.num_batches_tracked.fill_(7)


def step(name, config, model, shape):
    """One training-mode forward and backward of sum(output * probe), then one eval-mode forward; no update."""
    roughen(model)
    names = model.block if isinstance(model, Residual) else model
    x = torch.randn(shape, requires_grad=True)
    out = {f"weight.{k}": v.clone() for k, v in names.state_dict().items()}
    model.train()
    y = model(x)
    probe = torch.randn(y.shape)
    (y * probe).sum().backward()
    model.eval()
    with torch.no_grad():
        out |= {"input": x, "probe": probe, "output": y, "eval_output": model(x), "grad_input": x.grad}
    out |= {f"grad.{k}": p.grad for k, p in names.named_parameters()}
    out |= {f"after.{k}": b for k, b in names.named_buffers()}
    write(name, config, out)


def settings(kind, dim=8, ff=12, mult=3, levels=1, depth=2, **more):
    """The configuration recorded in a golden. `ff` and `mult` differ from `dim` and 2 so that none can be mixed up."""
    return {"kind": kind, "dim": dim, "ff": ff, "mult": mult, "levels": levels, "depth": depth, "dropout": 0.0} | more


def package(c):
    """The package's model for a configuration."""
    common = {"mult": c["mult"], "ff_channel": c["ff"], "final_dim": c["dim"], "dropout": 0.0}
    if c["kind"] == "block":
        return Residual(BLOCKS[c["levels"] - 1](**common))
    common |= {"depth": c["depth"], "level": c["levels"]}
    if c["kind"] == "upscale":
        return wavemix.sisr.WaveMix(**common)
    common |= {"num_classes": c["classes"]}
    if c["kind"] == "segment":
        return wavemix.SemSegment.WaveMix(**common, stride=c["stem_strides"][0])
    if c["stem"] == "patchify":
        return wavemix.classification.WaveMix(**common, initial_conv="pachify", patch_size=c["patch"])
    return wavemix.classification.WaveMix(**common, initial_conv="strided", stride=c["stem_strides"][0])


def strided(stride):
    return {"stem": "strided", "stem_strides": [stride, stride], "channels": 3}


def patchify(patch):
    return {"stem": "patchify", "patch": patch, "channels": 3}


def blocks_and_models():
    """Every block, stem and head of the package."""
    for levels, dim, ff, size in [(1, 8, 12, 8), (2, 8, 12, 8), (3, 8, 12, 8), (4, 4, 6, 16)]:
        c = settings("block", dim=dim, ff=ff, levels=levels, depth=1)
        step(f"block_level{levels}", c, package(c), (2, dim, size, size))
    # Not square, twice as wide as high: rows and columns cannot be mixed up.
    c = settings("block", dim=4, ff=4, mult=2, depth=1)
    step("block_oblong", c, package(c), (2, 4, 4, 8))
    for name, c, size in [
        ("classifier_strided1", settings("classify", classes=10, **strided(1)), 8),
        ("classifier_strided2_level2", settings("classify", levels=2, classes=5, depth=1, **strided(2)), 16),
        ("classifier_patchify2_level3", settings("classify", levels=3, classes=7, depth=1, **patchify(2)), 16),
        ("classifier_patchify4", settings("classify", classes=10, **patchify(4)), 16),
        ("segment_level3", settings("segment", levels=3, classes=2, depth=1, **strided(1)), 8),
        ("segment_strided2", settings("segment", classes=4, **strided(2)), 16),
        ("upscale", settings("upscale", **strided(1)), 8),
        ("upscale_level2", settings("upscale", levels=2, depth=1, **strided(1)), 8),
    ]:
        step(name, c, package(c), (2, 3, size, size))


class Lion(torch.optim.Optimizer):
    """Lion (arXiv 2302.06675, Algorithm 2), which torch.optim lacks."""

    def __init__(self, params, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(group["lr"] * (b1 * m + (1 - b1) * p.grad).sign())
                m.mul_(b2).add_((1 - b2) * p.grad)


ADAMW = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
LION = {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.01}


def training_traces():
    """Ten steps of one small classifier on ten fixed batches of four, by three optimizers from the same weights."""
    c = settings("classify", ff=8, mult=2, classes=5, **strided(1))
    start = package(c)
    images, labels = torch.randn(10, 4, 3, 8, 8), torch.randint(0, 5, (10, 4))
    out = {"images": images, "labels": labels} | {f"weight.{k}": v for k, v in start.state_dict().items()}
    optimizers = {
        "adamw": (torch.optim.AdamW, ADAMW),
        "sgd": (torch.optim.SGD, {"lr": 1e-3, "momentum": 0.9}),
        "lion": (Lion, LION),
    }
    for name, (optimizer, options) in optimizers.items():
        model = copy.deepcopy(start).train()
        opt = optimizer(model.parameters(), **options)
        losses = []
        for x, y in zip(images, labels):
            opt.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            losses.append(loss.detach())
        out[f"{name}.losses"] = torch.stack(losses)
        out |= {f"{name}.final.{k}": v for k, v in model.state_dict().items()}
    write("trace_training", c | {"optimizers": {k: v[1] for k, v in optimizers.items()}}, out)


def optimizer_traces():
    """One tensor [2, 3] under ten fixed gradients: `NAME.values` [10, 2, 3] are its values after each step."""
    cases = {
        "sgd": (torch.optim.SGD, {"lr": 0.1}),
        "sgd_weight_decay": (torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.05}),
        "sgd_momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        "sgd_momentum_weight_decay": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}),
        "sgd_nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
        "adam": (torch.optim.Adam, {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8}),
        "adam_weight_decay": (torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.05}),
        "adamw": (torch.optim.AdamW, ADAMW),
        "adamw_large_decay": (torch.optim.AdamW, {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.5}),
        "lion": (Lion, LION),
    }
    start, grads = torch.randn(2, 3), torch.randn(10, 2, 3)
    out = {"start": start, "grads": grads}
    for name, (optimizer, options) in cases.items():
        p = torch.nn.Parameter(start.clone())
        opt, values = optimizer([p], **options), []
        for g in grads:
            p.grad = g.clone()
            opt.step()
            values.append(p.detach().clone())
        out[f"{name}.values"] = torch.stack(values)
    write("trace_optimizers", {k: v[1] for k, v in cases.items()}, out)


def state_dicts():
    """f32 state dicts as a user of the package saves them (no metadata), each with input and logits in a second file."""
    torch.set_default_dtype(torch.float32)
    for xf in [wavemix.xf1, wavemix.xf2, wavemix.xf3, wavemix.xf4]:
        xf.float()
    for name, c, size in [
        ("pypi_strided", settings("classify", dim=16, ff=16, mult=2, classes=47, **strided(1)), 28),
        ("pypi_patchify_level3", settings("classify", levels=3, classes=10, depth=1, **patchify(4)), 32),
    ]:
        model = package(c)
        roughen(model)
        model.eval()
        save_file(model.state_dict(), HERE / f"{name}.safetensors")
        x = torch.randn(2, 3, size, size)
        with torch.no_grad():
            write(f"{name}_logits", c, {"input": x, "logits": model(x)})


if __name__ == "__main__":
    torch.manual_seed(20220513)
    blocks_and_models()
    training_traces()
    optimizer_traces()
    state_dicts()
