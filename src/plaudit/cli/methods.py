"""`plaudit sft`, `plaudit dpo`, `plaudit ppo` …: one method on a data file, or a recipe up to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from plaudit.cli.options import DryRun, Out, Overrides
from plaudit.methods_table import METHODS

Source = Annotated[
    str,
    typer.Argument(
        metavar="DATA|RECIPE",
        help="A data file, a hub name, project://DIR, or a recipe (.yaml) to run up to this method.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="DIR", help="Hugging Face folder or hub name; needed for data."),
]
RewardModel = Annotated[
    str | None, typer.Option("--reward", metavar="DIR", help="Saved reward model; needed for data.")
]


def __getattr__(name: str) -> Callable[..., None]:
    """The command of a method, made from the table."""
    if name not in METHODS:
        raise AttributeError(name)
    return _scored(name) if "reward" in METHODS[name].needs else _plain(name)


def _plain(name: str) -> Callable[..., None]:
    def command(
        source: Source, model: Model = None, set_: Overrides = None, out: Out = None, dry_run: DryRun = False
    ) -> None:
        _run(name, source, model, set_, out, dry_run=dry_run)

    command.__doc__ = METHODS[name].summary
    return command


def _scored(name: str) -> Callable[..., None]:
    def command(
        source: Source,
        model: Model = None,
        reward: RewardModel = None,
        set_: Overrides = None,
        out: Out = None,
        dry_run: DryRun = False,
    ) -> None:
        _run(name, source, model, set_, out, reward=reward, dry_run=dry_run)

    command.__doc__ = METHODS[name].summary
    return command


def _run(name: str, source: str, model: str | None, set_: Any, out: Any, **options: Any) -> None:
    from plaudit.pipeline import run_method

    run_method(name, source, model, set_ or (), out, **options)
