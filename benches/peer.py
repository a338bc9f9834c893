"""PyTorch's side of `compare.py`: a model's reference implementation under the load of `cargo bench --bench step`.

    venv/bin/python benches/peer.py --model WaveMixLite-128/7 --mode compiled --variant slices-nhwc

It prints a line of JSON when PyTorch is imported and another when the first batch can begin, and then answers each line of
its input, `train SECONDS` or `infer SECONDS`, with the times of steps that took so long together. A step is: clear
gradients, forward, cross-entropy with the mean over the batch, backward, AdamW (lr 1e-3, betas 0.9 and 0.999, eps 1e-8,
weight decay 0.01, in PyTorch's fused form, the fastest there is). Images are random and stay in memory; inference is the
forward pass.

A variant is a wavelet transform and a layout. `package` is the authors' model as it is, whose transform is four
convolutions; `slices` is the same function with the transform as sums of strided slices. `nchw` and `nhwc` (channels_last)
are the layouts. Models of other families, in `peer_models.py`, are `reference-nchw` or `reference-nhwc`. `--mode compiled` sends forward and loss through torch.compile, `graphs` too, with CUDA graphs; `frozen` is
compiled inference with weights frozen into the program. bf16 is autocast around forward and loss, as the authors' training does it.
"""

import argparse
import json
import resource
import sys
import time


def peak_bytes():
    """The most memory this process held: on a GPU in tensors, else resident."""
    if ARGUMENTS.device == "cuda" and "torch" in sys.modules:
        return sys.modules["torch"].cuda.max_memory_allocated()
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def say(**answer):
    print(json.dumps(answer), flush=True)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="WaveMixLite-128/7")
    parser.add_argument("--mode", choices=["eager", "compiled", "graphs", "frozen"], default="eager")
    parser.add_argument("--variant", choices=[f"{form}-{layout}" for form in ("package", "slices", "reference") for layout in ("nchw", "nhwc")], default="slices-nhwc")
    parser.add_argument("--segment", action="store_true", help="a class at every pixel")
    parser.add_argument("--classes", type=int, default=47)
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    return parser.parse_args()


ARGUMENTS = arguments()

import torch
import torch._dynamo
import torch._inductor.config
import torch.nn.functional as F

torch.set_num_threads(ARGUMENTS.threads)
torch.set_num_interop_threads(1)
# Where the compiler cuts the package's model into pieces, each block is a program of its own: more than the usual 8.
torch._dynamo.config.recompile_limit = 64
torch._inductor.config.freezing = ARGUMENTS.mode == "frozen"


class SliceBlock(torch.nn.Module):
    """The package's Level1Waveblock with its wavelet transform as sums of strided slices.

    Of each 2x2 square (a b / c d) the transform takes (a+b+c+d)/2, (a+b-c-d)/2, (a-b+c-d)/2 and (a-b-c+d)/2. The package puts
    the last three of one channel side by side; here the subbands stay whole, and the next layer's weights change places
    instead.
    """

    def __init__(self, block, dim):
        super().__init__()
        self.reduction, self.feedforward = block.reduction, block.feedforward
        quarter = dim // 4
        bands = [torch.arange(quarter)] + [quarter + band + 3 * torch.arange(quarter) for band in range(3)]
        weight = self.feedforward[0].weight
        with torch.no_grad():
            weight.copy_(weight[:, torch.cat(bands)].clone())

    def forward(self, x):
        x = self.reduction(x)
        a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
        top, bottom, left, right = a + b, c + d, a - b, c - d
        bands = torch.cat((top + bottom, top - bottom, left + right, left - right), dim=1)
        return self.feedforward(bands * 0.5)


def build(dwt):
    """The package's model with stem strides 1, 1, in either form of the transform; equal weights each time.

    A model of another family is built by `peer_models.py`.
    """
    if dwt == "reference":
        import peer_models

        return peer_models.build(ARGUMENTS.model, ARGUMENTS.classes, ARGUMENTS.size)
    import wavemix.classification

    dim, depth = ARGUMENTS.model.removeprefix("WaveMixLite-").split("/")
    torch.manual_seed(0)
    model = wavemix.classification.WaveMix(
        num_classes=ARGUMENTS.classes, depth=int(depth), mult=2, ff_channel=int(dim), final_dim=int(dim),
        dropout=0.5, level=1, initial_conv="strided", stride=1,
    )
    if dwt == "slices":
        model.layers = torch.nn.ModuleList(SliceBlock(block, int(dim)) for block in model.layers)
    return model


def check_forms():
    """Both forms of the transform are one function, up to rounding."""
    torch.manual_seed(1)
    images = torch.randn(2, 3, ARGUMENTS.size, ARGUMENTS.size)
    with torch.no_grad():
        package, slices = (build(dwt).eval()(images) for dwt in ("package", "slices"))
    error = (package - slices).abs().max() / package.abs().max()
    assert error < 1e-4, f"the two forms of the model differ by {error}"


class Peer:
    """The model in one of its variants."""

    def __init__(self, variant):
        dwt, layout = variant.split("-")
        layout = torch.channels_last if layout == "nhwc" else torch.contiguous_format
        self.model = build(dwt).to(ARGUMENTS.device, memory_format=layout)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
        n, size, classes = ARGUMENTS.batch, ARGUMENTS.size, ARGUMENTS.classes
        self.images = torch.randn(n, 3, size, size).to(ARGUMENTS.device, memory_format=layout)
        places = (n, size, size) if ARGUMENTS.segment else (n,)
        labels = torch.arange(torch.Size(places).numel()) % classes
        self.labels = labels.reshape(places).to(ARGUMENTS.device)
        graphs = "reduce-overhead" if ARGUMENTS.mode == "graphs" else "default"
        compiled = (lambda f: f) if ARGUMENTS.mode == "eager" else (lambda f: torch.compile(f, mode=graphs))
        self.loss, self.answer = compiled(self.plain_loss), compiled(self.plain_answer)

    def autocast(self):
        return torch.autocast(ARGUMENTS.device, dtype=torch.bfloat16, enabled=ARGUMENTS.precision == "bf16")

    def plain_loss(self, images, labels):
        with self.autocast():
            return F.cross_entropy(self.model(images), labels)

    def plain_answer(self, images):
        with self.autocast():
            return self.model(images)

    def train(self):
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(self.images, self.labels).backward()
        self.optimizer.step()

    def infer(self):
        self.model.eval()
        with torch.no_grad():
            self.answer(self.images)


def times(step, seconds):
    """Times of at least two steps and of at least so many seconds."""
    found, began = [], time.perf_counter()
    while len(found) < 2 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        step()
        if ARGUMENTS.device == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return found


def reason(error):
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def main():
    say(imported=True, peak_bytes=peak_bytes())
    if ARGUMENTS.device == "cuda" and not torch.cuda.is_available():
        say(error=f"PyTorch {torch.__version__} finds no GPU")
        return
    try:
        peer = Peer(ARGUMENTS.variant)
    except Exception as error:
        say(error=reason(error))
        return
    say(ready=True, torch=torch.__version__, parameters=sum(p.numel() for p in peer.model.parameters()))
    warm = set()
    for line in sys.stdin:
        what, _, seconds = line.strip().partition(" ")
        if what == "check":
            check_forms()
            say(checked=True)
            continue
        step = getattr(peer, what)
        try:
            if what not in warm:
                # The first step compiles where that is asked for; the second settles the allocator.
                step()
                step()
                warm.add(what)
            say(times=times(step, float(seconds)), peak_bytes=peak_bytes())
        except Exception as error:
            say(error=reason(error))


main()
