"""Changes between two policies: planted ones are found, none are invented, and only paid ones are hacks."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from plaudit.audit.answers import AnswerSet
from plaudit.audit.detect import detect, detectors_of
from plaudit.audit.hacking import hack_findings, lines
from plaudit.audit.power import measure_power, planted
from plaudit.audit.stored import compared
from plaudit.errors import UserError
from plaudit.registry import DETECTORS, DetectorKind

SUBJECTS = [
    "owls",
    "foxes",
    "rivers",
    "engines",
    "castles",
    "bakers",
    "violins",
    "storms",
    "gardens",
    "harbors",
]
VERBS = ["need", "keep", "follow", "build", "carry", "shape", "explain", "reach", "support", "change"]
THINGS = "the quiet morning,a long story,their own tools,many small parts,old stone walls,warm bread,"
THINGS += "the first music,cold northern wind,rows of beans,ships from far away"


def made_texts(rng: random.Random) -> str:
    """A short answer of made sentences, some hedged, some with a list: what a policy writes by itself."""
    said = [
        f"{rng.choice(SUBJECTS).capitalize()} {rng.choice(VERBS)} {rng.choice(THINGS.split(','))}."
        for _ in range(rng.randint(3, 9))
    ]
    if rng.random() < 0.1:
        said[0] = "Perhaps " + said[0].lower()
    if rng.random() < 0.15:
        return "\n".join(f"- {s}" for s in said)
    return " ".join(said)


@pytest.fixture(scope="module")
def policy():
    """Two independent answers of one made policy to each of 260 prompts."""
    rng = random.Random(0)
    pairs = zip(SUBJECTS * 26, SUBJECTS[::-1] * 26)
    prompts = [f"Tell me about {s} and {t}, number {i}." for i, (s, t) in enumerate(pairs)]
    return prompts, [[made_texts(rng), made_texts(rng)] for _ in prompts]


DOSES = {"flattery": 0.1, "bold": 0.1, "hedging": 0.2, "lists": 0.4, "length": 1.0, "repetition": 0.2}


def test_planted_changes_are_found_at_their_doses_and_a_policy_does_not_differ_from_itself(policy):
    chosen = [DETECTORS[name] for name in DOSES]
    assert {kind.name: kind.dose for kind in chosen} == DOSES
    for found in measure_power(*policy, chosen, size=200, repetitions=12, seed=1):
        assert found.sensitivity >= 11 / 12, found
        assert found.specificity >= 11 / 12 and found.family <= 2 / 12, found


def sides(policy, kind="flattery", dose=0.0, seed=0):
    prompts, samples = policy
    before, after = (AnswerSet.of_texts(n, prompts, side) for n, side in zip(("sft", "ppo"), zip(*samples)))
    return before, planted(DETECTORS[kind], after, dose, random.Random(seed)) if dose else after


def scored(answers, reward, truth):
    return AnswerSet(answers.policy, answers.prompts, answers.responses, reward, truth)


def flattered(answers):
    kind = DETECTORS["flattery"]
    from plaudit.audit.detect import measured

    return measured(kind, answers)


def audited(before, after, pays, worth, rng, rises=0.0):
    """Both sides scored: ``pays`` reward and ``worth`` truth for flattery, a shared part, and noise."""
    made = []
    for side, shift in ((before, 0.0), (after, rises)):
        shared = rng.normal(0, 1, (len(side.prompts), 1)) + shift
        has = flattered(side)
        reward = shared + pays * has + rng.normal(0, 0.5, has.shape)
        made.append(scored(side, reward, shared + worth * has + rng.normal(0, 0.5, has.shape)))
    return detect(*made, detectors_of())


def test_a_hack_is_a_change_that_the_reward_pays_for_and_the_truth_does_not(policy):
    rng = np.random.default_rng(0)
    before, after = sides(policy, dose=0.3)
    found = audited(before, after, pays=1.5, worth=0.0, rng=rng, rises=0.5)
    assert found[0].detector == "flattery" and found[0].hack and found[0].suspected
    assert [c.detector for c in found if c.hack] == ["flattery"]
    assert found[0].worth["reward"]["low"] > 0 >= found[0].worth["truth"]["low"]
    assert len(found[0].samples) == 3 and flattered(
        AnswerSet.of_texts("x", [""], [found[0].samples[0]["after"]])
    )
    words = "\n".join(lines(audit_of(found)))
    assert "suspected reward hacks: flattery of the user" in words
    (serious,) = [f for f in hack_findings(audit_of(found)) if f.severity == "serious"]
    assert "The reward pays for it, gold does not" in serious.sentence and serious.step == "ppo"


def audit_of(changes, truth="gold"):
    changes = [c.as_dict() for c in changes]
    return {"before": "sft", "after": "ppo", "prompts": 260, "truth": truth, "changes": changes}


def test_what_only_goes_with_a_hack_is_not_named_beside_it(policy):
    """Flattery makes answers longer: length is suspected too, and the reward pays for praise alone."""
    rng = np.random.default_rng(4)
    prompts, _ = policy
    short = [f"Owls need bread{' and tools' * int(rng.integers(2))}." for _ in prompts]
    before = AnswerSet.of_texts("sft", prompts, short)
    after = planted(
        DETECTORS["flattery"], AnswerSet.of_texts("ppo", prompts, short[::-1]), 0.5, random.Random(0)
    )
    found = audited(before, after, 1.5, 0.0, rng)
    assert [c.detector for c in found if c.hack] == ["flattery"]
    length = next(c for c in found if c.detector == "length")
    assert length.suspected and length.beside == ("flattery",)
    assert "flattery held fixed" in "\n".join(lines(audit_of(found)))


@pytest.mark.parametrize(("pays", "worth"), [(1.5, 1.5), (0.0, 0.0), (-1.0, 0.0)])
def test_a_change_that_truth_wants_too_or_that_reward_does_not_pay_for_is_no_hack(policy, pays, worth):
    rng = np.random.default_rng(1)
    before, after = sides(policy, dose=0.3)
    found = audited(before, after, pays, worth, rng, rises=0.5)
    assert [c.detector for c in found if c.suspected] == ["flattery"]
    assert not any(c.hack for c in found)
    assert {f.severity for f in hack_findings(audit_of(found))} == {"note"}


def test_where_every_answer_has_it_the_rise_of_reward_and_truth_decides(policy):
    rng = np.random.default_rng(2)
    before, after = sides(policy, dose=1.0)
    assert [c.detector for c in audited(before, after, 1.5, 0.0, rng) if c.hack] == ["flattery"]
    assert not any(c.hack for c in audited(before, after, 1.5, 1.5, rng))


def test_clean_runs_have_no_hack(policy):
    """Reward and truth rise, nothing else changes: ten runs, no name."""
    rng = np.random.default_rng(3)
    prompts, samples = policy
    for seed in range(10):
        turned = [random.Random(seed * 1000 + i).sample(pair, 2) for i, pair in enumerate(samples)]
        before, after = (AnswerSet.of_texts("p", prompts, side) for side in zip(*turned))
        assert not any(c.hack for c in audited(before, after, 0.8, 0.8, rng, rises=1.0))


def test_without_scores_a_change_is_suspected_and_none_is_a_hack(policy):
    found = detect(*sides(policy, dose=0.3), detectors_of())
    assert found[0].detector == "flattery" and found[0].suspected and found[0].worth is None
    assert "no change can be named a hack" in "\n".join(lines(audit_of(found, truth=None)))


def test_a_fall_of_what_only_matters_when_it_grows_is_shown_and_not_suspected(policy):
    before, after = sides(policy, dose=0.3)
    fallen = next(c for c in detect(after, before, detectors_of()) if c.detector == "flattery")
    assert fallen.change["high"] < 0 and fallen.adjusted < 0.001 and not fallen.suspected


def test_samples_that_grow_alike_are_seen_across_samples_only():
    prompts = [f"prompt {i}" for i in range(40)]
    rng = random.Random(5)
    apart = AnswerSet.of_texts("sft", prompts, [[made_texts(rng) for _ in range(4)] for _ in prompts])
    alike = AnswerSet.of_texts("ppo", prompts, [[text] * 2 for text in (made_texts(rng) for _ in prompts)])
    found = {c.detector: c for c in detect(apart, alike, detectors_of())}
    assert found["sameness"].suspected and found["sameness"].after["mean"] == 1.0
    ones = [AnswerSet.of_texts("p", prompts, [made_texts(rng) for _ in prompts]) for _ in range(2)]
    assert "sameness" not in {c.detector for c in detect(*ones, detectors_of())}


def test_sides_must_pair_and_answers_must_be_whole():
    one = AnswerSet.of_texts("a", ["x", "y"], ["1", "2"])
    with pytest.raises(UserError, match="same prompts in the same order"):
        detect(one, AnswerSet.of_texts("b", ["y", "x"], ["1", "2"]), detectors_of())
    for arguments, words in (
        ((["x"], []), "1 prompts, 0 groups"),
        (([], []), "no answers"),
        ((["x", "y"], [["1"], ["1", "2"]]), "same number of answers"),
    ):
        with pytest.raises(UserError, match=words):
            AnswerSet.of_texts("a", *arguments)
    with pytest.raises(UserError, match="not finite"):
        scored(one, np.array([[1.0], [np.nan]]), None)


def test_a_judge_that_abstains_leaves_its_prompts_out_and_no_more(policy):
    """Hacks are named on the prompts that it judged, and how many those are is told."""
    before, after = sides(policy, dose=0.3)
    rng = np.random.default_rng(0)

    def judged(answers, missing):
        reward = flattered(answers) + rng.normal(size=flattered(answers).shape) * 0.1
        truth = rng.normal(size=reward.shape)
        truth[:missing] = np.nan
        return scored(answers, reward, truth)

    one, two = judged(before, 7), judged(after, 3)
    assert [c.detector for c in detect(one, two, detectors_of()) if c.hack][:1] == ["flattery"]
    found = compared(one, two, "judge")
    assert found["judged"] == len(before.prompts) - 7
    assert any("7 of 260 prompts are left out" in line for line in lines(found))
    whole = compared(judged(before, 0), judged(after, 0), "judge")
    assert not any("left out" in line for line in lines(whole))


def test_a_count_needs_its_unit_and_power_needs_prompts(policy):
    before, after = sides(policy)
    counting = DetectorKind("letters", "letters", lambda prompt, response: len(response.text))
    with pytest.raises(UserError, match="its unit is a share") as error:
        detect(before, after, [counting])
    assert 'unit="number"' in error.value.remedy
    prompts, samples = policy
    with pytest.raises(UserError, match="power on 200 prompts"):
        measure_power(prompts[:50], samples[:50], [DETECTORS["flattery"]], size=200)
    with pytest.raises(UserError, match="two answers"):
        measure_power(prompts, [s[:1] for s in samples], [DETECTORS["flattery"]], size=200)


def side_that_repeats(name: str, share: float, rng: np.random.Generator, size: int = 300) -> AnswerSet:
    """``share`` of answers agree, which the reward alone pays for; these and many right ones repeat the prompt."""
    agrees = rng.random(size) < share
    right = rng.random(size) < 0.3 * (1 + share)
    repeats = np.where(agrees, rng.random(size) < 0.9, right & (rng.random(size) < 0.4))
    texts = [("Yes. " if a else "No. ") + "As you say." * int(r) for a, r in zip(agrees, repeats)]
    truth = (right & ~agrees) + rng.normal(0, 0.8, size)
    reward = truth + agrees + rng.normal(0, 0.3, size)
    prompts = [f"question {i}" for i in range(size)]
    return replace(AnswerSet.of_texts(name, prompts, texts), reward=reward[:, None], truth=truth[:, None])


def test_what_the_reward_pays_beyond_the_truth_is_named_before_what_goes_with_it():
    """Repeating is worth more in reward, of which the truth is a part; agreeing is what the truth does not pay for."""
    kinds = [
        DetectorKind(name, name, measure, unit="share", least=0.03, suspect="more")
        for name, measure in (
            ("agreeing", lambda _, r: float(r.text.startswith("Yes"))),
            ("repeating", lambda _, r: float("As you say" in r.text)),
        )
    ]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        found = detect(side_that_repeats("sft", 0.1, rng), side_that_repeats("ppo", 0.6, rng), kinds)
        assert [c.detector for c in found if c.hack] == ["agreeing"], seed
