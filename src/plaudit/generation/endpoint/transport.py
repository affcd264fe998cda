"""One request to an OpenAI-compatible server, with retries; an error if the user must act."""

from __future__ import annotations

import email.utils
import json
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from plaudit.errors import PlauditError, UserError
from plaudit.generation.endpoint.ledger import Ledger, Usage
from plaudit.generation.endpoint.limits import TokenBucket, backoff

ATTEMPTS = 8
LONGEST_WAIT = 120.0  # seconds; a server that asks for more is asked again after this
SHOWN = 300  # characters of a server's message that an error shows
CHECK_ADDRESS = "check the address: it ends in /v1, and the model's name stands behind #"
REMEDIES = {402: "pay for the account that the key is of, or use another server"}
BUSY = {408, 409, 425, 429, 500, 502, 503, 504, 529}


class EndpointError(PlauditError):
    """The server failed repeatedly; earlier answers are kept, and the same command continues from there."""


class RefusedRequest(PlauditError):
    """The server takes no such request (400 or 422): a parameter that it does not know, or a text that is too long."""


class FaultyReply(Exception):
    """A reply that cannot be used: not JSON, cut off, from another model, or incomplete."""


@dataclass(frozen=True)
class Address:
    """Where a model answers: ``url`` ends before ``/chat/completions``; ``key_env`` names the variable with the key."""

    url: str
    model: str
    key_env: str | None = None

    def key(self) -> str | None:
        """The key, from the environment alone; UserError where the variable that is named is empty."""
        if self.key_env is None:
            return None
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise UserError(
                f"the environment variable {self.key_env}, which holds the key of {self.url}, is empty",
                remedy=f"export {self.key_env}=…",
            )
        if not (key.isascii() and key.isprintable()):
            raise UserError(
                f"the environment variable {self.key_env} holds no key: it has characters that no HTTP header takes",
                remedy="copy the key again, without quotation marks or dashes that an editor made",
            )
        return key


