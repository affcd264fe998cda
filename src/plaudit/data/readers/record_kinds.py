"""The kinds of records, and conversion of a record to another kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from plaudit.data.readers.preferences.codes import CodedComparison
from plaudit.data.readers.read_report import Fault
from plaudit.data.records import Comparisons, Demonstration, Outcome, Preference, Prompt, Response
from plaudit.data.records.native_format import kind_of
from plaudit.errors import UserError, suggest

# Kinds that can label single answers: labels, ratings (by a threshold) and rankings.
LABELING = ("labelled", "rated", "preferences")
KINDS = ("demonstrations", "preferences", "labelled", "rated", "labels", "prompts", "text")
# The kinds of record of a recipe's roles with other names.
ROLES = {"corpus": "text", "votes": "preferences"}


def join_pairs(records: Iterable[Preference]) -> list[Comparisons]:
    """Merge all judgements of a prompt into one record: each answer once, all outcomes kept.

    Prompts are in the order in which they first appear.
    """
    prompts: dict[str, Prompt] = {}
    answers: dict[str, dict[tuple[str, bool], tuple[int, Response]]] = {}
    outcomes: dict[str, list[Outcome]] = {}
    metadata: dict[str, dict[str, Any]] = {}
    for record in records:
        c = record.comparisons()
        key = c.prompt.id
        prompts.setdefault(key, c.prompt)
        known = answers.setdefault(key, {})
        where = [known.setdefault((r.text, r.finished), (len(known), r))[0] for r in c.responses]
        judged = outcomes.setdefault(key, [])
        for o in c.outcomes:
            # A comparison of two equal answers says nothing.
            if where[o.left] != where[o.right]:
                judged.append(replace(o, left=where[o.left], right=where[o.right]))
        metadata.setdefault(key, {}).update(c.metadata)
    return [
        Comparisons(
            prompt,
            tuple(r for _, r in answers[key].values()),
            tuple(outcomes[key]),
            metadata[key],
        )
        for key, prompt in prompts.items()
        if len(answers[key]) > 1
    ]


def plain_text(record: Demonstration) -> str:
    """A conversation as raw text: its turns without roles, separated by blank lines."""
    return "\n\n".join([*(m.content for m in record.prompt.messages), record.response.text])


def known_kind(kind: str | None) -> str | None:
    """A kind of record, also by a recipe's role. Raises ``UserError`` for an unknown kind."""
    kind = ROLES.get(kind, kind) if kind else None
    if kind is not None and kind not in KINDS:
        raise UserError(
            f"{kind!r} is not a kind of record", remedy=suggest(kind, KINDS) or f"kinds: {', '.join(KINDS)}"
        )
    return kind


def as_kind(record: Any, kind: str | None) -> Any:
    """The record converted to a kind: its prompt, its text, or itself. Raises ``Fault`` if that is impossible."""
    if kind == "prompts" and not isinstance(record, Prompt | str):
        return record.prompt
    if kind == "text" and isinstance(record, Demonstration):
        return plain_text(record)
    if isinstance(record, CodedComparison):
        if kind in (None, "preferences", "labels"):
            return record
        raise Fault("other kind", f"the row is one of preferences, not of {kind}")
    if kind == "labels" and kind_of(record) in LABELING:
        return record
    if kind is not None and kind != kind_of(record):
        raise Fault("other kind", f"the row is one of {kind_of(record)}, not of {kind}")
    return record
