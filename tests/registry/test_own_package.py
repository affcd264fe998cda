"""A package of one file adds a loss, an advantage estimator, a judge and a step: they are there like plaudit's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

MINE = '''
import torch

from plaudit import JudgeKind, StepKind, estimator, preference_loss
from plaudit.config import Section


def squared(left, right, *, beta, result):
    """(β·(left − right) − (2·result − 1))² of each pair."""
    return (beta * (left - right) - (2 * result - 1)) ** 2


LOSS = preference_loss("squared", "mine:squared", title="Squared loss")


def __getattr__(name):
    if name == "Centered":
        from plaudit.methods.policy_gradient import PolicyGradient

        class Centered(PolicyGradient):
            """The score of a sample minus the batch's mean, at each of its tokens."""

            def advantages(self, rollouts, kl_coefficient):
                scores = torch.from_numpy(rollouts.scores).float()
                return (scores - scores.mean())[:, None] * rollouts.mask

        return Centered
    raise AttributeError(name)


ESTIMATOR = estimator("centered", "mine:Centered", title="Centered REINFORCE")


class Shorter:
    """Prefers the shorter answer."""

    def judge(self, prompt, responses):
        from plaudit import Ranking

        order = sorted(range(len(responses)), key=lambda i: len(responses[i].text))
        return Ranking(prompt, tuple(responses), tuple((i,) for i in order), rater="shorter")


JUDGE = JudgeKind("shorter", "Prefers the shorter answer.", make=lambda rest, options, context: Shorter())


class Count(Section):
    """How often to count."""

    times: int = 1


def count(context, step, stage):
    """Count the rankings that an earlier step made."""
    train, held = context.records(step)
    stage.path.mkdir(parents=True, exist_ok=True)
    return {"counted": step.settings.times * (len(train) + len(held))}


def row(values):
    """A demonstration of one row of our own layout."""
    from plaudit import Demonstration, Prompt, Response

    yield Demonstration(Prompt.user(values["q"]), Response(values["a"]))


def reader():
    from plaudit.data.readers.convert import Converter
    from plaudit.registry import ReaderKind

    return ReaderKind("our_layout", "q and a", Converter("q and a → demonstrations", ("*.jsonl",), row))


READER = reader()
STEP = StepKind(
    "count", "Counting", "Count rankings.", Count, count, gives=("numbers",), data="preferences"
)
'''
ENTRIES = """
[plaudit.methods]
squared = mine:LOSS
centered = mine:ESTIMATOR

[plaudit.judges]
shorter = mine:JUDGE

[plaudit.readers]
ours = mine:READER

[plaudit.steps]
count = mine:STEP
"""
RECIPE = """
name: own
precision: fp32
threads: 1
policy: {hidden: 32, layers: 2, heads: 4, vocabulary: 600, max_positions: 160}
world: {kind: pocket, documents: 200, demonstrations: 100, train_prompts: 60, validation_prompts: 10, test_prompts: 20}
data: {max_length: 160}
steps:
  pretrain: {max_steps: 10}
  sft: {max_steps: 5}
  rank: {by: "shorter:", prompts: 20, max_new_tokens: 12}
  count: {times: 2}
  squared: {}
  centered: {reward: "python:mine_reward:score", iterations: 1, prompts_per_iteration: 8, samples_per_prompt: 2,
             minibatch: 16, max_new_tokens: 12}
evaluate: {prompts: 10, max_new_tokens: 12, temperatures: [], show: 4}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(MINE)
    (folder / "mine_reward.py").write_text("def score(sample):\n    return -float(len(sample.answer))\n")
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    (folder / "own.yaml").write_text(RECIPE)
    return folder


def plaudit(home, *words, check=True):
    path = os.pathsep.join(p for p in (str(home), os.environ.get("PYTHONPATH")) if p)
    done = subprocess.run(
        [sys.executable, "-m", "plaudit", *words],
        cwd=home,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert not check or done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_help_lists_them_and_each_has_its_own(home):
    shown = plaudit(home, "--help")
    assert "squared" in shown and "centered" in shown and "Learn from rankings by mine:squared." in shown
    assert "Needs preferences and reference" in " ".join(plaudit(home, "squared", "--help").split())


def test_a_run_plans_trains_and_reports_them(home):
    planned = plaudit(home, "run", "own.yaml", "--dry-run")
    for step in ("rank", "count", "squared", "centered"):
        assert step in planned
    assert "by shorter:" in planned and "reward mine_reward:score" in planned
    assert not (home / "runs").exists()
    plaudit(home, "run", "own.yaml")
    run = home / "runs" / "own"
    rank, count = (json.loads((run / f"stages/{s}/stage.json").read_text()) for s in ("rank", "count"))
    assert count["counted"] == 2 * (rank["rankings"] + rank["held_out"]) > 0
    rows = [json.loads(line) for line in (run / "stages/rank/train.jsonl").read_text().splitlines()]
    assert all(
        len(r["responses"][r["groups"][0][0]]["text"]) == min(len(a["text"]) for a in r["responses"])
        for r in rows
    )
    summary = json.loads((run / "summary.json").read_text())
    assert summary["policies"]["end"] == "centered" and summary["kl"]["by_step"]["squared"]["exact"] > 0
    page = (run / "report.html").read_text()
    assert "Squared loss" in page and "Centered REINFORCE" in page and "Counting" in page
    assert "model: own@centered" in plaudit(home, "sample", "runs/own", "hello", "--max-new-tokens", "4")


def test_a_changed_function_of_ones_own_runs_its_step_again_and_a_comment_does_not(home):
    reward = home / "mine_reward.py"
    reward.write_text("# why: long answers bore\n" + reward.read_text())
    assert "centered: unchanged, skipped" in plaudit(home, "run", "own.yaml")
    reward.write_text(reward.read_text().replace("-float", "-2 * float"))
    shown = plaudit(home, "run", "own.yaml")
    assert "centered: started" in shown and "squared: unchanged, skipped" in shown


def test_a_layout_of_ones_own_is_converted_by_name(home):
    (home / "ours.jsonl").write_text('{"q": "why?", "a": "because."}\n')
    assert "our_layout" in plaudit(home, "data", "list")
    plaudit(home, "data", "convert", "our_layout", "ours.jsonl", "out.jsonl")
    assert "because." in (home / "out.jsonl").read_text()


@pytest.mark.slow
def test_compare_takes_them(home):
    sets = ["--set", "world.test_prompts=20", "--set", "evaluate.prompts=10"]
    words = ["--methods", "squared", "--step", "squared", "--grid", "squared.beta=0.1", "--jobs", "1"]
    shown = plaudit(home, "compare", "own.yaml", *words, *sets)
    assert "Squared loss" in shown
    assert "Squared loss" in next(home.glob("runs/compare-own/compare.html")).read_text()


def test_a_package_that_cannot_be_loaded_is_named(home):
    entries = home / "mine-1.0.dist-info" / "entry_points.txt"
    before = entries.read_text()
    entries.write_text(before.replace("mine:STEP", "mine:NOTHING"))
    try:
        shown = plaudit(home, "run", "own.yaml", "--dry-run", check=False)
    finally:
        entries.write_text(before)
    assert "the entry point 'count' of plaudit.steps cannot be loaded" in shown and "Traceback" not in shown
