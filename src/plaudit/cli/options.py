"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Override a key of the recipe; may be repeated."),
]


def _folder(text: str) -> Path:
    """A folder to write; what a shell makes of a variable that is not set would be the current one."""
    if not str(text).strip():
        raise typer.BadParameter("it is empty")
    return Path(text).expanduser()


Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", parser=_folder, help="Folder of the run (default: runs/NAME)."),
]
Fields = Annotated[
    list[str] | None,
    typer.Option("--fields", metavar="A=B,…", help="Which column holds a field: prompt=ask,chosen=good."),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--labels", metavar="A=B,…", help="What the codes of a label mean: 0=first,1=second,2=tie."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the resolved config, the plan, memory and time; run nothing.")
]
Model = Annotated[
    str,
    typer.Argument(metavar="RUN[@STEP]|MODEL", help="A run (its end), a step of one, or any other model."),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of the draw.", min=0)]
Temperature = Annotated[float, typer.Option(metavar="T", help="0 is greedy.", min=0)]
Tokens = Annotated[int, typer.Option(metavar="N", help="Longest answer, in tokens.", min=1)]

Given = dict[str, Any]  # options by name, None where one was not given


def pairs_of(given: list[str] | None, option: str) -> dict[str, str] | None:
    """``A=B,C=D`` as a mapping; the option may be repeated."""
    from plaudit.errors import UserError

    parts = [part for text in given or () for part in text.split(",") if part.strip()]
    found: dict[str, str] = {}
    for part in parts:
        # A label may itself hold the sign: in A=B=tie the code is A=B.
        key, separator, value = part.rpartition("=")
        if not separator or not key.strip() or not value.strip():
            raise UserError(f"{option} {part!r} is not of the form A=B", remedy=f"write {option} A=B,C=D")
        found[key.strip()] = value.strip()
    return found or None


def typed(given: Given) -> list[str]:
    """The options that were given, as they are typed."""
    return [f"--{name.replace('_', '-')}" for name in known(given)]


def refuse_unread(given: Given, *, needs: str) -> None:
    """UserError for options that were given and act only beside one that was not."""
    from plaudit.errors import UserError

    if unread := ", ".join(typed(given)):
        raise UserError(f"{unread} acts only with {needs}", remedy=f"add {needs}, or leave {unread} out")


def known(given: Given) -> Given:
    """The options that were given."""
    return {name: value for name, value in given.items() if value is not None}
