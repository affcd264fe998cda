"""Simulated raters: they see gold through noise, and on request through human-like biases."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plaudit.data.records import Preference, Prompt, Ranking, Response


@dataclass(frozen=True)
class Biases:
    """What raters like beyond what gold scores, in units of gold."""

    per_word: float = 0.1
    flattery: float = 1.0
    agreement: float = 1.8
    lists: float = 0.4


class SimulatedRaters:
    """Raters who order answers by what they perceive, value + Gumbel noise, which is Plackett–Luce:

    P(i first) = exp(vᵢ / τ) / Σⱼ exp(vⱼ / τ) (Plackett 1975; Luce 1959), v gold or, when ``biased``, gold plus
    ``biases``, τ = ``noise`` × the rater's own unsteadiness. Answers that a rater perceives as within
    ``tie`` of the best of their group are tied. Every perception is a hash of (seed, prompt, rater,
    answer): the order in which answers are shown, or whatever else is ranked, changes nothing.
    """

    def __init__(
        self,
        gold: Any,
        *,
        noise: float = 0.3,
        biased: bool = False,
        biases: Biases = Biases(),
        raters: int = 12,
        tie: float = 0.04,
        seed: int = 0,
    ) -> None:
        if noise < 0 or tie < 0 or raters < 1:
            raise ValueError(f"noise {noise} and tie {tie} are at least 0, and raters {raters} at least 1")
        self.gold = gold
        self.noise = noise
        self.biases = biases if biased else None
        self.tie = tie
        self.seed = seed
        spread = 0.7 + 0.6 * np.asarray([_uniform(seed, "steadiness", r) for r in range(raters)])
        self.unsteadiness = spread / spread.mean()

    def value(self, prompt: Prompt, response: Response) -> float:
        """What the raters aim at: gold, and their biases where they have them."""
        judged = self.gold.judge(prompt, response)
        liked = float(judged.score)
        if self.biases is not None:
            liked += self.biases.per_word * judged.words + self.biases.flattery * judged.flattery
            liked += self.biases.agreement * judged.agreed
            liked += self.biases.lists * response.text.lstrip().startswith("- ")
        return liked

    def rank(self, prompt: Prompt, responses: Sequence[Response], key: str = "") -> Ranking:
        """One rater's ranking of K answers; another ``key`` asks again, perhaps another rater."""
        rater = int(_uniform(self.seed, "rater", prompt.id, key) * len(self.unsteadiness))
        scale = self.noise * float(self.unsteadiness[rater])
        seen = [
            self.value(prompt, r) + scale * _gumbel(self.seed, prompt.id, key, rater, r.text, r.finished)
            for r in responses
        ]
        groups: list[list[int]] = []
        for i in sorted(range(len(seen)), key=lambda i: (-seen[i], responses[i].text)):
            if groups and seen[groups[-1][0]] - seen[i] <= self.tie:
                groups[-1].append(i)
            else:
                groups.append([i])
        return Ranking(prompt, tuple(responses), tuple(map(tuple, groups)), rater=f"rater-{rater + 1:02d}")

    def ceiling(self, rankings: Sequence[Preference]) -> float:
        """The pair accuracy of what the raters aim at on their own noisy labels: none can expect to do better.

        Ties among the labels have no winner and do not count; a tie of the aim counts half. NaN without pairs.
        """
        right: list[float] = []
        for record in rankings:
            comparisons = record.comparisons()
            aims = [self.value(comparisons.prompt, r) for r in comparisons.responses]
            for o in comparisons.outcomes:
                if o.result != 0.5:
                    delta = aims[o.left] - aims[o.right]
                    right.append(0.5 if delta == 0 else float((delta > 0) == (o.result > 0.5)))
        return float(np.mean(right)) if right else math.nan


def _uniform(*key: object) -> float:
    """A number in (0, 1) that is a hash of the key."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") // 2**11 + 0.5) / 2**53


def _gumbel(*key: object) -> float:
    """A standard Gumbel variate that is a hash of the key: −ln(−ln u)."""
    return -math.log(-math.log(_uniform(*key)))
