"""What a report is made of, read from a run folder and from nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from plaudit.errors import Problem, UserError
from plaudit.methods_table import METHODS
from plaudit.report.formatting import stage_name
from plaudit.runs import RunFolder, Stage
from plaudit.runs.logs import read_lines

Row = dict[str, Any]


@dataclass(frozen=True)
class StageRecord:
    """What one stage left behind."""

    name: str
    record: Mapping[str, Any]
    metrics: Sequence[Row]
    samples: Sequence[Row]


@dataclass(frozen=True)
class Sibling:
    """The same run with one thing changed: its summary, its PPO curves and its answers."""

    name: str
    summary: Mapping[str, Any]
    metrics: Sequence[Row]
    samples: Sequence[Row]


@dataclass(frozen=True)
class Run:
    """A whole run, as recorded.

    The policy that the run's method trained, and its stage, stand under ``trained`` whatever the method is.
    """

    record: Mapping[str, Any]
    summary: Mapping[str, Any]
    stages: Mapping[str, StageRecord] = field(default_factory=dict)
    siblings: Sequence[Sibling] = ()

    def get(self, *path: str) -> Any:
        """A value of the summary by its path, None where any part is missing."""
        return dig(self.summary, *path)

    @classmethod
    def of(
        cls,
        record: Mapping[str, Any],
        summary: Mapping[str, Any],
        stages: Mapping[str, StageRecord],
        siblings: Sequence[Sibling] = (),
    ) -> Run:
        """A run from records in which the trained policy stands under its method's name."""
        method = method_of(record)
        stages = _renamed(stages, method)
        if "evaluate" in stages:
            shown = [_renamed(row, method) for row in stages["evaluate"].samples]
            stages["evaluate"] = replace(stages["evaluate"], samples=shown)
        return cls(record, _canonical(summary, method), stages, siblings)

    @property
    def method(self) -> str:
        """The recipe section of the method that trained the last policy: ppo where there is none."""
        return method_of(self.record)

    @property
    def title(self) -> str:
        """The method's name in words."""
        return stage_name(self.method)

    @property
    def start(self) -> str:
        """The policy that training started from and is compared with: SFT, or base where there was no SFT."""
        trained = dig(self.summary, "length")
        known = trained if isinstance(trained, Mapping) and trained else self.stages
        return "base" if known and "sft" not in known and "base" in known else "SFT"

    def mapping(self, *path: str) -> Mapping[str, Any]:
        """A mapping of the summary by its path, empty where there is none."""
        value = self.get(*path)
        return value if isinstance(value, Mapping) else {}

    def metrics(self, stage: str) -> Sequence[Row]:
        return self.stages[stage].metrics if stage in self.stages else ()


def method_of(record: Mapping[str, Any]) -> str:
    """The method of a run's last policy, from its recorded config."""
    config = record.get("config")
    given = [
        name
        for name, method in METHODS.items()
        if method.trains_policy and isinstance(config, Mapping) and config.get(name) is not None
    ]
    return given[0] if given else "ppo"


def dig(value: Any, *path: str) -> Any:
    """A value in nested mappings by its path, None where any part is missing."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _read(folder: RunFolder, name: str) -> Mapping[str, Any]:
    file = str(folder.path / name)
    try:
        value = folder.read_json(name)
    except ValueError as error:
        problem = Problem(
            f"not valid JSON: {error}", file=file, remedy="run `plaudit resume` to write it anew"
        )
        raise UserError("the run folder cannot be read", problems=[problem]) from None
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


def _sibling(path: Path) -> Sibling:
    folder = RunFolder(path)
    method = method_of(_read(folder, "run.json"))
    rows = read_lines(path / "rl_metrics.jsonl")
    samples = [_renamed(row, method) for row in _rows(folder.stage("evaluate").samples())]
    return Sibling(path.name, _canonical(_read(folder, "summary.json"), method), _rows(rows), samples)


def _renamed(value: Mapping[str, Any], method: str) -> dict[str, Any]:
    return {"trained" if key == method else key: v for key, v in value.items()}


def _canonical(summary: Mapping[str, Any], method: str) -> Mapping[str, Any]:
    """The summary with ``trained`` in the place of the method's name."""
    found = dict(summary)
    for key in ("gold", "attributes", "length", "proxy", "best_temperature", "seconds"):
        if isinstance(found.get(key), Mapping):
            found[key] = _renamed(found[key], method)
    if isinstance(found.get("win_rate"), Mapping):
        old = f"{method}_vs_sft"
        found["win_rate"] = {"trained_vs_sft" if k == old else k: v for k, v in found["win_rate"].items()}
    return found


def read_run(path: str | Path) -> Run:
    """The run at ``path``; UserError where it is none or cannot be read."""
    folder = RunFolder.existing(path)
    root = folder.path / "siblings"
    siblings = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    return Run.of(
        _read(folder, "run.json"),
        _read(folder, "summary.json"),
        {stage.name: _stage(stage) for stage in folder.stages()},
        siblings=[s for p in siblings if (s := _sibling(p)).summary or s.metrics],
    )
