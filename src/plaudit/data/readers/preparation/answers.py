"""Removes from answers what does not belong to them: the repeated prompt, a template's end of turn."""

from __future__ import annotations

import re
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
    prompt_in,
    share,
)

# The beginning of an answer that follows its prompt in one text.
BEGUN = re.compile(r"^\s*(?:#+\s*)?(?:Assistant|ASSISTANT|Response|AI|Bot)\s*:")


def messages_before_answer(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Messages that end before the answer, which is in another column, become the prompt."""
    for column in FIELDS["messages"]:
        if any(c in row for row in rows for c in (*FIELDS["prompt"], "chosen")) or not filled(rows, column):
            continue
        answered = [row for row in rows if _awaits(row.get(column)) and _text_of_answer(row)]
        if len(answered) > 0.9 * len(rows):
            made.steps.append(_called(column, "prompt"))
            made.consumed.add(column)
            made.notes.append(f"{column!r} ends before the answer: it is read as the prompt")
            return


def _called(column: str, name: str) -> Change:
    return lambda row: {name if k == column else k: v for k, v in row.items()}


def _awaits(turns: Any) -> bool:
    last = turns[-1] if isinstance(turns, list) and turns else None
    return isinstance(last, Mapping) and str(last.get("role", last.get("from"))).lower() in ("user", "human")


def _text_of_answer(row: Values) -> Any:
    return next((row[c] for c in FIELDS["response"] if isinstance(row.get(c), str)), None)


def remove_repeated_prompt(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Remove the prompt from the beginning of answers: a model's decoded output contains it."""
    if kind == "prompts":
        return
    for column in ANSWERS:
        pairs = [(asked, row[column]) for row in rows if (asked := prompt_in(row)) and row.get(column)]
        if share(pairs, lambda p: _rest(*p) is not None) <= 0.5:
            continue

        def change(row: Values, column: str = column) -> Values:
            rest = _rest(prompt_in(row), row.get(column))
            return row if rest is None else row | {column: rest}

        made.steps.append(change)
        made.notes.append(f"{column!r} begins with the prompt, which is removed")


def _rest(asked: Any, answer: Any) -> Any:
    """The text after the prompt in an answer; None if it does not begin with the prompt."""
    if isinstance(asked, list) and isinstance(answer, list):
        return answer[len(asked) :] if len(answer) > len(asked) and answer[: len(asked)] == asked else None
    if not isinstance(asked, str) or not isinstance(answer, str):
        return None
    asked, answer = asked.strip(), answer.strip()
    # A short prompt may begin its answer by chance: one word, or a number.
    if len(asked) < 8 or len(answer) <= len(asked) or not answer.startswith(asked):
        return None
    return BEGUN.sub("", answer[len(asked) :]).strip() or None


def remove_end_of_turn(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Remove a template's end of turn from the end of answers."""
    if kind == "prompts":
        return
    columns = [
        c
        for c in (*ANSWERS, "messages", "conversations")
        if share(filled(rows, c), lambda v: _opened(v) != v) > 0.5
    ]
    if columns:
        made.steps.append(lambda row: row | {c: _opened(row[c]) for c in columns if row.get(c)})
        ends = "ends" if len(columns) == 1 else "end"
        made.notes.append(
            f"{', '.join(map(repr, columns))} {ends} in a template's end of turn, which is removed"
        )


def _opened(value: Any) -> Any:
    """A text, or the texts of messages, without a template's end of turn."""
    if isinstance(value, str):
        return transcripts.without_end(value)
    if not isinstance(value, list):
        return value
    return [
        {
            k: transcripts.without_end(v) if k in ("content", "value") and isinstance(v, str) else v
            for k, v in m.items()
        }
        if isinstance(m, Mapping)
        else m
        for m in value
    ]
