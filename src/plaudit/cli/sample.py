"""`plaudit sample`."""

from __future__ import annotations

from typing import Annotated

import typer


def sample(
    source: Annotated[str, typer.Argument(metavar="MODEL|RUN", help="A model folder, or a run.")],
    prompt: Annotated[str, typer.Argument(help="What to ask; - reads standard input.")],
    stage: Annotated[str | None, typer.Option(help="Stage of the run (default: the last).")] = None,
    n: Annotated[int, typer.Option("--n", "-n", help="How many answers.", min=1)] = 1,
    temperature: Annotated[float, typer.Option(help="0 is greedy.", min=0)] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.", min=1)] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the draw.", min=0)] = 0,
) -> None:
    """Print answers of a model to one prompt."""
    import sys

    from plaudit.cli.talking import speakers
    from plaudit.data.records import Message

    (speaker,) = speakers(source, [stage] if stage else [])
    text = sys.stdin.read().strip() if prompt == "-" else prompt
    for answer in speaker.answer(
        (Message("user", text),), temperature=temperature, max_new_tokens=max_new_tokens, n=n, seed=seed
    ):
        typer.echo(answer)
