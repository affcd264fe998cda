"""`plaudit advise`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plaudit.cli.options import Fields, Labels, pairs_of

if TYPE_CHECKING:
    from plaudit.advice import Recommendation, Situation

QUALITIES = ("draft", "good", "best")


def advise(
    data: Annotated[
        list[str] | None, typer.Argument(metavar="[DATA]…", help="Data files; what they can feed is found out.")
    ] = None,
    have: Annotated[
        str,
        typer.Option(metavar="A,B,…", help="What else there is: demonstrations, pairs, rankings, thumbs, "
                     "prompts, function, reward_model, people."),
    ] = "",
    quality: Annotated[str, typer.Option(metavar="Q", help="draft, good or best.")] = "good",
    model: Annotated[str | None, typer.Option(metavar="DIR", help="The model to be trained.")] = None,
    parameters: Annotated[
        str | None, typer.Option(metavar="N", help="Its size where it is not there yet: 0.5B, 124M.")
    ] = None,
    memory: Annotated[float | None, typer.Option(metavar="GIB", help="Memory of the device.", min=0.1)] = None,
    fields: Fields = None,
    labels: Labels = None,
    write: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the recipe there.")] = None,
) -> None:  # fmt: skip
    """Say which method serves the data, the quality and the machine at hand, with a ready recipe."""
    from plaudit.advice import advise as decide, describe_situation
    from plaudit.errors import UserError
    from plaudit.runs.files import check_file

    if write is not None:
        check_file(write)
    words = [h.strip().replace("-", "_") for h in have.split(",") if h.strip()]
    if not data and not words:
        words, quality = _ask(quality)
    if quality not in QUALITIES:
        raise UserError(f"--quality {quality!r} is not one of {', '.join(QUALITIES)}")
    found = describe_situation(
        data or [],
        words,
        quality=quality,  # type: ignore[arg-type]
        model=model,
        parameters=_size(parameters),
        memory=memory,
        fields=pairs_of(fields, "--fields"),
        labels=pairs_of(labels, "--labels"),
    )
    way = decide(found)
    _show(found, way)
    if write is not None and way.advice:
        from plaudit.runs import files

        files.write_text(write, _yaml(way.advice[0].recipe, way.advice[0].reason))
        blanks = way.advice[0].to_fill_in
        first = f"put your own names for {', '.join(blanks)}, then " if blanks else ""
        print(f"\nrecipe: {write}; {first}try `plaudit run {write} --dry-run`")


def _ask(quality: str) -> tuple[list[str], str]:
    from plaudit.advice import HAVE
    from plaudit.errors import UserError

    if not sys.stdin.isatty():
        raise UserError("no data is named", remedy="name data files, or --have pairs,people …")
    have = [name for name, words in HAVE.items() if typer.confirm(f"Are there {words}?", default=False)]
    return have, typer.prompt("Quality (draft, good, best)", default=quality)


def _size(text: str | None) -> float | None:
    from plaudit.errors import UserError

    if text is None:
        return None
    scale = {"K": 1e3, "M": 1e6, "B": 1e9}.get(text[-1:].upper(), 1.0)
    try:
        return float(text if scale == 1.0 else text[:-1]) * scale
    except ValueError:
        raise UserError(f"--parameters {text!r} is not a size", remedy="write 0.5B or 124M") from None


def _yaml(recipe: dict[str, Any], reason: str) -> str:
    from plaudit.config import text_of

    return f"# {reason[:1].upper()}{reason[1:]}.\n" + text_of(recipe)


def _show(found: Situation, way: Recommendation) -> None:
    from rich.console import Console
    from rich.table import Table

    from plaudit.advice import HAVE
    from plaudit.advice.costs import GPU, cpu, duration, seconds, threads_here
    from plaudit.registry import METHODS

    console = Console(highlight=False, markup=False)
    counted = [
        f"{HAVE[n]} ({c:,})" if (c := found.counts.get(n)) else HAVE[n] for n in HAVE if n in found.have
    ]
    console.print(f"there are: {'; '.join(counted)}", soft_wrap=True)
    console.print(f"model: {found.parameters / 1e9:.3g} billion parameters; quality wanted: {found.quality}")
    for warning in way.warnings:
        console.print(f"mind: {warning}", style="yellow", soft_wrap=True)
    for step in way.steps:
        console.print(f"• {step}", soft_wrap=True)
    if not way.advice:
        return
    first = way.advice[0]
    console.print(f"\n→ {first.method}: {first.reason}.", style="bold", soft_wrap=True)
    console.print(f"  {METHODS[first.method].paper}; when: {METHODS[first.method].when}.", soft_wrap=True)
    memory = f"  memory: {first.gib:.1f} GiB of weights and optimizer states, activations on top"
    if first.halved:
        whole = 4 * found.parameters / 2**30
        memory += ", with adapters (LoRA) on a base in bfloat16"
        memory += f"; loading and saving take {whole:.1f} GiB of main memory"
    elif first.adapters:
        memory += ", with adapters (LoRA)"
    console.print(memory, soft_wrap=True)
    if found.tokens:
        here = cpu(threads_here())
        times = [
            f"{duration(seconds(first.amount, found.parameters, speed, adapters=first.adapters))} on {speed.name}"
            for speed in (here, GPU)
        ]
        console.print(f"  time: about {' or '.join(times)}", soft_wrap=True)
    console.print("\nrecipe:\n" + _yaml(first.recipe, first.reason), soft_wrap=True)
    table = Table(title="the others", title_justify="left")
    for column in ("method", "memory", "why or why not"):
        table.add_column(column, overflow="fold", justify="right" if column == "memory" else "left")
    for advice in way.advice[1:]:
        table.add_row(advice.method, f"{advice.gib:.1f} GiB", advice.reason)
    for name, reason in way.left_out.items():
        table.add_row(name, "–", reason, style="dim")
    console.print(table)
