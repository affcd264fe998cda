"""The ledger of requests and their cost: one line before each request and one after it, never deleted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from plaudit.errors import UserError, Waiting
from plaudit.runs.logs import append_lines, read_lines

MILLION = 1e6


@dataclass(frozen=True)
class Usage:
    """Tokens of one reply as the server counts them; None is unknown, which is not 0."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Usage:
        """The ``usage`` of a reply in OpenAI's shape."""
        usage = body.get("usage")
        if not isinstance(usage, Mapping):
            return cls()
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
        return cls(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), _count(cached))

    @property
    def known(self) -> bool:
        return self.prompt is not None and self.completion is not None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


@dataclass(frozen=True)
class Prices:
    """What a million tokens cost, in the user's own currency; prices come from the user alone."""

    prompt: float
    completion: float
    cached: float | None = None

    def cost(self, usage: Usage) -> float | None:
        """Σ tokens · price / 10⁶, or None where the server did not count."""
        if usage.prompt is None or usage.completion is None:
            return None
        cached = min(usage.cached or 0, usage.prompt)
        cheap = self.prompt if self.cached is None else self.cached
        paid = (usage.prompt - cached) * self.prompt + cached * cheap + usage.completion * self.completion
        return paid / MILLION


def _tokens(usage: Usage) -> dict[str, int | None]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "cached_tokens": usage.cached,
    }


@dataclass
class Totals:
    """Sums over a ledger. ``uncounted`` replies had no usage; ``unanswered`` requests have no line about their end."""

    requests: int = 0
    replies: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    uncounted: int = 0
    seconds: float = 0.0
    cost: float | None = 0.0

    @property
    def unanswered(self) -> int:
        return self.requests - self.replies - sum(self.failures.values())

    def as_dict(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "replies": self.replies,
            "failures": dict(self.failures),
            "unanswered": self.unanswered,
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "cached_tokens": self.cached,
            "replies_without_usage": self.uncounted,
            "seconds": round(self.seconds, 3),
            "cost": self.cost,
        }


class Ledger:
    """An append-only file of requests; ``path`` None keeps sums alone.

    ``max_cost`` ends the work with ``Waiting`` before the request that would come after it is spent; it needs prices
    and a server that counts tokens.
    """

    def __init__(
        self, path: Path | None = None, *, prices: Prices | None = None, max_cost: float | None = None
    ) -> None:
        if max_cost is not None and prices is None:
            raise UserError(
                "max_cost needs prices: plaudit knows none",
                remedy="write price_prompt and price_completion, per million tokens, beside it",
            )
        self.path, self.prices, self.max_cost = path, prices, max_cost
        self.totals = Totals(cost=0.0 if prices else None)
        self.lock = threading.Lock()
        if path is not None:
            for row in read_lines(path):
                self._count(row)

    def sent(self, model: str, key: str, attempt: int) -> str:
        """Record a request before it is sent; returns its id."""
        with self.lock:
            self._budget()
            name = uuid4().hex[:16]
            self._write(
                {"sent": name, "at": round(time.time(), 3), "model": model, "key": key, "try": attempt}
            )
            return name

    def replied(self, name: str, usage: Usage, seconds: float) -> None:
        """Record the cost of a complete reply."""
        with self.lock:
            self._write(
                {
                    "replied": name,
                    "seconds": round(seconds, 4),
                    **_tokens(usage),
                }
            )
            if self.max_cost is not None and not usage.known:
                raise UserError(
                    "max_cost cannot be kept: the server does not say how many tokens it used",
                    remedy="leave max_cost out, or use a server that gives `usage`",
                )

    def failed(self, name: str, reason: str, seconds: float, usage: Usage | None = None) -> None:
        """Record why a request failed, and the ``usage`` of a reply that is paid for and of no use."""
        row: dict[str, Any] = {"failed": name, "reason": reason, "seconds": round(seconds, 4)}
        if usage is not None and usage.known:
            row |= _tokens(usage)
        with self.lock:
            self._write(row)

    def _budget(self) -> None:
        spent = self.totals.cost
        if self.max_cost is not None and spent is None:
            raise UserError(
                f"max_cost cannot be kept: the server does not say how many tokens {self.totals.uncounted} replies "
                "used that are in the ledger already",
                remedy="leave max_cost out, or begin in a new folder with a server that gives `usage`",
            )
        if self.max_cost is not None and spent is not None and spent >= self.max_cost:
            raise Waiting(
                f"the cost limit is reached: {spent:.4g} of max_cost {self.max_cost:.4g} is spent; everything judged "
                "so far is kept. Raise max_cost and start the same command again to go on"
            )

    def _write(self, row: dict[str, Any]) -> None:
        if self.path is not None:
            append_lines(self.path, [row])
        self._count(row)

    def _count(self, row: Mapping[str, Any]) -> None:
        t = self.totals
        t.requests += "sent" in row
        t.seconds += float(row.get("seconds") or 0)
        if "failed" in row:
            t.failures[str(row.get("reason"))] += 1
        usage = Usage(row.get("prompt_tokens"), row.get("completion_tokens"), row.get("cached_tokens"))
        if "replied" not in row and not ("failed" in row and usage.known):
            return
        t.replies += "replied" in row
        t.prompt += usage.prompt or 0
        t.completion += usage.completion or 0
        t.cached += usage.cached or 0
        t.uncounted += not usage.known
        if self.prices is not None:
            cost = self.prices.cost(usage)
            # One reply of unknown cost makes the sum unknown; it never counts as free.
            t.cost = None if cost is None or t.cost is None else t.cost + cost
