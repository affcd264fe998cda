"""From records to token items: rendered once, whole, through the chat template, then split by prefix."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from plaudit.data.encoding import CUT, TextEncoder
from plaudit.data.records import Demonstration, Labelled, Message, Preference, Prompt, Response
from plaudit.data.template_keys import TemplateKeys
from plaudit.data.templates import REFUSALS, ChatTemplate, tools_of
from plaudit.data.tokens import Segment, TokenItem
from plaudit.data.turns import Answered, Span, TurnFinder, flat
from plaudit.errors import Problem, UserError

SHOWN = 10
EMPTY = "empty answer"
BOUNDARY = "answers kept apart from the prompt's last token, with which they would merge"
NOT_UNICODE = "not valid Unicode"


class _Drop(Exception):
    """A record that cannot be rendered, with the reason it is counted under."""

    def __init__(self, reason: str, problem: Problem | None = None, *, once: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problem = problem
        self.once = once


class Renderer:
    """Renders records for one tokenizer.

    ``max_length`` bounds prompt + response in tokens, ``max_prompt_length`` the prompt alone. What is
    too long loses whole oldest turns of its prompt (a leading system turn stays); an answer is never
    cut: its item is dropped. ``counts`` holds ``kept``, of these ``shortened``, and ``dropped: reason``.
    ``train_on`` says which assistant turns of a demonstration are trained.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        max_length: int | None = None,
        max_prompt_length: int | None = None,
        train_on: Literal["all", "last"] = "all",
    ) -> None:
        self.tokenizer = tokenizer
        self.template = ChatTemplate(tokenizer)
        self.encoder = TextEncoder(tokenizer, self.template.scaffold(), self.template.written())
        self.turns = TurnFinder(self.template, self._render)
        self.keys = TemplateKeys(self.template)
        self.end_id = self.template.end_id
        self.max_length = max_length
        self.max_prompt_length = max_prompt_length
        self.train_on = train_on
        self.counts: Counter[str] = Counter()
        self.faults: list[Problem] = []
        self._latest: tuple[tuple[str, str], np.ndarray] = (("", ""), np.zeros(0, dtype=np.int64))
        eos = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else self.end_id
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id
        self._document_end = int(eos)
        self._document_start = int(start if start is not None else eos)
        # Where one token both opens and closes texts, several of it are in order.
        self._bos = None if tokenizer.bos_token_id in (None, eos, self.end_id) else tokenizer.bos_token_id

    # -- prompts and answers ---------------------------------------------------------------------

    def prompt(self, messages: Sequence[Message], *, room: int = 0) -> np.ndarray:
        """Ids of a conversation up to where the answer begins: [T]. UserError where it cannot fit.

        ``room`` tokens of ``max_length`` are kept free for an answer.
        """
        try:
            ids, _ = self._fit(messages, room)
        except _Drop as drop:
            raise UserError(f"the prompt cannot be rendered: {drop.reason}") from drop
        return ids

    def prompts(self, records: Iterable[Prompt]) -> tuple[list[Prompt], list[np.ndarray]]:
        """The prompts that fit, and their ids; the others are dropped and counted."""
        kept: list[Prompt] = []
        ids: list[np.ndarray] = []
        for record in records:
            try:
                rendered, turns = self._fit(record.messages, 0)
            except _Drop as drop:
                self._dropped(drop)
                continue
            self._settle(record.messages, count=True)
            self._keep(turns, record.messages)
            kept.append(record)
            ids.append(rendered)
        return kept, ids

    def response_ids(self, messages: Sequence[Message], response: Response) -> np.ndarray:
        """Ids of an answer to the conversation: [T]; the end-of-turn token is there iff it finished.

        Where the answer's first characters would merge with the prompt's last (an answer that begins
        with a line break), the boundary is kept, as it is when a model writes the answer. An answer
        without any token is its end alone.
        """
        try:
            return self._response(messages, response, strict=False)
        except _Drop as drop:
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
        """One response: the trained assistant turns and what lies between; None if dropped.

        Every turn stands as the template writes it in the whole conversation (see ``demonstrations``).
        ``response.metadata["trained_span"] = [start, end]`` (characters of the answer) restricts
        training to the tokens that overlap it.
        """
        try:
            settled = self._settle([*record.prompt.messages, _answer(record.response)], count=True)
            item, turns, _ = self._demonstration(settled, record)
        except _Drop as drop:
            self._dropped(drop, record.prompt)
            return None
        self._keep(turns, settled)
        return item

    def demonstrations(self, record: Demonstration) -> list[TokenItem]:
        """What a conversation is trained on; nothing if dropped.

        One item, as ``demonstration`` gives it, where a model would write every trained turn as it stands
        there. Where the template writes turns otherwise once another follows (drops their thinking, closes
        them by another token), one item a trained turn, each behind the prompt that a model is given then.
        """
        try:
            return self._demonstrations(record)
        except _Drop as drop:
            self._dropped(drop, record.prompt)
            return []

    def preference(self, record: Preference) -> TokenItem | None:
        """A prompt and its K answers; the payload is the ``Comparisons``. None if dropped."""
        try:
            return self._preference(record)
        except _Drop as drop:
            self._dropped(drop, record.prompt)
            return None

    def labelled(self, record: Labelled) -> TokenItem | None:
        """A prompt and one answer; extras ``good`` and ``weight``. None if dropped."""
        messages = record.prompt.messages
        try:
            ids = self._response(messages, record.response, strict=True)
            prompt, turns = self._fit(messages, len(ids))
        except _Drop as drop:
            self._dropped(drop, record.prompt)
            return None
        self._keep(turns, messages)
        extras = {"good": (float(record.good),), "weight": (record.weight,)}
        return TokenItem(prompt, (Segment.of(ids),), record.prompt.id, extras)

    def document(self, text: str) -> TokenItem:
        """Raw text for language modelling; ValueError where it needs more than one item."""
        items = self.documents([text])
        if len(items) != 1:
            raise ValueError(f"a text of {len(text)} characters makes {len(items)} items: use documents()")
        return items[0]

    def documents(self, texts: Sequence[str]) -> list[TokenItem]:
        """Raw texts: a start token, then text and end. What exceeds ``max_length`` goes on in a new item."""
        start = np.asarray([self._document_start], dtype=np.int64)
        items = []
        valid = [text for text in texts if _is_unicode(text)]
        for ids in self.encoder.encode_plain(valid):
            body = np.append(ids, self._document_end)
            width = len(body) if self.max_length is None else max(1, self.max_length - 1)
            for i in range(0, len(body), width):
                items.append(TokenItem(start, (Segment.of(body[i : i + width]),), extras={"weight": (1.0,)}))
        self.counts["kept"] += len(valid)
        if len(valid) < len(texts):
            self.counts[f"dropped: {NOT_UNICODE}"] += len(texts) - len(valid)
        return items

    def note(self) -> str | None:
        """What rendering dropped, shortened or left out so far, in one line; None where that is nothing."""
        rest = [f"{name}: {count:,}" for name, count in self.counts.items() if count and name != "kept"]
        return f"rendering: {self.counts['kept']:,} records kept; {'; '.join(rest)}" if rest else None

    def nothing_left(self, message: str) -> UserError:
        """Why no record is left to train on: the counts, and what can be mended."""
        reasons = ", ".join(f"{name} {count}" for name, count in self.counts.items() if count)
        return UserError(f"{message}: {reasons}", problems=self._first_faults())

    def _first_faults(self) -> list[Problem]:
        more = (
            [Problem(f"… and {len(self.faults) - SHOWN} more like these")] if len(self.faults) > SHOWN else []
        )
        return [*self.faults[:SHOWN], *more]

    def lint(self, items: Sequence[TokenItem], *, ends: bool = True) -> None:
        """Raise one UserError with every fault that would make training silently wrong.

        ``ends=False`` where the end of a turn is not meant to be learnt (trained spans).
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

    # -- how -------------------------------------------------------------------------------------

    def _settle(self, messages: Sequence[Message], *, count: bool = False) -> Sequence[Message]:
        """The messages with what the template can write of them; what it cannot is counted, or drops the record."""
        if not any(m.more or m.role == "tool" for m in messages):
            return messages
        settled = self.keys.settle(messages)
        if settled.refused:
            raise _Drop(settled.refused, Problem(settled.refused, remedy=settled.remedy), once=True)
        for name in settled.unwritten if count else ():
            self.counts[f"records with {name}, which the chat template does not write"] += 1
        return settled.messages

    def _render(self, messages: Sequence[Message], generation_prompt: bool) -> str:
        try:
            text = self.template.text(messages, generation_prompt=generation_prompt)
        except REFUSALS as error:
            raise _Drop(f"the chat template refuses it ({error})") from error
        if not _is_unicode(text):
            raise _Drop(NOT_UNICODE)
        return text

    def _require_whole(self, messages: Sequence[Message], text: str) -> None:
        if not self.template.is_plaudit and (lost := _lost(messages, text)) is not None:
            raise _Drop(f"the chat template leaves out what a {lost} turn says")

    def _answered(self, guarded: Sequence[Message], response: Response) -> Answered:
        found = self.turns.answered(guarded, response.finished)
        self._require_whole(guarded, found.text)
        return found

    def _encode_prompt(self, text: str, cut: str) -> np.ndarray:
        # The answers to one prompt come one after another: its ids are kept until the next prompt's.
        if self._latest[0] != (text, cut):
            ids = self.encoder.encode(text, cut)
            if self._bos is not None and len(ids) > 1 and ids[0] == ids[1] == self._bos:
                raise UserError(
                    f"the chat template begins with {self.tokenizer.bos_token!r} more than once",
                    remedy="remove it from the template where it stands twice",
                )
            self._latest = ((text, cut), ids)
        return self._latest[1].copy()

    def _prompt_ids(self, messages: Sequence[Message]) -> np.ndarray:
        if not messages:
            raise _Drop("nothing is asked")
        guarded, cut = self.encoder.guard(messages)
        text = self._render(guarded, True)
        self._require_whole(guarded, text)
        return self._encode_prompt(text, cut)

    def _fits(self, prompt: int, response: int) -> bool:
        return (self.max_prompt_length is None or prompt <= self.max_prompt_length) and (
            self.max_length is None or prompt + response <= self.max_length
        )

    def _fit(self, messages: Sequence[Message], response: int) -> tuple[np.ndarray, Sequence[Message]]:
        """Prompt ids and the turns that are left so that a response of that many tokens still fits."""
        for turns in _ever_shorter(self._settle(messages)):
            ids = self._prompt_ids(turns)
            if self._fits(len(ids), response):
                return ids, turns
        raise _Drop("too long")

    def _response(self, messages: Sequence[Message], response: Response, *, strict: bool) -> np.ndarray:
        guarded, cut = self.encoder.guard(self._settle([*messages, _answer(response)]))
        found = self._answered(guarded, response)
        if strict:
            self._require_closed(found, response)
        prompt, ids = (
            self._encode_prompt(found.text[: found.start], cut),
            self.encoder.encode(found.text, cut),
        )
        if np.array_equal(ids[: len(prompt)], prompt):
            rest = ids[len(prompt) :]
        else:
            if strict:
                self._keep_apart(response.text)
            rest = self.encoder.encode_rest(found.text[found.start :], cut)
        if len(rest) == 0:
            raise _Drop(EMPTY)
        return rest

    def _keep_apart(self, said: str) -> None:
        """Count a boundary that is kept between tokens; answers whose own white space merges are faulty."""
        if said[:1].isspace() and not self.turns.lead:
            problem = Problem(
                f"the first characters of the answer {said[:40]!r} merge with the prompt's last token",
                remedy="strip the white space around answers",
            )
            raise _Drop("the prompt is not a prefix", problem)
        self.counts[BOUNDARY] += 1

    def _require_closed(self, found: Answered, response: Response) -> None:
        if not found.opened:
            return
        said = f"the generation prompt opens {found.opened!r}, which the answer never closes"
        raise _Drop(
            said,
            Problem(
                f"{said}: {response.text[:40]!r} would be learnt as a thought",
                remedy="let answers hold their thinking (<think>…</think> before the answer, or a key "
                "reasoning_content), or use a chat template whose generation prompt opens no thought",
            ),
        )

    def _demonstrations(self, record: Demonstration) -> list[TokenItem]:
        """One item, or one a turn where the template would show earlier turns otherwise than they are written."""
        settled = self._settle([*record.prompt.messages, _answer(record.response)], count=True)
        item, turns, rewritten = self._demonstration(settled, record)
        self._keep(turns, settled)
        if not rewritten:
            return [item]
        self.counts["conversations trained turn by turn"] += 1
        items = []
        for i in self._trained(turns, "all"):
            try:
                items.append(self._one_turn(turns[: i + 1], i == len(turns) - 1, record))
            except _Drop as drop:
                self._dropped(drop)
        return items

    def _one_turn(self, turns: Sequence[Message], last: bool, record: Demonstration) -> TokenItem:
        response = record.response if last else Response(turns[-1].content)
        alone = replace(record, response=response)
        return self._item([*(replace(m, trained=False) for m in turns[:-1]), turns[-1]], alone)[0]

    def _demonstration(
        self, settled: Sequence[Message], record: Demonstration
    ) -> tuple[TokenItem, Sequence[Message], bool]:
        """The item, the turns that are left, and whether the template rewrites turns that are trained."""
        for turns in _ever_shorter(settled[:-1]):
            item, prompt_length, rewritten = self._item([*turns, settled[-1]], record)
            if self._fits(prompt_length, item.longest - prompt_length):
                return item, [*turns, settled[-1]], rewritten
        raise _Drop("too long")

    def _trained(self, messages: Sequence[Message], which: str) -> list[int]:
        last = len(messages) - 1
        every = [i for i, m in enumerate(messages) if m.role == "assistant" and m.trained and i < last]
        return [*(every if which == "all" else []), last]

    def _item(self, messages: Sequence[Message], record: Demonstration) -> tuple[TokenItem, int, bool]:
        """The item, the number of tokens before the last answer, and whether trained turns are rewritten in it."""
        guarded, cut = self.encoder.guard(messages)
        found = self._answered(guarded, record.response)
        self._require_closed(found, record.response)
        *middle, _ = self._trained(guarded, self.train_on)
        spans = [self.turns.span(found.text, guarded, i) for i in middle]
        rewritten = any(
            not self.turns.as_written(found.text, guarded, i, span) for i, span in zip(middle, spans)
        )
        begun = found.text[: found.start]
        spans.append(Span(found.start, len(found.text), begun if len(guarded) > 1 else None))
        span = record.response.metadata.get("trained_span")
        ids, offsets, places = self._places(found.text, spans, cut, offsets=span is not None)
        trained = np.zeros(len(ids), dtype=bool)
        for start, end in places:
            trained[start:end] = True
        first, (last, end) = places[0][0], places[-1]
        if last == end:
            raise _Drop(EMPTY)
        if span is not None:
            trained = _within(offsets, found.text, begun, cut, record.response.text, span)
            if not trained[last:end].any():
                raise UserError(
                    f"trained_span {list(span)} is no part of the answer {record.response.text[:60]!r}"
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
        """Token ids [T], their characters [T, 2], and each span as tokens [start, end).

        Where the tokens of a beginning are not those that a model is given before it answers, because the
        answer's first characters would merge with them, the boundary is kept.
        """
        if len(spans) == 1 and spans[0].beginning is not None and not offsets:
            ids = self.encoder.encode(text, cut)
            prompt = self._encode_prompt(spans[0].beginning, cut)
            if np.array_equal(ids[: len(prompt)], prompt):
                return ids, np.zeros((0, 2), dtype=np.int64), [(len(prompt), len(ids))]
        ids, where = self.encoder.encode_with_offsets(text, cut)
        starts = [self._start(ids, where, text, span, cut) for span in spans]
        if None in starts:
            self._keep_apart(text[spans[starts.index(None)].start :])
            mark = cut or CUT
            edges = [0, *(s.start for s in spans), len(text)]
            pieces = [text[a:b] for a, b in pairwise(edges)]
            ids, where = self.encoder.encode_with_offsets(mark.join(pieces), mark)
            starts = [int(np.searchsorted(where[:, 0], _clean(text, s.start, cut))) for s in spans]
        ends = [int(np.searchsorted(where[:, 0], _clean(text, span.end, cut))) for span in spans]
        # A first token has nothing before it that could predict it.
        return ids, where, [(max(1, int(start or 0)), end) for start, end in zip(starts, ends)]

    def _start(self, ids: np.ndarray, offsets: np.ndarray, text: str, span: Span, cut: str) -> int | None:
        """The index of a span's first token; None where it is not at the boundary that a model meets."""
        if span.beginning is not None:
            prompt = self._encode_prompt(span.beginning, cut)
            return len(prompt) if np.array_equal(ids[: len(prompt)], prompt) else None
        at = _clean(text, span.start, cut)
        start = int(np.searchsorted(offsets[:, 0], at))
        return start if start == 0 or offsets[start - 1, 1] <= at else None

    def _preference(self, record: Preference) -> TokenItem:
        comparisons = record.comparisons()
        messages = comparisons.prompt.messages
        ids = [self._response(messages, r, strict=True) for r in comparisons.responses]
        prompt, turns = self._fit(messages, max(map(len, ids)))
        self._keep(turns, messages)
        return TokenItem(prompt, tuple(map(Segment.of, ids)), comparisons.prompt.id, payload=comparisons)

    def _keep(self, turns: Sequence[Message], messages: Sequence[Message]) -> None:
        self.counts["kept"] += 1
        self.counts["shortened"] += len(turns) < len(messages)

    def _dropped(self, drop: _Drop, prompt: Prompt | None = None) -> None:
        self.counts[f"dropped: {drop.reason}"] += 1
        if drop.problem is not None and not (drop.once and drop.problem in self.faults):
            self.faults.append(drop.problem)


