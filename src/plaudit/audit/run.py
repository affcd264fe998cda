"""A run as recorded: its steps, places, summary and curves, read from its folder and from nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from plaudit.audit.older import modern
from plaudit.display.formatting import clean, finite, temperature
from plaudit.errors import Problem, UserError
from plaudit.runs import RunFolder, Stage

Row = dict[str, Any]


@dataclass(frozen=True)
class StageRecord:
    """What one step left behind."""

    name: str
    record: Mapping[str, Any]
    metrics: Sequence[Row]
    samples: Sequence[Row]


@dataclass(frozen=True)
class Sibling:
    """The same run with one thing changed."""

    name: str
    run: Run


@dataclass(frozen=True)
class Run:
    """A whole run, as recorded."""

    record: Mapping[str, Any]
    summary: Mapping[str, Any]
    stages: Mapping[str, StageRecord] = field(default_factory=dict)
    siblings: Sequence[Sibling] = ()
    audit: Mapping[str, Any] = field(default_factory=dict)
    suites: Mapping[str, Any] = field(default_factory=dict)
    judged: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> Mapping[str, Mapping[str, Any]]:
        """The recorded description of every step, in execution order."""
        found = self.record.get("steps")
        return found if isinstance(found, Mapping) else {}

    @property
    def places(self) -> Mapping[str, str]:
        """The steps at ``base``, ``start`` and ``end``."""
        found = self.record.get("places")
        return found if isinstance(found, Mapping) else {}

    def step_title(self, name: str) -> str:
        """A step in words."""
        return clean(dig(self.steps, name, "title") or name)

    @property
    def title(self) -> str:
        """The title of the step that made the end."""
        return self.step_title(self.places["end"]) if "end" in self.places else "Training"

    @property
    def start(self) -> str:
        """What the start is called in a sentence: SFT, or base."""
        start = self.places.get("start", "")
        if not start or start == self.places.get("base"):
            return "base"
        return self.step_title(start)

    def own_best(self, *path: str) -> Any:
        """A value of the comparison in which every policy stands at its own best temperature, None without one.

        Older runs held the end to the temperature that is best for the start: that is another comparison.
        """
        best = self.mapping("best_temperature")
        return dig(best, *path) if isinstance(best.get("temperature"), Mapping) else None

    def best_at(self, place: str) -> str:
        """The temperature of a place in ``best_temperature``, in words."""
        found = self.get("best_temperature", "temperature")
        value = finite(found.get(place) if isinstance(found, Mapping) else found)
        return "greedily" if value == 0 else f"at temperature {temperature(value)}"

    @property
    def kl_from_start(self) -> Mapping[str, Any]:
        """The KL of the end from the run's start; a run of one step, or an older one, records no other."""
        return self.mapping("kl", "from_start") or self.mapping("kl")

    @property
    def way(self) -> list[str]:
        """The steps that learned from preferences or rewards on the way from the start to the end, in order."""
        found: list[str] = []
        name = self.places.get("end")
        while name is not None and name != self.places.get("start") and name not in found:
            found.append(name)
            name = dig(self.steps, name, "from")
        return [n for n in reversed(found) if self.steps[n].get("preference")]

    @property
    def trained(self) -> list[str]:
        """The steps that learned from preferences or rewards, in order."""
        return [n for n, s in self.steps.items() if s.get("preference")]

    def get(self, *path: str) -> Any:
        """A value of the summary by its path, None where any part is missing."""
        return dig(self.summary, *path)

    def mapping(self, *path: str) -> Mapping[str, Any]:
        """A mapping of the summary by its path, empty where there is none."""
        value = self.get(*path)
        return value if isinstance(value, Mapping) else {}

    def metrics(self, step: str) -> Sequence[Row]:
        """The metric rows of a step, by its name or its place (base, start, end)."""
        name = self.places.get(step, step)
        return self.stages[name].metrics if name in self.stages else ()

    def samples(self, step: str) -> Sequence[Row]:
        """The samples of a step, by its name or its place (base, start, end)."""
        name = self.places.get(step, step)
        return self.stages[name].samples if name in self.stages else ()


