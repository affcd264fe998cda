"""Write findings.json: the findings and the verdict, read by report, command line and CI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plaudit.audit.findings import Finding, Watched
from plaudit.audit.hacking import hack_findings
from plaudit.audit.health import RULES, examine
from plaudit.audit.run import Run, dig, read_run
from plaudit.audit.shift_findings import shift_findings
from plaudit.audit.stored import write_detected
from plaudit.audit.sycophancy_findings import sycophancy_findings
from plaudit.audit.verdict import verdict
from plaudit.registry import STEPS
from plaudit.runs import files

SCHEMA = 1
NAME = "findings.json"


def watched(run: Run) -> list[Watched]:
    """The steps that rules look at: those that learned from preferences or rewards, the end last."""
    names = [n for n in run.trained if n in run.stages]
    if not names and "end" in run.places:
        names = [run.places["end"]]
    return [
        Watched(
            _of_the_kept(run, name),
            run.summary,
            name,
            STEPS.get(str(run.steps[name]["kind"])) or STEPS["base"],
            run.step_title(name),
            run.start,
        )
        for name in names
    ]


def _of_the_kept(run: Run, name: str) -> list[Mapping[str, Any]]:
    """A step's rows, up to the policy that it went back to."""
    kept = dig(run.summary, "rolled_back", name, "iteration")
    rows = run.metrics(name)
    return list(rows) if kept is None else [row for row in rows if row.get("step", 0) <= kept]


def findings(run: Run) -> list[Finding]:
    """Everything that rules and detectors see in a run, the gravest first."""
    order = ("serious", "warning", "note")
    keys = {name: stage.record.get("key") for name, stage in run.stages.items()}
    found = [*examine(watched(run)), *hack_findings(run.audit), *shift_findings(run.audit)]
    found += sycophancy_findings(run.suites, keys)
    return sorted(found, key=lambda f: order.index(f.severity))


def audit(run: Run) -> dict[str, Any]:
    """The findings and the verdict of a run as plain data."""
    return {
        "schema": SCHEMA,
        "rules": [rule.__name__ for rule in RULES],
        "findings": [f.as_dict() for f in findings(run)],
        "verdict": asdict(verdict(run)),
    }


def write_findings(path: str | Path) -> Mapping[str, Any]:
    """Write ``findings.json`` (and ``audit.json``, where answers are stored) and return what it holds."""
    write_detected(path)
    found = audit(read_run(path))
    files.write_json(Path(path) / NAME, found)
    return found
