"""`plaudit compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import Out, Overrides


def compare(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe (.yaml), or the built-in one: pocket.")
    ] = "pocket",
    methods: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="Methods and variants of them (default: the usual ones)."),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The step to replace (default: the one that makes the end)."),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="0,1,…", help="Seeds, each with its own base.")] = "0",
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", metavar="M.KEY=V1,V2", help="Points of a method; else two of its β or KL."),
    ] = None,
    set_: Overrides = None,
    out: Out = None,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help="Runs at once (default: cores).", min=1)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small world and one point a method.")] = False,
) -> None:
    """Run several methods on the same data and show reward against KL on one page."""
    from rich.console import Console

    from plaudit.pipeline.comparison.arms import parse_grid
    from plaudit.pipeline.comparison.run import compare as run
    from plaudit.pipeline.comparison.show import show

    page = run(
        recipe,
        methods=[m.strip() for m in (methods or "").split(",") if m.strip()],
        step=step,
        seeds=_numbers(seeds),
        grid=parse_grid(grid) if grid else None,
        overrides=set_ or (),
        out=out,
        jobs=jobs,
        quick=quick,
    )
    show(page.parent, Console(highlight=False))


def _numbers(text: str) -> list[int]:
    from plaudit.errors import UserError

    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UserError(
            f"--seeds {text!r} is not a list of whole numbers", remedy="write --seeds 0,1,2"
        ) from None
