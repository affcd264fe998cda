"""The interface of a sampler: requests and settings in, sampled responses out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from plaudit.errors import NotFiniteError, Problem, UserError
from plaudit.models.positions import positions_of_config

Finish = Literal["end", "stop", "length"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SamplingSettings:
    """The sampling distribution: p(v) ∝ exp(logit(v) / temperature), cut to ``top_k``, then ``top_p``, renormalized.

    ``temperature`` 0 is greedy. ``top_k`` 0 and ``top_p`` 1 cut nothing. Raises ``UserError``.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rules = [
            (self.max_new_tokens >= 1, "max_new_tokens", self.max_new_tokens, "a whole number of at least 1"),
            (0 <= self.temperature < float("inf"), "temperature", self.temperature, "0 (greedy) or more"),
            (0 < self.top_p <= 1, "top_p", self.top_p, "a number above 0 and at most 1 (1 cuts nothing)"),
            (self.top_k >= 0, "top_k", self.top_k, "0 (cuts nothing) or more"),
            (
                not isinstance(self.stop, str) and all(isinstance(s, str) and s for s in self.stop),
                "stop",
                self.stop,
                "a list of strings, none of them empty",
            ),
        ]
        problems = [
            Problem(f"{value!r} is not allowed", field=field, remedy=remedy)
            for holds, field, value, remedy in rules
            if not holds
        ]
        if problems:
            raise UserError("these sampling settings cannot be used", problems=problems)

    @property
    def truncates(self) -> bool:
        """Whether the distribution sampled from is narrower than the policy's own."""
        return self.temperature > 0 and (self.top_p < 1 or self.top_k > 0)


@dataclass(frozen=True)
class Request:
    """``n`` samples of one prompt. ``key`` names the prompt's random streams: its content id.

    ``start`` is the index of the first sample, so that ranks can share one group's indices.
    """

    prompt_ids: np.ndarray
    key: str
    n: int = 1
    start: int = 0


@dataclass(frozen=True)
class Sampled:
    """One response.

    ``ids`` [T] holds the end token when it was emitted. ``log_probs`` [T] float32 are those of the
    distribution that was sampled from (0 everywhere when greedy). ``finish`` is "end" (an end
    token), "stop" (a stop string, completed by the last token) or "length" (cut by the limit).
    """

    key: str
    index: int
    prompt_ids: np.ndarray
    ids: np.ndarray
    log_probs: np.ndarray
    finish: Finish
    policy_version: int = 0


def not_finite(where: str = "") -> NotFiniteError:
    """The error for a policy whose logits are NaN or infinite: nothing can be drawn from it."""
    return NotFiniteError(
        "the policy's logits are not finite" + (f" ({where})" if where else ""),
        remedy="lower the learning rate of the step that trained it; where none did, copy or download the model again",
    )


class Sampler(Protocol):
    """Draws responses; the result's order is the requests' order, then the sample index."""

    def sample(
        self,
        requests: Sequence[Request],
        settings: SamplingSettings,
        *,
        seed: int,
        step: int,
        policy_version: int = 0,
        progress: Progress | None = None,
    ) -> list[Sampled]: ...


@dataclass(frozen=True)
class SampleRow:
    """One response to draw: which prompt, and which sample of it."""

    prompt_ids: np.ndarray
    key: str
    index: int
    group: int


def sample_rows(requests: Sequence[Request]) -> list[SampleRow]:
    """The requests' responses, in order.

    Requests of one call that share a key go on counting, so that a prompt asked twice gets two
    different answers. Raises ``ValueError`` when they share a key but not a prompt.
    """
    rows: list[SampleRow] = []
    used: dict[tuple[str, int], int] = {}
    prompts: dict[str, np.ndarray] = {}
    for group, request in enumerate(requests):
        prompt = np.asarray(request.prompt_ids, dtype=np.int64)
        if prompt.ndim != 1 or len(prompt) == 0:
            raise ValueError(f"request {request.key!r}: a prompt needs at least one token")
        if not np.array_equal(prompts.setdefault(request.key, prompt), prompt):
            raise ValueError(f"two different prompts share the key {request.key!r}")
        first = used.get((request.key, request.start), request.start)
        used[request.key, request.start] = first + request.n
        rows += [SampleRow(prompt, request.key, first + i, group) for i in range(request.n)]
    return rows


def check_room(rows: Sequence[SampleRow], settings: SamplingSettings, config: Any) -> None:
    """Raise ``UserError`` when a prompt and its longest answer exceed the positions of the model's config."""
    positions = positions_of_config(config)
    longest = max((len(row.prompt_ids) for row in rows), default=0)
    if positions is not None and longest + settings.max_new_tokens > positions:
        room = positions - longest
        raise UserError(
            f"the longest prompt has {longest} tokens and max_new_tokens is {settings.max_new_tokens}, "
            f"but the model has {positions} positions",
            remedy=f"use max_new_tokens of at most {room}, or shorter prompts"
            if room > 0
            else "use shorter prompts",
        )
