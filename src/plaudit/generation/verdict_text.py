"""Reads the label from a written reply: the last one that it names, or none if it names two at once."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from plaudit.generation.labels import TOO_LONG, LabelReply, LabelRequest

KEYS = ("verdict", "winner", "choice", "answer", "preferred", "better", "label", "score", "rating")


# A label in brackets; one as a word of its own; one that a reply begins with, and that no word follows.
MARKED = r"\[\[\s*(?:model[_ ]?|answer[_ ]?|response[_ ]?)?({})\s*\]\]"
NAMED = r"(?<![\w'-])({})(?![\w'-])"
FIRST = r"\A\W*({})(?=\W*(?:\n|$)|[.,:;)\]*])"
# What names an answer before its letter, and what may follow a letter but never the article "A".
NAMES = re.compile(r"(?:answer|option|response|choice|model|verdict|winner|candidate)\W*$", re.IGNORECASE)
AFTER_A_LETTER = re.compile(
    r"\s+(?:is|was|are|were|has|had|does|did|can|could|would|should|will|wins|won|beats|gives|gave|seems|looks|answers|"
    r"provides|contains|explains|says|shows|stays|makes|fails|lacks|or|and|but|because|since|as|while|over|than|by|for|"
    r"in|on|to|with|without|at|from|which|who|where|it)\b"
)


class WrittenLabels:
    """A chat model that writes its reasons before the label (``LabelModel``); greedy, a local one.

    ``chat`` is a ``LocalChatModel``. A question that is too long for it is read as nothing, and says so.
    """

    def __init__(self, chat: Any) -> None:
        self.chat, self.name = chat, chat.name

    def read(self, questions: Sequence[LabelRequest]) -> list[LabelReply]:
        readings = [LabelReply(text=TOO_LONG) for _ in questions]
        room = max((q.max_new_tokens for q in questions), default=1)
        fitting = [i for i, q in enumerate(questions) if self.chat.fits(q.messages, room)]
        asked = [questions[i].messages for i in fitting]
        if not asked:
            return readings
        for i, replies in zip(fitting, self.chat.draw(asked, temperature=0.0, max_new_tokens=room)):
            text, finished = replies[0]
            label = label_in(text, questions[i].labels, cut=not finished)
            readings[i] = LabelReply(label=label, text=text)
        return readings


def label_in(text: str, labels: Sequence[str], *, cut: bool = False) -> str | None:
    """The label of a reply's last line that names one; None where that line names two, or no line any.

    Read first: a JSON object with one of the usual keys, then `[[A]]`, then a label as a word of its own. A reply that
    the length limit ``cut`` may stop within a sentence about a label, so there only a label that begins it counts.
    """
    found = _in_json(text, labels)
    if found is not None:
        return found
    for pattern in (MARKED, FIRST if cut else NAMED):
        compiled = re.compile(
            pattern.format("|".join(map(re.escape, _longest_first(labels)))), _flags(labels)
        )
        for line in reversed(text.splitlines()):
            named = {
                _known(m[1], labels)
                for m in compiled.finditer(line)
                if pattern is not NAMED or not _is_article(line, m)
            }
            if len(named) == 1:
                return named.pop()
            if named:
                return None
    return None


def _is_article(line: str, found: re.Match[str]) -> bool:
    """Whether "A" begins "A tie" or "A final note": such a word follows no letter, and no name stands before it."""
    rest = line[found.end() :]
    if found[1] != "A" or not re.match(r"\s+[a-z]", rest) or AFTER_A_LETTER.match(rest):
        return False
    return NAMES.search(line[: found.start()]) is None


def _longest_first(labels: Sequence[str]) -> list[str]:
    return sorted(labels, key=len, reverse=True)


def _flags(labels: Sequence[str]) -> int:
    return re.IGNORECASE if all(len(label) > 1 for label in labels) else 0


def _known(text: str, labels: Sequence[str]) -> str | None:
    return next((label for label in labels if label.lower() == text.lower()), None)


def _in_json(text: str, labels: Sequence[str]) -> str | None:
    decoder = json.JSONDecoder()
    named: list[str] = []
    for start in (m.start() for m in re.finditer(r"\{", text)):
        try:
            value, _ = decoder.raw_decode(text, start)
        except ValueError:
            continue
        found = _of_object(value, labels)
        if found is not None:
            named.append(found)
    return named[-1] if named else None


def _of_object(value: Any, labels: Sequence[str]) -> str | None:
    if not isinstance(value, dict):
        return None
    for key in KEYS:
        if key in value and not isinstance(value[key], dict | list):
            return _known(str(value[key]).strip("[] "), labels)
    return None
