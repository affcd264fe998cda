"""From finished runs to the numbers of a comparison: points, means over seeds, and who wins at equal KL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.audit.null_policy import null_policy
from plaudit.audit.stored import stored_answers
from plaudit.runs import RunFolder

# KL budgets in nats per response at which methods are set side by side.
BEST = ("best", "best_win_rate", "best_gap")
BUDGETS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def gather(root: Path) -> dict[str, Any]:
    """Everything that the page shows, from ``plan.json`` and the runs that are done."""
    plan = RunFolder(root).read_json("plan.json")
    points, starts, perfects = [], [], []
    for seed in plan["seeds"]:
        for arm in plan["arms"]:
            folder = RunFolder(root / f"seed-{seed}" / arm["name"])
            summary = folder.read_json("summary.json")
            if summary:
                start = ((summary.get("gold") or {}).get("start") or {"mean": 0.5})["mean"]
                points.append({**_point(folder, summary, arm, seed), "start": start})
                starts.append(start)
                if perfect := (summary.get("gold") or {}).get("perfect"):
                    perfects.append(perfect["mean"])
    judge = "gold" if perfects else "win rate by the proxy judge"
    means = (_mean_of([p for p in points if p["arm"] == arm["name"]], arm) for arm in plan["arms"])
    arms = [arm for arm in means if arm is not None]
    return {
        "recipe": plan["recipe"],
        "seeds": plan["seeds"],
        "judge": judge,
        "start": float(np.mean(starts)) if starts else None,
        "perfect": float(np.mean(perfects)) if perfects else None,
        "points": points,
        "arms": arms,
        "best_of_n": _best_of_n(root, plan["seeds"]),
        "winners": winners(arms),
    }


def _value(summary: Mapping[str, Any]) -> Mapping[str, float]:
    """Gold of the end, or where there is none the judge's win rate of it against the start."""
    found = (summary.get("gold") or {}).get("end") or (summary.get("win_rate") or {}).get("end_vs_start")
    return found or {}


def _point(
    folder: RunFolder, summary: Mapping[str, Any], arm: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    step = arm["step"]
    value = _value(summary)
    record = folder.stage(step).read_json() or {}
    win = (summary.get("win_rate") or {}).get("end_vs_start") or {}
    return {
        "arm": arm["name"],
        "method": arm["method"],
        "point": arm["point"],
        "seed": seed,
        "value": value.get("mean"),
        "low": value.get("low"),
        "high": value.get("high"),
        "kl": (summary.get("kl") or {}).get("exact"),
        "win_rate": win.get("mean"),
        **_at_best(summary),
        "length": ((summary.get("length") or {}).get("end") or {}).get("mean"),
        "seconds": record.get("seconds"),
        "peak_mb": record.get("peak_mb"),
        "samples": _samples(folder, step, record),
        "null": _null(folder, summary),
        "run": str(folder.path),
    }


def _null(folder: RunFolder, summary: Mapping[str, Any]) -> str | None:
    """How the end does not answer, in words; None where it does, or where no answers are stored."""
    end = (summary.get("policies") or {}).get("end")
    if end is None or not folder.stage("evaluate").answers():
        return None
    found = null_policy(stored_answers(folder, end))
    return found["words"] if found else None


def _at_best(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """The end and its wins against the start, each at its own best temperature; None where that was not looked for.

    Without gold a value is a win rate, so the end's is too.
    """
    best = summary.get("best_temperature") or {}
    cool = best if isinstance(best.get("temperature"), Mapping) else {}

    def mean(key: str) -> float | None:
        return (cool.get(key) or {}).get("mean")

    own = "end" if summary.get("gold") else "win_rate"
    return {"best": mean(own), "best_win_rate": mean("win_rate"), "best_gap": mean("gap_closed")}


def _samples(folder: RunFolder, step: str, record: Mapping[str, Any]) -> float | None:
    """Answers that the method learned from: its own episodes, or those of the data, each time it was seen."""
    rows = folder.stage(step).metrics()
    episodes = [row["elapsed/episodes"] for row in rows if "elapsed/episodes" in row]
    if episodes:
        return float(episodes[-1])
    config = (folder.read_json("run.json") or {})["config"]["steps"][step]
    steps = record.get("steps")
    return float(steps * config["batch_size"]) if steps else None


def _mean_of(points: Sequence[Mapping[str, Any]], arm: Mapping[str, Any]) -> dict[str, Any] | None:
    """Means over seeds, with the range of the value."""
    known = [p for p in points if p["value"] is not None and p["kl"] is not None]
    if not known:
        return None
    values = [p["value"] for p in known]
    mean: dict[str, Any] = {
        key: float(np.mean(found)) if (found := [p[key] for p in known if p.get(key) is not None]) else None
        for key in ("value", "kl", "win_rate", *BEST, "length", "seconds", "peak_mb", "samples")
    }
    if len(values) > 1:
        low, high = min(values), max(values)
    else:
        low, high = known[0]["low"], known[0]["high"]
    mean["null"] = next((p["null"] for p in known if p.get("null")), None)
    return {**mean, "arm": arm["name"], "method": arm["method"], "point": arm["point"], "low": low, "high": high,
            "seeds": len(known)}  # fmt: skip


def _best_of_n(root: Path, seeds: Sequence[int]) -> list[dict[str, float]]:
    by_n: dict[int, list[Mapping[str, float]]] = defaultdict(list)
    for seed in seeds:
        for point in (RunFolder(root / f"seed-{seed}" / "base").read_json("best_of_n.json") or {}).get(
            "points", []
        ):
            by_n[point["n"]].append(point)
    return [
        {"n": n, "kl": found[0]["kl"], "value": float(np.mean([p["mean"] for p in found]))}
        for n, found in sorted(by_n.items())
    ]


def winners(arms: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each KL budget, every method's best value at a measured point within it, the best first.

    A method that has no point within a budget is not in that row: nothing is read between points. Answers that do not
    answer (``audit.null_policy``) win nothing, whatever they score.
    """
    rows: list[dict[str, Any]] = []
    for budget in BUDGETS:
        best: dict[str, Mapping[str, Any]] = {}
        for arm in arms:
            known = best.get(arm["method"])
            if (
                not arm.get("null")
                and arm["kl"] <= budget
                and (known is None or arm["value"] > known["value"])
            ):
                best[arm["method"]] = arm
        ranked = sorted(best.values(), key=lambda a: -a["value"])
        shown = [{k: a[k] for k in ("method", "arm", "value", "kl")} for a in ranked]
        # A larger budget that changes nothing says nothing.
        if shown and (not rows or rows[-1]["ranked"] != shown):
            rows.append({"budget": budget, "ranked": shown})
    return rows
