"""What judges said of a run's end against its start, asked by `plaudit evaluate --judge` beside its own evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.audit.run import Run, dig
from plaudit.display.formatting import clean, count, finite, percent
from plaudit.report.quality import percent_span


def judged_beside(run: Run) -> list[str]:
    """A sentence for each judge, with the policies that it compared and whether it also taught the run."""
    found = []
    for name, said in run.judged.items():
        if not isinstance(said, Mapping) or finite(said.get("mean")) is None:
            continue
        end, start = (_title(run, said.get(place)) for place in ("end", "start"))
        words = (
            f"{clean(name)}: {end} against {start}, {_share(said)} over {count(said.get('pairs'))} prompts"
        )
        for key, what in (
            ("controlled", "at equal length"),
            ("corrected", "corrected for the judge’s errors"),
        ):
            if finite(dig(said, key, "mean")) is not None:
                words += f"; {what} {_share(said[key])}"
        if said.get("also_taught"):
            words += ". It also gave what the run learned from: it is no independent judge of the result"
        found.append(words + ".")
    return found


def _title(run: Run, step: Any) -> str:
    return run.step_title(step) if isinstance(step, str) else "an unknown step"


def _share(value: Mapping[str, Any]) -> str:
    inside = percent_span(value)
    return percent(value.get("mean")) + (f" ({inside})" if inside else "")
