"""What must be done to rows before their shape is looked for, so that no text of a conversation is lost or doubled.

Every step is decided once, from the first rows, says what it does, and then changes each row in the same way.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from plaudit.data.readers import transcripts
from plaudit.data.readers.columns import FIELDS, normal
from plaudit.data.readers.preparation.column_synonyms import renamings
from plaudit.data.readers.preparation.prompt_columns import join_parts, one_of_each, show_all
from plaudit.data.readers.preparation.steps import (
    ANSWERS,
    Change,
    Preparation,
    Values,
    filled,
    prompt_in,
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
# How an answer begins that follows its prompt in one text.
BEGUN = re.compile(r"^\s*(?:#+\s*)?(?:Assistant|ASSISTANT|Response|AI|Bot)\s*:")
LISTS = ("messages", "conversations", "conversation", "prompt", *ANSWERS)


def preparation(
    rows: Sequence[Mapping[str, Any]], kind: str | None, ignored: set[str], settled: Iterable[str] = ()
) -> Preparation:
    """The steps that these first rows need; ``ignored`` columns stay what they are, ``settled`` fields are named."""
    made = Preparation(settled=frozenset(settled))
    kept = {normal(c) for c in ignored}
    for find in STEPS:
        current = made.of_all(rows)
        find(made, [{k: v for k, v in r.items() if k not in kept} for r in current], kind)
    return made


# -- lists that are written as text ----------------------------------------------------------------


def _unquoted(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
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
    """Messages that stand in a cell as JSON, or as Python prints them."""
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
        f"{column!r} holds messages as printed text that cannot be read back",
        field=column,
        remedy="save the table as JSON lines or Parquet, where lists stay lists",
    )


def _turned(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Conversations without roles: texts that take turns, or objects of a question and its answer."""
    for column in TALKS:
        if share(filled(rows, column), lambda v: bool(_with_roles(v))) <= 0.5:
            continue

        def change(row: Values, column: str = column) -> Values:
            turns = _with_roles(row.get(column))
            return row | {column: turns} if turns else row

        made.steps.append(change)
        made.notes.append(f"{column!r} names no roles: its texts are read as user and assistant in turn")


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


# -- names and marks of turns ----------------------------------------------------------------------


def _renamed(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    found = renamings(rows, kind)
    if not found:
        return

    def change(row: Values) -> Values:
        return {found.get(k, k): v for k, v in row.items()}

    made.steps.append(change)
    made.consumed |= set(found)
    made.notes.append(", ".join(f"{column!r} is read as the {field}" for column, field in found.items()))


def _spoken(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """A conversation in one text, by the marks of its turns."""
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
                f"{column!r} is no conversation, as the other rows are",
                field=column,
                remedy="remove the row, or mark its turns as the others do",
            )
        rest = {k: v for k, v in row.items() if k != column}
        return rest | {"messages": [m.as_dict() for m in turns]}

    name = transcripts.family_of(answered[0]) or "Human: … Assistant:"
    made.steps.append(change)
    made.consumed.add(column)
    made.notes.append(f"{column!r} is read as conversations, by its marks {name}")


def _answered(text: str) -> bool:
    turns = turns_in(text)
    return bool(turns) and turns[-1].role == "assistant" and bool(turns[-1].content)  # type: ignore[index]


def _templated(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Prompts and whole conversations that a chat template has already written out."""
    answered = any(c in row for c in ANSWERS for row in rows)
    for column in (*FIELDS["prompt"], "chosen", "rejected"):
        texts = [v for v in filled(rows, column) if isinstance(v, str)]
        if column in FIELDS["prompt"] and not answered and share(texts, _answered) > 0.9:
            # With its answer in it, a prompt is a whole conversation.
            made.steps.append(_as_turns(column, "messages"))
            made.consumed.add(column)
            made.notes.append(f"{column!r} holds its answer too: read as conversations")
        elif share(texts, lambda t: bool(transcripts.turns_of(t))) > 0.9:
            made.steps.append(_as_turns(column, column))
            mark = transcripts.family_of(texts[0])
            made.notes.append(f"{column!r} was written by a chat template ({mark}): read as its turns")
        elif share(texts, lambda t: bool(transcripts.turns_of(t) or transcripts.CONTROL.match(t))) > 0.1:
            made.problems.append(_half_templated(texts, column))


def _half_templated(texts: Sequence[str], column: str) -> Problem:
    marked = sum(bool(transcripts.turns_of(t) or transcripts.CONTROL.match(t)) for t in texts)
    return Problem(
        f"{marked} of the first {len(texts)} texts of {column!r} were written by a chat template: they would be put "
        "into a second one",
        field=column,
        remedy='give the turns without the template\'s marks, as messages: [{"role": "user", "content": "…"}]',
    )


def _as_turns(column: str, name: str) -> Change:
    def change(row: Values) -> Values:
        turns = turns_in(row[column]) if isinstance(row.get(column), str) else None
        rest = {k: v for k, v in row.items() if k != column}
        return rest | {name: [m.as_dict() for m in turns]} if turns else row

    return change


# -- answers ---------------------------------------------------------------------------------------


def _awaiting(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Messages that end before the answer, which stands in a column of its own: they are the prompt."""
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


def _unrepeated(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Answers that begin with their prompt, as a model's decoded output does."""
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
        made.notes.append(f"{column!r} begins with the prompt: it is taken off")


def _rest(asked: Any, answer: Any) -> Any:
    """What follows the prompt in an answer; None where it does not begin with it."""
    if isinstance(asked, list) and isinstance(answer, list):
        return answer[len(asked) :] if len(answer) > len(asked) and answer[: len(asked)] == asked else None
    if not isinstance(asked, str) or not isinstance(answer, str):
        return None
    asked, answer = asked.strip(), answer.strip()
    # One word may well begin its answer, and a number its sequel.
    if len(asked) < 8 or len(answer) <= len(asked) or not answer.startswith(asked):
        return None
    return BEGUN.sub("", answer[len(asked) :]).strip() or None


def _unended(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Answers that end in a template's end of turn."""
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
            f"{', '.join(map(repr, columns))} {ends} in a template's end of turn: it is taken off"
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


STEPS = (
    _unquoted,
    _turned,
    _renamed,
    _spoken,
    _awaiting,
    _unrepeated,
    _templated,
    _unended,
    one_of_each,
    join_parts,
    show_all,
)
