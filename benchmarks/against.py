"""Ours against ours: this working tree against another commit, step by step on the same work.

A *start* is two processes, one of each side, that hold the same model and the same batches and stop after every turn.
A *pair* is one turn of each over the same steps. Several starts, because two processes of the same code already
differ by some percent; several pairs in a start, because starting costs more than a turn.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from work import FOLDER, HERE

TREE = HERE.resolve().parent
ROWS = ("sft", "dpo", "ppo", "grpo", "sampling-8x8")
MEASURED = FOLDER / "against.jsonl"
BOUND = 0.97
# The first step compiles; the second one tells how many steps a turn has.
WARM = 2


@dataclass(frozen=True)
class Settings:
    """``jobs``: by the name of a row what ``ours.py`` is called with: job, model, precision."""

    commit: str
    jobs: dict[str, tuple[str, str, str]]
    pairs: int
    starts: int
    seconds: float
    threads: int


class Side:
    """A process that runs a row of a tree and waits between turns."""

    def __init__(self, tree: Path, row: str, settings: Settings, environment: dict[str, str]) -> None:
        job, model, precision = settings.jobs[row]
        command = [sys.executable, str(HERE / "turns.py"), str(tree), job, "--precision", precision]
        command += ["--model", str(FOLDER / model), "--threads", str(settings.threads)]
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `end`)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, env=environment, stdin=pipe, stdout=pipe, stderr=self.log, text=True
        )
        self._answer()

    def _answer(self) -> list[float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            raise SystemExit(f"{self.process.args} failed:\n{self.log.read()[-3000:]}")
        steps: list[float] = json.loads(line)
        return steps

    def turn(self, steps: int) -> float:
        """Seconds of so many steps."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return sum(self._answer())

    def end(self) -> None:
        self.process.communicate()
        self.log.close()


def worktree(commit: str) -> tuple[Path, str]:
    """The commit checked out below ``.work``, and its full name."""
    git = ["git", "-C", str(HERE)]
    found = subprocess.run(
        [*git, "rev-parse", "--verify", f"{commit}^{{commit}}"], capture_output=True, text=True
    )
    if found.returncode:
        raise SystemExit(f"--against {commit}: this repository has no such commit")
    name = found.stdout.strip()
    tree = FOLDER.resolve() / f"tree-{name[:12]}"
    whole = tree.with_suffix(".whole")
    if not (tree.exists() and whole.exists()):
        shutil.rmtree(tree, ignore_errors=True)  # of a checkout that was cut off
        subprocess.run([*git, "worktree", "prune"], check=True)
        subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(tree), name], check=True)
        whole.touch()
    return tree, name


