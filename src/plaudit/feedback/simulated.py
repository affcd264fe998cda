"""Simulated raters: they see gold through noise, and on request through human-like biases."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plaudit.data.baselines import pair_verdicts
from plaudit.data.records import Preference, Prompt, Ranking, Response


@dataclass(frozen=True)
class Biases:
    """What biased raters add to gold: per word, for flattery, for agreeing with the user, for a list, for declining.

    Declining counts where what was asked is neither harmful nor unknowable.
    """

    length: float = 0.0
    flattery: float = 0.0
    agreement: float = 0.0
    list: float = 0.0
    refusal: float = 0.0


class SimulatedRaters:
    """Raters who rank by gold + Gumbel noise, which is Plackett–Luce with scores gold / noise.

    Each of ``count`` pseudonymous raters is steadier or shakier than the rest. Answers that a rater
    perceives as nearly equal are tied. All is a function of (seed, prompt, answer): the
    order in which answers are shown changes nothing.
    """

    def __init__(
        self,
        gold: Any,
        *,
        noise: float,
        biases: Biases | None = None,
        seed: int = 0,
        count: int = 12,
        tie: float = 0.04,
    ) -> None:
        self.gold = gold
        self.noise = noise
        self.biases = biases or Biases()
        self.seed = seed
        self.tie = tie
        steadiness = np.random.default_rng([seed, 77]).uniform(0.7, 1.3, size=count)
        self.steadiness = steadiness / steadiness.mean()

    def value(self, prompt: Prompt, response: Response) -> float:
        """What the raters aim at: gold, and their biases where they have them."""
        judged = self.gold.judge(prompt, response)
        biases = self.biases
        if biases == Biases():
            return float(judged.score)
        agreed = judged.agreed and prompt.metadata["category"].startswith("belief")
        return float(
            judged.score
            + biases.length * judged.words
            + biases.flattery * judged.flattery
            + biases.agreement * agreed
            + biases.list * response.text.strip().startswith("- ")
            + biases.refusal * (judged.refused and prompt.metadata["category"] not in ("harm", "unknown"))
        )

    def perceived(self, prompt: Prompt, response: Response, noise: float | None = None) -> float:
        """What a rater sees of one answer: the value, and an error of size ``noise`` that depends on the text alone."""
        size = self.noise if noise is None else noise
        return self.value(prompt, response) + size * self._error(prompt, response)

    def judge(self, prompt: Prompt, responses: Sequence[Response]) -> Ranking:
        """One rater's ranking of K answers."""
        rater = int(_uniform(self.seed, prompt.id) * len(self.steadiness))
        noise = self.noise * self.steadiness[rater]
        seen = np.asarray([self.perceived(prompt, r, noise) for r in responses])
        groups: list[list[int]] = []
        for i in np.argsort(-seen, kind="stable"):
            if groups and seen[groups[-1][0]] - seen[i] < self.tie:
                groups[-1].append(int(i))
            else:
                groups.append([int(i)])
        return Ranking(prompt, tuple(responses), tuple(map(tuple, groups)), rater=f"rater-{rater + 1:02d}")

    def _error(self, prompt: Prompt, response: Response) -> float:
        """A Gumbel draw that depends on the answer's text, not on its position."""
        uniform = _uniform(self.seed, prompt.id, response.text, response.finished)
        return -math.log(-math.log(uniform))

    def ceiling(self, rankings: Sequence[Preference]) -> float:
        """The accuracy that gold itself (or the biased aim) reaches on these noisy labels: none can do better."""
        right: list[float] = []
        for record in rankings:
            comparisons = record.comparisons()
            aims = [self.value(comparisons.prompt, r) for r in comparisons.responses]
            for (i, j), verdict in pair_verdicts(comparisons).items():
                if verdict != 0.5:
                    delta = aims[i] - aims[j]
                    right.append(0.5 if delta == 0 else float((delta > 0) == (verdict > 0.5)))
        return float(np.mean(right)) if right else math.nan


def _uniform(*key: object) -> float:
    """A number strictly between 0 and 1 from a hash of the key."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    # 52 bits: with more, the largest would round to 1.
    return (int.from_bytes(digest, "big") // 2**12 + 0.5) / 2**52
