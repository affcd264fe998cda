"""The numbers of a comparison on the terminal."""

from __future__ import annotations

import shlex
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
    page = f"page: {root / 'compare.html'}"
    if found["winners"]:
        best = found["winners"][-1]["ranked"][0]["arm"]
        run = shlex.quote(str(root / f"seed-{found['seeds'][0]}" / best))
        page += f"; next: plaudit chat {run} --side-by-side"
    console.print(page, markup=False, soft_wrap=True)
