"""Renders one conversation as text and token ids with a tokenizer's chat template, or says why it cannot."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from plaudit.data.records import Message, Response
from plaudit.data.rendering.assistant_turns import Answered, TurnFinder
from plaudit.data.rendering.chat_template import REFUSALS, ChatTemplate, tools_of
from plaudit.data.rendering.template_keys import TemplateKeys
from plaudit.data.rendering.text_encoder import TextEncoder
from plaudit.data.rendering.turn_text import flat
from plaudit.errors import Problem, UserError

EMPTY = "empty answer"
NOT_UNICODE = "not valid Unicode"
BOUNDARY = "answers kept apart from the prompt's last token, with which they would merge"


class Dropped(Exception):
    """Raised for a record that cannot be rendered, with the reason under which it is counted.

    A ``problem`` must be fixed before training; with ``once`` it concerns the template and is reported once.
    """

    def __init__(self, reason: str, problem: Problem | None = None, *, once: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problem = problem
        self.once = once


class Conversations:
    """Renders and encodes conversations for one tokenizer; ``counts`` is the caller's and updated here."""

    def __init__(self, tokenizer: Any, counts: Counter[str]) -> None:
        self.tokenizer = tokenizer
        self.counts = counts
        self.template = ChatTemplate(tokenizer)
        self.encoder = TextEncoder(tokenizer, self.template.scaffold(), self.template.written())
        self.turns = TurnFinder(self.template, self.render)
        self.keys = TemplateKeys(self.template)
        self._latest: tuple[tuple[str, str], np.ndarray] = (("", ""), np.zeros(0, dtype=np.int64))
        # If one token both opens and closes texts, repeating it is not an error.
        ends = (None, tokenizer.eos_token_id, self.template.end_id)
        self._bos = None if tokenizer.bos_token_id in ends else tokenizer.bos_token_id

    def settle(self, messages: Sequence[Message], *, count: bool = False) -> Sequence[Message]:
        """The messages reduced to what the template writes; what it cannot is counted, or drops the record."""
        if not any(m.more or m.role == "tool" for m in messages):
            return messages
        settled = self.keys.settle(messages)
        if settled.refused:
            raise Dropped(settled.refused, Problem(settled.refused, remedy=settled.remedy), once=True)
        for name in settled.unwritten if count else ():
            self.counts[f"records with {name}, which the chat template does not write"] += 1
        return settled.messages

    def render(self, messages: Sequence[Message], generation_prompt: bool) -> str:
        try:
            text = self.template.text(messages, generation_prompt=generation_prompt)
        except REFUSALS as error:
            raise Dropped(f"the chat template refuses it ({error})") from error
        if not is_unicode(text):
            raise Dropped(NOT_UNICODE)
        return text

    def _require_whole(self, messages: Sequence[Message], text: str) -> None:
        if not self.template.is_plaudit and (lost := _lost(messages, text)) is not None:
            raise Dropped(f"the chat template leaves out the content of a {lost} turn")

    def answered(self, guarded: Sequence[Message], response: Response) -> Answered:
        """The conversation up to the end of its answer, checked to contain every turn."""
        try:
            found = self.turns.answered(guarded, response.finished)
        except UserError as error:
            raise Dropped(error.message, Problem(error.message, remedy=error.remedy)) from error
        self._require_whole(guarded, found.text)
        return found

    def encode_prompt(self, text: str, cut: str) -> np.ndarray:
        # Answers to one prompt are encoded in succession: cache the ids of the latest prompt.
        if self._latest[0] != (text, cut):
            ids = self.encoder.encode(text, cut)
            if self._bos is not None and len(ids) > 1 and ids[0] == ids[1] == self._bos:
                raise UserError(
                    f"the chat template begins with {self.tokenizer.bos_token!r} more than once",
                    remedy="remove it from the template where it stands twice",
                )
            self._latest = ((text, cut), ids)
        return self._latest[1].copy()

    def prompt_ids(self, messages: Sequence[Message]) -> np.ndarray:
        if not messages:
            raise Dropped("nothing is asked")
        guarded, cut = self.encoder.guard(messages)
        text = self.render(guarded, True)
        self._require_whole(guarded, text)
        return self.encode_prompt(text, cut)

    def response_ids(self, messages: Sequence[Message], response: Response, *, strict: bool) -> np.ndarray:
        guarded, cut = self.encoder.guard(self.settle([*messages, as_turn(response)]))
        found = self.answered(guarded, response)
        if strict:
            self.require_closed(found, response)
        prompt, ids = (
            self.encode_prompt(found.text[: found.start], cut),
            self.encoder.encode(found.text, cut),
        )
        if np.array_equal(ids[: len(prompt)], prompt):
            rest = ids[len(prompt) :]
        else:
            if strict:
                self.keep_apart(response.text)
            rest = self.encoder.encode_rest(found.text[found.start :], cut)
        if len(rest) == 0:
            raise Dropped(EMPTY)
        return rest

    def keep_apart(self, said: str) -> None:
        """Count a prompt and answer encoded separately; it is an error if the answer's white space merges."""
        if said[:1].isspace() and not self.turns.lead:
            problem = Problem(
                f"the first characters of the answer {said[:40]!r} merge with the prompt's last token",
                remedy="strip the white space around answers",
            )
            raise Dropped("the prompt is not a prefix", problem)
        self.counts[BOUNDARY] += 1

    def require_closed(self, found: Answered, response: Response) -> None:
        if not found.opened:
            return
        said = f"the generation prompt opens {found.opened!r}, which the answer never closes"
        raise Dropped(
            said,
            Problem(
                f"{said}: {response.text[:40]!r} would be learned as thinking",
                remedy="let answers hold their thinking (<think>…</think> before the answer, or a key "
                "reasoning_content), or use a chat template whose generation prompt opens no thought",
            ),
        )


def is_unicode(text: str) -> bool:
    """Whether the text can be encoded: JSON escapes can hold a lone surrogate, which no encoding can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def ever_shorter(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """The conversation, then shorter ones that begin at each later user turn; system turn and tools stay."""
    yield messages
    head = 1 if messages and messages[0].role == "system" else 0
    tools = None if head else tools_of(messages)
    for i in range(head + 1, len(messages)):
        if messages[i].role == "user":
            first = messages[i]
            if tools is not None:
                first = replace(first, more={**first.more, "tools": tools})
            yield [*messages[:head], first, *messages[i + 1 :]]


def as_turn(response: Response) -> Message:
    """An answer as an assistant turn."""
    return Message("assistant", response.text, response.metadata.get("message") or {})


def _lost(messages: Sequence[Message], text: str) -> str | None:
    """The role of a turn that the template does not write in full, or None; thinking may be missing."""
    for message in messages:
        said = message.content
        if message.role == "assistant" or said in text or said.strip() in text:
            continue
        said = said.replace("/no_think", "").replace("/think", "")  # switches that templates read and remove
        quoted = json.dumps(said, ensure_ascii=False)[1:-1]
        if flat(said) not in flat(text) and flat(quoted) not in flat(text):
            return message.role
    return None
