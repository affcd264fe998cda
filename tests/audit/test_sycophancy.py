"""Sycophancy in both directions: planted policies that agree, contradict, or do not heed what the user believes."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from made_runs import graph, small_run

from plaudit.audit.run import read_run
from plaudit.audit.sycophancy import MEASURES, changes, levels
from plaudit.audit.sycophancy_questions import QUESTIONS, TEXTS
from plaudit.audit.write import findings
from plaudit.errors import UserError
from plaudit.pipeline.suites.run_suite import evaluate_suite, suite_lines
from plaudit.pipeline.suites.sycophancy import MINE, ask, questions_of
from plaudit.runs import RunFolder

BUILT_IN = questions_of("sycophancy", None)
KNOWN = {q.text: q for q in BUILT_IN}


def believed(request):
    """What the last turn makes of the right answer: 1 the user believes it, -1 does not, 0 says nothing; its place."""
    text, last = request.messages[0].content, request.messages[-1].content
    question = KNOWN[text.partition("\n")[0]]
    first = re.search(r"\(A\) (.*)\n", text).group(1)
    place = 0 if first == question.right else 1
    if len(request.messages) > 1:
        if last.startswith("Please"):
            return 0, place
        chose = "AB".index(request.messages[1].content[1])
        return (-1 if chose == place else 1), place
    said = text.rpartition("\n\n")[2].partition(" Answer with")[0] if "\n\n" in text else ""
    if "I do not think it is" in last or "It cannot be" in last or "it is not " in said:
        return -1, place
    for answer, sign in ((question.right, 1), (question.wrong, -1)):
        if re.search(rf"(?:think it is|would be|know it is) {re.escape(answer)}[,.]", said + "."):
            return sign, place
    return 0, place


def policy(follow, *, seed=0, noise=0.5, knows=1.0, letter=0.7):
    """logit P(right) = what it knows + noise + follow · what the user believes + a liking for the letter A."""
    rng = np.random.default_rng(seed)

    def read(requests):
        found = []
        for request in requests:
            if request.labels[0] == "Good":
                sign = 1 if MINE in request.messages[0].content else -1
                logit = noise * rng.normal() + follow * sign / 2
            else:
                belief, place = believed(request)
                right = knows + noise * rng.normal() + follow * belief
                logit = (right if place == 0 else -right) + letter
            found.append((1 / (1 + math.exp(-logit)), 0.9))
        return found

    return read


def test_the_built_in_set_is_sound():
    assert len(QUESTIONS) >= 60 and len(TEXTS) >= 10
    assert len({q for q, *_ in QUESTIONS}) == len(QUESTIONS)
    assert all(right != wrong and right and wrong for _, right, wrong in QUESTIONS)


def test_the_prompts_say_what_they_are_meant_to_say():
    seen = []

    def read(requests):
        seen.append([believed(r) for r in requests if r.labels == ("A", "B")])
        return policy(0.0)(requests)

    ask(BUILT_IN, read)
    told, doubted = seen[0], seen[1]
    n = 2 * len(BUILT_IN)
    assert [{b for b, _ in told[k * n : (k + 1) * n]} for k in range(4)] == [{0}, {1}, {-1}, {-1}]
    assert sum(place for _, place in told) == len(told) // 2
    assert {b for b, _ in doubted[:n]} == {-1, 1} and {b for b, _ in doubted[n:]} == {0}


def suspected(found):
    return {name: v["suspected"] for name, v in found.items() if v["suspected"]}


def test_a_policy_that_agrees_always_is_suspected_and_one_that_contradicts_too():
    agrees, _ = ask(BUILT_IN, policy(8.0))
    found = levels(agrees)
    assert suspected(found) == dict.fromkeys(("wrong", "denied", "yields", "mine"), "sycophantic")
    assert found["wrong"]["mean"] > 0.6 and found["right"]["mean"] > 0.2
    against, _ = ask(BUILT_IN, policy(-8.0))
    assert suspected(levels(against)) == dict.fromkeys(
        ("wrong", "denied", "right", "yields", "mine"), "contrarian"
    )
    independent, mass = ask(BUILT_IN, policy(0.0))
    assert suspected(levels(independent)) == {} and mass == pytest.approx(0.9)
    turned = changes(independent, agrees)
    assert set(suspected(turned)) == {"wrong", "denied", "yields", "mine"}
    assert suspected(changes(agrees, independent)) == dict.fromkeys(
        ("wrong", "denied", "right", "yields", "mine"), "contrarian"
    )


def test_a_small_leaning_is_found_and_none_is_invented():
    """Twenty trials of the dose 0.8 logits, and of none with other noise before and after."""
    hits, alarms, turned, false = 0, 0, 0, 0
    for seed in range(20):
        none, _ = ask(BUILT_IN, policy(0.0, seed=seed))
        other, _ = ask(BUILT_IN, policy(0.0, seed=seed + 1000))
        leaning, _ = ask(BUILT_IN, policy(0.8, seed=seed + 2000))
        hits += "wrong" in suspected(levels(leaning))
        turned += "wrong" in suspected(changes(none, leaning))
        alarms += bool(suspected(levels(none)))
        false += bool(suspected(changes(none, other)))
    assert hits >= 18 and turned >= 18
    assert alarms <= 2 and false <= 2


def test_a_sure_policy_that_yields_is_told_from_one_that_wavers():
    """Without a leaning a policy that is unsure changes its answers too; that is no sycophancy."""
    unsure, _ = ask(BUILT_IN, policy(0.0, knows=0.2, noise=2.0, seed=4))
    assert "yields" not in suspected(levels(unsure))


STEPS = graph(
    pretrain={"kind": "pretrain"},
    sft={"kind": "sft", "start": "pretrain"},
    ppo={"kind": "ppo", "start": "sft", "on": ("prompts",), "rewards": ("step:reward",)},
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose end agrees with everything."""
    path = small_run(tmp_path / "run", STEPS)
    for step in ("sft", "ppo"):
        record = RunFolder(path).stage(step).read_json()
        RunFolder(path).stage(step).write_json("stage.json", {**record, "key": f"key of {step}"})
    monkeypatch.setattr(
        "plaudit.pipeline.suites.sycophancy.readings_of",
        lambda folder, step: policy(6.0 if step == "ppo" else 0.0),
    )
    return path


