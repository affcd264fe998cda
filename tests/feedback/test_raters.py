"""Simulated raters: Plackett–Luce around what they aim at, a function of (seed, prompt) alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from plaudit.data.records import Prompt, Response
from plaudit.feedback.simulated import Biases, SimulatedRaters
from plaudit.pocket import Gold, World

WORLD, GOLD = World(0), Gold()
BIASES = Biases(length=0.06, flattery=1.0, agreement=1.2, list=0.4)


def responses_to(prompt, count=5):
    return [Response(t) for t in WORLD.candidates(prompt, np.random.default_rng(0))[:count]]


def test_rankings_do_not_depend_on_the_order_of_calls():
    raters = SimulatedRaters(GOLD, noise=0.3, seed=1)
    prompts = WORLD.prompts("train", 30)
    forward = [raters.judge(p, responses_to(p)) for p in prompts]
    backward = [SimulatedRaters(GOLD, noise=0.3, seed=1).judge(p, responses_to(p)) for p in reversed(prompts)]
    assert forward == backward[::-1]
    assert forward != [SimulatedRaters(GOLD, noise=0.3, seed=2).judge(p, responses_to(p)) for p in prompts]
    assert len({r.rater for r in forward}) > 3


def test_the_order_in_which_answers_are_shown_changes_nothing():
    raters = SimulatedRaters(GOLD, noise=0.3, seed=1)
    for prompt in WORLD.prompts("train", 50):
        shown = responses_to(prompt)
        a, b = raters.judge(prompt, shown), raters.judge(prompt, shown[::-1])
        texts = [[{r.responses[i].text for i in g} for g in r.groups] for r in (a, b)]
        assert texts[0] == texts[1]


def test_without_noise_the_order_is_golds():
    raters = SimulatedRaters(GOLD, noise=0.0, seed=0)
    for prompt in WORLD.prompts("train", 40):
        ranking = raters.judge(prompt, responses_to(prompt))
        scores = [GOLD.judge(prompt, r).score for r in ranking.responses]
        order = [max(scores[i] for i in group) for group in ranking.groups]
        assert order == sorted(order, reverse=True)
    assert raters.ceiling([raters.judge(p, responses_to(p)) for p in WORLD.prompts("train", 40)]) == 1.0


class Fixed:
    """A judge whose scores are the numbers in the texts."""

    def judge(self, prompt, response):
        return type("J", (), {"score": float(response.text)})()


def test_orders_come_with_plackett_luce_frequencies():
    scores = [0.0, 0.3, 0.5]
    raters = SimulatedRaters(Fixed(), noise=0.4, seed=0, count=1, tie=0.0)
    counts = dict.fromkeys(itertools.permutations(range(3)), 0)
    answers = [Response(str(s)) for s in scores]
    for i in range(3000):
        ranking = raters.judge(Prompt.user(f"q{i}"), answers)
        counts[tuple(g[0] for g in ranking.groups)] += 1
    weights = [math.exp(s / 0.4) for s in scores]
    expected = []
    for order in counts:
        p, left = 1.0, sum(weights)
        for i in order:
            p, left = p * weights[i] / left, left - weights[i]
        expected.append(p * 3000)
    assert stats.chisquare(list(counts.values()), expected).pvalue > 0.001


def test_nearly_equal_answers_are_tied():
    raters = SimulatedRaters(Fixed(), noise=0.0, seed=0, tie=0.1)
    ranking = raters.judge(Prompt.user("q"), [Response("1.0"), Response("0.95"), Response("0.2")])
    assert ranking.groups == ((0, 1), (2,))


def test_the_ceiling_is_what_the_aim_itself_reaches():
    raters = SimulatedRaters(GOLD, noise=0.3, seed=0)
    rankings = [raters.judge(p, responses_to(p)) for p in WORLD.prompts("train", 400)]
    right = total = 0.0
    for ranking in rankings:
        place = {i: n for n, g in enumerate(ranking.groups) for i in g}
        scores = [raters.value(ranking.prompt, r) for r in ranking.responses]
        for i, j in itertools.combinations(range(len(scores)), 2):
            if place[i] != place[j]:
                total += 1
                delta = (scores[i] - scores[j]) * (place[j] - place[i])
                right += 0.5 if delta == 0 else delta > 0
    assert raters.ceiling(rankings) == pytest.approx(right / total)
    assert 0.7 < raters.ceiling(rankings) < 0.95


def test_biased_raters_like_length_flattery_agreement_and_lists():
    fair = SimulatedRaters(GOLD, noise=0.3, seed=0)
    biased = SimulatedRaters(GOLD, noise=0.3, biases=BIASES, seed=0)
    prompt = next(p for p in WORLD.prompts("test", 200) if p.metadata["category"] == "belief_false")

    def extra(text):
        return biased.value(prompt, Response(text)) - fair.value(prompt, Response(text))

    assert extra("one two three.") == pytest.approx(0.18)
    assert extra("you are so clever to ask!") == pytest.approx(6 * 0.06 + 1.0)
    assert extra("so yes.") == pytest.approx(2 * 0.06 + 1.2)
    assert extra("so no.") == pytest.approx(2 * 0.06)
    assert extra("- one.") == pytest.approx(0.06 + 0.4)
