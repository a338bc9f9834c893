"""Trains and runs WaveMix-Lite models on an NVIDIA GPU here and in PyTorch, in turns, and prints the ratios as Markdown.

    python3 benches/compare_gpu.py --step target/release/step          # needs torch with CUDA, wavemix 0.2.4, einops

`--step` is the binary of `cargo bench --bench step`. Both sides get the load that `peer.py` describes, in bf16: here a
recorded step, there autocast around forward and loss, channels_last and the wavelet transform as strided slices, eager and
compiled. Each turn is a process's own, all in one run; a figure is the median of its steps, a ratio that of two medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

PEER = Path(__file__).resolve().parent / "peer.py"
LOADS = [("WaveMixLite-128/7", 28, 47), ("WaveMixLite-144/7", 28, 47), ("WaveMixLite-256/7", 32, 10)]


def arguments():
    parser = argparse.ArgumentParser(description="Compares training and inference with PyTorch on a GPU.")
    parser.add_argument("--step", default="target/release/step")
    parser.add_argument("--batches", default="64,512")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="bf16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    return parser.parse_args()


class Side:
    """A process that answers `train SECONDS` and `infer SECONDS` with the times of its steps."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.times, self.peak, self.error = {"train": [], "infer": []}, 0, None
        while self.error is None and "ready" not in self.answer():
            pass

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.error = "ended"
            return {}
        return json.loads(line)

    def turn(self, what, seconds):
        if self.error is None:
            print(what, seconds, file=self.process.stdin, flush=True)
            answer = self.answer()
            self.error = self.error or answer.get("error")
            self.times[what] += answer.get("times", [])
            self.peak = max(self.peak, answer.get("peak_bytes", 0))

    def rate(self, what, batch):
        return batch / statistics.median(self.times[what]) if self.times[what] and self.error is None else None


def compare(options, model, size, classes, batch):
    load = ["--model", model, "--size", str(size), "--classes", str(classes), "--batch", str(batch)]
    load += ["--precision", options.precision, "--device", "cuda"]
    peer = [sys.executable, str(PEER), *load, "--variant", "slices-nhwc", "--mode"]
    sides = {"here": Side([options.step, *load, "--serve"]), "eager": Side([*peer, "eager"]), "compiled": Side([*peer, "compiled"])}
    for _ in range(options.rounds):
        for side in sides.values():
            side.turn("train", options.seconds)
            side.turn("infer", options.seconds)
    for name, side in sides.items():
        side.process.stdin.close()
        side.process.wait()
        if side.error:
            print(f"{model}, batch {batch}: {name}: {side.error}", file=sys.stderr)
    cells = [f"{model}, {size}x{size}, batch {batch}"]
    for what in ("train", "infer"):
        rates = {name: side.rate(what, batch) for name, side in sides.items()}
        cells.append(" / ".join("-" if rate is None else f"{rate:.0f}" for rate in rates.values()))
        ours = rates["here"]
        ratios = [f"{ours / rates[name]:.2f}x" if ours and rates[name] else "-" for name in ("eager", "compiled")]
        cells.append(" / ".join(ratios))
    cells.append(" / ".join(f"{side.peak / 2**20:.0f}" for side in sides.values()) + " MiB")
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    options = arguments()
    print("| model | training images/s: here / eager / compiled | ratios | inference | ratios | peak memory in tensors |")
    print("|---|---|---|---|---|---|")
    for model, size, classes in LOADS:
        for batch in options.batches.split(","):
            compare(options, model, size, classes, int(batch))


main()