def _is_unicode(text: str) -> bool:
    """Whether no half of a surrogate pair stands alone, as JSON's escapes can say and no encoding can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _ever_shorter(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """The conversation, then without its oldest turns, each time up to the next user turn; its tools stay."""
    yield messages
    head = 1 if messages and messages[0].role == "system" else 0
    tools = None if head else tools_of(messages)
    for i in range(head + 1, len(messages)):
        if messages[i].role == "user":
            first = messages[i]
            if tools is not None:
                first = replace(first, more={**first.more, "tools": tools})
            yield [*messages[:head], first, *messages[i + 1 :]]


def _answer(response: Response) -> Message:
    """An answer as the turn that it is."""
    return Message("assistant", response.text, response.metadata.get("message") or {})


def _clean(text: str, at: int, cut: str) -> int:
    """A place in a text as it is once the cuts are taken out."""
    return at - text.count(cut, 0, at) * len(cut) if cut else at


def _lost(messages: Sequence[Message], text: str) -> str | None:
    """The role of a turn of which the template writes nothing, or not all; thoughts may go."""
    for message in messages:
        said = message.content
        if message.role == "assistant" or said in text or said.strip() in text:
            continue
        said = said.replace("/no_think", "").replace("/think", "")  # switches that templates read and remove
        quoted = json.dumps(said, ensure_ascii=False)[1:-1]
        if flat(said) not in flat(text) and flat(quoted) not in flat(text):
            return message.role
    return None


def _within(
    offsets: np.ndarray, text: str, begun: str, cut: str, answer: str, span: Sequence[int]
) -> np.ndarray:
    """Tokens [T] that overlap characters ``span`` of the answer, which stands somewhere behind ``begun``."""
    if not 0 <= span[0] < span[1] <= len(answer):
        return np.zeros(len(offsets), dtype=bool)
    clean, start = (text.replace(cut, ""), len(begun.replace(cut, ""))) if cut else (text, len(begun))
    at = clean.find(answer, start)
    if at < 0:  # templates may trim it
        at = clean.find(answer.strip(), start) - (len(answer) - len(answer.lstrip()))
    within: np.ndarray = (offsets[:, 0] < at + span[1]) & (offsets[:, 1] > at + span[0])
    return within
