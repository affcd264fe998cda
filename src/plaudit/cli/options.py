"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Override a key of the recipe; may be repeated."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the run (default: runs/NAME).")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the resolved config, the plan, memory and time; run nothing.")
]
