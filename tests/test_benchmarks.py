"""benchmarks/run.py --against: two trees take turns over the same steps, and a slower one is found."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scipy.stats import binom

from plaudit.data.rendering.renderer import Renderer

ROOT = Path(__file__).resolve().parents[1]
# A row as benchmarks/ours.py has them: the clock is read before the first step and after each.
OURS = """
import sys, time
from time import sleep

def main():
    assert sys.argv[1:3] == ["sft", "--precision"], sys.argv
    start = time.perf_counter()
    while True:
        sleep({seconds})
        if time.perf_counter() - start > 1e9:
            break
"""


@pytest.fixture
def against(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("against")


def settings(against, **changes):
    given = {
        "jobs": {"sft": ("sft", "5M-4096", "fp32")},
        "pairs": 4,
        "starts": 2,
        "seconds": 0.05,
        "threads": 1,
    }
    return against.Settings(commit="x", **given | changes)


def tree(root: Path, seconds: float) -> Path:
    for name in ("src/plaudit/__init__.py", "benchmarks/work.py", "benchmarks/ours.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "benchmarks/ours.py").write_text(OURS.replace("{seconds}", str(seconds)))
    return root


def test_two_trees_take_turns_over_the_same_steps_and_the_slower_one_is_found(against, tmp_path):
    fast, slow = 0.01, 0.25
    trees = {seconds: tree(tmp_path / str(seconds), seconds) for seconds in (fast, slow)}
    for one, other in ((fast, slow), (slow, fast)):
        pairs = against.measure("sft", 0, (trees[one], trees[other]), settings(against), dict(os.environ))
        # Turns of 0.05 s by the first tree's own time of a step.
        assert len(pairs) == 2 and all(1 <= steps <= 5 for steps, _, _ in pairs)
        assert all(a >= steps * one and b >= steps * other for steps, a, b in pairs)
        text, good = against.table({"sft": [pairs]}, "0123456789ab")
        assert good == (one == fast) and ("slower" in text) == (one == slow)


def test_a_side_that_fails_says_why(against, tmp_path):
    broken = tree(tmp_path / "broken", 0.02)
    (broken / "benchmarks/ours.py").write_text("def main():\n    raise ValueError('no such row')\n")
    with pytest.raises(SystemExit, match="no such row"):
        against.measure("sft", 0, (broken, broken), settings(against), dict(os.environ))


@pytest.mark.parametrize("pairs, starts", [(9, 3), (10, 3), (2, 3), (5, 1)])
def test_every_pair_belongs_to_one_start(against, pairs, starts):
    given = settings(against, pairs=pairs, starts=starts)
    counts = [against.pairs_of(start, given) for start in range(starts)]
    assert sum(counts) == pairs and max(counts) - min(counts) <= 1


@pytest.mark.parametrize("n", [1, 3, 5, 6, 9, 20, 51])
def test_the_interval_of_a_median_is_the_narrowest_of_order_statistics_with_its_confidence(against, n):
    """The true median lies below x₍ᵣ₎ with probability P(Binomial(n, ½) < r)."""
    low, high = against.median_interval([float(v) for v in range(1, n + 1)][::-1])
    r = int(low)
    assert high == n + 1 - r
    assert r == 1 or 2 * binom.cdf(r - 1, n, 0.5) <= 0.05
    assert 2 * binom.cdf(r, n, 0.5) > 0.05
    assert n != 9 or (low, high) == (2, 8)


def test_prompts_of_token_ids_are_asked_for_as_a_renderers_are(against):
    ours = importlib.import_module("ours")
    for name in ("prompt", "decode"):
        mine, asked = (inspect.signature(getattr(kind, name)) for kind in (ours.Words, Renderer))
        assert list(mine.parameters) == list(asked.parameters), name


@pytest.mark.slow
@pytest.mark.parametrize("row", ["sft", "dpo", "ppo", "grpo", "sampling-8x8"])
def test_every_row_that_is_compared_with_a_commit_runs(against, row):
    work = importlib.import_module("work")
    command = [sys.executable, ROOT / "benchmarks/ours.py", row, "--seconds", "0.1", "--model"]
    done = subprocess.run(
        [*command, work.prepare() / "5M-4096"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    assert json.loads(done.stdout.splitlines()[-1])["steps"] >= 1


@pytest.mark.slow
def test_the_matrix_rate_is_that_of_some_library_in_both_precisions(against):
    found = importlib.import_module("matrix_rate").matrix_rate(1, seconds=0.01)
    assert found["fp32"] > 1 and found["bf16"] > 0.1 and found["fp32_by"] and found["bf16_by"]
