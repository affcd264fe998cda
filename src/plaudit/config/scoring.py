"""The reward of a method: a reward model, a function, a judge, or a weighted sum of them."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from plaudit.config.base import Section


class RewardPart(Section):
    """One part of a weighted reward: a step's reward model, a saved one, a Python function, a judge's grade, or gold.

    ``own`` is the newest reward model before the step; ``step`` names one by its ``path``.
    """

    source: Literal["own", "step", "model", "function", "judge", "gold"] = "own"
    path: str | None = None
    weight: float = 1.0

    @classmethod
    def of_spec(cls, spec: str) -> RewardPart:
        """``gold``, ``reward:PATH``, ``python:module:function``, ``judge:SPEC``, or the name of a step."""
        scheme, separator, rest = spec.partition(":")
        if spec == "gold":
            return cls(source="gold")
        if not separator:
            return cls(source="step", path=spec)
        source = {"reward": "model", "python": "function", "judge": "judge"}.get(scheme)
        if source is None or not rest:
            raise ValueError(
                f"{spec!r} is not a reward: name a step, reward:PATH, python:module:function, judge:SPEC, or gold"
            )
        return cls.model_validate({"source": source, "path": rest})

    @model_validator(mode="after")
    def _path(self) -> RewardPart:
        if (self.path is None) == (self.source in ("step", "model", "function", "judge")):
            wants = "needs a path" if self.path is None else "takes no path"
            raise ValueError(f"a reward from {self.source!r} {wants}")
        return self


class Scoring(Section):
    """The reward: ``rewards`` summed by weight, else one of the other keys, else the run's own reward model."""

    reward_model: str | None = None
    reward_function: str | None = None
    rewards: tuple[RewardPart, ...] = ()
    normalisation: Literal["stored", "none"] = "stored"

    @model_validator(mode="after")
    def _one_reward(self) -> Scoring:
        given = [name for name in ("reward_model", "reward_function", "rewards") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: put them all into rewards")
        return self

    @property
    def needs_own(self) -> bool:
        """Whether the run's own reward model is asked for."""
        if self.rewards:
            return any(part.source == "own" for part in self.rewards)
        return not (self.reward_model or self.reward_function)
