"""A run on a public test set: which measurement a suite's name asks for, and where its numbers are kept."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from plaudit.data.readers.convert import converters
from plaudit.errors import UserError, suggest
from plaudit.pipeline.run_record import run_of_steps

RECORD = "suites.json"
PAIRS = "pairs"
# Suite → the module of this package that scores it. Every other converter of preferences is scored as pairs.
KINDS = {
    "xstest": "refusals",
    "harmbench": "refusals",
    "strongreject": "refusals",
    "advbench": "refusals",
    "alpaca_eval": "verdicts",
    "anthropic_evals": "choices",
    "gsm8k": "solutions",
    "sycophancy": "sycophancy",
}
# Suites with prompts of their own, which need no file.
BUILT_IN = ("sycophancy",)


def evaluate_suite(run: str | Path, suite: str, *, limit: int | None = None) -> dict[str, Any]:
    """A run on a public test set; kept in ``suites.json`` under the suite's name.

    ``suite`` is ``NAME:FILE``: ``xstest``, ``harmbench``, ``strongreject`` and ``advbench`` say how often start and
    end refuse, ``anthropic_evals`` how likely they answer as a behavior would, ``gsm8k`` how often they are right,
    ``sycophancy`` whether they follow what the user believes (built-in questions without FILE), and ``alpaca_eval``
    scores a judge's verdicts. The newest reward model is held against pairs with a known winner:
    ``NAME:FILE`` by a converter (``llmbar``, ``truthfulqa``, ``pandalm``, …), or a file of preferences. At most
    ``limit`` prompts or rankings. UserError for what cannot be read or where the run has no such model.
    """
    from plaudit.audit.write import write_findings
    from plaudit.report.build import build

    folder, record = run_of_steps(run)
    name, path = _parted(suite)
    found = {"kind": (kind := KINDS.get(name or "", PAIRS))}
    found |= _module(kind).score(folder, name, path, limit)
    kept = folder.read_json(RECORD) or {}
    folder.write_json(RECORD, {**kept, suite: found})
    if record["config"].get("evaluate") is not None:
        write_findings(folder.path)
        build(folder.path)
    return found


def suite_lines(suite: str, found: dict[str, Any]) -> list[str]:
    """A suite's numbers, one a line."""
    lines: Callable[[str, dict[str, Any]], list[str]] = _module(found["kind"]).lines
    return lines(suite, found)


def _module(kind: str) -> Any:
    return import_module(f"plaudit.pipeline.suites.{kind}")


def _parted(suite: str) -> tuple[str | None, Path | None]:
    """The name and the file of a suite; a file that is there is itself."""
    if Path(suite).exists():
        return None, Path(suite)
    name, separator, path = suite.partition(":")
    known = sorted({*KINDS, *converters()})
    if name in BUILT_IN and not separator:
        return name, None
    if not separator:
        raise UserError(
            f"there is no file {suite}",
            remedy=f"name FILE, NAME:FILE such as llmbar:dataset.json, or {' or '.join(BUILT_IN)}",
        )
    if name not in known:
        raise UserError(
            f"there is no suite {name!r}", remedy=suggest(name, known) or f"one of: {', '.join(known)}"
        )
    if not Path(path).exists():
        raise UserError(f"there is no file {path}", remedy=f"name the file of {name}")
    return name, Path(path)
