"""Probes which message keys a chat template writes besides the content: thinking, tool calls, names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from plaudit.data.records import Message
from plaudit.data.rendering.chat_template import (
    ANSWER_PROBE,
    CALL_PROBE,
    OPENERS,
    REFUSALS,
    USER_PROBE,
    ChatTemplate,
)
from plaudit.data.rendering.turn_text import thought_joined

TOOL_PROBE = Message("tool", "qzresult", {"tool_call_id": "qzcallid1", "name": "qzfunction"})
TOOLS_PROBE = [
    {
        "type": "function",
        "function": {
            "name": "qzkey",
            "description": "qzkey",
            "parameters": {"type": "object", "properties": {}, "required": []},
        },
    }
]
NAMES = {"tools": "the list of tools", "reasoning_content": "thinking (reasoning_content)"}


@dataclass(frozen=True)
class Settled:
    """Messages with the keys that the template writes, those it omits, and a reason if it must not be used."""

    messages: Sequence[Message]
    unwritten: tuple[str, ...] = ()
    refused: str = ""
    remedy: str = ""


class TemplateKeys:
    """Which keys of a message a chat template writes."""

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template
        self._known: dict[tuple[str, str], bool] = {}

    def settle(self, messages: Sequence[Message]) -> Settled:
        """The messages with only the keys that the template writes; refused if it cannot write tool calls."""
        calls = sum("tool_calls" in m.more for m in messages)
        results = sum(m.role == "tool" for m in messages)
        if calls and self.template.call_style is None:
            return self._refused("tool calls (tool_calls)")
        if results and not self.writes_results:
            return self._refused("turns of tools (role tool)")
        unwritten: list[str] = []
        kept = [self._settled(m, unwritten) for m in messages]
        return Settled(kept, tuple(dict.fromkeys(unwritten)))

    def _refused(self, what: str) -> Settled:
        return Settled(
            (),
            refused=f"the chat template does not write {what}",
            remedy="name a model whose chat template does (check: --model), or remove the rows that have them",
        )

    def _settled(self, message: Message, unwritten: list[str]) -> Message:
        if not message.more:
            return message
        if (
            "reasoning_content" in message.more
            and self._opener
            and not self.writes("assistant", "reasoning_content")
        ):
            message = thought_joined(message, self._opener)
        keys = {key: self.writes(message.role, key) for key in message.more}
        # Keys that link a result to its call are not content: a template may omit them without loss.
        unwritten += [
            f"{NAMES.get(key, repr(key))} of {message.role} turns" if key != "tools" else NAMES[key]
            for key, known in keys.items()
            if not known and key != "tool_call_id" and not (key == "name" and message.role == "tool")
        ]
        return replace(
            message, more={k: v for k, v in message.more.items() if keys[k] or k == "tool_call_id"}
        )

    def writes(self, role: str, key: str) -> bool:
        """Whether the template writes the value of a key."""
        if (role, key) not in self._known:
            self._known[role, key] = key == "tool_calls" or any(self._probes(role, key))
        return self._known[role, key]

    def _probes(self, role: str, key: str) -> Iterable[bool]:
        if self.template.is_plaudit:
            return
        value: Any = TOOLS_PROBE if key == "tools" else "qzkey1234"
        for turns in _conversations(role, {key: value}):
            try:
                yield "qzkey" in self.template.text(turns)
            except REFUSALS:
                yield False

    @cached_property
    def writes_results(self) -> bool:
        """Whether the template writes a tool's turn differently from an assistant turn."""
        if self.template.is_own:
            return False
        head = (USER_PROBE, CALL_PROBE) if self.template.call_style else (USER_PROBE, ANSWER_PROBE)
        try:
            text = self.template.text((*head, TOOL_PROBE))
        except REFUSALS:
            return False
        try:
            spoken = self.template.text((*head, Message("assistant", TOOL_PROBE.content)))
        except REFUSALS:
            spoken = ""
        return TOOL_PROBE.content in text and text != spoken

    @cached_property
    def _opener(self) -> str:
        begun = self.template.text((USER_PROBE,), generation_prompt=True).rstrip()
        return next((mark for mark in OPENERS if begun.endswith(mark)), "")


def _conversations(role: str, more: dict[str, Any]) -> Iterable[tuple[Message, ...]]:
    """Conversations with a key: on the last turn, and on one before it."""
    if role == "system":
        yield (Message("system", "qzsystem", more), USER_PROBE, ANSWER_PROBE)
    elif role == "user":
        yield (Message("user", "qzuser", more), ANSWER_PROBE)
        yield (Message("user", "qzuser", more),)
    elif role == "tool":
        yield (USER_PROBE, CALL_PROBE, replace(TOOL_PROBE, more={**TOOL_PROBE.more, **more}))
    else:
        yield (USER_PROBE, Message("assistant", "qzanswer", more))
        yield (USER_PROBE, replace(CALL_PROBE, more={**CALL_PROBE.more, **more}))
