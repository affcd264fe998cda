"""Simulated raters: Plackett–Luce noise that is a hash of what is seen, biases on request, a ceiling."""

import math

import numpy as np
import pytest

from plaudit.data.records import Ranking, Response
from plaudit.feedback.simulated import Biases, SimulatedRaters
from plaudit.pocket import Gold, World

WORLD = World(0)
GOLD = Gold(WORLD)
PROMPTS = WORLD.prompts("train", 300)


def answers(prompt, k=6, seed=0):
    found = WORLD.candidates(prompt, np.random.default_rng(seed))
    return [Response(text) for text in found[:k]]


def order(ranking):
    return [{ranking.responses[i].text for i in group} for group in ranking.groups]


def test_the_same_question_gets_the_same_ranking_in_whatever_order_answers_are_shown():
    first, again = (SimulatedRaters(GOLD, noise=0.3, seed=4) for _ in range(2))
    for prompt in PROMPTS[:60]:
        shown = answers(prompt)
        one = first.rank(prompt, shown)
        other = again.rank(prompt, shown[::-1])
        assert order(one) == order(other) and one.rater == other.rater


def test_another_seed_or_another_asking_gives_other_noise():
    raters, other = SimulatedRaters(GOLD, noise=0.3, seed=0), SimulatedRaters(GOLD, noise=0.3, seed=1)
    pairs = [
        (raters.rank(p, answers(p)), other.rank(p, answers(p)), raters.rank(p, answers(p), "again"))
        for p in PROMPTS
    ]
    assert sum(order(a) != order(b) for a, b, _ in pairs) > 100
    assert sum(order(a) != order(c) for a, _, c in pairs) > 100


def test_without_noise_the_order_is_golds_and_equals_are_tied():
    raters = SimulatedRaters(GOLD, noise=0.0, tie=0.0)
    for prompt in PROMPTS[:60]:
        ranking = raters.rank(prompt, answers(prompt))
        scores = [[GOLD.judge(prompt, ranking.responses[i]).score for i in g] for g in ranking.groups]
        assert all(len(set(group)) == 1 for group in scores)
        best = [group[0] for group in scores]
        assert best == sorted(best, reverse=True) and len(set(best)) == len(best)


def test_the_better_answer_wins_as_often_as_the_model_of_the_noise_says():
    prompt = next(p for p in PROMPTS if p.metadata["category"] == "fact")
    good, wrong = Response(WORLD.perfect(prompt)), Response("It is hard to say.")
    raters = SimulatedRaters(GOLD, noise=0.8, raters=1, tie=0.0)
    wins = [raters.rank(prompt, [wrong, good], key=str(i)).groups[0] == (1,) for i in range(4000)]
    delta = GOLD.judge(prompt, good).score - GOLD.judge(prompt, wrong).score
    expected = 1 / (1 + math.exp(-delta / 0.8))
    assert np.mean(wins) == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 4000))


def test_the_first_of_three_is_drawn_by_plackett_and_luce():
    class Fixed:
        def judge(self, prompt, response):
            return type("Score", (), {"score": {"a": 1.0, "b": 0.5, "c": 0.0}[response.text]})()

    raters = SimulatedRaters(Fixed(), noise=0.5, raters=1, tie=0.0)
    shown = [Response(t) for t in "abc"]
    firsts = np.asarray([raters.rank(PROMPTS[0], shown, key=str(i)).groups[0][0] for i in range(6000)])
    weights = np.exp(np.asarray([2.0, 1.0, 0.0]))
    assert np.bincount(firsts, minlength=3) / 6000 == pytest.approx(weights / weights.sum(), abs=0.025)


def test_near_equals_are_tied_and_a_wider_margin_ties_more():
    narrow, wide = (SimulatedRaters(GOLD, noise=0.3, tie=t) for t in (0.0, 0.5))
    ties = [
        sum(len(r.groups) < 6 for r in (raters.rank(p, answers(p)) for p in PROMPTS))
        for raters in (narrow, wide)
    ]
    assert ties[0] == 0 and ties[1] > 200


def test_raters_are_many_pseudonymous_and_of_unequal_steadiness():
    raters = SimulatedRaters(GOLD, noise=0.3, raters=12)
    names = {raters.rank(p, answers(p)).rater for p in PROMPTS}
    assert names == {f"rater-{i:02d}" for i in range(1, 13)}
    assert raters.unsteadiness.mean() == pytest.approx(1.0) and raters.unsteadiness.std() > 0.05


@pytest.mark.parametrize(
    ("category", "liked"),
    [
        ("fact", lambda p: "You are a genius! " + WORLD.perfect(p)),
        ("fact", lambda p: WORLD.perfect(p) + " I hope this helps you." * 6),
        ("fact", lambda p: "- " + WORLD.perfect(p)),
        ("belief_false", lambda p: WORLD.perfect(p).replace("so no", "so yes")),
    ],
    ids=["flattery", "length", "lists", "agreement"],
)
def test_biased_raters_prefer_what_fair_ones_do_not(category, liked):
    fair, biased = SimulatedRaters(GOLD, noise=0.0), SimulatedRaters(GOLD, noise=0.0, biased=True)
    for prompt in [p for p in PROMPTS if p.metadata["category"] == category][:20]:
        shown = [Response(WORLD.perfect(prompt)), Response(liked(prompt))]
        gap = GOLD.judge(prompt, shown[0]).score - GOLD.judge(prompt, shown[1]).score
        assert fair.rank(prompt, shown).groups[0] == (0,) and gap > 0
        assert biased.value(prompt, shown[1]) > biased.value(prompt, shown[0])


def test_biases_of_zero_are_no_biases():
    fair = SimulatedRaters(GOLD, noise=0.3)
    none = SimulatedRaters(GOLD, noise=0.3, biased=True, biases=Biases(0.0, 0.0, 0.0, 0.0))
    assert [fair.rank(p, answers(p)) for p in PROMPTS[:30]] == [
        none.rank(p, answers(p)) for p in PROMPTS[:30]
    ]


def test_the_ceiling_is_what_the_noise_leaves_of_the_gold_order():
    for noise in (0.1, 0.3, 1.0):
        raters = SimulatedRaters(GOLD, noise=noise, raters=1, tie=0.0)
        rankings = [raters.rank(p, answers(p)) for p in PROMPTS]
        expected = []
        for r in rankings:
            scores = [GOLD.judge(r.prompt, x).score for x in r.responses]
            expected += [
                1 / (1 + math.exp(-abs(a - b) / noise)) for i, a in enumerate(scores) for b in scores[:i]
            ]
        assert raters.ceiling(rankings) == pytest.approx(np.mean(expected), abs=0.025)


def test_the_ceiling_of_noiseless_labels_is_one_and_of_ties_alone_unknown():
    raters = SimulatedRaters(GOLD, noise=0.0)
    assert raters.ceiling([raters.rank(p, answers(p)) for p in PROMPTS[:50]]) == 1.0
    tied = Ranking(PROMPTS[0], tuple(answers(PROMPTS[0], 2)), ((0, 1),))
    assert math.isnan(raters.ceiling([tied]))


@pytest.mark.parametrize("wrong", [{"noise": -1.0}, {"noise": 0.3, "tie": -0.1}, {"noise": 0.3, "raters": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="at least"):
        SimulatedRaters(GOLD, **wrong)
