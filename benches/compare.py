"""Trains and runs models here and in PyTorch, in turns, and prints the ratios as Markdown.

    python3 -m venv venv
    venv/bin/pip install torch==2.15.0 "numpy<2" PyWavelets einops
    venv/bin/pip install --no-deps wavemix==0.2.4
    venv/bin/python benches/compare.py

`--baselines` compares the other models of the papers instead, 3x32x32 and 10 classes, with their reference implementations,
which need the packages that tests/goldens/models/make.py lists.

Both sides get the same load, described in `peer.py`. For each model PyTorch's variants first run alone, eager and compiled:
the fastest of each counts. Then rounds: in each, every side has one turn of training and one of inference, each side in a
process of its own that waits while the others have theirs. A turn's figure is the median of its steps, a side's the median
of its turns, a ratio that of two such medians. A turn waits until other programs leave the machine alone, and is repeated
if they took more than a twentieth of it all the same; where they do not stop, the least disturbed try counts and the table
says how many of those there were.

A row of bf16 is compared with PyTorch's bf16, except on x86 without AVX-512. There PyTorch computes bf16 by loops that
take over a minute for a step of 128/7, and speed and memory are compared with its best, f32; the table says so.

Memory is the most a training process held resident, and in brackets the same less what it held when its libraries were
loaded; of PyTorch's modes the one that needs less counts.
"""

import argparse
import json
import re
import statistics
import sys
import time
from pathlib import Path

from turns import HERE, LEFT_ALONE, Program, built, cpuinfo, machine, note, wait_for_quiet

VARIANTS = ["package-nchw", "package-nhwc", "slices-nchw", "slices-nhwc"]
REFERENCE = ["reference-nchw", "reference-nhwc"]
ROWS = ["128/7:f32", "64/7:f32", "16/5:f32", "128/7:bf16"]
BASELINES = ["ResNet-18", "ResNet-50", "MobileNetV2-2.0", "ConvMixer-256/8", "2D-FNet-128/5", "2D-MLP-Mixer-128/5",
             "MLP-Mixer-512/8", "ViT-128/4x4", "ViT-Lite-256/6x4", "CCT-128/4x4", "CvT-128/4x4", "HybridViN-128/4x4", "CPV-128/5x4",
             "UNet-ResNet-18", "DeepLabV2", "SegFormer-B0", "SegFormer", "ConvMixer-512/16"]
SEGMENTERS = ["UNet-ResNet-18", "DeepLabV2", "SegFormer-B0", "SegFormer", "ConvMixer-512/16"]
OURS = "ours"


def arguments():
    parser = argparse.ArgumentParser(description="Compares training and inference with PyTorch.")
    parser.add_argument("--models", default=",".join(ROWS), help="rows, as in 128/7:f32,ResNet-18:f32; what is only numbers is a WaveMixLite [%(default)s]")
    parser.add_argument("--baselines", action="store_true", help="all other models of the papers, 3x32x32, 10 classes")
    parser.add_argument("--size", type=int, default=28, help="of images [%(default)s]")
    parser.add_argument("--classes", type=int, default=47)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of a turn")
    parser.add_argument("--modes", default="eager,compiled", help="PyTorch's, of eager, compiled, frozen")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="of WaveMixLite models")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tries", type=int, default=4, help="how often a disturbed turn is tried [%(default)s]")
    parser.add_argument("--patience", type=float, default=30, help="seconds to wait for a quiet machine [%(default)s]")
    parser.add_argument("--real-time", action="store_true",
                        help="turns run at real-time priority, before all other programs: Linux, as root")
    parser.add_argument("--no-latency", action="store_true", help="leave out single images and start-up")
    parser.add_argument("--quick", action="store_true", help="3 rounds of short turns, the slices variants only")
    parser.add_argument("--json", type=Path, help="write all figures to this file too")
    if "--quick" in sys.argv:
        parser.set_defaults(rounds=3, seconds=0.5, tries=2, variants="slices-nchw,slices-nhwc")
    if "--baselines" in sys.argv:
        parser.set_defaults(models=",".join(BASELINES), size=32, classes=10, no_latency=True)
    return parser.parse_args()


OPTIONS = arguments()


STEP = built("step")


def best_of_peer(precision):
    """The precision in which PyTorch is fastest, of this one and f32."""
    x86 = cpuinfo().get("flags", "").split()
    return "f32" if x86 and "avx512f" not in x86 else precision


