"""`plaudit chat`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.cli.options import Model, Seed, Temperature, Tokens

if TYPE_CHECKING:
    from rich.console import Console


def chat(
    source: Model,
    step: Annotated[
        list[str] | None,
        typer.Option(
            "--step", "--stage", metavar="NAME", help="Step to talk to (default: the end); twice for two."
        ),
    ] = None,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Start and end answer next to each other.")
    ] = False,
    temperature: Temperature = 0.7,
    max_new_tokens: Tokens = 64,
    seed: Seed = 0,
) -> None:
    """Talk to a model. An empty line or Ctrl-D ends, /new starts over; lines may be piped in."""
    from rich.console import Console

    from plaudit.generation.chat import Conversation, load_chat_models, locate_models

    located = locate_models(source, step or (), 2 if side_by_side else 1)
    said = " and ".join(one.described for one in located)
    found = load_chat_models(located)
    console = Console(highlight=False)
    interactive = sys.stdin.isatty()
    if interactive:
        console.print(f"{said} · an empty line ends, /new starts over", markup=False)
    else:
        typer.echo(f"model: {said}", err=True)
    talks = [
        Conversation(model, temperature=temperature, max_new_tokens=max_new_tokens, seed=seed)
        for model in found
    ]
    while (line := _listen(interactive)) is not None:
        if line == "/new":
            for talk in talks:
                talk.clear()
            continue
        answers = [talk.say(line) for talk in talks]
        _show(console, [m.name for m in found], answers)


def _listen(interactive: bool) -> str | None:
    """The next line, or None at the end."""
    try:
        line = input("> " if interactive else "").strip()
    except EOFError:
        return None
    return line or None


def _show(console: Console, names: list[str], answers: list[str]) -> None:
    """One answer as it is, several next to each other; piped, a line each behind its name."""
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    if len(answers) == 1:
        console.print(Text(answers[0]), soft_wrap=not console.is_terminal)
    elif console.is_terminal:
        row = Table.grid(expand=True, padding=(0, 1))
        for _ in answers:
            row.add_column(ratio=1)
        row.add_row(*(Panel(Text(a), title=name, title_align="left") for name, a in zip(names, answers)))
        console.print(row)
    else:
        for name, answer in zip(names, answers):
            console.print(Text(f"{name}: {answer}"), soft_wrap=True)
