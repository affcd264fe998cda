"""One recipe at several seeds, and what of its numbers is luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plaudit.config import load_recipe
from plaudit.pipeline.projects import frozen, removed_if_refused
from plaudit.pipeline.run import recipe_path, run
from plaudit.runs import RunFolder, files


def run_seeds(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    *,
    without: Sequence[str] = (),
    count: int,
    dry_run: bool = False,
) -> list[RunFolder]:
    """Run seeds s, s+1, … into ``OUT-seedS``; writes and prints mean and range of every main number."""
    from rich.console import Console
    from rich.table import Table

    config = load_recipe(recipe_path(recipe), overrides, without)
    base = Path(out) if out else Path("runs") / config.name
    folders = []
    for seed in range(config.seed, config.seed + count):
        path = base.with_name(f"{base.name}-seed{seed}")
        seeded = load_recipe(recipe_path(recipe), [*overrides, f"seed={seed}"], without)
        data = base.with_name(f"{base.name}-data")
        first = base.with_name(f"{base.name}-seed{config.seed}")
        with removed_if_refused(data, first / "run.json"):
            if not dry_run:  # all seeds see what a labeling project held when the first began
                seeded = frozen(seeded, data, keep=seed > config.seed)
            folders.append(run(seeded, out=path, dry_run=dry_run))
    if dry_run:
        return folders
    every = [numbers(f.read_json("summary.json") or {}) for f in folders]
    names = [n for n in every[0] if all(n in e for e in every)]
    table = Table(title=f"{count} seeds", title_justify="left")
    for column in ("number", "mean", "lowest", "highest"):
        table.add_column(column, justify="left" if column == "number" else "right")
    result = {}
    for name in names:
        values = [e[name] for e in every]
        mean = sum(values) / len(values)
        result[name] = {"mean": mean, "low": min(values), "high": max(values), "values": values}
        table.add_row(name, f"{mean:.3f}", f"{min(values):.3f}", f"{max(values):.3f}")
    files.write_json(base.with_name(f"{base.name}-seeds.json"), result)
    Console(highlight=False).print(table)
    return folders


def numbers(summary: Mapping[str, Any]) -> dict[str, float]:
    """The main numbers of a summary by a flat name."""
    found: dict[str, float] = {}
    steps = set((summary.get("policies") or {}).values())
    for section in ("gold", "proxy", "win_rate"):
        for name, value in (summary.get(section) or {}).items():
            # What stands at a place is shown by its place, and not once more by its step.
            if name not in steps and isinstance(value, Mapping) and value.get("mean") is not None:
                found[f"{section}/{name}"] = value["mean"]
    for name, path in (
        ("gap_closed", ("gap_closed", "mean")),
        ("kl/exact", ("kl", "exact")),
        ("reward_model/accuracy", ("reward_model", "accuracy")),
    ):
        at: Any = summary
        for key in path:
            at = at.get(key) if isinstance(at, Mapping) else None
        if at is not None:
            found[name] = at
    for name, value in ((summary.get("attributes") or {}).get("end") or {}).items():
        if value is not None:
            found[f"attributes/end/{name}"] = value
    return found
