"""`plaudit data`: public data sets converted into plaudit's JSONL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    help="Convert public data sets into plaudit's JSONL.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def convert(
    name: Annotated[str, typer.Argument(help="Which set; `plaudit data list` names them.")],
    source: Annotated[Path, typer.Argument(help="Its file, or the folder that holds it.")],
    out: Annotated[Path, typer.Argument(help="The JSONL file to write (.gz to compress it).")],
) -> None:
    """Convert a data set; what cannot be used is dropped and counted."""
    from plaudit.data.readers.convert import convert_to_file

    done = convert_to_file(name, source, out)
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(f"{out}: {done.written:,} records from {done.report.rows:,} rows", soft_wrap=True)
    for reason, count in done.report.dropped.most_common():
        console.print(f"  {count:,}  {reason}")
    console.print(f"look at it: plaudit check {out}", soft_wrap=True)


@app.command("list")
def list_() -> None:
    """The data sets that `convert` knows."""
    from plaudit.data.readers.convert import converters

    table = Table.grid(padding=(0, 2))
    for name, converter in converters().items():
        table.add_row(name, converter.about)
    Console(highlight=False, markup=False, emoji=False).print(table)
