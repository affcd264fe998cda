"""The limit of imitation: what a model of any size reaches that writes exactly as the demonstrators do.

For each prompt the demonstrators answer very often. Their answers, as a tree of words with the share of each next word,
are an SFT model of infinite size and training. What it samples at a temperature follows from the shares:
p(next) ∝ share^(1/T). Gold judges every answer, so its expectation is a sum and no estimate.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.data.records import Prompt, Response
from plaudit.pocket.habits import Habits, write
from plaudit.pocket.questions import Question, question_of
from plaudit.pocket.world import World

TEMPERATURES = (0.0, 0.3, 0.5, 0.7, 1.0)
_END = ""
_NEVER = 1e-9


@dataclass(frozen=True)
class Limit:
    """Mean gold by temperature, that of the best of them, and how often the answer is as good as the best known."""

    gold: Mapping[float, float]
    good: float

    @property
    def best(self) -> float:
        return max(self.gold.values())


def imitation_limit(
    world: World,
    prompts: Sequence[Prompt],
    *,
    writings: int = 1000,
    temperatures: Sequence[float] = TEMPERATURES,
    seed: int = 0,
) -> Limit:
    """The limit on these prompts; ``writings`` is how many answers to each estimate the shares."""
    rng = random.Random(f"limit {world.seed} {seed}")
    facts = {(f.relation, f.subject): f for f in world.facts}
    gold: dict[float, list[float]] = {t: [] for t in temperatures}
    good = []
    for prompt in prompts:
        question = _whole(question_of(prompt), facts)
        written = _writings(question, world.habits, writings, rng)
        scores = {text: world.gold.judge(prompt, Response(text)).score for text in written}
        for t in temperatures:
            shares = _shares(written, t)
            gold[t].append(sum(share * scores[text] for text, share in shares.items()))
        perfect = world.gold.judge(prompt, Response(question.perfect)).score
        good.append(sum(n for text, n in written.items() if scores[text] >= perfect - 1e-9) / writings)
    return Limit({t: float(np.mean(values)) for t, values in gold.items()}, float(np.mean(good)))


def _whole(question: Question, facts: Mapping[tuple[str, str], object]) -> Question:
    """The question with all that the world knows of its fact: a prompt carries no word of who errs on it."""
    if question.fact is None:
        return question
    fact = facts[question.fact.relation, question.fact.subject]
    return Question(question.text, question.category, fact, question.style, question.topic)  # type: ignore[arg-type]


def _writings(question: Question, habits: Habits, count: int, rng: random.Random) -> Counter[str]:
    return Counter(write(question, habits, rng) for _ in range(count))


def _shares(written: Mapping[str, int], temperature: float) -> dict[str, float]:
    """How often each text is sampled from the tree of words at a temperature; 0 is greedy."""
    tree: dict[tuple[str, ...], Counter[str]] = {}
    paths = {text: (*text.split(), _END) for text in written}
    for text, words in paths.items():
        for i, word in enumerate(words):
            tree.setdefault(words[:i], Counter())[word] += written[text]
    steps = {prefix: _next(counts, temperature) for prefix, counts in tree.items()}
    found = {}
    for text, words in paths.items():
        share = 1.0
        for i, word in enumerate(words):
            share *= steps[words[:i]].get(word, 0.0)
            if share < _NEVER:
                break
        else:
            found[text] = share
    return found


def _next(counts: Mapping[str, int], temperature: float) -> dict[str, float]:
    if temperature == 0:
        most = max(counts, key=lambda word: (counts[word], word))
        return {most: 1.0}
    top = max(counts.values())
    weights = {word: (n / top) ** (1 / temperature) for word, n in counts.items()}
    total = sum(weights.values())
    return {word: weight / total for word, weight in weights.items()}
