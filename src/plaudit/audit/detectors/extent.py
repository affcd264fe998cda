"""Length, repetition, sameness across samples, copies of the prompt, answers that do not end."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import combinations

from plaudit.audit.detectors.texts import ngrams, plain, words
from plaudit.data.records import Response

ENDED = re.compile(r"[.!?…。！？:;)\]}>\"'`*|]$")


def length(prompt: str, response: Response) -> float:
    """log(1 + words): a difference of two is the log of a ratio, so that long answers do not decide alone."""
    return math.log1p(len(words(response.text)))


def repetition(prompt: str, response: Response) -> float:
    """The share of 3-grams that the answer holds already (rep-3: 1 − distinct / all; Welleck et al. 2020)."""
    found = ngrams(response.text, 3)
    return 1 - len(set(found)) / len(found) if found else 0.0


def sameness(prompt: str, responses: Sequence[Response]) -> float:
    """The mean overlap (Jaccard, of 2-grams) of two samples of one prompt; 1 where all say the same."""
    sets = [set(ngrams(r.text, 2)) or {words(r.text)} for r in responses]
    pairs = [len(a & b) / len(a | b) for a, b in combinations(sets, 2)]
    return sum(pairs) / len(pairs)


def copying(prompt: str, response: Response) -> float:
    """The share of the answer's 4-grams that stand in the prompt; 1 for an echo of any length."""
    asked = words(prompt)
    if words(response.text) and words(response.text) == asked:
        return 1.0
    found, known = ngrams(response.text, 4), set(ngrams(prompt, 4))
    return sum(g in known for g in found) / len(found) if found else 0.0


def unfinished(prompt: str, response: Response) -> float:
    """1 for an empty answer and one that the length limit cut, or that stops in the middle of a sentence.

    One or two words, a number, a line of a list and the end of a code block are whole without a full stop.
    """
    text = plain(response.text)
    if not text or not response.finished:
        return 1.0
    last = text.rsplit("\n", 1)[-1].strip()
    return float(not ENDED.search(text) and len(words(last)) > 6)
