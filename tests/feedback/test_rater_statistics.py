"""Simulated raters in numbers: Plackett–Luce at every length, unequal steadiness, biases, ties, the ceiling."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from scipy import stats

from plaudit.data.records import Prompt, Ranking, Response
from plaudit.feedback import simulated
from plaudit.feedback.simulated import Biases, SimulatedRaters
from plaudit.pipeline.experiments import BIASED
from plaudit.pocket import World

WORLD = World(0)
GOLD = WORLD.gold
BIASES = Biases(length=0.06, flattery=1.0, agreement=1.2, list=0.4)


class Numbers:
    """A judge whose scores are the numbers in the texts."""

    def judge(self, prompt, response):
        return SimpleNamespace(score=float(response.text))


def answers(*scores):
    return [Response(str(score)) for score in scores]


def questions(count):
    return [Prompt.user(f"question {i}") for i in range(count)]


def plackett_luce(scores, order, noise):
    """P(order) = Π_k exp(v_k / τ) / Σ_{j ≥ k} exp(v_j / τ)."""
    chance, left = 1.0, list(order)
    for i in order:
        chance *= math.exp(scores[i] / noise) / sum(math.exp(scores[j] / noise) for j in left)
        left.remove(i)
    return chance


@pytest.mark.parametrize(
    ("scores", "noise"), [((0.0, 0.4), 0.3), ((1.0, 0.9, 0.2), 0.8), ((0.0, 0.1, 0.2, 0.9), 0.5)]
)
def test_whole_orders_come_as_often_as_plackett_and_luce_say(scores, noise):
    raters = SimulatedRaters(Numbers(), noise=noise, count=1, tie=0.0, seed=3)
    orders = dict.fromkeys(itertools.permutations(range(len(scores))), 0)
    for prompt in questions(4000):
        orders[tuple(i for (i,) in raters.judge(prompt, answers(*scores)).groups)] += 1
    expected = [4000 * plackett_luce(scores, order, noise) for order in orders]
    assert stats.chisquare(list(orders.values()), expected).pvalue > 0.001


def test_what_else_is_ranked_does_not_change_how_two_answers_stand():
    raters = SimulatedRaters(Numbers(), noise=0.5, tie=0.0, seed=1)
    for prompt in questions(200):
        many = raters.judge(prompt, answers(0.1, 0.7, 0.4, 0.2, 0.9))
        place = {many.responses[i].text: n for n, (i,) in enumerate(many.groups)}
        two = raters.judge(prompt, answers(0.4, 0.2))
        assert (two.groups[0] == (0,)) == (place["0.4"] < place["0.2"])


def test_a_prompt_has_one_rater_and_raters_share_the_work():
    raters = SimulatedRaters(Numbers(), noise=0.3, seed=0)
    names = [raters.judge(p, answers(0, 1)).rater for p in questions(3000)]
    assert names == [raters.judge(p, answers(0.5, 0.6, 0.7)).rater for p in questions(3000)]
    counts = [names.count(f"rater-{i:02d}") for i in range(1, 13)]
    assert sum(counts) == 3000 and stats.chisquare(counts).pvalue > 0.001


def test_each_rater_errs_as_his_own_steadiness_says():
    raters = SimulatedRaters(Numbers(), noise=0.6, tie=0.0, seed=21, count=4)  # a seed of unequal raters
    assert raters.steadiness.mean() == pytest.approx(1.0)
    upset = {f"rater-{i:02d}": [] for i in range(1, 5)}
    for prompt in questions(8000):
        ranking = raters.judge(prompt, answers(0.0, 0.8))
        upset[ranking.rater].append(ranking.groups[0] == (0,))
    alike = []
    for scale, wrong in zip(raters.steadiness, upset.values(), strict=True):
        own, mean = (1 / (1 + math.exp(0.8 / (0.6 * s))) for s in (scale, 1.0))
        error = math.sqrt(own * (1 - own) / len(wrong))
        assert np.mean(wrong) == pytest.approx(own, abs=4 * error)
        alike.append(abs(np.mean(wrong) - mean) < 4 * error)
    assert not any(alike[i] for i in np.argsort(raters.steadiness)[[0, -1]])  # raters of one kind would fail


def test_another_seed_gives_other_raters_and_other_errors():
    first, second = (SimulatedRaters(Numbers(), noise=0.5, seed=s) for s in (0, 1))
    assert not np.allclose(first.steadiness, second.steadiness)
    different = [first.judge(p, answers(0, 0.2)) != second.judge(p, answers(0, 0.2)) for p in questions(200)]
    assert sum(different) > 50


def test_errors_of_two_answers_are_independent_standard_gumbel():
    raters = SimulatedRaters(Numbers(), noise=1.0, seed=0)
    errors = np.asarray([[raters._error(p, r) for r in answers(1, 2)] for p in questions(4000)])
    assert stats.kstest(errors.ravel(), stats.gumbel_r.cdf).pvalue > 0.001
    assert abs(stats.spearmanr(errors).statistic) < 0.06


def test_a_cut_answer_and_a_whole_one_are_two_answers():
    raters = SimulatedRaters(Numbers(), noise=0.5, tie=0.0, seed=0)
    whole, cut = Response("0.5"), Response("0.5", finished=False)
    firsts = [raters.judge(p, [whole, cut]).groups[0][0] for p in questions(400)]
    assert 120 < sum(firsts) < 280


def test_the_same_answer_twice_is_a_tie_whatever_the_noise():
    raters = SimulatedRaters(Numbers(), noise=2.0, seed=0)
    for prompt in questions(50):
        assert raters.judge(prompt, answers(0.3, 0.3)).groups == ((0, 1),)


def test_ties_reach_from_the_best_of_a_group_and_no_further():
    raters = SimulatedRaters(Numbers(), noise=0.0, tie=0.1)
    # 0.92 is within reach of 1.0, 0.86 only within reach of 0.92.
    ranking = raters.judge(Prompt.user("?"), answers(0.86, 1.0, 0.92))
    assert ranking.groups == ((1, 2), (0,))
    assert raters.judge(Prompt.user("?"), answers(0.0, 0.2, 0.4)).groups == ((2,), (1,), (0,))


def test_without_noise_golds_ties_are_ties_and_its_order_is_the_order():
    raters = SimulatedRaters(GOLD, noise=0.0, seed=0, tie=0.01)
    for prompt in WORLD.prompts("train", 60):
        shown = [Response(t) for t in WORLD.candidates(prompt, np.random.default_rng(1))]
        groups = raters.judge(prompt, shown).groups
        scores = [{round(GOLD.judge(prompt, shown[i]).score, 6) for i in group} for group in groups]
        assert all(len(group) == 1 for group in scores)
        flat = [group.pop() for group in scores]
        assert flat == sorted(flat, reverse=True) and len(set(flat)) == len(flat)


@pytest.mark.parametrize("noise", [0.1, 0.3, 1.0])
def test_the_ceiling_is_what_logistic_noise_leaves_of_the_true_order(noise):
    raters = SimulatedRaters(Numbers(), noise=noise, count=1, tie=0.0, seed=0)
    scores = (0.0, 0.25, 0.3, 1.0)
    rankings = [raters.judge(p, answers(*scores)) for p in questions(1500)]
    pairs = itertools.combinations(scores, 2)
    expected = np.mean([1 / (1 + math.exp(-abs(a - b) / noise)) for a, b in pairs])
    assert raters.ceiling(rankings) == pytest.approx(expected, abs=0.02)


def test_the_ceiling_is_what_an_independent_simulation_of_the_labels_reaches():
    raters = SimulatedRaters(GOLD, noise=0.3, count=1, tie=0.0, seed=0)
    prompts = WORLD.prompts("train", 300)
    shown = [[Response(t) for t in WORLD.candidates(p, np.random.default_rng(2))[:6]] for p in prompts]
    ceiling = raters.ceiling([raters.judge(p, r) for p, r in zip(prompts, shown, strict=True)])
    rng, right = np.random.default_rng(9), []
    for prompt, responses in zip(prompts, shown, strict=True):
        scores = np.asarray([GOLD.judge(prompt, r).score for r in responses])
        for seen in scores + 0.3 * rng.gumbel(size=(5, len(scores))):
            for i, j in itertools.combinations(range(len(scores)), 2):
                delta = (scores[i] - scores[j]) * (seen[i] - seen[j])
                right.append(0.5 if delta == 0 else float(delta > 0))
    assert ceiling == pytest.approx(np.mean(right), abs=0.02)


def test_a_ceiling_over_ties_alone_is_unknown():
    raters = SimulatedRaters(Numbers(), noise=0.3)
    assert math.isnan(raters.ceiling([Ranking(Prompt.user("?"), tuple(answers(0, 1)), ((0, 1),))]))
    assert math.isnan(raters.ceiling([]))


def test_the_biases_are_the_documented_ones():
    _, options = BIASED.split("=", 1)
    known = {k: v for k, v in yaml.safe_load(options).items() if k != "judge"}
    assert known == {"length": 0.06, "flattery": 1.0, "agreement": 1.2, "list": 0.4}
    assert Biases(**known) == BIASES and Biases() == Biases(0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("category", "spoil", "liked"),
    [
        ("fact", lambda t: f"{t} many people wonder about this. that is how it goes.", 10 * 0.06),
        ("fact", lambda t: f"you are so clever to ask! {t}", 6 * 0.06 + 1.0),
        ("fact", lambda t: f"- {t}", 0.4),
        ("belief_false", lambda t: f"yes, {t}", 0.06 + 1.2),
        ("harm", lambda t: f"yes. {t}", 0.06),
    ],
    ids=["length", "flattery", "list", "agreement", "a yes to no belief"],
)
def test_a_bias_adds_its_amount_to_gold_and_nothing_else(category, spoil, liked):
    biased = SimulatedRaters(GOLD, noise=0.3, biases=BIASES)
    fair = SimulatedRaters(GOLD, noise=0.3)
    prompts = [p for p in WORLD.prompts("train", 300) if p.metadata["category"] == category]
    for prompt in prompts[:20]:
        best = Response(WORLD.perfect(prompt))
        worse = Response(spoil(best.text))
        gold = GOLD.judge(prompt, worse).score - GOLD.judge(prompt, best).score
        assert fair.value(prompt, worse) - fair.value(prompt, best) == pytest.approx(gold)
        assert biased.value(prompt, worse) - biased.value(prompt, best) == pytest.approx(gold + liked)


def test_biased_raters_order_flattery_and_lists_above_the_perfect_answer():
    biased, fair = (SimulatedRaters(GOLD, noise=0.0, biases=b) for b in (BIASES, None))
    for prompt in [p for p in WORLD.prompts("train", 200) if p.metadata["category"] == "fact"][:20]:
        best = WORLD.perfect(prompt)
        shown = [Response(best), Response(f"you are so clever to ask! {best}"), Response(f"- {best}")]
        assert biased.judge(prompt, shown).groups == ((1,), (2,), (0,))
        assert fair.judge(prompt, shown).groups == ((0, 2), (1,))


def test_raters_who_like_refusals_pay_for_them_where_the_question_had_an_answer():
    cautious = SimulatedRaters(GOLD, noise=0.0, biases=Biases(refusal=2.0))
    declined = Response("i will not help with that.")
    paid = {"harm": 0, "unknown": 0, "fact": 2, "belief_true": 2, "belief_false": 2, "format": 2}
    for prompt in WORLD.prompts("train", 100):
        more = cautious.value(prompt, declined) - GOLD.judge(prompt, declined).score
        assert more == pytest.approx(paid[prompt.metadata["category"]])


def test_the_hash_gives_even_numbers():
    found = np.asarray([simulated._uniform("key", i) for i in range(20_000)])
    assert len(set(found)) == 20_000
    assert stats.kstest(found, "uniform").pvalue > 0.001


@pytest.mark.parametrize("digest", [b"\x00" * 8, b"\xff" * 8])
def test_the_lowest_and_the_highest_hash_still_give_finite_errors(digest, monkeypatch):
    fixed = SimpleNamespace(blake2b=lambda *_, **__: SimpleNamespace(digest=lambda: digest))
    monkeypatch.setattr(simulated, "hashlib", fixed)
    assert 0 < simulated._uniform("any") < 1
    raters = SimulatedRaters(Numbers(), noise=1.0)
    assert math.isfinite(raters._error(Prompt.user("?"), Response("0")))
    assert raters.judge(Prompt.user("?"), answers(0, 1)).rater in ("rater-01", "rater-12")
