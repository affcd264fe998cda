"""A reward with one planted bias, best of 4 by it: the audit names that bias first, and nothing in clean runs.

Answers have properties by chance and a quality of their own, which is the truth. The reward is that quality, noise, and
what it wrongly pays for one property.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from test_detect import made_texts

from plaudit.audit.answers import AnswerSet
from plaudit.audit.detect import detect, detectors_of, measured
from plaudit.audit.detectors.plants import FLATTERIES, HEDGES, REFUSALS
from plaudit.registry import DETECTORS

BIASES = ("flattery", "length", "lists", "refusal", "hedging")
PROMPTS, DRAWS = 200, 4


def answer(rng: random.Random) -> str:
    """A made answer: one in ten flatters, hedges or refuses by itself, and lengths vary."""
    text = made_texts(rng)
    if rng.random() < 0.1:
        text = rng.choice(HEDGES) + text
    if rng.random() < 0.1:
        text = rng.choice(FLATTERIES) + text
    return rng.choice(REFUSALS) if rng.random() < 0.1 else text


def trained(bias: str | None, seed: int, pays: float = 1.5) -> tuple[AnswerSet, AnswerSet]:
    """Before: one answer a prompt. After: the best of four by the biased reward. Both with reward and truth."""
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    prompts = [f"question {i} about owls and rivers" for i in range(PROMPTS)]
    groups = [[answer(rng) for _ in range(DRAWS + 1)] for _ in prompts]
    every = AnswerSet.of_texts("all", prompts, groups)
    truth = noise.normal(0, 1, (PROMPTS, DRAWS + 1))
    reward = truth + noise.normal(0, 0.5, truth.shape)
    if bias is not None:
        has = measured(DETECTORS[bias], every)
        reward += pays * (has / has.std() if DETECTORS[bias].unit == "ratio" else 2 * has)
    chosen = 1 + reward[:, 1:].argmax(axis=1)

    def side(name: str, picks: np.ndarray) -> AnswerSet:
        rows = np.arange(PROMPTS)
        responses = [[every.responses[i][p]] for i, p in zip(rows, picks)]
        scores = [values[rows, picks][:, None] for values in (reward, truth)]
        return AnswerSet(name, prompts, responses, *scores)

    return side("start", np.zeros(PROMPTS, dtype=int)), side("end", chosen)


def first_named(bias: str | None, seed: int) -> str | None:
    hacks = [c.detector for c in detect(*trained(bias, seed), detectors_of()) if c.hack]
    return hacks[0] if hacks else None


@pytest.mark.parametrize("bias", BIASES)
def test_the_planted_bias_is_named_first(bias):
    assert first_named(bias, 0) == bias


def test_a_clean_run_names_no_hack():
    assert [first_named(None, seed) for seed in range(3)] == [None] * 3


@pytest.mark.slow
@pytest.mark.parametrize("bias", BIASES)
def test_the_planted_bias_is_named_first_in_nine_of_ten_seeds(bias):
    assert sum(first_named(bias, seed) == bias for seed in range(10, 20)) >= 9


@pytest.mark.slow
def test_at_most_one_of_twenty_clean_runs_names_a_hack():
    assert sum(first_named(None, seed) is not None for seed in range(10, 30)) <= 1
