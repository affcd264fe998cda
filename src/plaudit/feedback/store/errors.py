"""Refusals of the store, worded for the person who made the request."""

from __future__ import annotations

from collections.abc import Iterable

from plaudit.errors import PlauditError, Problem


class Refused(PlauditError):
    """A request that the rules refuse. ``code`` is for programs, ``message`` for people."""

    status = 409

    def __init__(self, code: str, message: str, *, problems: Iterable[Problem] = ()) -> None:
        self.code = code
        self.message = message
        self.problems = tuple(problems)
        super().__init__(message)


class NotFound(Refused):
    """There is no such thing, or not for this person: the two look alike from outside."""

    status = 404

    def __init__(self, what: str) -> None:
        super().__init__("not_found", f"there is no such {what}")


class Forbidden(Refused):
    status = 403


class SignInNeeded(Refused):
    status = 401


class Invalid(Refused):
    """A request whose content is wrong; ``problems`` names every field."""

    status = 422


class Later(Refused):
    """Not now; ``wait`` is in seconds."""

    def __init__(self, code: str, message: str, wait: float) -> None:
        self.wait = wait
        super().__init__(code, f"{message}: try again in {_spoken(wait)}")


class TooMany(Later):
    """Too many attempts."""

    status = 429

    def __init__(self, wait: float) -> None:
        super().__init__("too_many_attempts", "too many attempts", wait)


class Busy(Later):
    """The server has too much to do, or cannot reach what it needs."""

    status = 503


class Away(Busy):
    """The database cannot be reached, or cannot write; ``cause`` for the log, in the database's own words."""

    def __init__(self, code: str, message: str, wait: float, cause: str) -> None:
        self.cause = cause
        super().__init__(code, message, wait)


def _spoken(seconds: float) -> str:
    return f"{max(1, round(seconds))} seconds" if seconds < 90 else f"{round(seconds / 60)} minutes"
