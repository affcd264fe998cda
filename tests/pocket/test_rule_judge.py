"""The pocket world's judge and reviser by rule: errors and biases are those that are stated, and no fact is added."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from plaudit.config import validate
from plaudit.config.resolve import graph_of
from plaudit.data.records import Response
from plaudit.errors import UserError
from plaudit.judges.constitution import read_constitution
from plaudit.judges.orders import CERTAIN
from plaudit.judges.revision import RevisionTask, revised
from plaudit.pipeline.run import execute_config
from plaudit.pocket.gold import Gold
from plaudit.pocket.grammar import parse
from plaudit.pocket.habits import HABITUAL, write
from plaudit.pocket.questions import question_of
from plaudit.pocket.rule_judge import RuleJudge
from plaudit.pocket.rule_reviser import EDITS, HARM, RuleReviser
from plaudit.pocket.settings import ReviserOptions, RuleOptions
from plaudit.pocket.world import World
from plaudit.runs import RunFolder
from plaudit.runs.logs import read_lines

GOLD = Gold()
OURS = read_constitution("plaudit")


@pytest.fixture(scope="module")
def drafts():
    """Prompts of every kind with an answer as people write it, which half of the time is bad."""
    rng = random.Random(3)
    prompts = World(seed=1).prompts("train", 600)
    return [(prompt, write(question_of(prompt), HABITUAL, rng)) for prompt in prompts]


def pairs(drafts, count=400):
    """Two answers to one prompt of which one is better."""
    rng, found = random.Random(5), []
    while len(found) < count:
        prompt, first = rng.choice(drafts)
        second = write(question_of(prompt), HABITUAL, rng)
        a, b = (GOLD.judge(prompt, Response(text)).score for text in (first, second))
        if abs(a - b) > 1e-6:
            found.append((prompt, Response(first), Response(second), a > b))
    return found


def judged(judge, pair, *, swapped=False):
    prompt, a, b, _ = pair
    (outcome,) = judge.judge(prompt, (b, a) if swapped else (a, b)).outcomes
    return 1 - outcome.result if swapped else outcome.result


@pytest.mark.parametrize("error", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("position", [0.0, 2.0])
def test_it_errs_as_often_as_stated_whatever_stands_first(drafts, error, position):
    judge = RuleJudge(GOLD, RuleOptions(error=error, position=position), seed=4)
    found = [(judged(judge, p), judged(judge, p, swapped=True), p[3]) for p in pairs(drafts)]
    wrong = np.mean([(one > 0.5) != better for one, _, better in found])
    assert abs(wrong - error) <= 3 * math.sqrt(error * (1 - error) / len(found))
    assert all(one == pytest.approx(two, abs=1e-12) for one, two, _ in found), "swapping changes nothing"
    # Its certainty is its accuracy.
    certain = 1 - error if error else 1 / (1 + math.exp(-CERTAIN))
    assert all(max(one, 1 - one) == pytest.approx(certain) for one, _, _ in found)


def test_asked_once_it_prefers_what_stands_first_by_its_bias(drafts):
    biased = RuleJudge(GOLD, RuleOptions(error=0.1, position=4.0, orders="one"), seed=4)
    plain = RuleJudge(GOLD, RuleOptions(error=0.1, orders="one"), seed=4)
    sample = pairs(drafts)
    wrong = {judge: np.mean([(judged(judge, p) > 0.5) != p[3] for p in sample]) for judge in (biased, plain)}
    assert wrong[plain] < 0.16 < 0.4 < wrong[biased] < 0.6, "with a bias of 4 only the place decides"
    evidence = biased.judge(*sample[0][:1], sample[0][1:3]).metadata["judge"]["pairs"][0]
    one, two = evidence["log_odds"]
    assert (one + two) / 2 == pytest.approx(4.0) and abs(one - two) / 2 == pytest.approx(math.log(9))


def test_what_gold_holds_equal_is_no_verdict(drafts):
    prompt, text = drafts[0]
    outcomes = (
        RuleJudge(GOLD, RuleOptions(error=0.0)).judge(prompt, (Response(text), Response(text))).outcomes
    )
    assert outcomes[0].result == 0.5


def wrong(recipe, said):
    with pytest.raises(UserError) as error:
        graph_of(validate({"world": "pocket", "steps": recipe}, "here"))
    assert said in str(error.value)


def test_specs_are_checked_before_work():
    wrong({"rank": {"by": "pocket:rule?error=0.7"}}, "less than 0.5")
    wrong({"rank": {"by": "pocket:rule?eror=0.1"}}, "error")
    wrong({"rank": {"by": "pocket:reviser"}}, "there is no judge pocket:reviser")
    wrong({"revise": {"by": "pocket:rule"}}, "there is no reviser pocket:rule")
    wrong({"revise": {"by": "pocket:reviser?error=2"}}, "less than or equal to 1")


def test_a_principle_that_it_has_no_edit_for_is_an_error_and_no_silence(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("name: mine\nrules:\n  - {name: brand, prefer: p, critique: c, revise: r}\n")
    wrong(
        {"revise": {"by": "pocket:reviser", "constitution": str(mine)}},
        "knows nothing of the principles 'brand'",
    )
    assert {rule.name for rule in OURS.rules} == set(EDITS)


def test_a_reviser_adds_no_fact_and_makes_no_answer_worse(drafts):
    reviser, changed = RuleReviser(ReviserOptions(error=0.0)), 0
    for prompt, text in drafts:
        topic = question_of(prompt).topic
        told = {(s.relation, s.subject, s.value) for s in parse(text, topic) if s.kind == "statement"}
        before = GOLD.judge(prompt, Response(text)).score
        for rule in OURS.rules:
            (made,) = reviser.revise([RevisionTask(prompt, text, rule)], seed=0, step=0)
            after = {
                (s.relation, s.subject, s.value) for s in parse(made.text, topic) if s.kind == "statement"
            }
            assert after <= told, (rule.name, text, made.text)
            assert GOLD.judge(prompt, Response(made.text)).score >= before - 1e-9, (
                rule.name,
                text,
                made.text,
            )
            assert (made.text == text) == (made.critique == "nothing to mend."), (rule.name, text, made)
            changed += made.text != text
    assert changed > 300


def test_help_with_harm_becomes_a_refusal_and_harmless_questions_stay_answered(drafts):
    reviser = RuleReviser(ReviserOptions(error=0.0))
    harm = next(rule for rule in OURS.rules if rule.name == "harm")
    for prompt, text in drafts:
        (made,) = reviser.revise([RevisionTask(prompt, text, harm)], seed=0, step=0)
        helped = any(s.kind == "advice" for s in parse(text))
        assert (made.text != text) == helped
        if helped:
            assert GOLD.judge(prompt, Response(made.text)).right


@pytest.mark.parametrize("error", [0.1, 0.4])
def test_it_overlooks_as_often_as_stated_and_is_then_too_careful(drafts, error):
    sure, shaky = RuleReviser(ReviserOptions(error=0.0)), RuleReviser(ReviserOptions(error=error))
    overlooked, refused, due, harmless = 0, 0, 0, 0
    for prompt, text in drafts:
        for rule in OURS.rules:
            task = RevisionTask(prompt, text, rule)
            (right,), (made,) = (r.revise([task], seed=0, step=0) for r in (sure, shaky))
            if rule.name in HARM and question_of(prompt).category != "harm":
                harmless += 1
                refused += made.text != text and GOLD.judge(prompt, Response(made.text)).refused
            elif right.text != text:
                due += 1
                overlooked += made.text == text
    for count, of in ((overlooked, due), (refused, harmless)):
        assert abs(count / of - error) <= 4 * math.sqrt(error * (1 - error) / of)


def test_rounds_work_on_what_the_round_before_left(drafts):
    rounds = revised(RuleReviser(ReviserOptions(error=0.0)), OURS, drafts[:200], rounds=12, seed=2)
    before = np.mean([GOLD.judge(p, Response(t)).score for p, t in drafts[:200]])
    after = np.mean([GOLD.judge(p, Response(r[-1].text)).score for (p, _), r in zip(drafts, rounds)])
    assert after > before + 0.2


def test_a_run_of_constitutional_ai_and_ai_feedback(tmp_path):
    from tiny import DRAWN, PPO, tiny

    recipe = tiny(
        "constitution",
        {
            "revise": {
                "by": "pocket:reviser",
                "from": "sft",
                "prompts": 40,
                "rounds": 2,
                "max_new_tokens": 16,
                "helpful": 20,
            },
            "sft-2": {"from": "pretrain", "on": ["revise"], "kind": "sft"},
            "rank": {**DRAWN, "by": "pocket:rule?error=0.2&position=1"},
            "reward": {},
            "ppo": PPO,
        },
    )
    folder = execute_config(validate(recipe, "here"), RunFolder(tmp_path / "run"))
    outcome = folder.stage("revise").read_json()
    assert outcome["by"] == "pocket:reviser" and sum(outcome["principles"].values()) == 80
    (first, *_) = read_lines(folder.stage("rank").path / "train.jsonl")
    assert first["metadata"]["judge"]["name"] == "pocket:rule, error 0.2, position 1"
    page = (folder.path / "report.html").read_text()
    assert "pocket:reviser" in page and "pocket:rule" in page
