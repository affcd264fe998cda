"""Throughput: judgements by day, a forecast of the rest, and the time per judgement."""

from __future__ import annotations

import datetime
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from plaudit.feedback.store.schema import Assignment

DAY = 86_400
DAYS = 30  # shown at most
RECENT = 7  # days that the forecast rests on
LEAST = 10  # judgements without which nothing is foretold
# Where seconds are counted together: each step is about half as long again as the one before.
STEPS = (0, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)


@dataclass(frozen=True, slots=True)
class Throughput:
    """``days``: (start of the day, judgements), oldest first, without gaps. ``per_day`` is of work that counts."""

    days: tuple[tuple[float, int], ...]
    per_day: float | None
    seconds: tuple[tuple[str, int], ...]

    def days_left(self, missing: int) -> float | None:
        """Days until the missing judgements are done, at the rate of the last days; None without a rate."""
        if missing <= 0:
            return 0.0
        return missing / self.per_day if self.per_day else None


def throughput(db: Session, project_id: str, *, now: float) -> Throughput:
    """The pace of a project's labelers together."""
    since = _day(now) - (DAYS - 1) * DAY
    rows = db.execute(
        select(Assignment.closed_at, Assignment.purpose, Assignment.surplus).where(
            Assignment.project_id == project_id,
            Assignment.state == "submitted",
            Assignment.closed_at >= since,
        )
    ).all()
    times = [float(r.closed_at) for r in rows]
    counting = [float(r.closed_at) for r in rows if r.purpose == "work" and not r.surplus]
    active = db.scalars(
        select(Assignment.active_ms).where(
            Assignment.project_id == project_id,
            Assignment.state == "submitted",
            Assignment.purpose == "work",
            Assignment.active_ms > 0,
        )
    )
    return Throughput(
        by_day(times, now=now), per_day(counting, now=now), histogram([a / 1000 for a in active])
    )


def by_day(times: Sequence[float], *, now: float) -> tuple[tuple[float, int], ...]:
    """How many in each day (UTC) from the first to today."""
    if not times:
        return ()
    counts = Counter(_day(t) for t in times)
    first = min(counts)
    return tuple((at, counts[at]) for at in _range(first, max(_day(now), max(counts))))


def per_day(times: Sequence[float], *, now: float) -> float | None:
    """The mean of the last days, of those since the first where these are fewer; never of less than one day."""
    recent = [t for t in times if t > now - RECENT * DAY]
    if len(recent) < LEAST:
        return None
    stretch = RECENT * DAY if min(times) <= now - RECENT * DAY else now - min(times)
    return len(recent) / max(1.0, stretch / DAY)


def histogram(seconds: Sequence[float]) -> tuple[tuple[str, int], ...]:
    """A histogram of seconds per judgement, without empty bins at either end."""
    if not seconds:
        return ()
    edges = (*STEPS, math.inf)
    counts = [sum(low <= s < high for s in seconds) for low, high in itertools.pairwise(edges)]
    used = [i for i, n in enumerate(counts) if n]
    return tuple((_step(STEPS[i], edges[i + 1]), counts[i]) for i in range(used[0], used[-1] + 1))


def _step(low: float, high: float) -> str:
    if math.isinf(high):
        return f"{low / 60:g}+ min"
    return f"{low:g}–{high:g} s" if high < 120 else f"{low / 60:g}–{high / 60:g} min"


def day_name(at: float) -> str:
    """``21 Nov``."""
    day = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return f"{day.day} {day:%b}"


def _day(at: float) -> float:
    return at - at % DAY


def _range(first: float, last: float) -> list[float]:
    return [first + i * DAY for i in range(round((last - first) / DAY) + 1)]
