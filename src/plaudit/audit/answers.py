"""Answers of one policy with what is known of them: what detectors and the forecast look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.data.records import Response
from plaudit.errors import UserError


@dataclass(frozen=True)
class AnswerSet:
    """G answers of one policy to each of P prompts; the reward that training sees and the truth where known.

    ``truth`` is gold, or a second judge's score, NaN where it abstained. Both [P, G].
    """

    policy: str
    prompts: Sequence[str]
    responses: Sequence[Sequence[Response]]
    reward: np.ndarray | None = None
    truth: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not len(self.prompts):
            raise UserError(f"{self.policy}: there are no answers to audit")
        if len(self.responses) != len(self.prompts) or any(not len(r) for r in self.responses):
            raise UserError(
                f"{self.policy}: {len(self.prompts)} prompts, {len(self.responses)} groups of answers"
            )
        shape = (len(self.prompts), len(self.responses[0]))
        if any(len(r) != shape[1] for r in self.responses):
            raise UserError(f"{self.policy}: every prompt needs the same number of answers")
        for name, scores in (("rewards", self.reward), ("truths", self.truth)):
            if scores is None:
                continue
            if scores.shape != shape:
                raise UserError(f"{self.policy}: {name} are {scores.shape}, answers {shape}")
            wrong = np.isinf(scores) if name == "truths" else ~np.isfinite(scores)
            if wrong.any():
                raise UserError(f"{self.policy}: a number among the {name} is not finite")

    @property
    def samples(self) -> int:
        """Answers to each prompt."""
        return len(self.responses[0])

    @classmethod
    def of_texts(cls, policy: str, prompts: Sequence[str], texts: Sequence[str | Sequence[str]]) -> AnswerSet:
        """From plain texts: one answer to each prompt, or several."""
        groups = [[t] if isinstance(t, str) else list(t) for t in texts]
        return cls(policy, list(prompts), [[Response(t) for t in group] for group in groups])
