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
        typer.Option("--no-leash", help="Beside the demo: KL coefficient 0, and the reward is hacked."),
    ] = False,
    biased_raters: Annotated[
        bool,
        typer.Option("--biased-raters", help="Beside it: raters who also like length and flattery."),
    ] = False,
    rounds: Annotated[
        bool,
        typer.Option("--rounds", help="Beside it: a hack, a round that moves it, and one that repairs it."),
    ] = False,
    skilled_writers: Annotated[
        bool,
        typer.Option(
            "--skilled-writers", help="Beside it: good demonstrations, where little is left to gain."
        ),
    ] = False,
    small_beats_large: Annotated[
        bool,
        typer.Option(
            "--small-beats-large", help="Beside it: PPO on a quarter of the size against SFT on the whole."
        ),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Seconds a stage: shows the parts, not the learning.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """The whole loop on the pocket world: pretraining, SFT, rankings, reward model, PPO, report."""
    from plaudit.pipeline.demo import demo as run

    run(
        seed=seed,
        out=out,
        no_leash=no_leash,
        biased_raters=biased_raters,
        rounds=rounds,
        skilled_writers=skilled_writers,
        small_beats_large=small_beats_large,
        quick=quick,
        dry_run=dry_run,
    )
