"""Finds a turn's content in rendered text, whether the template keeps or drops its thinking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from plaudit.data.records import Message
from plaudit.data.rendering.chat_template import CLOSERS, OPENERS


def unthought(content: str) -> str:
    """The part of an answer after its thinking."""
    cut = max((content.rfind(mark) + len(mark) for mark in CLOSERS if mark in content), default=0)
    return content[cut:]


def thought_joined(message: Message, opener: str) -> Message:
    """The message with its ``reasoning_content`` written between tags at the beginning of the content."""
    thought = message.more["reasoning_content"]
    closer = CLOSERS[OPENERS.index(opener)]
    more = {k: v for k, v in message.more.items() if k != "reasoning_content"}
    return replace(message, content=f"{opener}\n{thought}\n{closer}\n\n{message.content}", more=more)


def shared_start(a: str, b: str) -> str:
    """The longest common prefix of two texts."""
    length = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return a[:length]


def ends_with(text: str, start: int, end: int, content: str) -> bool:
    """Whether text[start:end] ends with an answer; white space and thinking are ignored."""
    if text.startswith(content, max(start, end - len(content))):
        return True
    said = flat(unthought(content))
    if said:
        return flat(text[start:end]).endswith(said)
    # Only thinking: the generation prompt may have opened it.
    return unmarked(text[start:end]).endswith(unmarked(content))


def first_of(text: str, marks: Sequence[str], start: int) -> tuple[int, int] | None:
    """The first occurrence of any of ``marks`` from ``start`` on, as [start, end), or None."""
    found = ((text.find(mark, start), mark) for mark in marks)
    at, mark = min(((at, mark) for at, mark in found if at >= 0), default=(-1, ""))
    return (at, at + len(mark)) if at >= 0 else None


def end_of_content(text: str, message: Message, start: int) -> int:
    """Where a message's content ends in the text after ``start``, also if trimmed or without thinking."""
    thought = str(message.more.get("reasoning_content", "")).strip()
    after = behind(text, thought, start)
    for content in (message.content, message.content.strip()):
        if content and (at := text.find(content, after)) >= 0:
            return at + len(content)
    said = unthought(message.content).strip()
    thought = message.content[: message.content.rfind(said)] if said else message.content
    for mark in (*OPENERS, *CLOSERS):
        thought = thought.replace(mark, "")
    at = text.find(said, behind(text, thought.strip(), start))
    return at + len(said) if said and at >= 0 else start


def behind(text: str, thought: str, start: int) -> int:
    at = text.find(thought, start) if thought else -1
    return at + len(thought) if at >= 0 else start


def unmarked(text: str) -> str:
    for mark in (*OPENERS, *CLOSERS):
        text = text.replace(mark, "")
    return flat(text)


def flat(text: str) -> str:
    """Text without white space, which templates may add or trim."""
    return "".join(text.split())


def keeps_thinking(rest: str, content: str, opener: str) -> bool:
    """Whether the text after a generation prompt contains the whole answer."""
    if content.strip() in rest:
        return True
    return flat(content) in flat(opener + rest)


def drops_thinking(rest: str, content: str) -> bool:
    said = flat(unthought(content))
    return said != flat(content) and said in flat(rest)
