"""`plaudit sft`, `plaudit reward`, `plaudit ppo`: one method on a data file, or a recipe up to it."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import DryRun, Out, Overrides

Source = Annotated[
    str,
    typer.Argument(
        metavar="DATA|RECIPE", help="A data file, a hub name, or a recipe (.yaml) to run up to this method."
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="DIR", help="Hugging Face folder or hub name; needed for data."),
]


def sft(
    source: Source, model: Model = None, set_: Overrides = None, out: Out = None, dry_run: DryRun = False
) -> None:
    """Supervised fine-tuning: imitate demonstrations."""
    from plaudit.pipeline import run_method

    run_method("sft", source, model, set_ or (), out, dry_run=dry_run)


def reward(
    source: Source, model: Model = None, set_: Overrides = None, out: Out = None, dry_run: DryRun = False
) -> None:
    """Train a reward model on pairs or K-way rankings."""
    from plaudit.pipeline import run_method

    run_method("reward", source, model, set_ or (), out, dry_run=dry_run)


def ppo(
    source: Source,
    model: Model = None,
    reward: Annotated[
        str | None, typer.Option("--reward", metavar="DIR", help="Saved reward model; needed for data.")
    ] = None,
    set_: Overrides = None,
    out: Out = None,
    dry_run: DryRun = False,
) -> None:
    """Improve a policy by a reward, with a KL leash to where it started."""
    from plaudit.pipeline import run_method

    run_method("ppo", source, model, set_ or (), out, reward=reward, dry_run=dry_run)
