"""What `compare.py` and `ops_compare.py` share: two sides, each a process that waits while the other has its turn.

A side reads commands, one a line, and answers each by a line of JSON. How much of the machine other programs took meanwhile is
known from the processors' times.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
LEFT_ALONE = 0.05


def note(text):
    print(text, file=sys.stderr, flush=True)


def built(bench):
    """Builds this bench of the crate and finds its program."""
    command = ["cargo", "bench", "--bench", bench, "--no-run", "--message-format=json"]
    lines = subprocess.run(command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    messages = [json.loads(line) for line in lines if line.startswith("{")]
    return next(m["executable"] for m in messages if m.get("target", {}).get("name") == bench and m.get("executable"))


def processor_times(process=None):
    """Seconds that the processors were busy for anyone but this process; None where the system does not say."""
    try:
        user, nice, system, _, _, irq, soft, steal = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
        own = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13] if process else [0, 0]
        return (user + nice + system + irq + soft + steal - int(own[0]) - int(own[1])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None


def share_of_others(before, after, seconds):
    """How much of the machine they took."""
    return 0.0 if before is None or after is None else (after - before) / (seconds * os.cpu_count())


def wait_for_quiet(patience):
    """Waits until half a second passes in which the machine is left alone. False where patience, in seconds, ends first."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before = processor_times()
        time.sleep(0.5)
        if share_of_others(before, processor_times(), 0.5) < LEFT_ALONE:
            return True
    return False


def cpuinfo():
    """What the system says of its first processor."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = [line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line]
    return {name.strip(): value.strip() for name, value in fields}


def machine():
    """Name, cores and bf16 of this machine's processor."""
    info = cpuinfo()
    flags = info.get("flags", "").split()
    has = ", ".join(f"{flag} {'yes' if flag in flags else 'no'}" for flag in ("avx512f", "avx512_bf16"))
    return f"{info.get('model name') or platform.processor()}, {os.cpu_count()} cores, {has}"


class Program:
    """A process that works when told to."""

    def __init__(self, command, keep_errors=False):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe if keep_errors else None, text=True)

    def read(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        message = self.process.stderr.read().strip() if self.process.stderr else "it ended"
        return {"error": message.removeprefix("error: ")}

    def ask(self, line):
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.read()

    def watched(self, line, real_time=False):
        """The answer, and the share of the machine that others took meanwhile."""
        if real_time:
            self.prefer(True)
        before, began = processor_times(self.process), time.perf_counter()
        answer = self.ask(line)
        after, length = processor_times(self.process), time.perf_counter() - began
        if real_time:
            self.prefer(False)
        return answer, share_of_others(before, after, length)

    def prefer(self, real_time):
        """Lets this process's threads run before those of all other programs, or not: Linux, as root."""
        policy, priority = (os.SCHED_RR, 10) if real_time else (os.SCHED_OTHER, 0)
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))

    def close(self):
        self.process.stdin.close()
        self.process.wait()