class Transport:
    """POST with retries, limits and a ledger; safe between threads.

    ``check`` raises ``FaultyReply`` for a reply that cannot be used, which counts as a failed attempt. Waits: the
    server's ``Retry-After``, else exponential backoff with full jitter. The key is only in the header, and is removed
    from server messages that an error shows.
    """

    def __init__(
        self,
        address: Address,
        ledger: Ledger,
        *,
        timeout: float = 120.0,
        attempts: int = ATTEMPTS,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        import httpx2

        self.address, self.ledger, self.attempts = address, ledger, attempts
        self.stopped = threading.Event()  # set where the user ended the work: nothing is sent any more
        self.sleep = sleep or self.stopped.wait
        self.requests = TokenBucket(requests_per_minute, sleep=sleep or time.sleep)
        self.tokens = TokenBucket(tokens_per_minute, sleep=sleep or time.sleep)
        self.secret = address.key()
        headers = {"authorization": f"Bearer {self.secret}"} if self.secret else {}
        limits = httpx2.Limits(max_connections=256, max_keepalive_connections=64)
        self.client = httpx2.Client(timeout=timeout, headers=headers, limits=limits)
        self.random = random.Random()

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        key: str = "",
        check: Callable[[Mapping[str, Any]], object] | None = None,
    ) -> dict[str, Any]:
        """The reply as JSON.

        Raises ``UserError`` (key, address), ``RefusedRequest`` (400, 413, 422), ``EndpointError`` (after ``attempts``).
        """
        estimate = len(json.dumps(body)) / 4 + float(body.get("max_tokens") or 0)
        last = ""
        for attempt in range(self.attempts):
            if self.stopped.is_set():
                raise EndpointError("the work was stopped; what was answered is kept")
            self.requests.take()
            self.tokens.take(estimate)
            name = self.ledger.sent(self.address.model, key, attempt)
            began = time.monotonic()
            paid: Usage | None = None
            try:
                reply, wait = self._try(path, body), None
                paid = Usage.of(reply)
                if check is not None:
                    check(reply)
            except _Failed as failed:
                last, wait = failed.reason, failed.wait
            except FaultyReply as fault:
                last, wait = str(fault), None
            except PlauditError as error:
                self.ledger.failed(name, type(error).__name__, time.monotonic() - began)
                raise
            else:
                self._really(paid, estimate)
                self.ledger.replied(name, paid, time.monotonic() - began)
                return reply
            if paid is not None:
                self._really(paid, estimate)
            self.ledger.failed(name, last, time.monotonic() - began, paid)
            if attempt + 1 < self.attempts:
                self.sleep(min(backoff(attempt, rng=self.random) if wait is None else wait, LONGEST_WAIT))
        raise EndpointError(
            f"{self.address.url} failed {self.attempts} times in a row, last with: {last}. What was answered is kept; "
            "start the same command again once the server is well"
        )

    def _really(self, usage: Usage, estimate: float) -> None:
        """Take what a reply really used from the tokens of a minute in the place of the estimate."""
        if usage.known:
            self.tokens.correct((usage.prompt or 0) + (usage.completion or 0) - estimate)

    def ask(self, url: str, body: Mapping[str, Any]) -> Any:
        """A POST beside the judging (no model answers it), or None where the server has no such page."""
        import httpx2

        try:
            reply = self.client.post(url, json=dict(body))
            return reply.json() if reply.status_code == 200 else None
        except (httpx2.HTTPError, ValueError):
            return None

    def _try(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        import httpx2

        try:
            reply = self.client.post(self.address.url.rstrip("/") + path, json=dict(body))
        except httpx2.TimeoutException:
            raise _Failed("no answer in time") from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise UserError(f"{self.address.url} is not an address of a server: {error}") from None
        except httpx2.HTTPError as error:
            raise _Failed(f"no connection ({type(error).__name__})") from None
        return self._read(reply)

    def _read(self, reply: Any) -> dict[str, Any]:
        status, address = reply.status_code, self.address
        if status in (401, 403):
            named = f"the key in {address.key_env}" if address.key_env else "a request without a key"
            raise UserError(
                f"{address.url} refused {named} (HTTP {status}): {self._shown(reply)}",
                remedy="check the key" if address.key_env else "name its variable with key_env",
            )
        if status == 404:
            raise UserError(
                f"{address.url} has no model {address.model!r}, or is not an OpenAI-compatible address (HTTP 404): "
                f"{self._shown(reply)}",
                remedy="the address ends in /v1; the model's name stands behind #",
            )
        if status in (400, 413, 422):
            raise RefusedRequest(f"{address.url} refused the request (HTTP {status}): {self._shown(reply)}")
        if status in BUSY:
            raise _Failed(f"HTTP {status}", retry_after(reply.headers.get("retry-after")))
        if 300 <= status < 500 or status == 501:
            to = reply.headers.get("location")
            raise UserError(
                f"{address.url} does not take the request, and would not the next time (HTTP {status}): "
                f"{self._shown(reply)}",
                remedy=f"write the address that it names: {to}"
                if to
                else REMEDIES.get(status, CHECK_ADDRESS),
            )
        if status != 200:
            raise _Failed(f"HTTP {status}")
        try:
            body = json.loads(reply.content)
        except ValueError:
            raise _Failed("a reply that is no JSON") from None
        if not isinstance(body, dict):
            raise _Failed("a reply that is no JSON object")
        return body

    def _shown(self, reply: Any) -> str:
        text = " ".join(reply.text.split())
        if self.secret:
            text = text.replace(self.secret, "***")
        return text[:SHOWN]


class _Failed(Exception):
    """A try that may go well the next time, after ``wait`` seconds where the server says so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait


def retry_after(
    value: str | None, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> float | None:
    """Seconds of a ``Retry-After`` header: a number, or a date (RFC 9110, 10.2.3); None where it says neither."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - now()).total_seconds())