def test_the_suite_needs_no_file_and_its_suspicions_are_findings(run):
    found = evaluate_suite(run, "sycophancy")
    assert set(found["policies"]) == {"sft", "ppo"} and set(found["change"]) == set(MEASURES)
    shown = suite_lines("sycophancy", found)
    assert any(line.startswith("suspected sycophantic: follows a wrong belief") for line in shown)
    (named,) = [f for f in findings(read_run(run)) if f.rule in ("sycophantic", "contrarian")]
    assert (
        named.rule == "sycophantic"
        and "Suspected" in named.sentence
        and "would have been found" in named.evidence
    )
    found["policies"]["ppo"]["mass"] = 0.1  # its replies begin with something else
    assert suite_lines("sycophancy", found)[-1] == "nothing is suspected"
    stage = RunFolder(run).stage("ppo")
    stage.write_json("stage.json", {**stage.read_json(), "key": "trained anew"})
    assert not [f for f in findings(read_run(run)) if f.rule == "sycophantic"]


def test_questions_of_ones_own_are_asked(run, tmp_path):
    file = tmp_path / "own.jsonl"
    rows = [{"question": q, "right": r, "wrong": w} for q, r, w in QUESTIONS[:12]]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = evaluate_suite(run, f"sycophancy:{file}")
    assert found["policies"]["sft"]["accuracy"]["questions"] == 12
    with pytest.raises(UserError, match="4 questions show nothing"):
        evaluate_suite(run, f"sycophancy:{file}", limit=4)
    file.write_text(json.dumps({"question": "a", "right": "b"}) + "\n")
    with pytest.raises(UserError, match="expected: question, right, wrong"):
        evaluate_suite(run, f"sycophancy:{file}")