class Side(Program):
    """A process that trains or infers when told to."""

    def __init__(self, mode, variant, model, batch, precision):
        common = ["--model", model, "--batch", str(batch), "--threads", str(OPTIONS.threads)]
        common += ["--size", str(OPTIONS.size), "--classes", str(OPTIONS.classes)]
        common += ["--segment"] if model in SEGMENTERS else []
        if mode == OURS:
            command = [STEP, "--serve", *common, "--precision", precision]
        else:
            command = [sys.executable, str(HERE / "peer.py"), "--mode", mode, "--variant", variant, *common]
            command += ["--precision", best_of_peer(precision)]
        self.figures, self.disturbed, self.peak, self.batch = [], 0, 0, batch
        began = time.perf_counter()
        super().__init__(command, keep_errors=mode == OURS)
        self.loaded = self.read().get("peak_bytes", 0)
        ready = self.read()
        self.error, self.ready = ready.get("error"), time.perf_counter() - began
        self.parameters = ready.get("parameters")

    def turn(self, what, seconds):
        """One turn: the median time of its steps, and the share of the machine that others took meanwhile."""
        answer, others = self.watched(f"{what} {seconds}", OPTIONS.real_time and seconds > 0)
        if "times" not in answer:
            self.error = answer["error"]
            return None, 0.0
        self.peak = answer["peak_bytes"]
        return statistics.median(answer["times"]), others

    def best_turn(self, what, seconds):
        """A turn that nobody disturbed, or the least disturbed of a few."""
        tries, quiet = [], True
        while not self.error and quiet and len(tries) < OPTIONS.tries and not (tries and tries[-1][1] < LEFT_ALONE):
            quiet = OPTIONS.real_time or wait_for_quiet(OPTIONS.patience)
            figure, others = self.turn(what, seconds)
            if figure:
                tries.append((figure, others))
        if tries:
            figure, others = min(tries, key=lambda one: one[1])
            self.figures.append(figure)
            self.disturbed += others >= LEFT_ALONE

    def rate(self):
        return self.batch / statistics.median(self.figures) if self.figures else None


def heats(model, batch, precision, whats):
    """The fastest variant of each mode and each kind of step, and how long PyTorch took until its first batch."""
    winners, starts, counts = {}, [], set()
    for mode in OPTIONS.modes.split(","):
        for variant in OPTIONS.variants.split(",") if model.startswith("WaveMixLite") else REFERENCE:
            side = Side(mode, variant, model, batch, precision)
            starts.append(side.ready)
            if side.error:
                raise SystemExit(f"PyTorch: {side.error}")
            counts.add(side.parameters)
            if not starts[1:] and variant not in REFERENCE and "checked" not in side.ask("check 0"):
                raise SystemExit("PyTorch's two forms of the model differ: see above")
            for what in whats:
                if mode == "frozen" and what == "train":
                    continue
                side.error, side.figures = None, []
                side.turn(what, 0)
                for _ in range(1 if OPTIONS.quick else 3):
                    side.best_turn(what, OPTIONS.seconds / 2)
                rate = side.rate() or 0.0
                note(f"  {what} {mode} {variant}: {side.error or f'{rate:.1f} images/s'}")
                if rate > winners.get((what, mode), ("", 0.0))[1]:
                    winners[what, mode] = variant, rate
            side.close()
    return {key: variant for key, (variant, _) in winners.items()}, statistics.median(starts), counts


def measure(model, precision, batch, whats):
    """Runs the rounds of one row; gives its figures."""
    note(f"{model}, batch {batch}, {precision}")
    winners, start, counts = heats(model, batch, precision, whats)
    sides = {}
    for what in whats:
        sides[what, OURS] = Side(OURS, "", model, batch, precision)
        if counts | {sides[what, OURS].parameters} != counts:
            raise SystemExit(f"{model}: {sides[what, OURS].parameters} parameters here, {counts} in PyTorch")
        for (_, mode), variant in [item for item in winners.items() if item[0][0] == what]:
            sides[what, mode] = Side(mode, variant, model, batch, precision)
    for (what, _), side in sides.items():
        # Compiling and warming up are no one's turn.
        if not side.error:
            side.turn(what, 0)
    for i in range(OPTIONS.rounds):
        for (what, _), side in sides.items():
            side.best_turn(what, OPTIONS.seconds)
        now = ", ".join(f"{what} {mode} {side.batch / side.figures[-1]:.1f}" for (what, mode), side in sides.items() if side.figures)
        note(f"  round {i + 1}: {now}")
    row = {"model": model, "precision": precision, "batch": batch, "pytorch_start_seconds": start}
    for (what, mode), side in sides.items():
        row[f"{what}_{mode}"] = {
            "variant": winners.get((what, mode)), "images_per_s": side.rate(), "error": side.error, "start_seconds": side.ready,
            "turns": [side.batch / figure for figure in side.figures], "disturbed": side.disturbed,
            "peak_bytes": side.peak, "loaded_bytes": side.loaded,
        }
        side.close()
    return row


