"""The prompt and the answers of a row with two answers, from texts, messages or objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from plaudit.data.readers.coerce import (
    answer_text,
    conversed,
    filled_text,
    listed,
    messages,
    prompt_messages,
    split_conversation,
    transcript,
)
from plaudit.data.readers.columns import FIELDS, View
from plaudit.data.readers.preferences.words import words
from plaudit.data.readers.prompt_ends import before_answer
from plaudit.data.readers.read_report import Fault
from plaudit.data.readers.row_to_record import answered, differing, prompt_of
from plaudit.data.records import Message, Prompt, Response

# Keys of the text of a prompt that is an object.
TURNS_IN = ("messages", "turns", "conversation")
TEXT_IN = words("full_text text content prompt question post article instruction value body")


def asked(view: View, turns: Sequence[Message] | None = None) -> Prompt:
    """The prompt of a row, from text, messages, or an object that contains it."""
    if turns is not None:
        return prompt_of(view, turns)
    value, column = view.take("asked")
    if isinstance(value, dict):
        found, rest = _inside(value, column)
        prompt = prompt_of(view, before_answer(view, prompt_messages(found, column), column))
        return replace(prompt, metadata={**rest, **prompt.metadata})
    if column in FIELDS["prompt"]:
        return prompt_of(view)
    return prompt_of(view, before_answer(view, prompt_messages(value, column), column))


def _inside(value: Mapping[str, Any], column: str) -> tuple[Any, dict[str, Any]]:
    """The prompt in an object, and the object's other values."""
    keys = [k for k in TURNS_IN if isinstance(value.get(k), list)] + [k for k in TEXT_IN if value.get(k)]
    if not keys:
        raise Fault(
            "missing field",
            f"{column!r} is an object without a text",
            field=column,
            remedy=f"give it one of {', '.join(TEXT_IN[:4])}, or write the prompt as text",
        )
    rest = {k: v for k, v in value.items() if k != keys[0] and v not in (None, "", [])}
    return value[keys[0]], rest


def spoken(view: View, column: str) -> tuple[tuple[Message, ...] | None, Response]:
    """An answer, and the turns before it if it is given as a whole conversation."""
    value = conversed(view.values[column])
    prompted = view.column("asked") is not None
    if isinstance(value, dict) and {"role", "from"} & set(value):
        value = [value]
    if isinstance(value, list):
        turns = messages(value, column)
        if not prompted or len(turns) > 1:
            return _split(value, column)
        if turns[0].role != "assistant" or not turns[0].more:
            return None, Response(answer_text(value, column))
        return None, answered(turns[0])
    if isinstance(value, dict):
        return None, Response(answer_text(value, column))
    if not prompted:
        return _split(value, column)
    text = filled_text(value, column, "answer")
    prompt = view.get("prompt")
    if isinstance(prompt, str) and transcript(text) and text.startswith(prompt.strip()):
        return _split(text, column)
    return None, Response(text)


def _split(value: Any, column: str) -> tuple[tuple[Message, ...], Response]:
    before, answer = split_conversation(value, column)
    return before, answered(answer)


def _by_turns(view: View, columns: tuple[str, str]) -> tuple[list[str], list[list[str]]] | None:
    """The user turns and each side's answers, if all are lists of texts of equal length (LMSYS)."""
    column = view.column("prompt")
    cells = [listed(view.values[c]) for c in (*([column] if column else []), *columns)]
    if len(cells) < 3 or not all(
        isinstance(c, list) and c and all(isinstance(t, str) for t in c) for c in cells
    ):
        return None
    asked_, *answers = cells
    return (asked_, answers) if len({len(c) for c in cells}) == 1 else None


def _alternating(asked_: Sequence[str], answers: Sequence[str]) -> tuple[tuple[Message, ...], Response]:
    """One side's conversation: the turns before its last answer, and that answer."""
    turns = [
        {"role": r, "content": t}
        for pair in zip(asked_, answers)
        for r, t in zip(("user", "assistant"), pair)
    ]
    return _split(turns, "prompt")


def _sides(view: View, columns: tuple[str, str]) -> list[tuple[tuple[Message, ...] | None, Response]]:
    if found := _by_turns(view, columns):
        return [_alternating(found[0], side) for side in found[1]]
    return [spoken(view, c) for c in columns]


def both_answers(view: View, columns: tuple[str, str]) -> tuple[Prompt, tuple[Response, ...]]:
    (before, first), (other, second) = _sides(view, columns)
    if before != other:
        raise Fault(
            "prompts differ",
            f"{columns[0]} and {columns[1]} answer different prompts",
            field=columns[1],
            remedy="the two may differ only in the last assistant turn",
        )
    if before is not None:
        _asked_in(view, before)
    if first.metadata == second.metadata:
        differing((first.text, second.text), columns[1])
    return asked(view, before), (first, second)


def _asked_in(view: View, turns: Sequence[Message]) -> None:
    """Raise ``Fault`` if the row's prompt is not asked in its conversations: then one of the two would be lost."""
    asked_ = view.get("prompt")
    if not isinstance(asked_, str) or view.column("prompt") not in ("prompt", "question", "query"):
        return
    texts = [" ".join(m.content.split()) for m in turns if m.role != "assistant"]
    said = " ".join(asked_.split())
    if not any(said in t or t in said for t in texts):
        raise Fault(
            "prompts differ",
            "the prompt is not in the conversations of the two answers",
            field=view.column("prompt"),
            remedy="keep the prompt that was answered, or leave it out with --fields ignore=COLUMN",
        )


def are_conversations(view: View) -> bool:
    """Whether each of the two answers is a whole conversation."""
    return all(_is_conversation(view.values[c]) for c in view.columns("pair"))


def _is_conversation(value: Any) -> bool:
    value = conversed(value)
    return len(value) > 1 if isinstance(value, list) else isinstance(value, str) and bool(transcript(value))
