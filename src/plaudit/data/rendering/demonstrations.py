"""Demonstrations as token items: which tokens are the assistant's, and which of them are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np

from plaudit.data.records import Demonstration, Message, Response
from plaudit.data.rendering.assistant_turns import Span
from plaudit.data.rendering.conversation import EMPTY, Conversations, Dropped
from plaudit.data.rendering.text_encoder import CUT
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.errors import UserError


class Demonstrations:
    """Turns conversations into items. ``train_on`` selects the assistant turns that are trained."""

    def __init__(self, conversations: Conversations, train_on: Literal["all", "last"]) -> None:
        self.conversations = conversations
        self.turns = conversations.turns
        self.encoder = conversations.encoder
        self.train_on = train_on

    def one_turn(self, turns: Sequence[Message], i: int, record: Demonstration) -> TokenItem:
        """Turn ``i`` of a conversation alone, after the prompt that the model has at that turn."""
        response = record.response if i == len(turns) - 1 else Response(turns[i].content)
        before = [replace(m, trained=False) for m in turns[:i]]
        return self.item([*before, turns[i]], replace(record, response=response))[0]

    def trained(self, messages: Sequence[Message], which: str) -> list[int]:
        """Indices of the trained assistant turns: all that are not masked, or only the last."""
        last = len(messages) - 1
        every = [i for i, m in enumerate(messages) if m.role == "assistant" and m.trained and i < last]
        return [*(every if which == "all" else []), last]

    def item(self, messages: Sequence[Message], record: Demonstration) -> tuple[TokenItem, int, bool]:
        """The item, the number of tokens before the last answer, and whether the template rewrites trained turns."""
        guarded, cut = self.encoder.guard(messages)
        found = self.conversations.answered(guarded, record.response)
        self.conversations.require_closed(found, record.response)
        *middle, _ = self.trained(guarded, self.train_on)
        placed = [(i, self.turns.span(found.text, guarded, i)) for i in middle]
        spans = [span for _, span in placed if span is not None]
        rewritten = not all(self.turns.as_written(found.text, guarded, i, span) for i, span in placed)
        begun = found.text[: found.start]
        spans.append(Span(found.start, len(found.text), begun if len(guarded) > 1 else None))
        span = record.response.metadata.get("trained_span")
        ids, offsets, places = self._places(found.text, spans, cut, offsets=span is not None)
        trained = np.zeros(len(ids), dtype=bool)
        for start, end in places:
            trained[start:end] = True
        first, (last, end) = places[0][0], places[-1]
        if last == end:
            raise Dropped(EMPTY)
        if span is not None:
            trained = _within(offsets, found.text, begun, cut, record.response.text, span)
            if not trained[last:end].any():
                raise UserError(
                    f"trained_span {list(span)} is not a part of the answer {record.response.text[:60]!r}"
                )
        segment = Segment(ids[first:end], trained[first:end])
        return (
            TokenItem(ids[:first], (segment,), record.prompt.id, {"weight": (record.weight,)}),
            last,
            rewritten,
        )

    def _places(
        self, text: str, spans: Sequence[Span], cut: str, *, offsets: bool
    ) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
        """Token ids [T], their character offsets [T, 2], and each span as tokens [start, end).

        If the answer's first characters would merge with the prompt's last token, prompt and answer are
        encoded separately, as they are when the model generates the answer.
        """
        if len(spans) == 1 and spans[0].beginning is not None and not offsets:
            ids = self.encoder.encode(text, cut)
            prompt = self.conversations.encode_prompt(spans[0].beginning, cut)
            if np.array_equal(ids[: len(prompt)], prompt):
                return ids, np.zeros((0, 2), dtype=np.int64), [(len(prompt), len(ids))]
        ids, where = self.encoder.encode_with_offsets(text, cut)
        starts = [self._start(ids, where, text, span, cut) for span in spans]
        if None in starts:
            self.conversations.keep_apart(text[spans[starts.index(None)].start :])
            mark = cut or CUT
            edges = [0, *(s.start for s in spans), len(text)]
            pieces = [text[a:b] for a, b in pairwise(edges)]
            ids, where = self.encoder.encode_with_offsets(mark.join(pieces), mark)
            starts = [int(np.searchsorted(where[:, 0], _clean(text, s.start, cut))) for s in spans]
        ends = [int(np.searchsorted(where[:, 0], _clean(text, span.end, cut))) for span in spans]
        # Nothing precedes the first token of a text, so it cannot be predicted.
        return ids, where, [(max(1, int(start or 0)), end) for start, end in zip(starts, ends)]

    def _start(self, ids: np.ndarray, offsets: np.ndarray, text: str, span: Span, cut: str) -> int | None:
        """The index of a span's first token; None if tokens merge across the boundary."""
        if span.beginning is not None:
            prompt = self.conversations.encode_prompt(span.beginning, cut)
            return len(prompt) if np.array_equal(ids[: len(prompt)], prompt) else None
        at = _clean(text, span.start, cut)
        start = int(np.searchsorted(offsets[:, 0], at))
        return start if start == 0 or offsets[start - 1, 1] <= at else None


def _clean(text: str, at: int, cut: str) -> int:
    """A position in a text after the cuts are removed from it."""
    return at - text.count(cut, 0, at) * len(cut) if cut else at


def _within(
    offsets: np.ndarray, text: str, begun: str, cut: str, answer: str, span: Sequence[int]
) -> np.ndarray:
    """Tokens [T] that overlap characters ``span`` of the answer, which is somewhere after ``begun``."""
    if not 0 <= span[0] < span[1] <= len(answer):
        return np.zeros(len(offsets), dtype=bool)
    clean, start = (text.replace(cut, ""), len(begun.replace(cut, ""))) if cut else (text, len(begun))
    at = clean.find(answer, start)
    if at < 0:  # templates may trim it
        at = clean.find(answer.strip(), start) - (len(answer) - len(answer.lstrip()))
    within: np.ndarray = (offsets[:, 0] < at + span[1]) & (offsets[:, 1] > at + span[0])
    return within
