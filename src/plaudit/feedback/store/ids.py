"""Identifiers that sort by time; secrets, of which only a keyed hash is stored."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time

# Crockford's base 32: no letter that reads as a digit.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id() -> str:
    """26 letters: 48 bits of milliseconds, then 80 random bits (a ULID); later ones sort later."""
    number = int.from_bytes((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10), "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))


def new_token(kind: str) -> str:
    """A secret of 256 random bits with a readable kind in front, so that a leaked one can be recognized."""
    return f"plaudit_{kind}_{secrets.token_urlsafe(32)}"


def keyed_hash(secret: bytes, *parts: str) -> str:
    """HMAC-SHA256 of the parts, hexadecimal. A stolen database alone can neither check nor forge a token."""
    message = b"\x00".join(part.encode() for part in parts)
    return hmac.new(secret, message, hashlib.sha256).hexdigest()
