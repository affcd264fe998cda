"""`plaudit run` and `plaudit resume`."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import DryRun, Out, Overrides, Run, refuse_unread

Again = Annotated[
    list[str] | None,
    typer.Option("--again", metavar="STEP", help="Make a finished step anew, or all of them. Repeatable."),
]


def run(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe (.yaml), or the name of a built-in one: pocket.")
    ],
    set_: Overrides = None,
    out: Out = None,
    seeds: Annotated[int, typer.Option(metavar="N", help="Run N seeds, each into OUT-seedK.", min=1)] = 1,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="STEP", help="Leave a step out. Repeatable.")
    ] = None,
    again: Again = None,
    dry_run: DryRun = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show at the end where the time of every stage went.")
    ] = False,
) -> None:
    """Run a recipe to its report; steps that are done are skipped, one that was cut off goes on."""
    from plaudit.pipeline.run import run as run_recipe
    from plaudit.pipeline.seeds import run_seeds

    if dry_run:
        refuse_unread({"profile": profile or None}, needs="a run, not --dry-run")
    if seeds > 1:
        refuse_unread(
            {"again": again or None, "profile": profile or None}, needs="one seed, and not --seeds N"
        )
        run_seeds(recipe, set_ or (), out, without=without or (), count=seeds, dry_run=dry_run)
    else:
        folder = run_recipe(
            recipe, set_ or (), out, without=without or (), again=again or (), dry_run=dry_run
        )
        if profile and not dry_run:
            from rich.console import Console

            from plaudit.pipeline.profile import show

            show(folder, Console(highlight=False))


def resume(folder: Run, again: Again = None) -> None:
    """Continue a run from its own record."""
    from plaudit.pipeline.run import resume as resume_run

    resume_run(folder, again=again or ())
