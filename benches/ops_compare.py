"""Times every public op here and in PyTorch, forward and backward, in turns, and prints a Markdown table.

    python3 -m venv venv
    venv/bin/pip install torch==2.15.0 "numpy<2"
    venv/bin/python benches/ops_compare.py                  # about half an hour; --only softmax,conv: what contains these

The cases, three shapes or more of each op, are in `benches/ops/every`; `ops_peer.py` has PyTorch's name for each. Both sides
build the same operands, and sums of results and gradients are compared first. PyTorch runs eagerly; of images it is given both
layouts, and the faster counts. A round gives each side a turn, in a process of its own that waits while the other has its turn. A
turn's figure is the median of its calls, a side's the median of its turns; `--fastest` takes minima instead, where other programs
do not leave the machine alone. Ratios are of speeds: above 1 this crate is faster.

The limit of an op is the larger of two times: its multiply-adds at the rate of a loop in registers, and its operands and results,
each once, at the rate of a large copy, both measured in each round. What lies in a cache may be faster than that.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

from turns import HERE, LEFT_ALONE, Program, built, machine, note, wait_for_quiet

DIRECTIONS = ["forward", "backward"]
# Sums of so many rounded terms differ by less than this share of the sum of their sizes.
ROUNDING = 1e-4
# Their elements depend on each side's own random numbers.
RANDOM = {"dropout", "drop_path", "gelu_dropout", "gelu_dropout_conv2d"}


def arguments():
    parser = argparse.ArgumentParser(description="Compares each op with PyTorch.")
    parser.add_argument("--only", default="", help="ops whose names contain one of these, as in softmax,conv")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a turn [%(default)s]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fastest", action="store_true", help="minima instead of medians")
    parser.add_argument("--patience", type=float, default=0, help="seconds to wait for a quiet machine before a turn [%(default)s]")
    parser.add_argument("--check", action="store_true", help="compare results and gradients alone, and time nothing")
    parser.add_argument("--slower", type=float, help="print only rows with a ratio below this one")
    parser.add_argument("--program", help="the bench `ops`, built already")
    parser.add_argument("--json", type=Path, help="write all figures to this file too")
    return parser.parse_args()


OPTIONS = arguments()


def middle(figures):
    return min(figures) if OPTIONS.fastest else statistics.median(figures)


def checked(answer):
    if "error" in answer:
        raise SystemExit(answer["error"])
    return answer


def same(ours, theirs):
    """Whether two answers are of one function: shapes, and sums of the result and of each gradient."""
    pairs = list(zip(ours["sums"], theirs["sums"]))
    near = all(abs(a - b) <= ROUNDING * max(size, 1e-3) for (a, size), (b, _) in pairs)
    return ours["shape"] == theirs["shape"] and len(ours["sums"]) == len(theirs["sums"]) and near


class Sides:
    """Both programs."""

    def __init__(self):
        program = OPTIONS.program or built("ops")
        self.ours = Program([program, "--serve", "--threads", str(OPTIONS.threads)])
        self.peer = Program([sys.executable, str(HERE / "ops_peer.py"), "--threads", str(OPTIONS.threads)])
        self.facts = checked(self.peer.read())
        self.cases = checked(self.ours.ask("list"))["cases"]
        missing = sorted({case["op"] for case in self.cases} - {*self.facts["ops"]})
        if missing:
            raise SystemExit(f"ops_peer.py lacks {missing}")

    def build(self, case, layout):
        return checked(self.peer.ask(f"case {json.dumps({**case, 'layout': layout})}"))

    def turn(self, side):
        """Figures of one turn in each direction, and whether others took much of the machine meanwhile."""
        if OPTIONS.patience:
            wait_for_quiet(OPTIONS.patience)
        times, others = side.watched(f"time {OPTIONS.seconds}")
        return {way: middle(times[way]) for way in DIRECTIONS if checked(times)[way]}, others >= LEFT_ALONE

    def check(self, number):
        """Whether PyTorch's results and gradients are these."""
        case = self.cases[number]
        ours, theirs = checked(self.ours.ask(f"case {number}")), self.build(case, "nhwc")
        if case["op"] in RANDOM or same(ours, theirs):
            return True
        note(f"{case} differs: here {ours}, in PyTorch {theirs}")
        return False

    def best_layout(self, case, ours):
        """Builds PyTorch's case in its faster layout."""
        layouts, totals = ["nhwc", "nchw"] if case["op"] in self.facts["images"] else ["nhwc"], {}
        for layout in layouts:
            theirs = self.build(case, layout)
            if case["op"] not in RANDOM and not same(ours, theirs):
                raise SystemExit(f"{case} differs: here {ours}, in PyTorch {theirs}")
            totals[layout] = sum(self.turn(self.peer)[0].values()) if layouts[1:] else 0.0
        best = min(totals, key=totals.get)
        if best != layouts[-1]:
            self.build(case, best)
        return best

    def measure(self, number):
        """One case: its figures in both directions."""
        case = self.cases[number]
        ours = checked(self.ours.ask(f"case {number}"))
        layout = self.best_layout(case, ours)
        turns, limits, disturbed = {"ours": [], "peer": []}, [], 0
        for _ in range(OPTIONS.rounds):
            limits.append(checked(self.ours.ask("limits")))
            for name, side in (("ours", self.ours), ("peer", self.peer)):
                figures, noisy = self.turn(side)
                turns[name].append(figures)
                disturbed += noisy
        row = {**case, "layout": layout, "disturbed": disturbed}
        flops, copied = (max(l[what] for l in limits) if OPTIONS.fastest else middle([l[what] for l in limits]) for what in ("flops", "bytes"))
        for i, way in enumerate(DIRECTIONS):
            if way not in turns["ours"][0] or way not in turns["peer"][0]:
                continue
            here, there = (middle([turn[way] for turn in turns[name]]) for name in ("ours", "peer"))
            work, moved = ours["flops"][i], ours["bytes"][i]
            row[way] = {"here": here, "pytorch": there, "ratio": there / here, "flops": work, "bytes": moved,
                        "of_limit": max(work / flops, moved / copied) / here}
        return row


