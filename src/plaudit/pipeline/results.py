"""What a run showed: its evaluation and its report, made anew from what it recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plaudit.errors import UserError
from plaudit.pipeline import run as runs
from plaudit.runs import RunFolder


def evaluate(run: str | Path) -> dict[str, Any]:
    """The summary of a run (docs/summary.md), evaluated first from its models where that is missing.

    Nothing is trained. UserError where a step is not done, or the recipe has no section ``evaluate``.
    """
    folder = runs.evaluate_only(run)
    summary: dict[str, Any] | None = folder.read_json("summary.json")
    record = folder.record()
    # A report writes a summary too, with no number of an evaluation in it.
    evaluated = "steps" not in record or record["config"].get("evaluate") is not None
    if not summary or not evaluated:
        raise UserError(
            f"{run} has no evaluation: its recipe has no section `evaluate`",
            remedy="add `evaluate: {}` to the recipe and run it again into the same folder",
        )
    return summary


def write_report(run: str | Path) -> Path:
    """Write ``report.html``, ``findings.json`` and ``summary.json`` of a run anew: the page's path."""
    from plaudit.audit.write import write_findings
    from plaudit.pipeline.summary import write_summary
    from plaudit.report.build import build

    folder = RunFolder.existing(run)
    if "steps" in folder.record():  # an older run's summary stays as it was written
        write_summary(folder)
    write_findings(folder.path)
    return build(folder.path)
