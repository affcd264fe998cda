"""`plaudit sample`."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from plaudit.cli.options import Model, Seed, Temperature, Tokens


def sample(
    source: Model,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to ask; - reads standard input.")],
    step: Annotated[
        str | None,
        typer.Option("--step", "--stage", metavar="NAME", help="Step of the run (default: its end)."),
    ] = None,
    n: Annotated[int, typer.Option("--n", "-n", metavar="N", help="How many answers.", min=1)] = 1,
    temperature: Temperature = 1.0,
    max_new_tokens: Tokens = 64,
    seed: Seed = 0,
) -> None:
    """Print answers of a model to one prompt."""
    from plaudit.data.records import Message
    from plaudit.errors import UserError
    from plaudit.generation.chat import load_chat_models, locate_models

    text = sys.stdin.read().strip() if prompt == "-" else prompt
    if not text:
        raise UserError("the prompt is empty")
    located = locate_models(source, [step] if step else ())
    typer.echo(f"model: {located[0].described}", err=True)
    (model,) = load_chat_models(located)
    for answer in model.answer(
        (Message("user", text),), temperature=temperature, max_new_tokens=max_new_tokens, n=n, seed=seed
    ):
        typer.echo(answer)
    talk = f"{source}@{step}" if step else source
    typer.echo(f"next: plaudit chat {shlex.quote(talk)}", err=True)
