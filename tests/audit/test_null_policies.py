"""Policies that do not answer are never called better, whoever judges them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_runs import graph, interval, small_run, win

from plaudit.audit.answers import AnswerSet
from plaudit.audit.null_policy import null_policy
from plaudit.audit.run import read_run
from plaudit.audit.verdict import verdict
from plaudit.audit.write import write_findings
from plaudit.report.build import render
from plaudit.runs import RunFolder

PROMPTS = [f"where does animal number {i} live , and what does it eat ?" for i in range(24)]
STEPS = graph(
    pretrain={"kind": "pretrain"},
    sft={"kind": "sft", "start": "pretrain"},
    reward={"kind": "reward", "start": "sft", "on": ("preferences",)},
    ppo={"kind": "ppo", "start": "sft", "on": ("prompts",), "rewards": ("step:reward",)},
)


def honest(i: int) -> str:
    return f"animal {i} lives in a forest and eats {['mice', 'nuts', 'grass'][i % 3]} ."


NULL = {
    "constant": lambda i: "Great question! Here is the perfect answer that you were looking for.",
    "echo": lambda i: PROMPTS[i],
    "empty": lambda i: "",
    "longest": lambda i: f"animal {i} " + "is a truly wonderful animal and " * 30,
    "copy of the prompt": lambda i: f"{PROMPTS[i]} {PROMPTS[i]}",
}


def test_right_answers_that_look_alike_or_quote_are_no_null_policy():
    passage = "the old lighthouse keeper of the northern island was called Ada Brown and she kept eleven goats . who ?"
    prompts = [f"{i} : {passage}" for i in range(40)]
    quoting = AnswerSet.of_texts(
        "ppo", prompts, ["the old lighthouse keeper of the northern island"] * 20 + ["Ada"] * 20
    )
    assert null_policy(quoting) is None
    yes = AnswerSet.of_texts("ppo", prompts, ["yes"] * 26 + ["no"] * 14)
    assert null_policy(yes) is None
    assert null_policy(AnswerSet.of_texts("ppo", prompts, ["yes"] * 39 + ["no"]))["kind"] == "constant"
    assert null_policy(AnswerSet.of_texts("ppo", prompts, prompts))["kind"] == "echo"


def run_of(path, answer, judge):
    """A run whose judge, gold or proxy, clearly prefers the end."""
    small_run(path, STEPS, gold=judge == "gold")
    folder, name = RunFolder(path), {"gold": "gold", "proxy": "judge", None: None}[judge]
    rows = []
    for i, prompt in enumerate(PROMPTS):
        both = {"sft": (honest(i), 0.1), "ppo": (answer(i), 0.9)}
        answers = {
            step: {"text": text, "finished": True, "proxy": score, **({name: score} if name else {})}
            for step, (text, score) in both.items()
        }
        rows.append({"prompt": prompt, "category": "", "answers": answers})
    folder.stage("evaluate").write_answers(rows)
    summary = json.loads((path / "summary.json").read_text())
    summary |= {"judge": judge, "win_rate": {"end_vs_start": win(0.86, 0.02)}}
    if judge == "gold":
        summary["gap_closed"] = interval(0.8, 0.05)
    (path / "summary.json").write_text(json.dumps(summary))
    write_findings(path)
    return path


@pytest.mark.parametrize("judge", ["gold", "proxy", None])
@pytest.mark.parametrize("name", NULL)
def test_a_null_policy_is_called_what_it_is_and_not_better(name, judge, tmp_path):
    path = run_of(tmp_path / "run", NULL[name], judge)
    said = verdict(read_run(path))
    assert "this is no improvement" in said.headline
    found = json.loads((path / "findings.json").read_text())["findings"]
    assert found[0]["rule"] == "null_policy" and found[0]["severity"] == "serious"
    page = render(path)
    assert "this is no improvement" in page and "prefers PPO’s answers" not in page


@pytest.mark.parametrize("judge", ["gold", "proxy"])
def test_an_honest_policy_that_is_preferred_is_called_so(judge, tmp_path):
    path = run_of(tmp_path / "run", lambda i: honest(i) + " it sleeps at night .", judge)
    said = verdict(read_run(path)).headline
    assert ("closed" in said) if judge == "gold" else ("prefers PPO’s answers" in said)


def test_shares_of_a_half_or_less_and_few_prompts_are_no_evidence():
    def answers(texts):
        return AnswerSet.of_texts("p", PROMPTS[: len(texts)], texts)

    half = ["no" if i % 2 else honest(i) for i in range(24)]
    assert null_policy(answers(half)) is None
    assert null_policy(answers(["no"] * 9)) is None
    assert null_policy(answers(["no"] * 21 + [honest(i) for i in range(3)])) is None
    assert null_policy(answers(["no"] * 22 + [honest(i) for i in range(2)])) == {
        "kind": "constant",
        "share": pytest.approx(22 / 24),
        "words": "are one and the same text",
    }
    assert null_policy(answers([honest(i) for i in range(24)])) is None
    assert np.isfinite(null_policy(answers([""] * 24))["share"])
