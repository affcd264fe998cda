"""`plaudit chat`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def chat(
    source: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="A run, or a model folder.")],
    stage: Annotated[
        list[str] | None, typer.Option(help="Stage to talk to, may be repeated (default: the last).")
    ] = None,
    side_by_side: Annotated[
        bool,
        typer.Option("--side-by-side", help="Two stages answer next to each other (default: the last two)."),
    ] = False,
    temperature: Annotated[float, typer.Option(help="0 is greedy.", min=0)] = 0.7,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.", min=1)] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the draw.", min=0)] = 0,
) -> None:
    """Talk to a model. An empty line or Ctrl-D ends; /new starts over."""
    from rich.columns import Columns
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    from plaudit.cli.talking import speakers
    from plaudit.data.records import Message

    found = speakers(source, stage or [], 2 if side_by_side else 1)
    console = Console(highlight=False)
    talks: list[list[Message]] = [[] for _ in found]
    interactive = sys.stdin.isatty()
    if interactive:
        console.print(
            f"talking to {' and '.join(s.name for s in found)}; an empty line ends, /new starts over"
        )
    turn = 0
    while (said := _listen(interactive)) is not None:
        if said == "/new":
            talks = [[] for _ in found]
            continue
        answers = []
        for speaker, talk in zip(found, talks):
            talk.append(Message("user", said))
            room = max_new_tokens
            if speaker.positions:
                room = min(room, speaker.positions // 2)
            (answer,) = speaker.answer(
                tuple(talk), temperature=temperature, max_new_tokens=room, seed=seed, step=turn
            )
            talk.append(Message("assistant", answer.removesuffix(" …")))
            answers.append(answer)
        turn += 1
        if len(found) == 1:
            console.print(Text(answers[0]))
        elif console.is_terminal:
            width = max(20, console.width // len(found) - 2)
            panels = [Panel(Text(a), title=s.name, width=width) for s, a in zip(found, answers)]
            console.print(Columns(panels, padding=(0, 1)))
        else:
            for speaker, answer in zip(found, answers):
                console.print(Text(f"{speaker.name}: {answer}"), soft_wrap=True)


def _listen(interactive: bool) -> str | None:
    """The next line, or None at the end."""
    try:
        line = input("> " if interactive else "").strip()
    except EOFError:
        return None
    return line or None
