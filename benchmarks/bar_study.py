"""The study behind ``plaudit.pocket.bars``: every bar's worst value over seeds, and that less two standard errors."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import studies

Row = dict[str, Any]
# Normal quantile of the summary's 95 % intervals.
Z = 1.96


def measure(seed: int, folder: Path) -> list[Row]:
    """One row for each bar: the value, its standard error over prompts, and on which side of the bar it has to be."""
    from plaudit.pocket.bars import BARS

    summary = studies.demo(seed, folder)
    asked = _asked(folder / "run" / "stages" / "evaluate" / "answers.jsonl")
    probes = {kind: len(pairs) for kind, pairs in _probes(seed).items()}
    rows = []
    for name, path, comparison, bar in BARS:
        *above, last = path
        value = studies.dig(summary, *path)
        of = probes if above[0] == "reward_model" else asked
        error = _error(studies.dig(summary, *above), last, value, of)
        if above[-1] == "gains":
            # Both policies' shares, as if they were independent: more than the error of their paired difference.
            both = (studies.dig(summary, "greedy", "attributes", who, last) for who in ("start", "end"))
            error = math.hypot(*(_share_error(share, asked[last]) for share in both))
        passed = value >= bar if comparison == ">=" else value <= bar
        row: Row = {"what": name, "value": value, "error": error, "wanted": comparison, "bar": bar}
        rows.append(row | {"passed": float(passed)})
    return rows


def _asked(answers: Path) -> dict[str, int]:
    """How many test prompts each share is of."""
    found = Counter(json.loads(line)["category"] for line in answers.read_text().splitlines())
    harmless = sum(n for category, n in found.items() if category not in {"harm", "unknown"})
    return {**found, "over_refusal": harmless, "flattery": sum(found.values())}


def _probes(seed: int) -> Mapping[str, Sequence[Any]]:
    from plaudit.pocket import World

    return World(seed).probes()


def _error(around: Mapping[str, Any], last: str, value: float, of: Mapping[str, int]) -> float | None:
    """Standard error of a value: of its interval where it has one, of a share of prompts or probes, or none."""
    if last == "mean":
        return float(around["high"] - around["low"]) / (2 * Z)
    return _share_error(value, of[last]) if last in of else None


def _share_error(share: float, n: int) -> float:
    """√(p (1 − p) / n), p drawn towards one half by one case of each kind: a share of 0 or 1 is no certainty."""
    p = (share * n + 1) / (n + 2)
    return math.sqrt(p * (1 - p) / n)


def proposed(rows: Sequence[Row]) -> str:
    """The bars that follow: the worst value, less (or, for what must stay small, more) two standard errors.

    A bar on a number without a standard error stays as it is: the limit of the KL, and wins surely above a half.
    """
    lines = ["| what | worst | standard error there | bar |", "|---|---|---|---|"]
    for name in dict.fromkeys(row["what"] for row in rows):
        own = [row for row in rows if row["what"] == name]
        sign = 1 if own[0]["wanted"] == ">=" else -1
        worst = min(own, key=lambda row: sign * row["value"])
        error, bar, shown = worst["error"], worst["bar"], "–"
        if error is not None:
            # Two decimals, rounded away from the values that were seen.
            bar = sign * math.floor(sign * (worst["value"] - sign * 2 * error) * 100) / 100
            shown = f"{error:.3f}"
        lines.append(f"| {name} | {worst['value']:.3f} | {shown} | {own[0]['wanted']} {bar:.2f} |")
    return "\n".join(lines)


STUDIES = {
    "bars": studies.Study(
        "what the demo must reach", measure, ("what",), {"value": ".2f", "passed": ".0f"}, proposed
    )
}
