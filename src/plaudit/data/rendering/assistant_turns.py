"""Finds the assistant's turns in a rendered conversation.

A turn begins where the model's prompt ends (its *beginning*: the conversation so far, rendered with the
generation prompt), and ends with the token that closes it. Some templates render an earlier turn differently
once an answer follows: they drop its thinking or close it with another token. Such turns are found by content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from plaudit.data.records import Message
from plaudit.data.rendering.chat_template import (
    ANSWER_PROBE,
    CALL_PROBE,
    CLOSERS,
    OPENERS,
    REFUSALS,
    USER_PROBE,
    ChatTemplate,
)
from plaudit.data.rendering.turn_text import (
    drops_thinking,
    end_of_content,
    ends_with,
    first_of,
    keeps_thinking,
    shared_start,
)
from plaudit.errors import UserError

NEXT_PROBE, LAST_PROBE = Message("user", "qznext"), Message("assistant", "qzlast")
Render = Callable[[Sequence[Message], bool], str]


@dataclass(frozen=True)
class Span:
    """A turn in a text: characters [start, end).

    ``beginning`` is the text before it, if that equals the model's prompt for the turn; else None.
    """

    start: int
    end: int
    beginning: str | None = None


@dataclass(frozen=True)
class Answered:
    """A conversation up to the end of its last answer, and the character where that answer begins.

    ``opened`` is the thinking tag that the generation prompt opens and the answer never closes.
    """

    text: str
    start: int
    opened: str = ""


class TurnFinder:
    """Finds assistant turns in texts that ``render(messages, generation_prompt)`` made with one chat template."""

    def __init__(self, template: ChatTemplate, render: Render) -> None:
        self.template = template
        self.render = render

    # -- the last answer -------------------------------------------------------------------------

    def answered(self, messages: Sequence[Message], finished: bool) -> Answered:
        """The conversation up to the end of its last turn, as if the model had generated that turn."""
        *before, answer = messages
        begun = self.render(before, True) if before else ""
        opener = next((mark for mark in OPENERS if begun.rstrip().endswith(mark)), "")
        if begun and not self._half_thought(answer.content):
            whole = self.render(messages, False)
            rest = whole[len(begun) :] if whole.startswith(begun) else None
            if rest is not None and keeps_thinking(rest, answer.content, opener):
                return Answered(self._up_to_end(whole, len(begun), answer, finished), len(begun))
            if rest is not None and not drops_thinking(rest, answer.content):
                raise UserError(
                    f"the chat template rewrites the answer {answer.content[:40]!r}",
                    remedy="use a chat template that writes answers as they are",
                )
        if not begun:
            text = self.render(messages, False)
            span = self.find(text, messages, len(messages) - 1)
            if span is None:
                raise UserError(f"the chat template does not write {answer.content[:40]!r}")
            return Answered(text[: span.end], span.start)
        return self._composed(begun, answer, finished, opener)

    def _composed(self, begun: str, answer: Message, finished: bool, opener: str) -> Answered:
        """The answer appended to its generation prompt, where the template itself renders it differently."""
        if "tool_calls" in answer.more:
            raise UserError(
                "the chat template writes earlier turns differently once a tool call follows",
                remedy="use a chat template whose prompts are prefixes of conversations",
            )
        content = answer.content
        if opener and content.lstrip().startswith(opener):
            content = content.lstrip()[len(opener) :]
            content = content.lstrip("\n") if begun.endswith("\n") else content
        closed = any(mark in content for mark in CLOSERS)
        return Answered(
            begun + (self.lead if self.lead.isspace() else "") + content + (self.closing if finished else ""),
            len(begun),
            opener if finished and not closed else "",
        )

    def _half_thought(self, content: str) -> bool:
        """Whether thinking is opened and never closed; templates treat it as plain content."""
        return any(mark in content for mark in OPENERS) and not any(mark in content for mark in CLOSERS)

    def _up_to_end(self, text: str, start: int, answer: Message, finished: bool) -> str:
        said, end = self._end(text, start, answer, last=True)
        if not finished:
            blank = self.closing[: len(self.closing) - len(self.closing.lstrip())]
            return text[: max(start, said - len(blank) if text[:said].endswith(blank) else said)]
        if said == end:
            raise UserError(
                f"the chat template closes an assistant turn without {self.template.end!r}, which closes others",
                remedy="end every assistant turn with the same token in the chat_template",
            )
        return text[:end]

    # -- turns in the middle ---------------------------------------------------------------------

    def span(self, text: str, messages: Sequence[Message], i: int) -> Span | None:
        """The position of assistant turn ``i`` in the text of the whole conversation; None if it is not there."""
        if i > 0:
            begun = self.render(messages[:i], True)
            if text.startswith(begun):
                end = self._end(text, len(begun), messages[i], last=i == len(messages) - 1)[1]
                return Span(len(begun), end, begun)
        return self.find(text, messages, i)

    def as_written(self, text: str, messages: Sequence[Message], i: int, span: Span | None) -> bool:
        """Whether turn ``i`` is in the text exactly as the model would generate it after its prompt."""
        turn = messages[i]
        if span is None or (span.beginning is None and i > 0):
            return False
        if not turn.more and text.startswith(self.lead + turn.content + self.closing, span.start):
            return True
        try:
            alone = self.answered(messages[: i + 1], True)
        except UserError:
            return False
        return text.startswith(alone.text) and span.end == len(alone.text)

    def find(self, text: str, messages: Sequence[Message], i: int) -> Span | None:
        """Find turn ``i`` by what the template writes between contents, also if it changed earlier turns."""
        plain = [replace(m, content=f"qz{j}zq") for j, m in enumerate(messages)]
        # The last turn may follow a generation prompt that the template itself would render differently.
        for turns, generation_prompt in ((plain, False), (plain[:-1], True)):
            if i < len(turns):
                start = self._walk(text, self.render(turns, generation_prompt), plain[: i + 1])
                if start is not None:
                    end = self._end(text, start, messages[i], last=i == len(messages) - 1)[1]
                    return Span(start, end)
        return None

    def _walk(self, text: str, skeleton: str, turns: Sequence[Message]) -> int | None:
        """Where the last of these turns begins in a text that has the skeleton's pieces between its contents."""
        cursor, start = 0, None
        for turn in turns:
            if turn.content not in skeleton:
                continue
            piece, _, skeleton = skeleton.partition(turn.content)
            at = text.find(piece, cursor)
            if at < 0:
                return None
            cursor = at + len(piece)
            heads = (piece.rfind(head) + len(head) for head in self.heads if head in piece)
            start = at + max(heads, default=len(piece))
        return start

    def _end(self, text: str, start: int, turn: Message, *, last: bool) -> tuple[int, int]:
        """Where the content of a turn ends, and where the turn ends, including its closing if there is one."""
        if "tool_calls" in turn.more:
            at = start
            for call in turn.more["tool_calls"]:
                at = max(at, text.find(call["function"]["name"], at))
            return first_of(text, self.call_closers, at) or (len(text), len(text))
        at = start
        # Separate thinking may be closed like an answer; nothing else may precede the closing.
        for _ in range(2 if "reasoning_content" in turn.more else 1):
            found = first_of(text, self.closings if last else self.middle_closings, at)
            if found is None:
                break
            if ends_with(text, start, found[0], turn.content):
                return found
            at = found[1]
        end = end_of_content(text, turn, start)
        return end, end

    # -- properties of the template, probed once -------------------------------------------------

    @cached_property
    def closing(self) -> str:
        """What closes the last answer: the text after it up to and including the end-of-turn token."""
        tail = self.template.text((USER_PROBE, ANSWER_PROBE)).rpartition(ANSWER_PROBE.content)[2]
        return tail[: tail.find(self.template.end) + len(self.template.end)]

    @property
    def closings(self) -> tuple[str, ...]:
        """The text that closes the last answer, without the space before it."""
        return (self.closing.lstrip(),)

    @cached_property
    def middle_closings(self) -> tuple[str, ...]:
        """The text that closes an answer that another turn follows; empty if the template writes none."""
        talk = self._talk()
        if talk is None:
            return self.closings
        between = talk.rpartition(ANSWER_PROBE.content)[2].partition(NEXT_PROBE.content)[0]
        headers = talk[: talk.find(USER_PROBE.content)]
        try:
            # What precedes a turn of either role is not the header of that turn.
            text = self.template.text((USER_PROBE, ANSWER_PROBE), generation_prompt=True)
            between = shared_start(between, text.rpartition(ANSWER_PROBE.content)[2])
            headers = self._header
        except REFUSALS:
            pass
        found = [(between.find(mark), mark) for mark in self._controls if mark and mark in between]
        at, mark = min(found, default=(0, ""))
        if not mark or (mark in headers and mark != self.template.end):
            return ()
        return (between[: at + len(mark)].lstrip(),)

    @cached_property
    def call_closers(self) -> tuple[str, ...]:
        """The control tokens that close a turn with tool calls."""
        try:
            text = self.template.text((USER_PROBE, CALL_PROBE))
        except REFUSALS:
            return (self.template.end,)
        tail = text[text.rfind("qzvalue") :]
        if self.template.end in tail:
            return (self.template.end,)
        marks = [mark for mark in self._controls if mark in tail]
        return (max(marks, key=tail.rfind),) if marks else (self.template.end,)

    @cached_property
    def lead(self) -> str:
        """What the template writes between the generation prompt and an answer: a space, empty thinking."""
        begun = self.template.text((USER_PROBE,), generation_prompt=True)
        whole = self.template.text((USER_PROBE, ANSWER_PROBE))
        return whole[len(begun) : whole.rfind(ANSWER_PROBE.content)] if whole.startswith(begun) else ""

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """The text before an answer: the generation prompt, or the part of it that other texts share."""
        begun = self.template.text((USER_PROBE,), generation_prompt=True)
        texts = [self.template.text((USER_PROBE, ANSWER_PROBE))]
        if (talk := self._talk()) is not None:
            texts.append(talk)
        after = [text[text.find(USER_PROBE.content) + len(USER_PROBE.content) :] for text in (begun, *texts)]
        shared = (shared_start(after[0], text) for text in after[1:])
        return tuple(dict.fromkeys(head for head in (self._header, *shared) if head))

    @cached_property
    def _header(self) -> str:
        """The generation prompt alone."""
        plain = self.template.text((USER_PROBE,))
        begun = self.template.text((USER_PROBE,), generation_prompt=True)
        return begun[len(shared_start(plain, begun)) :]

    @cached_property
    def _controls(self) -> tuple[str, ...]:
        tokenizer = self.template.tokenizer
        added = (t.content for t in tokenizer.added_tokens_decoder.values())
        return tuple(dict.fromkeys((*tokenizer.all_special_tokens, *added)))

    def _talk(self) -> str | None:
        try:
            return self.template.text((USER_PROBE, ANSWER_PROBE, NEXT_PROBE, LAST_PROBE))
        except REFUSALS:
            return None
