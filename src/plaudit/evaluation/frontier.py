"""Reward against KL: the path of a run, and whether it was over-optimized (Gao et al. 2022).

The loop records scores and KL while it samples and gold after it has updated, so a row of step n holds
the scores of the policy after n − 1 updates and the gold of the policy after n. Points pair them up by policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """One policy of a run: updates made, KL from the start in nats per response, proxy and gold reward."""

    updates: int
    kl: float | None = None
    proxy: float | None = None
    gold: float | None = None


def points(rows: Sequence[Mapping[str, Any]]) -> list[Point]:
    """The policies of a run in order, from the rows of its ``metrics.jsonl``."""
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        # A stopped run records its last rollout once more, under the step that it fell back to.
        if row.get("stopped") or not isinstance(row.get("step"), int):
            continue
        step = row["step"]
        for name, key, at in (
            ("kl", "objective/kl", step - 1),
            ("proxy", "objective/scores", step - 1),
            ("gold", "gold", step),
        ):
            if row.get(key) is not None and at >= 0:
                found.setdefault(at, {})[name] = float(row[key])
    return [Point(updates, **found[updates]) for updates in sorted(found)]


@dataclass(frozen=True)
class Trajectory:
    """Where a quantity started, peaked and ended, each with the number of updates."""

    start: float
    peak: float
    end: float
    peak_at: int
    end_at: int

    @property
    def fall(self) -> float:
        """Peak minus end, ≥ 0."""
        return self.peak - self.end


def path(found: Sequence[Point], name: str) -> Trajectory | None:
    """Start, peak and end of ``kl``, ``proxy`` or ``gold``; None where it was measured less than twice."""
    known = [(p.updates, v) for p in found if (v := getattr(p, name)) is not None]
    if len(known) < 2:
        return None
    peak_at, peak = max(known, key=lambda k: (k[1], -k[0]))
    return Trajectory(known[0][1], peak, known[-1][1], peak_at, known[-1][0])


def over_optimization(
    rows: Sequence[Mapping[str, Any]], *, sft: float | None = None, perfect: float | None = None
) -> dict[str, Any]:
    """Did the proxy go on rising while gold fell?

    ``proxy`` and ``gold`` as start, peak, end; ``fall_share`` is gold's fall from its peak as a share of
    (perfect − SFT) where both are given; ``proxy_gain_past_peak`` is what the proxy gained after gold
    had peaked. A peak is the best of several noisy measurements, hence a little too high.
    """
    found = points(rows)
    gold, proxy, kl = path(found, "gold"), path(found, "proxy"), path(found, "kl")
    result: dict[str, Any] = {
        "points": [asdict(p) for p in found],
        "gold": asdict(gold) if gold else None,
        "proxy": asdict(proxy) if proxy else None,
        "kl_end": kl.end if kl else None,
        "fall": gold.fall if gold else None,
        "fall_share": None,
        "proxy_gain_past_peak": None,
    }
    if gold and sft is not None and perfect is not None and perfect > sft:
        result["fall_share"] = gold.fall / (perfect - sft)
    if gold and proxy:
        at_peak = next(
            (p.proxy for p in found if p.updates >= gold.peak_at and p.proxy is not None), proxy.end
        )
        result["proxy_gain_past_peak"] = proxy.end - at_peak
    return result
