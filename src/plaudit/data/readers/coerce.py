"""One value of a row turned into text, messages, a label or a number; or a Fault that says what is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from plaudit.data.readers.label_codes import code
from plaudit.data.readers.messages import ROLE_NAMES as ROLE_NAMES, messages as messages
from plaudit.data.readers.read_report import Fault
from plaudit.data.readers.text_values import (
    filled_text as filled_text,
    listed as listed,
    whole_text as whole_text,
)
from plaudit.data.records import Message

ANSWER_KEYS = (
    *("text", "content", "response", "answer", "value", "completion", "output", "generation", "summary"),
    "generated_text",
)
TURN = re.compile(r"(?:^|\n)(\n?)[ \t]*(System|Human|User|Assistant):")
GOOD = {"true", "1", "good", "yes", "up", "thumbs_up", "desirable", "chosen", "positive", "👍", "+1"}
BAD = {"false", "0", "bad", "no", "down", "thumbs_down", "undesirable", "rejected", "negative", "👎", "-1"}


def conversed(value: Any) -> Any:
    """As ``listed``, but only where the list holds messages: an answer may well be ``[1, 2]``."""
    if not isinstance(value, str) or not value.startswith("[{"):
        return value
    turns = listed(value)
    is_turn = isinstance(turns, list) and all(
        isinstance(m, dict) and {"role", "from"} & set(m) for m in turns
    )
    return turns if is_turn else value


def transcript(text: str) -> list[Message] | None:
    """Turns of a text such as ``Human: … Assistant: …``; None where it does not begin with one.

    Turns are parted as the first two are: by a blank line (HH) or by a line break (OpenAssistant).
    An assistant turn that is only begun, where an answer is to follow, is no turn.
    """
    marks = list(TURN.finditer(text))
    if not marks or text[: marks[0].start()].strip():
        return None
    if len(marks) > 1 and marks[1][1]:
        marks = [marks[0], *(m for m in marks[1:] if m[1])]
    ends = [m.start() for m in marks[1:]] + [len(text)]
    turns = [
        Message(ROLE_NAMES[mark[2].lower()], text[mark.end() : end].strip()) for mark, end in zip(marks, ends)
    ]
    return turns


def prompt_messages(value: Any, field: str) -> tuple[Message, ...]:
    """A prompt: messages, a transcript in text, or plain text, which is one user turn."""
    value = conversed(value)
    if isinstance(value, list):
        return messages(value, field)
    text = filled_text(value, field, "prompt")
    turns = transcript(text)
    if turns is None:
        return (Message("user", text),)
    if turns and turns[-1].role == "assistant" and not turns[-1].content:
        turns.pop()
    if not turns or any(not m.content for m in turns):
        raise Fault("empty prompt", "a turn of the prompt is empty", field=field, remedy="remove the row")
    return tuple(turns)


def answer_text(value: Any, field: str) -> str:
    """An answer: text, or messages of which it is the only one."""
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
    """A whole conversation, split at its last assistant turn that is trained; what follows it goes."""
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
            remedy="remove the row, or write weight 1 (train: true) at the turns to learn",
        )
    if _is_empty(turns[last]):
        raise Fault(
            "empty answer", "the answer is empty", field=field, remedy="remove the row, or fill it in"
        )
    if last == 0 or any(map(_is_empty, turns[:last])):
        raise Fault("empty prompt", "nothing stands before the answer", field=field, remedy="remove the row")
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
            f"{field!r} is no conversation",
            field=field,
            remedy='begin turns with "Human:" and "Assistant:", or add a column "prompt"',
        )
    return found


def truth(value: Any, field: str) -> bool:
    """Good or bad, in any of the usual spellings."""
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
    """A finite number, also where a CSV file holds it as text."""
    try:
        result = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        result = math.nan
    if not math.isfinite(result):
        raise Fault("wrong type", f"{value!r} is no number", field=field, remedy="write a finite number")
    return result
