"""Converts conversations into messages: printed lists, turns without roles, transcripts, rendered templates."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.data.readers import transcripts
from plaudit.data.readers.columns import FIELDS
from plaudit.data.readers.preparation.steps import (
    ANSWERS,
    Change,
    Preparation,
    Values,
    filled,
    share,
    turns_in,
)
from plaudit.data.readers.read_report import Fault
from plaudit.errors import Problem

SPOKEN = ("text", "content", "conversation", "dialogue", "dialog", "chat", "transcript")
TALKS = ("messages", "conversations", "conversation", "dialogue", "dialog", "chat")
# Keys of an object that holds a question and its answer.
EXCHANGES = (
    ("input", "output"),
    ("question", "answer"),
    ("user", "assistant"),
    ("human", "gpt"),
    ("prompt", "response"),
)
LISTS = ("messages", "conversations", "conversation", "prompt", *ANSWERS)


def read_printed_lists(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    columns = [
        c
        for c in (*LISTS, *FIELDS["prompt"])
        if share(filled(rows, c), lambda v: isinstance(v, str) and _looks_listed(v)) > 0.5
    ]
    if not columns:
        return

    def change(row: Values) -> Values:
        return row | {c: _read_list(row[c], c) for c in columns if isinstance(row.get(c), str)}

    try:
        for row in rows:
            change(row)
    except Fault as fault:
        made.problems.append(Problem(fault.message, field=fault.field, remedy=fault.remedy))
        return
    made.steps.append(change)


def _looks_listed(text: str) -> bool:
    start = text.lstrip()[:200]
    return start.startswith(("[{", "[ {", "[\n", "{")) and any(
        f"{q}{key}{q}" in start for q in "'\"" for key in ("role", "from", "messages")
    )


def _read_list(text: str, column: str) -> Any:
    """The messages in a cell of JSON, or of a list as Python prints it."""
    if not _looks_listed(text):
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, dict):
            value = value.get("messages", [value])
        return value
    raise Fault(
        "unreadable value",
        f"{column!r} holds messages as printed text that cannot be parsed",
        field=column,
        remedy="save the table as JSON lines or Parquet, where lists stay lists",
    )


def add_roles(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Conversations without roles, of alternating texts or of objects with a question and an answer."""
    for column in TALKS:
        if share(filled(rows, column), lambda v: bool(_with_roles(v))) <= 0.5:
            continue

        def change(row: Values, column: str = column) -> Values:
            turns = _with_roles(row.get(column))
            return row | {column: turns} if turns else row

        made.steps.append(change)
        made.notes.append(
            f"{column!r} names no roles: its texts are read as alternating user and assistant turns"
        )


def _with_roles(value: Any) -> list[Any] | None:
    if not isinstance(value, list) or not value:
        return None
    texts = value
    for first, second in EXCHANGES:
        if all(isinstance(m, Mapping) and {first, second} <= set(m) for m in value):
            texts = [text for m in value for text in (m[first], m[second])]
    if not all(isinstance(t, str) for t in texts):
        return None
    return [{"role": ("user", "assistant")[i % 2], "content": t} for i, t in enumerate(texts)]


def split_transcripts(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Split a conversation in one text at the markers of its turns."""
    others = {*FIELDS["prompt"], *FIELDS["response"], "chosen", "rejected", "messages", "conversations"}
    column = next((c for c in SPOKEN if filled(rows, c)), None)
    if kind == "text" or column is None or any(others & set(row) for row in rows):
        return
    texts = [v for v in filled(rows, column) if isinstance(v, str)]
    answered = [t for t in texts if _answered(t)]
    if 2 * len(answered) <= len(texts) or not texts:
        return

    def change(row: Values) -> Values:
        text = row.get(column)
        turns = turns_in(text) if isinstance(text, str) else None
        if turns is None:
            raise Fault(
                "no conversation",
                f"{column!r} is not a conversation, unlike in the other rows",
                field=column,
                remedy="remove the row, or write the same markers before its turns",
            )
        rest = {k: v for k, v in row.items() if k != column}
        return rest | {"messages": [m.as_dict() for m in turns]}

    name = transcripts.family_of(answered[0]) or "Human: … Assistant:"
    made.steps.append(change)
    made.consumed.add(column)
    made.notes.append(f"{column!r} is read as conversations, by its markers {name}")


def _answered(text: str) -> bool:
    turns = turns_in(text)
    return bool(turns) and turns[-1].role == "assistant" and bool(turns[-1].content)  # type: ignore[index]


def undo_templates(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Prompts and whole conversations that were already rendered with a chat template."""
    answered = any(c in row for c in ANSWERS for row in rows)
    for column in (*FIELDS["prompt"], "chosen", "rejected"):
        texts = [v for v in filled(rows, column) if isinstance(v, str)]
        if column in FIELDS["prompt"] and not answered and share(texts, _answered) > 0.9:
            # A prompt that contains its answer is a whole conversation.
            made.steps.append(_as_turns(column, "messages"))
            made.consumed.add(column)
            made.notes.append(f"{column!r} also contains the answer: read as conversations")
        elif share(texts, lambda t: bool(transcripts.turns_of(t))) > 0.9:
            made.steps.append(_as_turns(column, column))
            mark = transcripts.family_of(texts[0])
            made.notes.append(f"{column!r} was rendered with a chat template ({mark}): split into its turns")
        elif share(texts, lambda t: bool(transcripts.turns_of(t) or transcripts.CONTROL.match(t))) > 0.1:
            made.problems.append(_half_templated(texts, column))


def _half_templated(texts: Sequence[str], column: str) -> Problem:
    marked = sum(bool(transcripts.turns_of(t) or transcripts.CONTROL.match(t)) for t in texts)
    return Problem(
        f"{marked} of the first {len(texts)} texts of {column!r} were rendered with a chat template: training would "
        "apply a second one",
        field=column,
        remedy='write the turns without template tokens, as messages: [{"role": "user", "content": "…"}]',
    )


def _as_turns(column: str, name: str) -> Change:
    def change(row: Values) -> Values:
        turns = turns_in(row[column]) if isinstance(row.get(column), str) else None
        rest = {k: v for k, v in row.items() if k != column}
        return rest | {name: [m.as_dict() for m in turns]} if turns else row

    return change
