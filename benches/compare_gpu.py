"""Trains and runs WaveMix-Lite models on an NVIDIA GPU here and in PyTorch, in turns, and prints the ratios as Markdown.

    python3 benches/compare_gpu.py --step target/release/step          # needs torch with CUDA, wavemix 0.2.4, einops

`--step` is the binary of `cargo bench --bench step`. Both sides get the load that `peer.py` describes, in bf16: here a
recorded step, there autocast around forward and loss, channels_last and the wavelet transform as strided slices, eager and
compiled (`--modes graphs` adds torch.compile with CUDA graphs). Each side is a process of its own, all in one run; a figure
is the median of its steps, a ratio that of two medians.

Batch `largest` is the largest that PyTorch can train with, at most the largest that fits here. There each side has the GPU
to itself, training and inference each in a process of its own, one after the other; a second row has our own largest batch,
which PyTorch may not be able to hold.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

PEER = Path(__file__).resolve().parent / "peer.py"
# Model, height and width, classes.
LOADS = "WaveMixLite-128/7:28:47,WaveMixLite-144/7:32:10,WaveMixLite-256/7:32:10"


def arguments():
    parser = argparse.ArgumentParser(description="Compares training and inference with PyTorch on a GPU.")
    parser.add_argument("--step", default="target/release/step")
    parser.add_argument("--loads", default=LOADS, help="[%(default)s]")
    parser.add_argument("--batches", default="64,512,largest", help="[%(default)s]")
    parser.add_argument("--modes", default="eager,compiled", help="PyTorch's, of eager, compiled, graphs [%(default)s]")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="bf16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn")
    parser.add_argument("--json", type=Path, help="write all figures to this file too")
    return parser.parse_args()


OPTIONS = arguments()
MODES = OPTIONS.modes.split(",")


class Side:
    """A process that answers `train SECONDS` and `infer SECONDS` with the times of its steps."""

    def __init__(self, name, load):
        command = [OPTIONS.step, *load, "--serve"] if name == "here" else \
            [sys.executable, str(PEER), *load, "--variant", "slices-nhwc", "--mode", name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.times, self.peak, self.error = {"train": [], "infer": []}, 0, None
        while self.error is None and "ready" not in self.answer():
            pass

    def answer(self):
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "ended; what it said is above"}
        self.error = self.error or answer.get("error")
        return answer

    def turns(self, whats=("train", "infer")):
        for what in whats:
            if self.error is None:
                print(what, OPTIONS.seconds, file=self.process.stdin, flush=True)
                answer = self.answer()
                self.times[what] += answer.get("times", [])
                self.peak = max(self.peak, answer.get("peak_bytes", 0))

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        return self

    def rate(self, what, batch):
        return batch / statistics.median(self.times[what]) if self.times[what] and self.error is None else None


def load_of(model, size, classes, batch):
    load = ["--model", model, "--size", size, "--classes", classes, "--batch", str(batch)]
    return [*load, "--precision", OPTIONS.precision, "--device", "cuda"]


def alone(name, load, rounds, whats=("train", "infer")):
    """One side with the GPU to itself, a process for each of training and inference; the first one, with the times of all."""
    sides = []
    for what in whats:
        sides.append(Side(name, load))
        for _ in range(rounds):
            sides[-1].turns([what])
        sides[-1].end()
    whole = sides[0]
    for side in sides[1:]:
        whole.times = {what: whole.times[what] + side.times[what] for what in whole.times}
        whole.error = whole.error or side.error
    return whole


def in_turns(load):
    sides = {name: Side(name, load) for name in ["here", *MODES]}
    for _ in range(OPTIONS.rounds):
        for side in sides.values():
            side.turns()
    return {name: side.end() for name, side in sides.items()}


def largest(case):
    """The largest batch that fits here, and the largest of at most that which fits with PyTorch, to within a tenth."""
    command = [OPTIONS.step, *load_of(*case, 1), "--largest"]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout
    if not said:
        return None, None
    ours = theirs = json.loads(said)["largest"]
    while theirs > 0:
        error = alone(MODES[0], load_of(*case, theirs), 1, ["train"]).error
        if error is None:
            return ours, theirs
        # What is no question of size fails with a single image too.
        if theirs == ours and alone(MODES[0], load_of(*case, 1), 1, ["train"]).error is not None:
            print(f"{case[0]}: {MODES[0]}: {error}", file=sys.stderr)
            break
        theirs = theirs * 9 // 10
    return ours, None


def ratio(ours, theirs):
    return f"{ours / theirs:.2f}x" if ours and theirs else "-"


def row(case, batch, sides, figures):
    """Prints a row, and keeps its figures."""
    model, size, classes = case
    for name, side in sides.items():
        if side.error:
            print(f"{model}, batch {batch}: {name}: {side.error}", file=sys.stderr)
    cells, figure = [f"{model}, {size}x{size}, batch {batch}"], {"model": model, "size": int(size), "batch": batch}
    for what in ("train", "infer"):
        rates = {name: sides[name].rate(what, batch) if name in sides else None for name in ["here", *MODES]}
        cells.append(" / ".join("-" if rate is None else f"{rate:.0f}" for rate in rates.values()))
        cells.append(" / ".join(ratio(rates["here"], rates[name]) for name in MODES))
        figure[what] = rates
    peaks = {name: side.peak for name, side in sides.items() if side.peak and side.error is None}
    cells.append(" / ".join(f"{peaks[name] / 2**20:.0f}" if name in peaks else "-" for name in ["here", *MODES]))
    cells.append(" / ".join(ratio(peaks.get("here"), peaks.get(name)) for name in MODES))
    figures.append({**figure, "peak_bytes": peaks})
    print("| " + " | ".join(cells) + " |", flush=True)


def verdicts(figures):
    """What was to be reached, and by how many of the rows that have both sides it was."""
    def count(what, limit, rows, value):
        values = [value(figure) for figure in rows]
        values = [v for v in values if v is not None]
        good = sum(v <= limit if "memory" in what else v >= limit for v in values)
        print(f"{what}: " + (f"in {good} of {len(values)} rows" if values else "no row has both sides"))

    def against(mode):
        return lambda f: f["train"]["here"] / f["train"][mode] if f["train"]["here"] and f["train"].get(mode) else None

    def memory(f):
        ours, theirs = f["peak_bytes"].get("here"), f["peak_bytes"].get("eager")
        return ours / theirs if ours and theirs else None

    count("training at least 1.5x eager", 1.5, figures, against("eager"))
    count("training at least 1.1x compiled", 1.1, figures, against("compiled"))
    count("training at batch 64 at least 3x eager", 3, [f for f in figures if f["batch"] == 64], against("eager"))
    count("memory at most 0.6x eager", 0.6, figures, memory)


def main():
    names, figures = " / ".join(["here", *MODES]), []
    print(f"| model | training images/s: {names} | ratios | inference images/s | ratios | peak MiB in tensors | ratios |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for case in (load.split(":") for load in OPTIONS.loads.split(",")):
        for batch in OPTIONS.batches.split(","):
            if batch != "largest":
                row(case, int(batch), in_turns(load_of(*case, batch)), figures)
                continue
            ours, theirs = largest(case)
            if theirs:
                load = load_of(*case, theirs)
                row(case, theirs, {name: alone(name, load, OPTIONS.rounds) for name in ["here", *MODES]}, figures)
            if ours and ours != theirs:
                row(case, ours, {"here": alone("here", load_of(*case, ours), OPTIONS.rounds)}, figures)
    print()
    verdicts(figures)
    if OPTIONS.json:
        OPTIONS.json.write_text(json.dumps(figures, indent=1))
    if not any(figure["train"]["here"] for figure in figures):
        sys.exit("nothing ran here")


main()
