"""Encodes rendered text as token ids; text by users never becomes a control token."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from plaudit.data.records import Message
from plaudit.errors import UserError

# A Unicode noncharacter, which texts do not contain; if one does, the cut is a longer repetition of it.
CUT = "\ufdd0"


class TextEncoder:
    """Encodes rendered conversations; only the template can produce control tokens.

    A control token spelled out in a turn's content (``<|end|>`` typed by a user) would end the turn if the
    rendered text were encoded as it is. ``guard`` inserts a cut inside each such spelling, and ``encode``
    encodes the parts between cuts separately, so that they become plain text.
    """

    def __init__(self, tokenizer: Any, scaffold: str, template: str = "") -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UserError(
                f"{type(tokenizer).__name__} is not a fast tokenizer",
                remedy="convert it to tokenizer.json with transformers",
            )
        self._backend = tokenizer.backend_tokenizer
        added = list(tokenizer.added_tokens_decoder.values())
        # Some tokenizers do not mark their role tokens as special: what the template writes counts too.
        control = {t.content for t in added if t.special or t.content in scaffold}
        self._control = _spellings(control | {c for t in added if _means(c := t.content, template)})
        # Thinking tags in an assistant turn are control tokens that the model generates itself.
        self._foreign = _spellings(c for c in control if not _is_thought(c))
        # Tokenizers that put a space before the first word must not put one before a later part: a control
        # token that strips no adjacent space is encoded before it, and removed again.
        plain = [t.content for t in added if t.content in control and not (t.lstrip or t.rstrip)]
        self._anchor = plain[0] if plain else ""

    def guard(self, messages: Sequence[Message]) -> tuple[Sequence[Message], str]:
        """The messages with a cut inside every spelled-out control token, and the cut ("" if none)."""
        if not any(self._spelled(m).search(text) for m in messages for text in _texts(m)):
            return messages, ""
        cut = CUT
        while any(cut in text for m in messages for text in _texts(m)):
            cut += CUT
        return [self._guarded(m, cut) for m in messages], cut

    def _spelled(self, message: Message) -> re.Pattern[str]:
        return self._foreign if message.role == "assistant" else self._control

    def _guarded(self, message: Message, cut: str) -> Message:
        spelled = self._spelled(message)

        def guarded(value: Any) -> Any:
            if isinstance(value, str):
                return spelled.sub(lambda found: found[0][0] + cut + found[0][1:], value)
            if isinstance(value, Mapping):
                return {k: guarded(v) for k, v in value.items()}
            return [guarded(v) for v in value] if isinstance(value, list) else value

        return replace(message, content=guarded(message.content), more=guarded(message.more))

    def encode(self, text: str, cut: str = "") -> np.ndarray:
        """Token ids of a rendered text."""
        return self.encode_with_offsets(text, cut, offsets=False)[0]

    def encode_with_offsets(
        self, text: str, cut: str = "", *, offsets: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Token ids [T] and character offsets [T, 2] of each, [start, end) in the text without cuts."""
        self._reset()
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        begin = 0
        for n, part in enumerate(text.split(cut) if cut else [text]):
            encoding, skipped, shift = self._encode_part(part, first=n == 0)
            ids += encoding.ids[skipped:]
            if offsets:
                spans += [(begin + a - shift, begin + b - shift) for a, b in encoding.offsets[skipped:]]
            begin += len(part)
        return np.asarray(ids, dtype=np.int64), np.asarray(spans, dtype=np.int64).reshape(-1, 2)

    def encode_rest(self, text: str, cut: str = "") -> np.ndarray:
        """Token ids of a text that continues another."""
        self._reset()
        ids: list[int] = []
        for part in text.split(cut) if cut else [text]:
            encoding, skipped, _ = self._encode_part(part, first=False)
            ids += encoding.ids[skipped:]
        return np.asarray(ids, dtype=np.int64)

    def encode_plain(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of raw texts, which contain no control tokens."""
        self._reset()
        guarded = {i: self.guard([Message("user", t)]) for i, t in enumerate(texts)}
        simple = [i for i, (_, cut) in guarded.items() if not cut]
        encodings = self._backend.encode_batch_fast([texts[i] for i in simple], add_special_tokens=False)
        out = {i: np.asarray(e.ids, dtype=np.int64) for i, e in zip(simple, encodings)}
        for i, (messages, cut) in guarded.items():
            if cut:
                out[i] = self.encode(messages[0].content, cut)
        return [out[i] for i in range(len(texts))]

    def _encode_part(self, part: str, *, first: bool) -> tuple[Any, int, int]:
        if first or not self._anchor:
            return self._backend.encode(part, add_special_tokens=False), 0, 0
        encoding = self._backend.encode(self._anchor + part, add_special_tokens=False)
        return encoding, 1, len(self._anchor)

    def _reset(self) -> None:
        # The backend keeps padding and truncation settings from earlier calls.
        self._backend.no_padding()
        self._backend.no_truncation()
        self._backend.encode_special_tokens = False


def _spellings(tokens: Iterable[str]) -> re.Pattern[str]:
    # Length 1 cannot be cut; no tokenizer in use has a control token of one letter.
    spelled = sorted({c for c in tokens if len(c) > 1}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, spelled)) or r"(?!)")


def _is_thought(token: str) -> bool:
    """Whether a token opens or closes thinking, as ``<think>`` and ``[/THINK]`` do."""
    return "think" in token.lower()


def _means(token: str, template: str) -> bool:
    """Whether an added token acts as a control token: a thinking tag, or written by the template."""
    return _is_thought(token) or (bool(token.strip()) and token in template)


def _texts(value: Any) -> Iterator[str]:
    """Every text of a message, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Message):
        yield value.content
        if value.more:
            yield from _texts(value.more)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
