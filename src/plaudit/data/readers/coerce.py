"""Converts one value of a row into text, messages, a label or a number, or raises a Fault."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from plaudit.data.readers.label_codes import code
from plaudit.data.readers.messages import (
    ANSWER_KEYS as ANSWER_KEYS,
    ROLE_NAMES as ROLE_NAMES,
    messages as messages,
)
from plaudit.data.readers.read_report import Fault
from plaudit.data.readers.text_values import (
    filled_text as filled_text,
    listed as listed,
    whole_text as whole_text,
)
from plaudit.data.records import Message

TURN = re.compile(r"(?:^|\n)(\n?)[ \t]*(System|Human|User|Assistant):")
GOOD = {"true", "1", "good", "yes", "up", "thumbs_up", "desirable", "chosen", "positive", "👍", "+1"}
BAD = {"false", "0", "bad", "no", "down", "thumbs_down", "undesirable", "rejected", "negative", "👎", "-1"}


def conversed(value: Any) -> Any:
    """As ``listed``, but only if the list holds messages: ``[1, 2]`` may be the text of an answer."""
    if not isinstance(value, str) or not value.startswith("[{"):
        return value
    turns = listed(value)
    is_turn = isinstance(turns, list) and all(
        isinstance(m, dict) and {"role", "from"} & set(m) for m in turns
    )
    return turns if is_turn else value


def transcript(text: str) -> list[Message] | None:
    """Turns of a text such as ``Human: … Assistant: …``; None if it does not begin with one.

    All turns are separated like the first two: by a blank line (HH) or a line break (OpenAssistant).
    """
    marks = list(TURN.finditer(text))
    if not marks or text[: marks[0].start()].strip():
        return None
    if len(marks) > 1 and marks[1][1]:
        marks = [marks[0], *(m for m in marks[1:] if m[1])]
    ends = [m.start() for m in marks[1:]] + [len(text)]
    return [
        Message(ROLE_NAMES[mark[2].lower()], text[mark.end() : end].strip()) for mark, end in zip(marks, ends)
    ]


def prompt_messages(value: Any, field: str) -> tuple[Message, ...]:
    """A prompt from messages, from a transcript in text, or from plain text as one user turn."""
    value = conversed(value)
    if isinstance(value, dict) and {"role", "from"} & set(value):
        value = [value]
    if isinstance(value, list):
        return messages(value, field)
    text = filled_text(value, field, "prompt")
    turns = transcript(text)
    if turns is None or not _spoken(turns):
        return (Message("user", text),)
    if turns and turns[-1].role == "assistant" and not turns[-1].content:
        turns.pop()
    if not turns or any(not m.content for m in turns):
        raise Fault("empty prompt", "a turn of the prompt is empty", field=field, remedy="remove the row")
    return tuple(turns)


def _spoken(turns: Sequence[Message]) -> bool:
    """Whether turns are those of a prompt, not lines such as ``System: Ubuntu``: a user begins, and is answered."""
    said = [m.role for m in (turns[1:] if turns[0].role == "system" else turns)]
    return said[:1] == ["user"] and "system" not in said and (len(said) == 1 or "assistant" in said)


def answer_text(value: Any, field: str) -> str:
    """An answer from text, or from a list with one assistant message."""
    value = conversed(value)
    if isinstance(value, dict):
        value = next((value[k] for k in ANSWER_KEYS if k in value), None)
    if isinstance(value, list):
        turns = messages(value, field)
        if len(turns) != 1 or turns[0].role != "assistant":
            raise Fault(
                "wrong type",
                f"{field!r} must hold one assistant message",
                field=field,
                remedy="put earlier turns into the prompt",
            )
        return turns[0].content
    return filled_text(value, field, "answer")


def conversation(value: Any, field: str) -> tuple[tuple[Message, ...], str]:
    """A whole conversation, split at its last assistant turn: what came before, and that turn's text."""
    before, answer = split_conversation(value, field)
    if not answer.content:
        raise Fault(
            "empty answer", "the answer is empty", field=field, remedy="remove the row, or fill it in"
        )
    return before, answer.content


def split_conversation(value: Any, field: str) -> tuple[tuple[Message, ...], Message]:
    """A whole conversation, split at its last trained assistant turn; later turns are removed."""
    turns = _turns(conversed(value), field)
    assistants = [i for i, m in enumerate(turns) if m.role == "assistant"]
    if not assistants:
        raise Fault(
            "no assistant turn", f"{field!r} has no assistant turn", field=field, remedy="remove the row"
        )
    last = max((i for i in assistants if turns[i].trained), default=None)
    if last is None:
        raise Fault(
            "no trained turn",
            f"every assistant turn of {field!r} is marked as not trained",
            field=field,
            remedy="remove the row, or write weight 1 (train: true) in the turns to learn",
        )
    if _is_empty(turns[last]):
        raise Fault(
            "empty answer", "the answer is empty", field=field, remedy="remove the row, or fill it in"
        )
    if last == 0 or any(map(_is_empty, turns[:last])):
        raise Fault("empty prompt", "nothing precedes the answer", field=field, remedy="remove the row")
    return tuple(turns[:last]), turns[last]


def _is_empty(turn: Message) -> bool:
    return not turn.content and turn.role != "tool" and "tool_calls" not in turn.more


def _turns(value: Any, field: str) -> Sequence[Message]:
    if isinstance(value, list):
        return messages(value, field)
    found = transcript(whole_text(value, field))
    if found is None:
        raise Fault(
            "no assistant turn",
            f"{field!r} is not a conversation",
            field=field,
            remedy='begin turns with "Human:" and "Assistant:", or add a column "prompt"',
        )
    return found


def truth(value: Any, field: str) -> bool:
    """True for good and False for bad, from any of the usual spellings."""
    if isinstance(value, bool):
        return value
    word = code(value).replace(" ", "_")
    if word in GOOD or word in BAD:
        return word in GOOD
    raise Fault(
        "bad label",
        f"{value!r} is neither good nor bad",
        field=field,
        remedy='write true or false; a scale belongs in a column "rating"',
    )


def number(value: Any, field: str) -> float:
    """A finite number, also from text (CSV files)."""
    try:
        result = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        result = math.nan
    if not math.isfinite(result):
        raise Fault("wrong type", f"{value!r} is not a number", field=field, remedy="write a finite number")
    return result
