"""`plaudit report`."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import Run


def report(
    folder: Run,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write report.html and summary.json anew from what the run recorded."""
    from plaudit.pipeline.results import write_report

    path = write_report(folder)
    typer.echo(path)
    if open_:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
