"""`plaudit evaluate`."""

from __future__ import annotations

from typing import Any

from plaudit.cli.options import Run


def evaluate(folder: Run) -> None:
    """Print the main numbers of a run's evaluation, made first from its models where it is missing."""
    from rich.console import Console
    from rich.table import Table

    from plaudit.pipeline.results import evaluate as summary_of

    summary = summary_of(folder)
    judge = summary.get("judge")
    title = f"{summary.get('name')}, " + (f"judged by {judge}" if judge else "judged by nothing")
    table = Table(title=title, title_justify="left")
    for column in ("number", "value", "95 % interval"):
        table.add_column(column, justify="left" if column == "number" else "right")
    for name, value in _rows(summary):
        interval = f"{value['low']:.3f} … {value['high']:.3f}" if value.get("low") is not None else ""
        table.add_row(name, f"{value['mean']:.3f}", interval)
    console = Console(highlight=False)
    console.print(table)
    for place, step in (summary.get("policies") or {}).items():
        if place != "base":
            console.print(f"{place}: {folder.resolve().name}@{step}", markup=False, soft_wrap=True)


def _rows(summary: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The numbers that have a mean, by name."""
    found: list[tuple[str, dict[str, Any]]] = []
    steps = set((summary.get("policies") or {}).values())
    for section in ("gold", "proxy", "win_rate"):
        for name, value in (summary.get(section) or {}).items():
            if name not in steps and isinstance(value, dict) and value.get("mean") is not None:
                found.append((f"{section} {name.replace('_', ' ')}", value))
    if summary.get("gap_closed"):
        found.append(("gap closed", summary["gap_closed"]))
    if summary.get("kl"):
        found.append(("exact KL, nats per response", {**summary["kl"], "mean": summary["kl"]["exact"]}))
    reward = summary.get("reward_model")
    if reward:
        found.append(("reward model accuracy", {**reward, "mean": reward["accuracy"]}))
        found.append(("longer wins", {"mean": reward["longer_wins"]}))
    return found
