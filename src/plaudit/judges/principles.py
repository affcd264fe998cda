"""Draws the principle of a comparison from a list; it is the same for both orders."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from plaudit.judges.prompts import HELPFUL


@dataclass(frozen=True)
class Principle:
    """One rule in words, with the name that records carry."""

    name: str
    text: str


DEFAULT = (Principle("helpful", HELPFUL),)


def principle_for(principles: Sequence[Principle], seed: int, *texts: str) -> Principle:
    """Uniform over the list, a function of the seed and the texts alone; their order does not matter.

    Bai et al. 2022 (Constitutional AI): a new principle for each comparison makes the preference model more robust.
    """
    digest = hashlib.sha256(repr((seed, sorted(texts))).encode()).digest()
    return principles[int.from_bytes(digest[:8], "big") % len(principles)]
