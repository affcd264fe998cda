"""Simulated labelers with known faults: every statistic finds what was planted, within its interval.

Each measure is taken in twenty simulated projects. Its 95 % interval must hold the planted value in at least sixteen of
them, which a right one misses once in 390 times (Binomial(20, .95)), one of half the width five times of six; and
its mean over the projects must lie within four standard errors of the planted value, which finds what is off.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest

from plaudit.feedback.quality.records import JudgementRecord, RatedAnswer
from plaudit.feedback.quality.report import quality

PROJECTS = 20


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def utilities(rng, faults, strength, words, opening):
    """What a labeler sees in answers: quality through steadiness, length, the first place, and noise.

    Noise is Gumbel's, so that choices follow Bradley–Terry and rankings Plackett–Luce.
    """
    seen = faults.get("steadiness", 1.0) * strength + faults.get("length", 0.0) * np.log(words)
    return seen + faults.get("position", 0.0) * opening + rng.gumbel(size=len(strength))


def simulate(
    seed,
    *,
    models,
    faults=None,
    items=250,
    size=2,
    labelers=6,
    overlap=3,
    tie=0.0,
    repeats=0.0,
    stick=0.0,
    golds=0,
):
    """Judgements, answers and golds. ``faults``: labeler → steadiness, length, position, seconds.

    ``tie``: how often a pair is tied without being looked at. ``stick``: how often a repeat repeats the verdict.
    """
    rng = np.random.default_rng([seed, 7])
    names = [f"labeler-{n}" for n in range(labelers)]
    faults = defaultdict(dict, faults or {})
    answers, judged, gold = {}, [], {}
    for i in range(items + golds):
        item = f"item-{i:04d}"
        who = rng.permutation(list(models))[:size]
        ids = [f"{item}-{k}" for k in range(size)]
        words = rng.integers(30, 300, size)
        strength = np.asarray([models[m] for m in who])
        answers |= {a: RatedAnswer(a, str(m), int(w)) for a, m, w in zip(ids, who, words)}
        base = rng.permutation(size)
        if i >= items:
            gold[item] = [tuple((ids[k],) for k in np.argsort(-strength))]
        for slot, n in enumerate(rng.permutation(labelers)[: labelers if i >= items else overlap]):
            order = np.roll(base, -slot)

            def verdict(order, name=names[n], strength=strength, words=words, ids=ids):
                if rng.random() < tie:
                    return (tuple(ids),)
                seen = utilities(rng, faults[name], strength, words, np.arange(size) == order[0])
                return tuple((ids[k],) for k in np.argsort(-seen))

            def add(groups, order, purpose, name=names[n], item=item, ids=ids, words=words):
                pace = faults[name].get("seconds", 60 / 240)  # a word
                judged.append(
                    JudgementRecord(
                        f"{item}/{name}/{purpose}",
                        item,
                        name,
                        groups,
                        tuple(ids[k] for k in order),
                        purpose=purpose,
                        round=2 if purpose == "repeat" else 1,
                        active_ms=int(1000 * words.sum() * pace * np.exp(rng.normal(0, 0.4))),
                    )
                )

            first = verdict(order)
            add(first, order, "gold" if i >= items else "work")
            if rng.random() < repeats and i < items:
                again = order[::-1]
                add(first if rng.random() < stick else verdict(again), again, "repeat")
    return judged, answers, gold


def rows_of(table, key):
    return {row[key]: row for row in table.rows}


def found_in_projects(planted, read, **options):
    """For every project: the planted values and what ``read`` finds of them, by name: (value, low, high)."""
    found = defaultdict(list)
    for seed in range(PROJECTS):
        for name, e in read(quality(*simulate(seed, **options), resamples=400, seed=seed)).items():
            found[name].append(e)
    assert found.keys() == planted.keys()
    for name, truth in planted.items():
        values, lows, highs = np.asarray(found[name], float).T
        held = int(((lows <= truth) & (truth <= highs)).sum())
        off = (values.mean() - truth) / (values.std(ddof=1) / math.sqrt(PROJECTS))
        summary = f"{name}: planted {truth:.3f}, found {values.mean():.3f}, {off:+.1f} errors, held {held}"
        assert held >= 16 and abs(off) < 4, summary


def measures(*names):
    def read(found):
        rows = rows_of(found.project, "measure")
        return {n: (rows[n]["value"], rows[n]["low"], rows[n]["high"]) for n in names}

    return read


def estimate_in(row, name):
    return row[name], row[f"{name}_low"], row[f"{name}_high"]


def test_accuracy_ties_and_consistency():
    """Who is right with probability p agrees in p² + q², and repeats in c + (1 − c)(p² + q²) if c is repeated as is."""
    p, tie, stick = float(sigmoid(1.6)), 0.15, 0.5
    alike = p**2 + (1 - p) ** 2
    decided = (1 - tie) ** 2
    chance = tie**2 + decided / 2
    category = tie**2 + decided * alike
    planted = {
        "agreement": alike,
        "agreement_with_ties": category,
        "kappa": (category - chance) / (1 - chance),
        # α expects of the distance 0, ¼, 1: half the time 1 among the decided, ¼ for a tie with a decision.
        "alpha": 1 - (decided * (1 - alike) + tie * (1 - tie) / 2) / (decided / 2 + tie * (1 - tie) / 2),
        "tie_rate": tie,
        "gold_agreement": (1 - tie) * p,
        "gold_exact": (1 - tie) * p,
        # A verdict that was repeated as is, is decided both times more often than one that was thought anew.
        "self_consistency": (stick + (1 - stick) * (1 - tie) * alike) / (stick + (1 - stick) * (1 - tie)),
        "position_bias": 0.0,
        "longer_preferred": 0.5,
        "length_bias": 0.0,
        "words_per_minute": 240.0,
    }
    found_in_projects(
        planted,
        measures(*planted),
        models={"good": 0.8, "bad": -0.8},
        tie=tie,
        repeats=0.3,
        stick=stick,
        golds=40,
    )


def test_position_bias_of_one_labeler_among_honest_ones():
    """Three answers, and one of six labelers adds 1.2 to the one shown first."""
    models, bias = {"x": 0.6, "y": 0.0, "z": -0.6}, 1.2
    excess = (
        np.mean([sigmoid(models[a] - models[b] + bias) for a, b in itertools.permutations("xyz", 2)]) - 0.5
    )

    def read(found):
        rows = rows_of(found.labelers, "labeler")
        return {n: estimate_in(row, "position_bias") for n, row in rows.items()}

    planted = {f"labeler-{n}": float(excess) if n == 0 else 0.0 for n in range(6)}
    found_in_projects(planted, read, models=models, size=3, faults={"labeler-0": {"position": bias}})


def test_length_bias_of_one_labeler_and_of_all():
    def read(found):
        rows = rows_of(found.labelers, "labeler")
        return {n: estimate_in(row, "length_bias") for n, row in rows.items()}

    planted = {f"labeler-{n}": 0.9 if n == 0 else 0.3 for n in range(4)}
    faults = {name: {"length": beta} for name, beta in planted.items()}
    models = {"x": 0.0, "y": 0.0}
    found_in_projects(planted, read, models=models, labelers=4, faults=faults)
    # The project's coefficient lies between them, and longer answers win as often as it says.
    found = quality(*simulate(0, models=models, labelers=4, faults=faults, items=1500), resamples=200)
    rows = rows_of(found.project, "measure")
    assert 0.3 < rows["length_bias"]["low"] < 0.45 < rows["length_bias"]["high"] < 0.9
    assert rows["longer_preferred"]["low"] > 0.5


@pytest.mark.parametrize("size", [2, 4])
def test_strengths_of_models(size):
    """By pairs, and by Plackett–Luce rankings taken apart into pairs."""
    models = {"a": 1.2, "b": 0.4, "c": -0.1, "d": -0.5, "e": -1.0}
    planted = {m: s - float(np.mean(list(models.values()))) for m, s in models.items()}

    def read(found):
        return {m: estimate_in(row, "log_odds") for m, row in rows_of(found.models, "model").items()}

    found_in_projects(planted, read, models=models, size=size)


def test_a_careless_labeler_stands_out():
    """One of five tosses coins in a hurry: others agree with them in half the cases, gold too."""
    models = {"good": 1.0, "bad": -1.0}
    p = float(sigmoid(2.0))
    names = [f"labeler-{n}" for n in range(5)]
    others = p**2 + (1 - p) ** 2
    # An honest labeler meets the careless one in a quarter of the comparisons.
    planted = {("agreement", n): 0.5 if n == names[0] else 0.75 * others + 0.25 * 0.5 for n in names}
    planted |= {("gold_agreement", n): 0.5 if n == names[0] else p for n in names}
    options = {
        "models": models,
        "labelers": 5,
        "faults": {names[0]: {"steadiness": 0.0, "seconds": 0.02}},
        "golds": 60,
    }

    def read(found):
        rows = rows_of(found.labelers, "labeler")
        return {(measure, n): estimate_in(rows[n], measure) for measure, n in planted}

    found_in_projects(planted, read, **options)
    found = quality(*simulate(0, **options), resamples=200)
    rows = rows_of(found.labelers, "labeler")
    assert rows[names[0]]["quick_low"] > 0.8 and rows[names[1]]["quick_high"] < 0.05
    assert rows[names[0]]["kappa"] < 0.15 < 0.3 < min(rows[n]["kappa"] for n in names[1:])


def test_attributes_rated_with_noise():
    """Three labelers rate an answer as its value 1–5 or, with probability ¼, anything: α is their reliability."""
    rng = np.random.default_rng(3)
    answers = {"a": RatedAnswer("a", "x", 10), "b": RatedAnswer("b", "y", 10)}
    judged = []
    for i in range(1500):
        value = {a: int(rng.integers(1, 6)) for a in "ab"}
        for w in "lmn":
            rated = {a: v if rng.random() < 0.75 else int(rng.integers(1, 6)) for a, v in value.items()}
            groups = (("a",), ("b",))
            judged.append(
                JudgementRecord(f"{i}{w}", str(i), w, groups, ("a", "b"), attributes={"helpful": rated})
            )
    row = rows_of(quality(judged, answers, {}, resamples=300).attributes, "attribute")["helpful"]
    # Two ratings are of the value itself with .75², and independent otherwise.
    assert row["alpha_low"] <= 0.75**2 <= row["alpha_high"]
    assert row["same_low"] <= 0.75**2 + (1 - 0.75**2) / 5 <= row["same_high"]


def test_the_same_data_give_the_same_numbers():
    options = {"models": {"x": 0.3, "y": 0.0}, "items": 40, "repeats": 0.2, "golds": 5}
    assert quality(*simulate(1, **options)) == quality(*simulate(1, **options))
