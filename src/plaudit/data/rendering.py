"""From records to token items: rendered once, whole, through the chat template, then split by prefix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from jinja2 import TemplateError

from plaudit.data.encoding import TextEncoder
from plaudit.data.records import Demonstration, Labelled, Message, Preference, Prompt, Response
from plaudit.data.templates import ChatTemplate
from plaudit.data.tokens import Segment, TokenItem
from plaudit.errors import Problem, UserError

SHOWN = 10
EMPTY = "empty answer"
NOT_UNICODE = "not valid Unicode"


class _Drop(Exception):
    """A record that cannot be rendered, with the reason it is counted under."""

    def __init__(self, reason: str, problem: Problem | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problem = problem


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
        self.encoder = TextEncoder(tokenizer, self.template.scaffold())
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

        ``response.metadata["trained_span"] = [start, end]`` (characters of the answer) restricts
        training to the tokens that overlap it.
        """
        try:
            turns, item = self._demonstration(record)
        except _Drop as drop:
            self._dropped(drop, record.prompt)
            return None
        self._keep(turns, record.prompt.messages)
        return item

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

    def lint(self, items: Sequence[TokenItem], *, ends: bool = True) -> None:
        """Raise one UserError with every fault that would make training silently wrong.

        ``ends=False`` where the end of a turn is not meant to be learnt (trained spans).
        """
        problems = list(self.faults[:SHOWN])
        if len(self.faults) > SHOWN:
            problems.append(Problem(f"… and {len(self.faults) - SHOWN} more like these"))
        if not any(item.trained_tokens for item in items):
            problems.append(
                Problem(
                    "no token is trained", remedy="check that the records have answers that fit max_length"
                )
            )
        elif ends and not any((s.ids[s.trained] == self.end_id).any() for i in items for s in i.responses):
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

    def _render(self, messages: Sequence[Message], *, generation_prompt: bool) -> str:
        try:
            text = self.template.text(messages, generation_prompt=generation_prompt)
        except TemplateError as error:
            raise _Drop(f"the chat template refuses it ({error})") from error
        if not _is_unicode(text):
            raise _Drop(NOT_UNICODE)
        return text

    def _encode_prompt(self, text: str, cut: str) -> np.ndarray:
        # The answers to one prompt come one after another: its ids are kept until the next prompt's.
        if self._latest[0] != (text, cut):
            ids = self.encoder.encode(text, cut)
            if self._bos is not None and (ids == self._bos).sum() > 1:
                raise UserError(
                    f"the chat template writes {self.tokenizer.bos_token!r} more than once",
                    remedy="remove it from the template where it stands twice",
                )
            self._latest = ((text, cut), ids)
        return self._latest[1].copy()

    def _prompt_ids(self, messages: Sequence[Message]) -> np.ndarray:
        guarded, cut = self.encoder.guard(messages)
        return self._encode_prompt(self._render(guarded, generation_prompt=True), cut)

    def _fits(self, prompt: int, response: int) -> bool:
        return (self.max_prompt_length is None or prompt <= self.max_prompt_length) and (
            self.max_length is None or prompt + response <= self.max_length
        )

    def _fit(self, messages: Sequence[Message], response: int) -> tuple[np.ndarray, Sequence[Message]]:
        """Prompt ids and the turns that are left so that a response of that many tokens still fits."""
        for turns in _ever_shorter(messages):
            ids = self._prompt_ids(turns)
            if self._fits(len(ids), response):
                return ids, turns
        raise _Drop("too long")

    def _response(self, messages: Sequence[Message], response: Response, *, strict: bool) -> np.ndarray:
        guarded, cut = self.encoder.guard([*messages, Message("assistant", response.text)])
        before = self._render(guarded[:-1], generation_prompt=True)
        whole = self._whole(guarded, before, response.finished)
        prompt, ids = self._encode_prompt(before, cut), self.encoder.encode(whole, cut)
        if np.array_equal(ids[: len(prompt)], prompt):
            rest = ids[len(prompt) :]
        elif strict:
            raise _Drop("the prompt is not a prefix", self._merge_problem(response))
        else:
            rest = self.encoder.encode_rest(whole[len(before) :], cut)
        rest = rest[: self._turn_end(rest, 0, response.finished)]
        if len(rest) == 0:
            raise _Drop(EMPTY)
        return rest

    def _whole(self, guarded: Sequence[Message], before: str, finished: bool) -> str:
        """Text of the whole conversation; without what follows the answer where it was cut short."""
        whole = self._render(guarded, generation_prompt=False)
        if not whole.startswith(before):
            raise UserError(
                "the chat template writes earlier turns differently once an answer follows",
                remedy="use train_on: last, or a template whose prompts are prefixes of conversations",
            )
        if finished:
            return whole
        return whole[: _locate(whole, guarded[-1].content, len(before))[1]]

    def _turn_end(self, ids: np.ndarray, start: int, finished: bool) -> int:
        """Where an assistant turn that begins at ``start`` ends, its end token included."""
        if not finished:
            return len(ids)
        found = np.flatnonzero(ids[start:] == self.end_id)
        if len(found) == 0:
            raise UserError("the chat template closes some assistant turns without the end-of-turn token")
        return start + int(found[0]) + 1

    def _demonstration(self, record: Demonstration) -> tuple[Sequence[Message], TokenItem]:
        answer = Message("assistant", record.response.text)
        for turns in _ever_shorter(record.prompt.messages):
            item, prompt_length = self._demonstration_of([*turns, answer], record)
            if self._fits(prompt_length, item.longest - prompt_length):
                return turns, item
        raise _Drop("too long")

    def _demonstration_of(self, messages: Sequence[Message], record: Demonstration) -> tuple[TokenItem, int]:
        """The item, and the number of tokens before the last answer."""
        answer = record.response
        guarded, cut = self.encoder.guard(messages)
        before = self._render(guarded[:-1], generation_prompt=True)
        whole = self._whole(guarded, before, answer.finished)
        span = answer.metadata.get("trained_span")
        ids, offsets = self.encoder.encode_with_offsets(whole, cut, offsets=span is not None)
        last = len(messages) - 1
        every = [i for i, m in enumerate(messages) if m.role == "assistant"]
        trained = np.zeros(len(ids), dtype=bool)
        starts = []
        end = 0
        for i in every if self.train_on == "all" else [last]:
            start = self._turn_start(guarded[:i], cut, whole, ids, answer)
            end = self._turn_end(ids, start, answer.finished or i != last)
            trained[start:end] = True
            starts.append(start)
        if starts[-1] == end:
            raise _Drop(EMPTY)
        if span is not None:
            clean, begin = (
                (whole.replace(cut, ""), len(before.replace(cut, ""))) if cut else (whole, len(before))
            )
            first, _ = _locate(clean, answer.text, begin)
            trained = (offsets[:, 0] < first + span[1]) & (offsets[:, 1] > first + span[0])
            if not 0 <= span[0] < span[1] <= len(answer.text) or not trained[starts[-1] : end].any():
                raise UserError(f"trained_span {list(span)} is no part of the answer {answer.text[:60]!r}")
        segment = Segment(ids[starts[0] : end], trained[starts[0] : end])
        item = TokenItem(ids[: starts[0]], (segment,), record.prompt.id, {"weight": (record.weight,)})
        return item, starts[-1]

    def _turn_start(
        self, guarded: Sequence[Message], cut: str, whole: str, ids: np.ndarray, answer: Response
    ) -> int:
        """The index of an assistant turn's first token, which must follow exactly its prompt's tokens."""
        before = self._render(guarded, generation_prompt=True)
        if not whole.startswith(before):
            raise UserError(
                "the chat template writes earlier turns differently once an answer follows",
                remedy="use train_on: last",
            )
        prompt = self._encode_prompt(before, cut)
        if not np.array_equal(ids[: len(prompt)], prompt):
            raise _Drop("the prompt is not a prefix", self._merge_problem(answer))
        return len(prompt)

    def _preference(self, record: Preference) -> TokenItem:
        comparisons = record.comparisons()
        messages = comparisons.prompt.messages
        ids = [self._response(messages, r, strict=True) for r in comparisons.responses]
        prompt, turns = self._fit(messages, max(map(len, ids)))
        self._keep(turns, messages)
        return TokenItem(prompt, tuple(map(Segment.of, ids)), comparisons.prompt.id, payload=comparisons)

    def _merge_problem(self, answer: Response) -> Problem:
        return Problem(
            f"the first characters of the answer {answer.text[:40]!r} merge with the prompt's last token",
            remedy="strip the white space around answers; if every answer is named here, the template's "
            "generation prompt ends in the middle of a token",
        )

    def _keep(self, turns: Sequence[Message], messages: Sequence[Message]) -> None:
        self.counts["kept"] += 1
        self.counts["shortened"] += len(turns) < len(messages)

    def _dropped(self, drop: _Drop, prompt: Prompt | None = None) -> None:
        self.counts[f"dropped: {drop.reason}"] += 1
        if drop.problem is not None:
            self.faults.append(drop.problem)


def _is_unicode(text: str) -> bool:
    """Whether no half of a surrogate pair stands alone, as JSON's escapes can say and no encoding can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _ever_shorter(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """The conversation, then without its oldest turns, each time up to the next user turn."""
    yield messages
    head = 1 if messages and messages[0].role == "system" else 0
    for i in range(head + 1, len(messages)):
        if messages[i].role == "user":
            yield [*messages[:head], *messages[i:]]


def _locate(text: str, answer: str, start: int) -> tuple[int, int]:
    """Where the answer stands in the rendered text, from ``start`` on; templates may trim it."""
    at = text.find(answer, start)
    if at >= 0:
        return at, at + len(answer)
    trimmed = answer.strip()
    at = text.find(trimmed, start)
    if at < 0:
        raise UserError(f"the chat template rewrites the answer {answer[:40]!r}")
    # The span of an answer is counted in its own characters, the trimmed ones included.
    lead = len(answer) - len(answer.lstrip())
    return at - lead, at + len(trimmed)
