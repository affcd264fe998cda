"""The records that all packages share: prompts, demonstrations, and human preferences.

A record is immutable and independent of tokens and models. A prompt's ``id`` is a hash of its content, so
that the same question from any source is the same prompt: splits, random streams and caches depend on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

from plaudit.errors import UserError

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    ``more`` holds what a chat template may write in addition to the content: ``reasoning_content``,
    ``tool_calls``, ``tool_call_id``, ``name``, and on the conversation's first turn ``tools``.
    ``trained`` is False for an assistant turn that is only context.
    """

    role: Role
    content: str
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)
    trained: bool = True

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Message:
        """The message of a dictionary from ``as_dict``."""
        more = {k: v for k, v in row.items() if k not in ("role", "content", "trained")}
        return cls(row["role"], row["content"], more, row.get("trained", True) is not False)

    def as_dict(self) -> dict[str, Any]:
        flag = {} if self.trained else {"trained": False}
        return {"role": self.role, "content": self.content, **self.more, **flag}


def content_id(messages: Sequence[Message]) -> str:
    """A 16-digit hexadecimal hash of the conversation's content."""
    turns = [[m.role, m.content, m.more] if m.more else [m.role, m.content] for m in messages]
    text = json.dumps(turns, ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Prompt:
    """The input of a model: the conversation up to, not including, the answer.

    ``metadata`` describes the prompt (a correct answer, a category). It does not change the id, and no
    model sees it.
    """

    messages: tuple[Message, ...]
    source: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.messages, str):
            raise UserError(
                f"a Prompt holds messages, and was given the text {self.messages[:40]!r}",
                remedy=f"Prompt.user({self.messages[:40]!r})",
            )
        for message in self.messages:
            if not isinstance(message, Message):
                raise UserError(
                    f"a Prompt holds Messages, and was given a {type(message).__name__}",
                    remedy="Prompt.user(TEXT), or Prompt(tuple(Message.of(row) for row in ROWS))",
                )

    @classmethod
    def user(cls, text: str, source: str = "", **metadata: Any) -> Prompt:
        """A conversation of one user turn."""
        return cls((Message("user", text),), source, metadata)

    @cached_property
    def id(self) -> str:
        return content_id(self.messages)

    @property
    def text(self) -> str:
        """The last user turn, for display."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")

    @property
    def conversation(self) -> str:
        """All of it for display: one question as it is, several turns each behind who said it."""
        if len(self.messages) == 1:
            return self.messages[0].content
        return "\n\n".join(f"{m.role}: {m.content}" for m in self.messages)

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True)
class Response:
    """An answer. ``finished`` is False if a length limit cut it off; it then has no end-of-turn token."""

    text: str
    finished: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict)


def _expect_parts(record: Any) -> None:
    """UserError where a record's prompt or answer is of another type, such as plain text."""
    name = type(record).__name__
    for part, kind, remedy in (
        (record.prompt, Prompt, "Prompt.user(TEXT)"),
        (record.response, Response, "Response(TEXT)"),
    ):
        if not isinstance(part, kind):
            raise UserError(
                f"a {name} holds a {kind.__name__}, and was given a {type(part).__name__}", remedy=remedy
            )


@dataclass(frozen=True)
class Demonstration:
    """A conversation worth imitating; ``response`` is its last assistant turn."""

    prompt: Prompt
    response: Response
    weight: float = 1.0

    def __post_init__(self) -> None:
        _expect_parts(self)


@dataclass(frozen=True)
class Outcome:
    """One judgement: response ``left`` against response ``right``.

    ``result`` is the share of the win that goes to ``left``: 1 won, 0 lost, 0.5 a tie.
    ``strength`` is how much better the winner is on the rater's scale, if raters were asked.
    """

    left: int
    right: int
    result: float
    strength: float | None = None
    weight: float = 1.0
    rater: str | None = None


@dataclass(frozen=True)
class Comparisons:
    """K ≥ 2 responses to one prompt and any number of pairwise outcomes among them.

    The general form of a preference: people's judgements are not always transitive.
    """

    prompt: Prompt
    responses: tuple[Response, ...]
    outcomes: tuple[Outcome, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        k = len(self.responses)
        if k < 2:
            raise ValueError(f"a comparison needs two responses or more, got {k}")
        for o in self.outcomes:
            if not (0 <= o.left < k and 0 <= o.right < k) or o.left == o.right:
                raise ValueError(f"outcome {o.left}:{o.right} names a response that is not among {k}")

    def comparisons(self) -> Comparisons:
        return self


@dataclass(frozen=True)
class Ranking:
    """K ≥ 2 responses to one prompt, ranked: ``groups`` of indices, best first; a group is a tie."""

    prompt: Prompt
    responses: tuple[Response, ...]
    groups: tuple[tuple[int, ...], ...]
    rater: str | None = None
    weight: float = 1.0
    strength: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        k = len(self.responses)
        seen = sorted(i for group in self.groups for i in group)
        if k < 2:
            raise ValueError(f"a ranking needs two responses or more, got {k}")
        if seen != list(range(k)):
            raise ValueError(f"a ranking of {k} responses must name each of 0..{k - 1} once, got {seen}")

    @classmethod
    def pair(cls, prompt: Prompt, chosen: str, rejected: str, **kwargs: Any) -> Ranking:
        """The ranking of two: ``chosen`` before ``rejected``."""
        return cls(prompt, (Response(chosen), Response(rejected)), ((0,), (1,)), **kwargs)

    def comparisons(self) -> Comparisons:
        """All C(K, 2) pairs as outcomes, ties as 0.5."""
        place = {i: rank for rank, group in enumerate(self.groups) for i in group}
        outcomes = tuple(
            Outcome(
                i,
                j,
                0.5 if place[i] == place[j] else float(place[i] < place[j]),
                strength=self.strength,
                weight=self.weight,
                rater=self.rater,
            )
            for i, j in combinations(range(len(self.responses)), 2)
        )
        return Comparisons(self.prompt, self.responses, outcomes, self.metadata)


@dataclass(frozen=True)
class Labeled:
    """One answer that was labeled good or bad."""

    prompt: Prompt
    response: Response
    good: bool
    weight: float = 1.0

    def __post_init__(self) -> None:
        _expect_parts(self)


@dataclass(frozen=True)
class Rated:
    """One answer with a score: higher is better."""

    prompt: Prompt
    response: Response
    score: float
    rater: str | None = None

    def __post_init__(self) -> None:
        _expect_parts(self)


Preference = Comparisons | Ranking
Record = Prompt | Demonstration | Comparisons | Ranking | Labeled | Rated
