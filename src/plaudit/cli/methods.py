"""`plaudit sft`, `plaudit dpo`, `plaudit ppo` …: one method on a data file, or a recipe up to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from plaudit.cli.options import DryRun, Fields, Labels, Out, Overrides, pairs_of
from plaudit.registry import METHODS

Source = Annotated[
    str,
    typer.Argument(
        metavar="DATA|RECIPE",
        help="A data file, a hub name, project://DIR, or a recipe (.yaml) to run up to this method.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="RUN, RUN@step, DIR, FILE.gguf, pypi:NAME or owner/name@revision; needed for data.",
    ),
]
RewardModel = Annotated[
    str | None,
    typer.Option(
        "--reward", metavar="SPEC", help="Reward model (RUN, RUN@step, DIR) or python:module:function."
    ),
]


def __getattr__(name: str) -> Callable[..., None]:
    """The command of a method, made from the table."""
    if name not in METHODS:
        raise AttributeError(name)
    return _scored(name) if METHODS[name].rewarded else _plain(name)


def _plain(name: str) -> Callable[..., None]:
    def command(
        source: Source,
        model: Model = None,
        fields: Fields = None,
        labels: Labels = None,
        set_: Overrides = None,
        out: Out = None,
        dry_run: DryRun = False,
    ) -> None:
        _run(name, source, model, (fields, labels), set_, out, dry_run=dry_run)

    command.__doc__ = METHODS[name].summary
    return command


def _scored(name: str) -> Callable[..., None]:
    def command(
        source: Source,
        model: Model = None,
        reward: RewardModel = None,
        fields: Fields = None,
        labels: Labels = None,
        set_: Overrides = None,
        out: Out = None,
        dry_run: DryRun = False,
    ) -> None:
        _run(name, source, model, (fields, labels), set_, out, reward=reward, dry_run=dry_run)

    command.__doc__ = METHODS[name].summary
    return command


def _run(
    name: str, source: str, model: str | None, read: tuple[Any, Any], set_: Any, out: Any, **options: Any
) -> None:
    from plaudit.pipeline.single_method import run_method

    fields, labels = pairs_of(read[0], "--fields"), pairs_of(read[1], "--labels")
    run_method(name, source, model, set_ or (), out, fields=fields, labels=labels, **options)
