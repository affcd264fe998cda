"""What every rank tells the others at the end of its part of a step, in one message in place of four."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.runtime import Mesh, digest_of

Sums = Mapping[str, Sequence[float]]
# Sums that a message has room for: all ranks must know its length before they send it.
ROOM = 48


@dataclass(frozen=True)
class Reports:
    """``failed``: whether any rank did not finish; ``used``: which parameters have a gradient on any rank."""

    failed: bool
    used: list[bool]
    sums: list[Sums]  # by rank; empty where one failed


def report(mesh: Mesh, *, failed: bool, used: Sequence[bool], sums: Sums) -> Reports:
    """The reports of all ranks; those of one process are its own."""
    if mesh.world == 1:
        return Reports(failed, list(used), [] if failed else [sums])
    names = list(sums)[:ROOM]
    bits = np.zeros(2 * ROOM, dtype=np.float64)
    bits[: 2 * len(names)] = np.array([sums[name] for name in names], dtype=np.float64).reshape(-1)
    known = digest_of(len(sums), *names)
    rows = mesh.rows([int(failed), known, *map(int, used), *bits.view(np.int64).tolist()])
    ends = 2 + len(used)
    joined = [bool(any(column)) for column in zip(*(row[2:ends] for row in rows))]
    if any(row[0] for row in rows):
        return Reports(True, joined, [])
    # A rank may lack a metric that the others have, and a method may have more than fit in.
    if len(sums) > ROOM or len({row[1] for row in rows}) > 1:
        return Reports(False, joined, mesh.each(dict(sums)))
    return Reports(False, joined, [_sums(names, row[ends:]) for row in rows])


def _sums(names: Sequence[str], bits: Iterable[int]) -> Sums:
    numbers = np.array(list(bits), dtype=np.int64).view(np.float64).tolist()
    return {name: numbers[2 * i : 2 * i + 2] for i, name in enumerate(names)}