def code_of(tree: Path) -> str:
    """What the measured code of a tree is, committed or not."""
    digest = hashlib.sha256()
    files = [*(tree / "src").rglob("*.py"), tree / "benchmarks" / "ours.py", tree / "benchmarks" / "work.py"]
    for file in sorted(files):
        digest.update(str(file.relative_to(tree)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def median_interval(values: list[float], confidence: float = 0.95) -> tuple[float, float]:
    """A distribution-free interval of the median, [x₍ᵣ₎, x₍ₙ₊₁₋ᵣ₎] with the largest r that has the confidence.

    The median lies outside with probability 2 P(Binomial(n, ½) < r): with nine values r = 2, at 96 %.
    With fewer than six values no r has 95 %; then the least and the greatest.
    """
    n, ordered = len(values), sorted(values)
    r, outside = 0, 0.0
    while r < n and 2 * (outside + math.comb(n, r) / 2**n) <= 1 - confidence:
        outside += math.comb(n, r) / 2**n
        r += 1
    r = max(r, 1)
    return ordered[r - 1], ordered[n - r]


def measure(
    row: str, start: int, trees: tuple[Path, Path], settings: Settings, environment: dict[str, str]
) -> list[list[Any]]:
    """The pairs of one start, [steps, seconds of the first tree, seconds of the second one]."""
    count, sides = pairs_of(start, settings), list[Side]()
    try:
        sides += [Side(tree, row, settings, environment) for tree in trees]
        for _ in range(WARM):
            took = [side.turn(1) for side in sides]
        steps = max(1, round(settings.seconds / took[0]))
        pairs = []
        for pair in range(count):
            # Who begins changes from pair to pair, so that a drift of the machine favors no one.
            order = (0, 1) if (start + pair) % 2 == 0 else (1, 0)
            seconds = {i: sides[i].turn(steps) for i in order}
            pairs.append([steps, seconds[0], seconds[1]])
    finally:
        for side in sides:
            side.end()
    return pairs


def pairs_of(start: int, settings: Settings) -> int:
    """How many of the pairs a start makes."""
    whole, rest = divmod(settings.pairs, settings.starts)
    return whole + (start < rest)


def table(found: dict[str, list[list[Any]]], name: str) -> tuple[str, bool]:
    """The table, and whether every lower bound is above ``BOUND``."""
    lines = [
        f"| row | pairs | ms a step | of {name[:9]} | ratio of speeds (95 % interval) | by start | |",
        "|---|---|---|---|---|---|---|",
    ]
    good = True
    for row, starts in found.items():
        pairs = [pair for start in starts for pair in start]
        ratios = [old / new for _, new, old in pairs]
        low, high = median_interval(ratios)
        good &= low > BOUND
        by_start = " ".join(
            f"{statistics.median(old / new for _, new, old in start):.3f}" for start in starts
        )
        times = [statistics.median(1000 * p[side] / p[0] for p in pairs) for side in (1, 2)]
        lines.append(
            f"| {row} | {len(pairs)} | {times[0]:.1f} | {times[1]:.1f} | "
            f"{statistics.median(ratios):.3f} ({low:.3f}–{high:.3f}) | {by_start} | "
            f"{'' if low > BOUND else f'slower: not above {BOUND}'} |"
        )
    return "\n".join(lines) + "\n", good


def recorded() -> dict[tuple[Any, ...], list[list[Any]]]:
    lines = MEASURED.read_text().splitlines() if MEASURED.exists() else []
    return {tuple(entry["key"]): entry["pairs"] for entry in map(json.loads, lines)}


def pinned(threads: int) -> list[int]:
    """Keeps this process and those it starts on as many cores as threads, the last ones."""
    if not hasattr(os, "sched_setaffinity"):
        print("this system cannot pin a process to a core", flush=True)
        return []
    cores = sorted(os.sched_getaffinity(0))[-threads:]
    os.sched_setaffinity(0, cores)
    return cores


def compare(settings: Settings, environment: dict[str, str]) -> int:
    """Measure what is missing, write and print the table; 1 where a lower bound is not above ``BOUND``."""
    old, name = worktree(settings.commit)
    new = code_of(TREE)
    cores, load = pinned(settings.threads), os.getloadavg()[0]
    print(f"cores {cores}, load average {load:.1f} before the first start", flush=True)
    done, found = recorded(), {}
    for row in settings.jobs:
        found[row] = []
        for start in range(min(settings.starts, settings.pairs)):
            key = (new, name, row, start, pairs_of(start, settings), settings.seconds, settings.threads)
            if key not in done:
                pairs = measure(row, start, (TREE, old), settings, environment)
                with MEASURED.open("a") as file:
                    file.write(json.dumps({"key": key, "pairs": pairs, "at": time.time()}) + "\n")
                done[key] = pairs
                print(f"{row} {start + 1}/{settings.starts}: " + ratios_of(pairs), flush=True)
            found[row].append(done[key])
    text, good = table(found, name)
    (FOLDER / "against.md").write_text(text)
    print(text)
    return 0 if good else 1


def ratios_of(pairs: list[list[Any]]) -> str:
    return " ".join(f"{old / new:.3f}" for _, new, old in pairs)
