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
    from plaudit.audit.write import write_findings
    from plaudit.pipeline.summary import write_summary
    from plaudit.report.build import build
    from plaudit.runs import RunFolder

    run = RunFolder.existing(folder)
    if "steps" in (run.read_json("run.json") or {}):  # an older run's summary stays as it was written
        write_summary(run)
    write_findings(run.path)
    path = build(run.path)
    typer.echo(path)
    if open_:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
