"""A model's choice among labels: log-probabilities at the start of its reply, or the label that its text names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from plaudit.data.records import Message

# What may stand around a label in the token that begins a reply: " A", "(A", "A)", "**A", "A.".
AROUND = " \t\r\n▁Ġ([{\"'*_`.:)]}"
# Servers that write a number for "absent" write one far below any log-probability: vLLM -9999.
ABSENT = -1000.0
LEAST = 1e-12  # a probability that rounding may make of nothing
TOO_LONG = "the question is too long for the model"


@dataclass(frozen=True)
class LabelRequest:
    """A conversation that ends with the user's turn, and the labels that may begin the reply."""

    messages: tuple[Message, ...]
    labels: tuple[str, ...]
    max_new_tokens: int = 1


@dataclass(frozen=True)
class LabelReply:
    """A model's reply to a ``LabelRequest``.

    ``log_probs``: ln P(label), variants of a label summed; None where the model gives text only. ``mass``: Σ P(label).
    ``label``: the most probable label, or the one that the text names; None where nothing can be read.
    """

    log_probs: Mapping[str, float] | None = None
    mass: float | None = None
    label: str | None = None
    text: str = ""

    def log_odds(self, one: str, other: str) -> float | None:
        """ln P(one) − ln P(other), or None without log-probabilities."""
        if self.log_probs is None:
            return None
        return self.log_probs[one] - self.log_probs[other]

    def as_dict(self) -> dict[str, Any]:
        return {
            "log_probs": dict(self.log_probs) if self.log_probs is not None else None,
            "mass": self.mass,
            "label": self.label,
            "text": self.text,
        }

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> LabelReply:
        return cls(row.get("log_probs"), row.get("mass"), row.get("label"), row.get("text", ""))


class LabelModel(Protocol):
    """Reads labels from a model, local or remote; the readings are in the order of the questions."""

    name: str

    def read(self, questions: Sequence[LabelRequest]) -> list[LabelReply]: ...


def text_of_token(entry: Mapping[str, Any]) -> str:
    """The text of a token of a server's list: its bytes where they are given, else its name."""
    raw = entry.get("bytes")
    if isinstance(raw, list) and all(isinstance(b, int) and 0 <= b < 256 for b in raw):
        return bytes(raw).decode("utf-8", errors="ignore")
    return str(entry.get("token", ""))


def matching(text: str, labels: Sequence[str]) -> str | None:
    """The label that a token's text is a variant of: spaces and signs around it do not count.

    The case of a word does not count either; that of a single letter does: "a" is mostly an article.
    """
    bare = text.strip(AROUND)
    for label in labels:
        if bare == label or (len(label) > 1 and bare.lower() == label.lower()):
            return label
    return None


def reading_of(tokens: Iterable[Mapping[str, Any]], labels: Sequence[str], text: str = "") -> LabelReply:
    """Labels among the likeliest first tokens of a reply, in whatever order they are listed.

    P(label) = Σ over its variants. A label that is not listed has at most the least probability of the list, and at
    most what the list leaves over; the smaller bound is used. Nothing is read where no label is listed.
    """
    listed = [
        (text_of_token(t), float(t["logprob"]))
        for t in tokens
        if isinstance(t.get("logprob"), int | float) and ABSENT < float(t["logprob"]) <= 1e-3
    ]
    found: dict[str, float] = {}
    for token, log_prob in listed:
        label = matching(token, labels)
        if label is not None:
            found[label] = found.get(label, 0.0) + math.exp(log_prob)
    if not found:
        return LabelReply(text=text)
    probabilities = [math.exp(log_prob) for _, log_prob in listed]
    bound = min(min(probabilities), max(1 - sum(probabilities), LEAST))
    shares = {label: found.get(label, bound) for label in labels}
    return LabelReply(
        {label: math.log(share) for label, share in shares.items()},
        min(1.0, sum(found.values())),
        max(found, key=lambda label: found[label]),
        text,
    )
