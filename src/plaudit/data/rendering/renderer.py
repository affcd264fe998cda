"""Turns records into token items: renders the whole conversation with the chat template, then splits it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from plaudit.data.records import Demonstration, Labeled, Message, Preference, Prompt, Response
from plaudit.data.rendering.conversation import (
    EMPTY,
    NOT_UNICODE,
    Conversations,
    Dropped,
    as_turn,
    ever_shorter,
    is_unicode,
)
from plaudit.data.rendering.demonstrations import Demonstrations
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.errors import Problem, UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHOWN = 10


class Renderer:
    """Renders records for one tokenizer.

    ``max_length`` limits prompt + response in tokens, ``max_prompt_length`` the prompt alone. A prompt that
    is too long loses its oldest turns (a leading system turn stays). An answer is never cut: its item is
    dropped instead. ``counts`` holds ``kept``, ``shortened`` (of those kept) and ``dropped: reason``.
    ``train_on`` selects the assistant turns of a demonstration that are trained.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int | None = None,
        max_prompt_length: int | None = None,
        train_on: Literal["all", "last"] = "all",
    ) -> None:
        self.tokenizer = tokenizer
        self.counts: Counter[str] = Counter()
        self.faults: list[Problem] = []
        self.conversations = Conversations(tokenizer, self.counts)
        self.template = self.conversations.template
        self.encoder = self.conversations.encoder
        self.maker = Demonstrations(self.conversations, train_on)
        self.end_id = self.template.end_id
        self.max_length = max_length
        self.max_prompt_length = max_prompt_length
        self.train_on = train_on
        eos = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else self.end_id
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id
        self._document_end = int(eos)
        self._document_start = int(start if start is not None else eos)

    # -- prompts and answers ---------------------------------------------------------------------

    def prompt(self, messages: Sequence[Message], *, room: int = 0) -> np.ndarray:
        """Ids of a conversation up to where the answer begins: [T]. UserError if it does not fit.

        ``room`` tokens of ``max_length`` are reserved for an answer.
        """
        try:
            ids, _ = self._fit(messages, room)
        except Dropped as drop:
            room_left = (
                f"shorten it: the limit is {self.max_length} tokens" if drop.reason == "too long" else None
            )
            raise UserError(f"the prompt cannot be rendered: {drop.reason}", remedy=room_left) from drop
        return ids

    def loses_turns(self, messages: Sequence[Message], *, room: int = 0) -> bool:
        """Whether ``prompt`` leaves out the oldest turns of a conversation, so that the rest fits."""
        try:
            return len(self._fit(messages, room)[1]) < len(messages)
        except Dropped:
            return False

    def prompts(self, records: Iterable[Prompt], *, room: int = 0) -> tuple[list[Prompt], list[np.ndarray]]:
        """The prompts that leave ``room`` tokens for an answer, and their ids; others are dropped and counted."""
        kept: list[Prompt] = []
        ids: list[np.ndarray] = []
        for record in records:
            try:
                rendered, turns = self._fit(record.messages, room)
            except Dropped as drop:
                self._dropped(drop)
                continue
            self.conversations.settle(record.messages, count=True)
            self._keep(turns, record.messages)
            kept.append(record)
            ids.append(rendered)
        return kept, ids

    def response_ids(self, messages: Sequence[Message], response: Response) -> np.ndarray:
        """Ids of an answer to the conversation: [T]; the end-of-turn token is included iff it is finished.

        If the answer's first characters would merge with the prompt's last token (an answer that begins
        with a line break), both are encoded separately, as they are when a model generates the answer. An
        answer without tokens becomes the end-of-turn token.
        """
        try:
            return self.conversations.response_ids(messages, response, strict=False)
        except Dropped as drop:
            if drop.reason == EMPTY:
                return np.asarray([self.end_id], dtype=np.int64)
            raise UserError(f"the answer cannot be rendered: {drop.reason}") from drop

    def decode(self, ids: Sequence[int] | np.ndarray, *, keep_special: bool = False) -> str:
        """Text of token ids, with or without control tokens."""
        text: str = self.tokenizer.decode(
            [int(i) for i in ids], skip_special_tokens=not keep_special, clean_up_tokenization_spaces=False
        )
        return text

    # -- records ---------------------------------------------------------------------------------

    def demonstration(self, record: Demonstration) -> TokenItem | None:
        """One item: its response spans the first to the last trained assistant turn; None if dropped.

        Turns are as the template renders them in the whole conversation (see ``demonstrations``).
        ``response.metadata["trained_span"] = [start, end]`` (characters of the answer) restricts
        training to the tokens that overlap it.
        """
        try:
            return self._demonstration(record)[0]
        except Dropped as drop:
            self._dropped(drop, record.prompt)
            return None

    def demonstrations(self, record: Demonstration) -> list[TokenItem]:
        """The items that a conversation is trained on; empty if dropped.

        One item, as ``demonstration`` gives it, if the model would generate every trained turn as it is
        rendered there. If the template renders earlier turns differently (drops their thinking, closes them
        with another token), one item per trained turn, each after the prompt that the model has at that turn.
        """
        try:
            return self._demonstrations(record)
        except Dropped as drop:
            self._dropped(drop, record.prompt)
            return []

    def preference(self, record: Preference) -> TokenItem | None:
        """A prompt and its K answers; the payload is the ``Comparisons``. None if dropped."""
        try:
            return self._preference(record)
        except Dropped as drop:
            self._dropped(drop, record.prompt)
            return None

    def labeled(self, record: Labeled) -> TokenItem | None:
        """A prompt and one answer; extras ``good`` and ``weight``. None if dropped."""
        messages = record.prompt.messages
        try:
            ids = self.conversations.response_ids(messages, record.response, strict=True)
            prompt, turns = self._fit(messages, len(ids))
        except Dropped as drop:
            self._dropped(drop, record.prompt)
            return None
        self._keep(turns, messages)
        extras = {"good": (float(record.good),), "weight": (record.weight,)}
        return TokenItem(prompt, (Segment.of(ids),), record.prompt.id, extras)

    def documents(self, texts: Sequence[str]) -> list[TokenItem]:
        """Raw texts: a start token, then text and end token; longer than ``max_length``, several items."""
        start = np.asarray([self._document_start], dtype=np.int64)
        items = []
        valid = [text for text in texts if is_unicode(text)]
        for ids in self.encoder.encode_plain(valid):
            body = np.append(ids, self._document_end)
            width = len(body) if self.max_length is None else max(1, self.max_length - 1)
            for i in range(0, len(body), width):
                items.append(TokenItem(start, (Segment.of(body[i : i + width]),), extras={"weight": (1.0,)}))
        self.counts["kept"] += len(valid)
        if len(valid) < len(texts):
            self.counts[f"dropped: {NOT_UNICODE}"] += len(texts) - len(valid)
        return items

    def nothing_left(self, message: str) -> UserError:
        """The error for data of which no record is left: the counts, and the problems to fix."""
        reasons = ", ".join(f"{name} {count}" for name, count in self.counts.items() if count)
        return UserError(f"{message}: {reasons}", problems=self._first_faults())

    def _first_faults(self) -> list[Problem]:
        more = (
            [Problem(f"… and {len(self.faults) - SHOWN} more like these")] if len(self.faults) > SHOWN else []
        )
        return [*self.faults[:SHOWN], *more]

    def lint(self, items: Sequence[TokenItem], *, ends: bool = True) -> None:
        """Raise one UserError with every problem that would make training silently wrong.

        ``ends=False`` if the end of a turn is not meant to be learned (trained spans).
        """
        problems = self._first_faults()
        if not any(item.trained_tokens for item in items) and not problems:
            problems.append(
                Problem(
                    "no token is trained", remedy="check that the records have answers that fit max_length"
                )
            )
        elif (
            items
            and ends
            and not any((s.ids[s.trained] == self.end_id).any() for i in items for s in i.responses)
        ):
            token = self.tokenizer.convert_ids_to_tokens(self.end_id)
            problems.append(
                Problem(
                    f"the end-of-turn token {token!r} is never trained, so the model could not learn to stop",
                    remedy="check that some answers are finished",
                )
            )
        if problems:
            raise UserError("the data cannot be trained on as rendered", problems=problems)

    # -- implementation --------------------------------------------------------------------------

    def _demonstrations(self, record: Demonstration) -> list[TokenItem]:
        """One item, or one per trained turn if the template rewrites earlier turns."""
        item, turns, rewritten = self._demonstration(record)
        if not rewritten:
            return [item]
        self.counts["conversations trained turn by turn"] += 1
        items = []
        for i in self.maker.trained(turns, "all"):
            try:
                items.append(self._one_turn(turns, i, record))
            except Dropped as drop:
                self._dropped(drop)
        return items

    def _one_turn(self, turns: Sequence[Message], i: int, record: Demonstration) -> TokenItem:
        item = self.maker.one_turn(turns, i, record)
        if not self._fits(len(item.prompt), item.longest - len(item.prompt)):
            raise Dropped("too long")
        return item

    def _demonstration(self, record: Demonstration) -> tuple[TokenItem, Sequence[Message], bool]:
        """The item, its turns after shortening, and whether the template rewrites trained turns."""
        messages = [*record.prompt.messages, as_turn(record.response)]
        *before, answer = self.conversations.settle(messages, count=True)
        for turns in ever_shorter(before):
            item, prompt_length, rewritten = self.maker.item([*turns, answer], record)
            if self._fits(prompt_length, item.longest - prompt_length):
                self._keep(turns, before)
                return item, [*turns, answer], rewritten
        raise Dropped("too long")

    def _fits(self, prompt: int, response: int) -> bool:
        return (self.max_prompt_length is None or prompt <= self.max_prompt_length) and (
            self.max_length is None or prompt + response <= self.max_length
        )

    def _fit(self, messages: Sequence[Message], response: int) -> tuple[np.ndarray, Sequence[Message]]:
        """Prompt ids and its turns, shortened so that a response of this many tokens fits."""
        for turns in ever_shorter(self.conversations.settle(messages)):
            ids = self.conversations.prompt_ids(turns)
            if self._fits(len(ids), response):
                return ids, turns
        raise Dropped("too long")

    def _preference(self, record: Preference) -> TokenItem:
        comparisons = record.comparisons()
        messages = comparisons.prompt.messages
        ids = [self.conversations.response_ids(messages, r, strict=True) for r in comparisons.responses]
        prompt, turns = self._fit(messages, max(map(len, ids)))
        self._keep(turns, messages)
        return TokenItem(prompt, tuple(map(Segment.of, ids)), comparisons.prompt.id, payload=comparisons)

    def _keep(self, turns: Sequence[Message], messages: Sequence[Message]) -> None:
        self.counts["kept"] += 1
        self.counts["shortened"] += len(turns) < len(messages)

    def _dropped(self, drop: Dropped, prompt: Prompt | None = None) -> None:
        self.counts[f"dropped: {drop.reason}"] += 1
        if drop.problem is not None and not (drop.once and drop.problem in self.faults):
            self.faults.append(drop.problem)
