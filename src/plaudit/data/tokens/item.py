"""Token items: a prompt and the responses that share it.

An *item* is one demonstration, a pair, a K-way ranking or G samples. Keeping the responses of a prompt
together allows a layout in which the shared prompt is computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Segment:
    """One response: its token ids [T], and which of them are trained (default: all)."""

    ids: np.ndarray
    trained: np.ndarray

    @classmethod
    def of(cls, ids: Sequence[int] | np.ndarray, trained: Sequence[bool] | None = None) -> Segment:
        array = np.asarray(ids, dtype=np.int64)
        mask = np.ones(len(array), dtype=bool) if trained is None else np.asarray(trained, dtype=bool)
        return cls(array, mask)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class TokenItem:
    """A prompt of at least one token and the responses that share it.

    ``extras`` maps a name to one entry per response: an array of the response's length for per-token
    numbers (old log-probs, advantages), a scalar for per-response ones. ``payload`` is an object that
    only the method reads (for example the outcomes of a ranking).
    """

    prompt: np.ndarray
    responses: tuple[Segment, ...]
    key: str = ""
    extras: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    payload: Any = None

    def __post_init__(self) -> None:
        if len(self.prompt) == 0:
            raise ValueError(f"item {self.key!r}: a prompt needs at least one token")
        if any(len(r) == 0 for r in self.responses):
            raise ValueError(f"item {self.key!r}: a response needs at least one token")

    @property
    def slots(self) -> int:
        """Tokens of this item in a layout without padding and without prompt sharing."""
        return sum(len(self.prompt) + len(r) for r in self.responses)

    @property
    def longest(self) -> int:
        return len(self.prompt) + max(len(r) for r in self.responses)

    @property
    def trained_tokens(self) -> int:
        return int(sum(r.trained.sum() for r in self.responses))