def rate_cells(row, what):
    """Cells of ours and of each mode, and of the ratios."""
    ours, cells, ratios = row[f"{what}_{OURS}"], [], []
    for mode in [OURS, *OPTIONS.modes.split(",")]:
        rate = row.get(f"{what}_{mode}", {}).get("images_per_s")
        cells.append(f"{rate:,.0f}" if rate else "-")
        if mode != OURS:
            ratios.append(f"**{ours['images_per_s'] / rate:.2f}x**" if rate and ours["images_per_s"] else "-")
    return [" / ".join(cells), " / ".join(ratios)]


def memory_cell(row):
    """Peak of ours and PyTorch's with the ratio, and all three above what was held once libraries were loaded."""
    def of(mode):
        figures = row.get(f"train_{mode}", {})
        return figures.get("peak_bytes", 0) / 2**20, (figures.get("peak_bytes", 0) - figures.get("loaded_bytes", 0)) / 2**20

    theirs = [pair for pair in map(of, OPTIONS.modes.split(",")) if pair[0]]
    ours = of(OURS)
    if not ours[0] or not theirs:
        return "-"
    raw, above = (min(pair[i] for pair in theirs) for i in (0, 1))
    return f"{ours[0]:,.0f} / {raw:,.0f} MiB, **{ours[0] / raw:.2f}x** ({ours[1]:,.0f} / {above:,.0f}, {ours[1] / above:.2f}x)"


def report(rows, latency):
    modes = " / ".join(OPTIONS.modes.split(","))
    print(f"| model, batch {OPTIONS.batch} | training images/s: here / {modes} | ratios | inference images/s: here / {modes} "
          "| ratios | peak RSS while training: here / PyTorch (above start-up) |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        peer = best_of_peer(row["precision"])
        name = f"{row['model']} {row['precision']}" + (f" (PyTorch in {peer})" if peer != row["precision"] else "")
        print("|", " | ".join([name, *rate_cells(row, "train"), *rate_cells(row, "infer"), memory_cell(row)]), "|")
    print()
    for row in rows:
        if row[f"train_{OURS}"]["error"]:
            print(f"{row['model']} {row['precision']} does not run here yet: {row[f'train_{OURS}']['error']}\n")
    if latency:
        cells = [f"{name} {1000 / latency[f'infer_{name}']['images_per_s']:.1f} ms" for name in [OURS, *OPTIONS.modes.split(",")]
                 if latency.get(f"infer_{name}", {}).get("images_per_s")]
        print(f"One image through {latency['model']}: {', '.join(cells)}. From the start of the process until its first batch: "
              f"ours {latency[f'infer_{OURS}']['start_seconds']:.2f} s, PyTorch (eager) {latency['pytorch_start_seconds']:.2f} s.\n")
    turns = [row[key] for row in [*rows, *([latency] if latency else [])] for key in row if key.startswith(("train_", "infer_"))]
    disturbed, total = sum(t["disturbed"] for t in turns), sum(len(t["turns"]) for t in turns)
    picks = sorted({t["variant"] for t in turns if t["variant"]})
    print(f"{OPTIONS.rounds} rounds, {OPTIONS.threads} threads; {disturbed} of {total} turns disturbed by other programs. PyTorch's "
          f"fastest variants were {', '.join(picks)}. Machine: {machine()}.")


def main():
    rows = []
    for name in OPTIONS.models.split(","):
        model, _, precision = name.partition(":")
        model = f"WaveMixLite-{model}" if re.fullmatch(r"\d+/\d+", model) else model
        rows.append(measure(model, precision or "f32", OPTIONS.batch, ["train", "infer"]))
    latency = None if OPTIONS.no_latency else measure("WaveMixLite-128/7", "f32", 1, ["infer"])
    report(rows, latency)
    if OPTIONS.json:
        OPTIONS.json.write_text(json.dumps({"machine": machine(), "rows": rows, "latency": latency}, indent=1))


main()
