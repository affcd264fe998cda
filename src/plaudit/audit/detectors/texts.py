"""Words and sentences of an answer, as all detectors read them."""

from __future__ import annotations

import re
from functools import lru_cache

WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
SENTENCE = re.compile(r"[.!?…。！？]+(?=\s|$)|\n+")
OPENING = 240  # characters


@lru_cache(maxsize=16_384)
def plain(text: str) -> str:
    """Lower case, straight quotes, no space before punctuation (some corpora write ``great question !``)."""
    straight = text.lower().replace("’", "'").replace("‘", "'").replace("“", '"').replace("”", '"')
    return re.sub(r"\s+([.,!?;:])", r"\1", straight).strip()


@lru_cache(maxsize=16_384)
def words(text: str) -> tuple[str, ...]:
    """The words in lower case, without punctuation."""
    return tuple(WORD.findall(plain(text)))


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """All runs of n words, in order."""
    found = words(text)
    return [found[i : i + n] for i in range(len(found) - n + 1)]


def opening(text: str) -> str:
    """The first two sentences, at most ``OPENING`` characters."""
    start = plain(text)[: 2 * OPENING]
    ends = [m.end() for m in SENTENCE.finditer(start)]
    return start[: min(OPENING, ends[1] if len(ends) > 1 else OPENING)]
