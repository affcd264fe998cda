"""Passwords, stored as argon2id hashes."""

from __future__ import annotations

import functools
from typing import Any

from plaudit.feedback.store.errors import Invalid

LEAST_PASSWORD = 10


@functools.cache
def _hasher() -> Any:
    from argon2 import PasswordHasher

    # RFC 9106's second recommendation: 64 MiB, 3 passes.
    return PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4)


@functools.cache
def _unknown() -> str:
    """A hash to verify against for unknown names, so that they take as long as known ones."""
    return str(_hasher().hash("nobody's password"))


def require_long(password: str) -> None:
    if len(password) < LEAST_PASSWORD:
        raise Invalid("short_password", f"a password has at least {LEAST_PASSWORD} characters")


def hash_password(password: str) -> str:
    """The argon2id hash. Invalid for one that is too short."""
    require_long(password)
    return str(_hasher().hash(password))


def password_matches(stored: str | None, password: str) -> bool:
    """In the same time whether there is such a user or not."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return bool(_hasher().verify(stored or _unknown(), password)) and stored is not None
    except (VerificationError, InvalidHashError):
        return False
