"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Override a key of the recipe; may be repeated."),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder of the run (default: runs/NAME).")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the resolved config, the plan, memory and time; run nothing.")
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of the draw.", min=0)]
Temperature = Annotated[float, typer.Option(metavar="T", help="0 is greedy.", min=0)]
Tokens = Annotated[int, typer.Option(metavar="N", help="Longest answer, in tokens.", min=1)]
