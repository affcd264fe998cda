"""A package of one file adds a loss, an advantage estimator, a judge and a step: they are there like plaudit's own."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
import warm
from toy import rankings, toy_policy

import plaudit as api
from plaudit.judges.function import FunctionJudge

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
KINDS = [code for code in EXAMPLES if re.search(r"(?<!from )plaudit\.", code)]
MINE = "import torch\n" + "\n\n".join(code for code in EXAMPLES if code not in KINDS)
MINE_KINDS = (
    "import plaudit\n"
    + "\n\n".join(KINDS)
    + '''

def row(values):
    """A demonstration of one row of our own layout."""
    yield plaudit.Demonstration(plaudit.Prompt.user(values["q"]), plaudit.Response(values["a"]))


def reader():
    from plaudit.data.readers.convert import Converter
    from plaudit.registry import ReaderKind

    return ReaderKind("our_layout", "q and a", Converter("q and a → demonstrations", ("*.jsonl",), row))


READER = reader()
'''
)
ENTRIES = """
[plaudit.methods]
squared = mine_kinds:LOSS
centered = mine_kinds:ESTIMATOR

[plaudit.judges]
shorter = mine_kinds:JUDGE

[plaudit.readers]
ours = mine_kinds:READER

[plaudit.steps]
count = mine_kinds:STEP
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
  centered: {reward: "python:mine_reward:brief", iterations: 1, prompts_per_iteration: 8, samples_per_prompt: 2,
             minibatch: 16, max_new_tokens: 12}
evaluate: {prompts: 10, max_new_tokens: 12, temperatures: [], show: 4}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(MINE)
    (folder / "mine_kinds.py").write_text(MINE_KINDS)
    (folder / "mine_reward.py").write_text(next(code for code in EXAMPLES if "def brief" in code))
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    (folder / "own.yaml").write_text(RECIPE)
    return folder


def plaudit(home, *words, check=True):
    path = os.pathsep.join(p for p in (str(home), os.environ.get("PYTHONPATH")) if p)
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = warm.python("-m", "plaudit", *words, cwd=home, env=env)
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
    assert "by shorter:" in planned and "reward mine_reward:brief" in planned
    assert not (home / "runs").exists()
    plaudit(home, "run", "own.yaml")
    run = home / "runs" / "own"
    rank, count = (json.loads((run / f"stages/{s}/stage.json").read_text()) for s in ("rank", "count"))
    assert count["counted"] == 2 * (rank["rankings"] + rank["held_out"]) > 0
    rows = [json.loads(line) for line in (run / "stages/rank/train.jsonl").read_text().splitlines()]
    for row in rows:
        # An answer of which nothing else is known is its text alone.
        texts = [a if isinstance(a, str) else a["text"] for a in row["responses"]]
        assert len(texts[row["groups"][0][0]]) == min(map(len, texts))
    assert rows
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


def test_the_same_from_python(home, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(home)
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # another test's own module has this name too
    import mine

    policy, asked = toy_policy(), rankings()
    dpo = api.Dpo(loss="mine:squared", max_steps=1)
    assert api.dpo(policy, asked, dpo, out=tmp_path / "dpo").steps == 1
    few = {
        "iterations": 1,
        "prompts_per_iteration": 2,
        "samples_per_prompt": 2,
        "minibatch": 4,
        "max_new_tokens": 4,
    }
    grpo = api.Grpo(algorithm="mine:Centered", **few)
    reward = api.FunctionReward(mine.brief)
    assert api.grpo(policy, reward, [r.prompt for r in asked], grpo, out=tmp_path / "grpo").iterations == 1
    judged = FunctionJudge(mine.likes_short).judge(
        asked[0].prompt, (api.Response("brief"), api.Response("very long"))
    )
    assert [o.result for o in judged.outcomes] == [1.0]


def test_every_example_is_twenty_lines_at_most():
    assert len(EXAMPLES) >= 7 and all(len(code.splitlines()) <= 20 for code in EXAMPLES)


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
    entries.write_text(before.replace("mine_kinds:STEP", "mine_kinds:NOTHING"))
    try:
        shown = plaudit(home, "run", "own.yaml", "--dry-run", check=False)
    finally:
        entries.write_text(before)
    assert "the entry point 'count' of plaudit.steps cannot be loaded" in shown and "Traceback" not in shown
