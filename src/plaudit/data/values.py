"""One value of a row turned into text, messages, a label or a number; or a Fault that says what is wrong."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from plaudit.data.records import Message, Role
from plaudit.data.report import Fault, name_type

ROLE_NAMES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "chatbot": "assistant",
}
TURN = re.compile(r"(?:^|\n)(\n?)[ \t]*(System|Human|User|Assistant):")
GOOD = {"true", "1", "good", "yes", "up", "thumbs_up", "desirable", "chosen", "positive", "👍", "+1"}
BAD = {"false", "0", "bad", "no", "down", "thumbs_down", "undesirable", "rejected", "negative", "👎", "-1"}


def listed(value: Any) -> Any:
    """A list of a CSV file, which holds it as JSON text, as a list."""
    if isinstance(value, str) and value[:1] == "[":
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def conversed(value: Any) -> Any:
    """As ``listed``, but only where the list holds messages: an answer may well be ``[1, 2]``."""
    if not isinstance(value, str) or not value.startswith("[{"):
        return value
    turns = listed(value)
    is_turn = isinstance(turns, list) and all(
        isinstance(m, dict) and {"role", "from"} & set(m) for m in turns
    )
    return turns if is_turn else value


def whole_text(value: Any, field: str) -> str:
    """Text that any program can hold: no number taken for text, no half characters."""
    if value is None:
        raise Fault("missing field", f"{field!r} is missing", field=field, remedy="give every row this field")
    if not isinstance(value, str):
        raise Fault(
            "wrong type",
            f"{field!r} is {name_type(value)}, not text",
            field=field,
            remedy='write it in quotes: "…"',
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Fault(
            "broken characters",
            f"{field!r} holds half of a character pair (a lone surrogate)",
            field=field,
            remedy="export the text again as UTF-8",
        ) from None
    return value


def filled_text(value: Any, field: str, what: str) -> str:
    """Text with the white space around it removed, which must not be empty."""
    text = whole_text(value, field).strip()
    if not text:
        raise Fault(
            f"empty {what}", f"the {what} is empty", field=field, remedy="remove the row, or fill it in"
        )
    return text


def messages(value: Any, field: str) -> tuple[Message, ...]:
    """Turns from ``[{role, content}]`` or ``[{from, value}]``; a blank system turn says nothing and goes."""
    value = listed(value)
    if not isinstance(value, list):
        raise Fault(
            "wrong type",
            f"{field!r} is {name_type(value)}, not a list of messages",
            field=field,
            remedy='write [{"role": "user", "content": "…"}, …]',
        )
    if not value:
        raise Fault("empty prompt", f"{field!r} holds no message", field=field, remedy="remove the row")
    turns = [_message(m, f"{field}[{i}]") for i, m in enumerate(value)]
    return tuple(m for m in turns if m.role != "system" or m.content)


def _message(value: Any, field: str) -> Message:
    if not isinstance(value, dict):
        raise Fault(
            "wrong type",
            f"a message is {name_type(value)}, not an object",
            field=field,
            remedy='write {"role": "user", "content": "…"}',
        )
    name = value.get("role", value.get("from"))
    content = value.get("content", value.get("value"))
    role = ROLE_NAMES.get(name.lower()) if isinstance(name, str) else None
    if role is None:
        message = "a message has no role" if name is None else f"{name!r} is no role that plaudit knows"
        raise Fault("bad role", message, field=field, remedy="roles are system, user and assistant")
    if content is None:
        raise Fault(
            "missing field", "a message has no content", field=field, remedy="remove the row, or fill it in"
        )
    if isinstance(content, list):
        content = _joined_parts(content, field)
    if role == "system":
        return Message(role, whole_text(content, field).strip())
    return Message(role, filled_text(content, field, "answer" if role == "assistant" else "prompt"))


def _joined_parts(parts: list[Any], field: str) -> str:
    """The text of a content list; anything but text parts cannot be learnt from here."""
    texts = []
    for part in parts:
        if not isinstance(part, dict) or part.get("type") != "text":
            kind = part.get("type") if isinstance(part, dict) else name_type(part)
            raise Fault(
                "wrong type",
                f"a message holds a part of type {kind!r}, not text",
                field=field,
                remedy="remove it",
            )
        texts.append(whole_text(part.get("text"), field))
    return "".join(texts)


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
        value = next(
            (value[k] for k in ("text", "content", "response", "answer", "value") if k in value), None
        )
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
    """A whole conversation, split at its last assistant turn: what came before, and that turn."""
    value = conversed(value)
    turns: Sequence[Message]
    if isinstance(value, list):
        turns = messages(value, field)
    else:
        found = transcript(whole_text(value, field))
        if found is None:
            raise Fault(
                "no assistant turn",
                f"{field!r} is no conversation",
                field=field,
                remedy='begin turns with "Human:" and "Assistant:", or add a column "prompt"',
            )
        turns = found
    last = max((i for i, m in enumerate(turns) if m.role == "assistant"), default=None)
    if last is None:
        raise Fault(
            "no assistant turn", f"{field!r} has no assistant turn", field=field, remedy="remove the row"
        )
    if not turns[last].content:
        raise Fault(
            "empty answer", "the answer is empty", field=field, remedy="remove the row, or fill it in"
        )
    if last == 0 or any(not m.content for m in turns[:last]):
        raise Fault("empty prompt", "nothing stands before the answer", field=field, remedy="remove the row")
    return tuple(turns[:last]), turns[last].content


def truth(value: Any, field: str) -> bool:
    """Good or bad, in any of the usual spellings."""
    if isinstance(value, bool):
        return value
    word = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    word = word.strip().lower().replace(" ", "_")
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
