"""Splits records into training and validation by a hash of the prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, TypeVar

from plaudit.data.records import Prompt

T = TypeVar("T")


def prompt_key(record: Any) -> str:
    """The key that a record is split by: the id of its prompt, or a hash of a plain text."""
    if isinstance(record, str):
        return hashlib.blake2b(record.encode(), digest_size=8).hexdigest()
    return record.id if isinstance(record, Prompt) else record.prompt.id


def split(records: Sequence[T], validation: float, seed: int = 0, salt: str = "") -> tuple[list[T], list[T]]:
    """Split records into training and validation; the order is kept.

    A record is for validation iff hash(seed, salt, prompt) < ``validation``. So all records of a prompt
    are on the same side in every file, and a larger validation share contains a smaller one. Different
    salts give independent splits. Raises ``ValueError`` for a share outside [0, 1].
    """
    if not 0 <= validation <= 1:
        raise ValueError(f"a validation share of {validation} is not between 0 and 1")
    train: list[T] = []
    held: list[T] = []
    sides: dict[str, bool] = {}
    for record in records:
        key = prompt_key(record)
        if key not in sides:
            sides[key] = uniform(seed, salt, key) < validation
        (held if sides[key] else train).append(record)
    return train, held


def uniform(*key: object) -> float:
    """A pseudo-random number in [0, 1): a hash of the key."""
    text = "\0".join(map(str, key))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64