def dig(value: Any, *path: str) -> Any:
    """A value in nested mappings by its path, None where any part is missing."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _read(folder: RunFolder, name: str) -> dict[str, Any]:
    file = str(folder.path / name)
    value = folder.read_json(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        problem = Problem(f"holds a {type(value).__name__}, not an object", file=file)
        raise UserError("the run folder cannot be read", problems=[problem])
    return value


def _rows(rows: Sequence[Any]) -> list[Row]:
    return [row for row in rows if isinstance(row, dict)]


def _stage(stage: Stage) -> StageRecord:
    source = stage
    members = sorted(stage.path.glob("member-*"))
    if members and not (stage.path / "metrics.jsonl").exists():
        source = Stage(members[0])  # an ensemble: the first member's curves stand for all
    record = stage.read_json()
    return StageRecord(
        stage.name,
        record if isinstance(record, dict) else {},
        _rows(source.metrics()),
        _rows(source.samples()),
    )


def read_run(path: str | Path) -> Run:
    """The run at ``path``; UserError where it is none or cannot be read."""
    folder = RunFolder.existing(path)
    root = folder.path / "siblings"
    beside = sorted(p for p in root.iterdir() if (p / "run.json").exists()) if root.is_dir() else []
    siblings = [Sibling(p.name, read_run(p)) for p in beside]
    run = run_of(
        _read(folder, "run.json"),
        _read(folder, "summary.json"),
        {stage.name: _stage(stage) for stage in folder.stages()},
        [s for s in siblings if s.run.summary or s.run.metrics("end")],
    )
    audit, suites, judged = (_read(folder, f"{name}.json") for name in ("audit", "suites", "judged"))
    return replace(run, audit=audit, suites=suites, judged=judged)


def run_of(
    record: Mapping[str, Any],
    summary: Mapping[str, Any],
    stages: Mapping[str, StageRecord],
    siblings: Sequence[Sibling] = (),
) -> Run:
    """A run from its records, those of an older version brought to today's form; odd facts of steps are left out."""
    if "steps" in record:
        return Run({**record, **_graph(record)}, summary, stages, siblings)
    samples = {name: stage.samples for name, stage in stages.items()}
    record, summary, rows = modern(record, summary, list(stages), samples.get("evaluate", ()))
    made = dict(stages)
    if "evaluate" in made:
        old = made["evaluate"]
        made["evaluate"] = StageRecord(old.name, old.record, old.metrics, rows)
    return Run(record, summary, made, siblings)


def _graph(record: Mapping[str, Any]) -> dict[str, Any]:
    """Steps and places of a record, without malformed entries."""
    found = record.get("steps")
    steps = {n: s for n, s in found.items() if isinstance(s, Mapping)} if isinstance(found, Mapping) else {}
    places = record.get("places")
    known = {p: n for p, n in places.items() if isinstance(n, str)} if isinstance(places, Mapping) else {}
    return {
        "steps": {name: _step(name, step, steps) for name, step in steps.items()},
        "places": {place: name for place, name in known.items() if name in steps},
    }


def _step(name: str, step: Mapping[str, Any], steps: Mapping[str, Any]) -> dict[str, Any]:
    start = step.get("from")
    return {
        "kind": str(step.get("kind") or ""),
        "title": clean(step.get("title") or name),
        "tone": clean(step.get("tone") or "muted"),
        "gives": _texts(step.get("gives")),
        "preference": step.get("preference") is True,
        "from": start if isinstance(start, str) and start in steps else None,
        "on": _texts(step.get("on")),
        "rewards": _texts(step.get("rewards")),
        "inputs": [n for n in _texts(step.get("inputs")) if n in steps],
    }


def _texts(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []
