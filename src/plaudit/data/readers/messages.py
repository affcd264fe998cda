"""Reads the messages of a conversation: roles by any usual name, tool calls, thinking, masks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from plaudit.data.readers.read_report import Fault, name_type
from plaudit.data.readers.text_values import filled_text, listed, whole_text
from plaudit.data.records import Message, Role

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
    "chatgpt": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function_response": "tool",
    "ipython": "tool",
}
# Roles whose content is a tool call written as JSON.
CALLING = ("function_call", "tool_call")
ROLE = ("role", "from")
CONTENT = ("content", "value", "text")
REASONING = ("reasoning_content", "reasoning", "thinking")
# Keys that say whether a turn is trained, in the formats of other libraries and providers.
MASKS = (
    *("weight", "train", "trained", "training", "loss", "loss_weight", "loss_mask", "compute_loss"),
    *("trainable", "learn", "learnable", "train_on"),
)
# Keys for which true means not trained, and a key that is ambiguous.
HIDING, EITHER = ("masked", "ignore", "ignored", "skip", "exclude", "excluded", "no_loss"), "mask"
# Names of the arguments of a call: OpenAI's, Llama's, Anthropic's, and short ones.
ARGUMENTS = ("arguments", "parameters", "input", "args", "params")
KEPT = ("name", "tool_call_id")
TEXT_KEYS = {*ROLE, *CONTENT}
KNOWN_KEYS = {*TEXT_KEYS, *REASONING, *MASKS, *HIDING, EITHER, *KEPT, "tool_calls", "function_call"}
# Keys of the text in an object that holds an answer; the first one present counts.
ANSWER_KEYS = (
    *("text", "content", "response", "answer", "value", "completion", "output", "generation", "summary"),
    "generated_text",
)
# Columns of which only the text of the last turn is used.
ANSWERS = ("chosen", "rejected", "response", "completion", "answer", "output")


def messages(value: Any, field: str) -> tuple[Message, ...]:
    """Turns from ``[{role, content}]`` or ``[{from, value}]``; a blank system turn is removed."""
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
    if not (said := tuple(m for m in turns if m.role != "system" or m.content)):
        raise Fault(
            "empty prompt", f"{field!r} holds no message with a text", field=field, remedy="remove the row"
        )
    return said


def with_tools(turns: Sequence[Message], tools: Any) -> tuple[Message, ...]:
    """The turns, with the tools that the assistant may call stored on the first of them."""
    found = _parsed(tools)
    found = (
        [_parsed(t) for t in ([found] if isinstance(found, dict) else found)]
        if isinstance(found, list | dict)
        else found
    )
    if not found or found == "":
        return tuple(turns)
    if not isinstance(found, list) or not all(
        isinstance(t, dict) and {"name", "function", "type"} & set(t) for t in found
    ):
        raise Fault(
            "bad tools",
            "'tools' cannot be read as a list of functions",
            field="tools",
            remedy='write [{"type": "function", "function": {"name": "…", "parameters": {…}}}], or leave the column '
            "out with --fields ignore=COLUMN",
        )
    tools = found
    return (replace(turns[0], more={**turns[0].more, "tools": _without_nothing(tools)}), *turns[1:])


def _parsed(value: Any) -> Any:
    """A value from JSON text; text that is no JSON unchanged."""
    if isinstance(value, str):
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(value)
        return value.strip()
    return value


def _without_nothing(value: Any) -> Any:
    """Without keys that hold None: tables add them to objects that lack the key."""
    if isinstance(value, Mapping):
        return {k: _without_nothing(v) for k, v in value.items() if v is not None}
    return [_without_nothing(v) for v in value] if isinstance(value, list) else value


def unused_keys(row: Mapping[str, Any]) -> Iterable[str]:
    """Keys inside a row's messages that records do not keep, as ``column[].key``, except empty ones.

    Whole conversations keep thinking, tool calls and masks; separate answers (``chosen``) keep only text.
    """
    for column, value in row.items():
        known = TEXT_KEYS if column in ANSWERS else KNOWN_KEYS
        turns = listed(value) if isinstance(value, str) and value.startswith("[{") else value
        if isinstance(turns, Mapping) and column in ANSWERS:
            text = next((k for k in ANSWER_KEYS if k in turns), None)
            spare = (
                k for k, v in turns.items() if k != text and k not in ROLE and v not in (None, "", [], {})
            )
            yield from (f"{column}.{k}" for k in spare)
        if not isinstance(turns, list):
            continue
        for turn in turns:
            if isinstance(turn, dict) and (set(ROLE) & set(turn)):
                spare = (k for k, v in turn.items() if k not in known and v not in (None, "", [], {}))
                yield from (f"{column}[].{k}" for k in spare)


def _message(value: Any, field: str) -> Message:
    if not isinstance(value, dict):
        raise Fault(
            "wrong type",
            f"a message is {name_type(value)}, not an object",
            field=field,
            remedy='write {"role": "user", "content": "…"}',
        )
    name = _first(value, ROLE)
    content = _first(value, CONTENT)
    role = ROLE_NAMES.get(name.lower()) if isinstance(name, str) else None
    if role is None:
        keys = ", ".join(map(repr, value))
        message = (
            f"a message has no role; its keys are {keys}" if name is None else f"{name!r} is not a known role"
        )
        raise Fault(
            "bad role",
            message,
            field=field,
            remedy="roles are system, user, assistant and tool, in a key 'role' beside 'content'",
        )
    thoughts = ""
    if isinstance(content, dict) and content.get("type") == "text" and set(content) <= {"type", "text"}:
        content = [content]
    if isinstance(content, list):
        content, thoughts = _joined_parts(content, role, field)
    if role == "tool" and isinstance(content, dict | int | float):
        content = json.dumps(content, ensure_ascii=False)
    more = _more(value, field)
    if thoughts:
        more.setdefault("reasoning_content", thoughts)
    if name.lower() in CALLING:
        more["tool_calls"], content = _calls(content, name, field), ""
    if content is None and "tool_calls" in more:
        content = ""
    if content is None:
        raise Fault(
            "missing field", "a message has no content", field=field, remedy="remove the row, or fill it in"
        )
    trained = _trained(value, field) if role == "assistant" else True
    return Message(role, _content(content, role, more, field), more, trained)


def _first(value: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((value[n] for n in names if value.get(n) is not None), None)


def _content(content: Any, role: Role, more: Mapping[str, Any], field: str) -> str:
    if role in ("system", "tool") or "tool_calls" in more:
        return whole_text(content, field).strip()
    return filled_text(content, field, "answer" if role == "assistant" else "prompt")


def _more(value: Mapping[str, Any], field: str) -> dict[str, Any]:
    more: dict[str, Any] = {k: value[k] for k in KEPT if value.get(k) not in (None, "")}
    if (reasoning := _first(value, REASONING)) not in (None, ""):
        more["reasoning_content"] = whole_text(reasoning, f"{field}.reasoning_content").strip()
    calls = value.get("tool_calls") or ([value["function_call"]] if value.get("function_call") else None)
    if calls:
        more["tool_calls"] = _calls(calls, "tool_calls", field)
    return more


def _calls(value: Any, name: str, field: str) -> list[dict[str, Any]]:
    """Tool calls as ``[{type: function, function: {name, arguments}, id?}]``."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = None
    value = [value] if isinstance(value, dict) else value
    if not isinstance(value, list):
        value = [None]
    return [_call(call, name, field) for call in value]


def _call(value: Any, name: str, field: str) -> dict[str, Any]:
    inner = value.get("function", value) if isinstance(value, dict) else None
    called = inner.get("name") if isinstance(inner, dict) else None
    if not isinstance(called, str) or not called:
        raise Fault(
            "bad tool call",
            f"{name!r} names no function to call",
            field=field,
            remedy='write {"name": "…", "arguments": {…}}, or remove the row',
        )
    assert isinstance(inner, dict)
    given = _first(inner, ARGUMENTS)
    call = {
        "type": "function",
        "function": {"name": called, "arguments": _without_nothing({} if given is None else given)},
    }
    return call | ({"id": value["id"]} if isinstance(value.get("id"), str) else {})


def _trained(value: Mapping[str, Any], field: str) -> bool:
    """Whether a turn is trained: by ``weight`` 0 or 1, ``train`` true or false, or a similar key."""
    if value.get(EITHER) is not None:
        raise Fault(
            "bad mask",
            f"{EITHER!r} of a message may mean that it is trained, or that it is not",
            field=field,
            remedy="write train: true or train: false",
        )
    for key in (*MASKS, *HIDING):
        mark = value.get(key)
        if mark is None:
            continue
        if isinstance(mark, str):
            mark = {"0": False, "false": False, "1": True, "true": True}.get(mark.strip().lower(), mark)
        if mark not in (0, 1):
            raise Fault(
                "bad mask",
                f"{key!r} of a message is {mark!r}, neither 0 nor 1",
                field=field,
                remedy="write 0 or 1 (a turn is trained or it is not); a record's weight is a column 'weight'"
                if key == "weight"
                else "write true or false",
            )
        if bool(mark) == (key in HIDING):
            return False
    return True


def _joined_parts(parts: list[Any], role: Role, field: str) -> tuple[str, str]:
    """The text of a content list, and the assistant's thinking in it. Raises ``Fault`` for anything else."""
    texts, thoughts = [], []
    for part in parts:
        bare = isinstance(part, dict) and set(part) == {"text"}
        kind = "text" if bare else part.get("type") if isinstance(part, dict) else name_type(part)
        if role == "assistant" and kind in ("thinking", "reasoning"):
            thoughts.append(whole_text(_first(part, (kind, "text", "thinking")), field))
        elif isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(kind, str) and kind.endswith("text"):
            texts.append(whole_text(part.get("text"), field))
        else:
            raise _no_text(kind, field)
    return "".join(texts), "\n".join(thoughts).strip()


def _no_text(kind: Any, field: str) -> Fault:
    calls = str(kind).startswith(("tool", "function"))
    return Fault(
        "wrong type",
        f"a message holds a part of type {kind!r}, but plaudit trains only on text",
        field=field,
        remedy="write calls into the message's key tool_calls, and what a tool returned as a turn of role tool"
        if calls
        else "remove the row: text about an image is useless without it",
    )
