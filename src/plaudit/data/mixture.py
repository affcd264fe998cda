"""Mixes several data sources, each with a weight."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from plaudit.data.records import Comparisons, Demonstration, Labeled, Ranking

U = TypeVar("U")


def mix(groups: Sequence[tuple[Sequence[U], float]], *, seed: int) -> list[U]:
    """The records of all sources, shuffled; each source is repeated ``weight`` times.

    Weight 1 takes every record once, 2 twice, 0.5 half of them: floor(weight) full copies plus
    round(fraction · n) records drawn without replacement. Deterministic in ``seed``. Raises
    ``ValueError`` if a weight is not positive.
    """
    drawn: list[tuple[float, U]] = []
    for index, (records, weight) in enumerate(groups):
        if not weight > 0:
            raise ValueError(f"the weight of a source must be above 0, got {weight}")
        rng = random.Random(f"{seed}:{index}")
        copies = int(weight)
        for _ in range(copies):
            drawn += [(rng.random(), record) for record in records]
        rest = round((weight - copies) * len(records))
        order = sorted((rng.random(), i) for i in range(len(records)))
        drawn += [(rng.random(), records[i]) for _, i in order[:rest]]
    drawn.sort(key=lambda pair: pair[0])
    return [record for _, record in drawn]


def weighed(record: Any, weight: float) -> Any:
    """The record with its judgements' weights times ``weight``."""
    if weight == 1:
        return record
    if isinstance(record, Comparisons):
        return replace(record, outcomes=tuple(replace(o, weight=o.weight * weight) for o in record.outcomes))
    if isinstance(record, Ranking | Demonstration | Labeled):
        return replace(record, weight=record.weight * weight)
    return record
