"""The numbers of a comparison on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plaudit.display.formatting import number
from plaudit.report.frontier_page import method_name
from plaudit.runs import RunFolder


def show(root: Path, console: Any) -> None:
    """Who wins at equal KL, and where the page is."""
    from rich.table import Table

    found = RunFolder(root).read_json("compare.json")
    table = Table(title=f"best {found['judge']} within a KL of …", title_justify="left")
    table.add_column("nats", justify="right")
    table.add_column("methods, best first")
    for row in found["winners"]:
        ranked = ", ".join(f"{method_name(r['method'])} {number(r['value'])}" for r in row["ranked"])
        table.add_row(f"{row['budget']:g}", ranked)
    console.print(table)
    for arm in found["arms"]:
        if arm.get("null"):
            name = f"{method_name(arm['method'])} {arm['point']}".strip()
            console.print(f"{name}: most of its answers {arm['null']}, so it wins nothing", markup=False)
    console.print(f"page: {root / 'compare.html'}", markup=False, soft_wrap=True)
