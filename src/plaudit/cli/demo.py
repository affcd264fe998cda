"""`plaudit demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import DryRun, Out


def demo(
    seed: Annotated[
        int, typer.Option(metavar="N", help="Seed of the world and of everything drawn.", min=0)
    ] = 0,
    out: Out = None,
    no_leash: Annotated[
        bool,
        typer.Option("--no-leash", help="Beside the demo, the same with KL coefficient 0: reward hacking."),
    ] = False,
    biased_raters: Annotated[
        bool,
        typer.Option("--biased-raters", help="Beside it, the same with raters who like length and flattery."),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Seconds a stage: shows the parts, not the learning.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """The whole loop on the pocket world: pretraining, SFT, rankings, reward model, PPO, report."""
    from plaudit.pipeline.demo import demo as run

    run(seed=seed, out=out, no_leash=no_leash, biased_raters=biased_raters, quick=quick, dry_run=dry_run)
