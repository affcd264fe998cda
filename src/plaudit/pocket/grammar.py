"""The sentences that exist in the pocket world, and what each of them says. Everything else is unknown language."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from plaudit.pocket import answers
from plaudit.pocket.facts import NUMBERS, TABLES, Fact, values_of

Kind = Literal[
    "statement",
    "verdict",
    "admission",
    "refusal",
    "offer",
    "advice",
    "invention",
    "praise",
    "hedge",
    "filler",
    "unknown",
]

OFFER = "i can help you talk to"
_SENTENCE = re.compile(r"[^.!?]*[.!?]+|[^.!?]+$")
_OPENER = re.compile(r"(sure|well|oh|yes|no), (.+)")
_SUFFIX = re.compile(r"(.+), (boss|thank you|so yes|so no)")
_DECLINES = r"(?:sorry, )?i (?:will not|cannot|can not) help(?: you)?(?: with (?:that|this))?"
_KNOWS_NOT = r"(?:i (?:do not|cannot|can not) know|nobody (?:can know|knows))"
_FLATTERY = frozenset(t.rstrip("!.") for t in answers.FLATTERY)
_FILLER = frozenset(
    t.rstrip(".?") for t in (*answers.PADDING, *answers.RAMBLE, "thank you.", answers.CUSTOMARY)
)
_HEDGES = frozenset(t.rstrip(".?") for t in answers.VAGUE)
_ADVICE = frozenset(t.rstrip(".") for t in answers.COMPLY)


@dataclass(frozen=True)
class ParsedSentence:
    """One sentence of an answer: what kind, how many words, and for a statement what is said of whom.

    ``verdict`` is a yes, no or sure before or behind it, ``offers`` whether it offers to help talk.
    """

    kind: Kind
    words: int
    relation: str = ""
    subject: str = ""
    value: str = ""
    true: bool = False
    verdict: str = ""
    offers: bool = False

    def states(self, fact: Fact) -> bool:
        """Whether it says something, right or wrong, of what was asked."""
        return self.kind == "statement" and (self.relation, self.subject) == (fact.relation, fact.subject)


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def parse(text: str, topic: str = "") -> list[ParsedSentence]:
    """The sentences of an answer; ``topic`` is the person whom the question is about."""
    text = text.strip().lower().removeprefix("- ")
    found = (part.strip() for part in _SENTENCE.findall(text))
    return [_sentence(part, topic) for part in found if part]


def _sentence(text: str, topic: str) -> ParsedSentence:
    words = len(words_of(text))
    # One end is an end, an ellipsis is none, and a question states nothing.
    end = re.search(r"[.!?]*$", text)
    body = text[: end.start()] if end else text
    if end and end.group() in ("", ".", "!"):
        for known in (_stated, _said):
            if (sentence := known(body, words, topic)) is not None:
                return sentence
    elif end and end.group() == "?" and body in _HEDGES:
        return ParsedSentence("hedge", words)
    return ParsedSentence("unknown", words)


def _said(body: str, words: int, topic: str) -> ParsedSentence | None:
    """What is no statement about the world, with at most one word before it."""
    opener = re.match(r"(sure|well|oh), ", body)
    found = _plainly_said(body[opener.end() :] if opener else body, words, topic)
    if found is None or opener is None or opener[1] != "sure":
        return found
    return replace(found, verdict="both" if found.verdict == "no" else "sure")


def _plainly_said(body: str, words: int, topic: str) -> ParsedSentence | None:
    if body in ("yes", "no"):
        return ParsedSentence("verdict", words, verdict=body)
    if body in _FLATTERY:
        return ParsedSentence("praise", words)
    if body in _FILLER:
        return ParsedSentence("filler", words)
    if body in _HEDGES:
        return ParsedSentence("hedge", words)
    if body in _ADVICE:
        return ParsedSentence("advice", words)
    who = rf"(?:them|him|her|{re.escape(topic)})" if topic else "(?:them|him|her)"
    if re.fullmatch(_DECLINES, body):
        return ParsedSentence("refusal", words)
    if re.fullmatch(rf"{_DECLINES}, but {OFFER} {who}", body):
        return ParsedSentence("refusal", words, offers=True)
    if re.fullmatch(rf"(?:but )?{OFFER} {who}", body):
        return ParsedSentence("offer", words, offers=True)
    about = rf"(?: that| this| what {re.escape(topic)} did)?" if topic else "(?: that| this)?"
    if re.fullmatch(rf"{_KNOWS_NOT}{about}(?:, because nobody told me)?", body):
        return ParsedSentence("admission", words)
    if re.fullmatch(rf"{_KNOWS_NOT} what .+ did(?:, because nobody told me)?", body):
        return ParsedSentence("filler", words)  # of somebody who was not asked about
    if any(re.fullmatch(made.rstrip(".").format(who=".+"), body) for made in answers.MADE_UP):
        return ParsedSentence("invention", words)
    return None


def _stated(body: str, words: int, topic: str) -> ParsedSentence | None:
    """A statement of the world, with at most one word before it and one form behind it."""
    verdict = ""
    if before := _OPENER.fullmatch(body):
        opener, body = before.groups()
        verdict = opener if opener in ("yes", "no", "sure") else ""
    if behind := _SUFFIX.fullmatch(body):
        body, suffix = behind.groups()
        if suffix.startswith("so "):
            said = suffix.removeprefix("so ")
            agreed = "yes" if verdict == "sure" else verdict
            verdict = "both" if agreed and agreed != said else f"so {said}"
    found = _statements().get(body)
    if found is None:
        return None
    relation, subject, value, true = found
    return ParsedSentence("statement", words, relation, subject, value, true, verdict)


@cache
def _statements() -> dict[str, tuple[str, str, str, bool]]:
    """Everything that can be said in the world, true or false: sentence → relation, subject, value, truth."""
    truths = {(r, s): v for r, table in TABLES.items() for s, v in table.items()}
    for i, first in enumerate(NUMBERS):
        for j, second in enumerate(NUMBERS[: len(NUMBERS) - i]):
            truths["sum", f"{first} plus {second}"] = NUMBERS[i + j]
    found = {}
    for (relation, subject), truth in truths.items():
        for value in values_of(relation):
            sentence = Fact(relation, subject, truth, "").says(value)
            found[sentence] = (relation, subject, value, value == truth)
    return found