def shape_text(row):
    """Shapes of the operands and the settings, shortly."""
    shapes = ", ".join("x".join(map(str, operand["shape"])) or "1" for operand in row["operands"])
    settings = ", ".join(f"{name} {value}" for name, value in row["settings"].items() if name not in ("length", "shape"))
    return f"{shapes}; {settings}" if settings else shapes


def time_text(seconds):
    return f"{seconds * 1e3:,.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:,.1f} us"


def cells(row, way):
    """Times, ratio, rate and share of the limit."""
    figures = row.get(way)
    if not figures:
        return ["-"] * 4
    rate = f"{figures['flops'] / figures['here'] / 1e9:,.0f} GFLOP/s" if figures["flops"] else f"{figures['bytes'] / figures['here'] / 1e9:,.1f} GB/s"
    moves = figures["flops"] or figures["bytes"]
    return [f"{time_text(figures['here'])} / {time_text(figures['pytorch'])}", f"{figures['ratio']:.2f}x",
            *([rate, f"{100 * figures['of_limit']:.0f} %"] if moves else ["-", "-"])]


def report(rows, facts):
    heads = " | ".join(f"{way}: here / PyTorch | ratio | rate | of limit" for way in DIRECTIONS)
    print(f"| op | shapes | {heads} |\n|{'---|' * 10}")
    for row in rows:
        if OPTIONS.slower is None or any(row[way]["ratio"] < OPTIONS.slower for way in DIRECTIONS if way in row):
            print("|", " | ".join([f"`{row['op']}`", shape_text(row), *cells(row, "forward"), *cells(row, "backward")]), "|")
    ratios = [row[way]["ratio"] for row in rows for way in DIRECTIONS if way in row]
    slower, turns = sum(ratio < 1 for ratio in ratios), 2 * OPTIONS.rounds * len(rows)
    print(f"\n{len(ratios)} ratios, {slower} of them below 1; their geometric mean is {statistics.geometric_mean(ratios):.2f}. f32, {OPTIONS.threads} "
          f"threads, {OPTIONS.rounds} rounds of {OPTIONS.seconds} s, {'minima' if OPTIONS.fastest else 'medians'}; {sum(row['disturbed'] for row in rows)} "
          f"of {turns} turns disturbed by other programs. PyTorch {facts['torch']}. Machine: {machine()}.")


def main():
    sides, rows = Sides(), []
    wanted = OPTIONS.only.split(",")
    numbers = [i for i, case in enumerate(sides.cases) if any(part in case["op"] for part in wanted)]
    if OPTIONS.check:
        equal = sum(sides.check(number) for number in numbers)
        raise SystemExit(f"{equal} of {len(numbers)} cases are equal on both sides" if equal < len(numbers) else 0)
    for number in numbers:
        rows.append(sides.measure(number))
        ways = ", ".join(f"{way} {rows[-1][way]['ratio']:.2f}x" for way in DIRECTIONS if way in rows[-1])
        note(f"{rows[-1]['op']} {shape_text(rows[-1])}: {ways}")
    report(rows, sides.facts)
    if OPTIONS.json:
        OPTIONS.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))


main()
