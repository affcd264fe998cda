"""`evaluate.judge`: the judge that a recipe names chooses temperatures and compares; none that taught the run."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from toy import rankings, toy_policy

from plaudit.audit.run import read_run
from plaudit.audit.verdict import verdict
from plaudit.config import validate
from plaudit.config.resolve import graph_of
from plaudit.data.records import Comparisons, Outcome, Prompt, Response
from plaudit.data.records.writers import write_jsonl
from plaudit.errors import UserError
from plaudit.models.policy import save_policy
from plaudit.pipeline.run import run
from plaudit.pipeline.steps import evaluation_judge
from plaudit.pipeline.steps.evaluation_judge import PairJudge
from plaudit.runs import RunFolder, Stage
from plaudit.runtime import Mesh

SHORTER = """\
def shorter(prompt, first, second):
    return 0.5 + 0.5 * ((len(first) < len(second)) - (len(first) > len(second)))
"""
SPEC = "python:judge_of_lengths:shorter?gate=off"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("judged")
    save_policy(toy_policy(), root / "model", card="toy")
    write_jsonl(rankings(60), root / "prefs.jsonl")
    (root / "judge_of_lengths.py").write_text(SHORTER)
    sys.path.insert(0, str(root))
    yield root
    sys.path.remove(str(root))


def recipe(home, judge, steps=None, **evaluate):
    steps = steps or {"dpo": {"max_steps": 2, "batch_size": 8}}
    raw = {
        "name": "judged",
        "threads": 1,
        "policy": {"path": str(home / "model")},
        "data": {"preferences": str(home / "prefs.jsonl"), "preference_validation": 0.5, "max_length": 120},
        "steps": steps,
        "evaluate": {
            "judge": judge,
            "max_new_tokens": 6,
            "temperatures": [0.5],
            "prompts": 12,
            "show": 4,
            **evaluate,
        },
    }
    return validate(raw, "judged")


@pytest.fixture(scope="module")
def made(home):
    return run(recipe(home, SPEC), out=home / "run")


def test_it_chooses_temperatures_and_compares_and_the_report_names_it(made):
    summary = json.loads((made.path / "summary.json").read_text())
    name = "python:judge_of_lengths:shorter"
    assert summary["judge"] == name and summary["evaluator"]["spec"] == name
    assert summary["evaluator"]["gate"] == "off" and summary["unchecked_judges"] == {"evaluate": name}
    best = summary["best_temperature"]
    assert set(best["validation"]["end"]) == {"0.5", "1.0"}
    # Of itself at the usual temperature, the start wins one half.
    assert best["validation"]["start"]["1.0"] == 0.5
    chosen = best["temperature"]["end"]
    assert best["validation"]["end"][str(chosen)] == max(best["validation"]["end"].values())
    page = (made.path / "report.html").read_text()
    assert name in page and "nothing compared the answers" not in page
    assert any("nobody has held it against people" in c for c in verdict(read_run(made.path)).caveats)


def test_its_win_rate_is_that_of_the_stored_answers(made):
    rows = RunFolder(made.path).stage("evaluate").answers()
    places = json.loads((made.path / "summary.json").read_text())["policies"]
    pairs = [(r["answers"][places["end"]]["text"], r["answers"][places["start"]]["text"]) for r in rows]
    wins = [0.5 if len(a) == len(b) else float(len(a) < len(b)) for a, b in pairs]
    found = json.loads((made.path / "summary.json").read_text())["win_rate"]["end_vs_start"]
    assert found["mean"] == pytest.approx(np.mean(wins)) and found["pairs"] == len(rows) == 12
    assert found["controlled"]["low"] <= found["controlled"]["mean"] <= found["controlled"]["high"]


@pytest.mark.parametrize(
    ("judge", "steps", "words"),
    [
        (SPEC, {"rank": {"by": SPEC, "prompts": 4}, "dpo": {}}, "also gives what the run learns from"),
        ("reward:reward", {"reward": {}, "dpo": {}}, "also gives what the run learns from"),
        ("nobody:x", None, "there is no judge"),
        ("local:", None, "local: names no model"),
    ],
)
def test_a_judge_that_taught_the_run_or_is_none_is_refused_before_work(home, judge, steps, words):
    with pytest.raises(UserError, match=words):
        graph_of(recipe(home, judge, steps))


def test_a_teacher_may_judge_where_that_is_forced_and_the_report_says_it(home):
    steps = {"rank": {"by": SPEC, "prompts": 4}, "dpo": {}}
    assert graph_of(recipe(home, SPEC, steps, force_judge=True))["evaluate"].settings.force_judge


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"proxy": {}}, "proxy and judge exclude each other"),
        ({"judge": "people"}, "people are asked in a rank step"),
        ({"judge": None, "force_judge": True}, "force_judge needs judge"),
    ],
)
def test_what_does_not_go_with_a_judge(home, changes, words):
    with pytest.raises(UserError, match=words):
        recipe(home, **{"judge": SPEC, **changes})


def test_without_peoples_rankings_a_gated_judge_needs_gate_off(home, tmp_path):
    write_jsonl([Prompt.user(f"q {i}") for i in range(20)], tmp_path / "p.jsonl")
    config = recipe(home, "python:judge_of_lengths:shorter")
    assert graph_of(config)  # data.preferences are people's
    raw = {
        "name": "none",
        "policy": {"path": str(home / "model")},
        "data": {"prompts": str(tmp_path / "p.jsonl")},
        "steps": {"grpo": {"reward_function": "judge_of_lengths:shorter"}},
        "evaluate": {"judge": "python:judge_of_lengths:shorter"},
    }
    with pytest.raises(UserError, match="before its verdicts count"):
        graph_of(validate(raw, "none"))


class Half:
    """Says nothing of every second pair."""

    def judge(self, prompt, responses):
        known = int(prompt.text.split()[-1]) % 2 == 0
        return Comparisons(prompt, tuple(responses), (Outcome(0, 1, 1.0),) if known else ())


def test_pairs_without_a_verdict_are_neither_wins_nor_losses(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation_judge, "checked_judge", lambda *a: (Half(), {}))
    spec = validate({"name": "x", "world": {"kind": "pocket"}, "steps": {"rank": {"by": "pocket:rule"}}}, "x")
    context = SimpleNamespace(mesh=Mesh(), graph=SimpleNamespace(nodes={}))
    judge = PairJudge(context, None, Stage(tmp_path), spec.steps["rank"].settings.by)

    def samples(text):
        prompts = [Prompt.user(f"q {i}") for i in range(6)]
        return [SimpleNamespace(prompt=p, response=Response(text), answer=text) for p in prompts]

    shares = judge.shares(samples("a"), samples("b"))
    assert np.isnan(shares).tolist() == [False, True] * 3 and np.nansum(shares) == 3
    found = judge.win_rate(samples("a"), samples("b"))
    assert found["mean"] == 1.0 and found["pairs"] == found["abstained"] == 3
    assert judge.shares(samples("a"), samples("a")).tolist() == [0.5] * 6, "the same text is not asked about"
