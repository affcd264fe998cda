"""Where the seconds of a run went, stage by stage and phase by phase, from what the stages recorded."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from plaudit.runs import RunFolder

# Phases in the order in which they follow each other; a stage has those that it records.
PHASES = ("rollout", "score", "batch", "forward", "backward", "optimizer")


def phases_of(folder: RunFolder) -> dict[str, dict[str, float]]:
    """Seconds by stage and phase; what no phase covers is ``rest`` (data, models, held-out numbers, files)."""
    found: dict[str, dict[str, float]] = {}
    for stage in folder.stages():
        record = stage.read_json() or {}
        if "seconds" not in record:
            continue
        sums: dict[str, float] = defaultdict(float)
        for row in stage.metrics():
            for phase in PHASES:
                sums[phase] += row.get(f"time/{phase}", 0.0)
        seconds = {phase: sums[phase] for phase in PHASES if sums[phase]}
        found[stage.name] = {**seconds, "rest": max(0.0, float(record["seconds"]) - sum(seconds.values()))}
    return found


def show(folder: RunFolder, console: Any) -> None:
    """Print the seconds of every stage and the share of each phase."""
    from rich.table import Table

    found = phases_of(folder)
    used = [p for p in (*PHASES, "rest") if any(row.get(p) for row in found.values())]
    table = Table(title="where the time went", title_justify="left")
    for column in ("stage", "seconds", *used):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name, row in found.items():
        total = sum(row.values())
        shares = [f"{row[p] / total:.0%}" if row.get(p) and total else "" for p in used]
        table.add_row(name, f"{total:.1f}", *shares)
    console.print(table)
