"""The run folder: everything that a run writes and a report reads."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from plaudit.errors import UserError
from plaudit.runs import files, logs

STEP = re.compile(r"step-(\d+)")


class _Folder:
    """A folder of JSON files and of events. Making the object creates nothing; writing does."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def read_json(self, name: str) -> Any:
        return files.read_json(self.path / name)

    def write_json(self, name: str, value: Any) -> None:
        files.write_json(self.path / name, files.plain(value))

    def event(self, event: str, **details: Any) -> None:
        """Record what happened: started, resumed, skipped, out of memory …"""
        row = {"time": time.time(), "event": event, **files.plain(details)}
        logs.append_lines(self.path / "events.jsonl", [row])

    def events(self) -> list[dict[str, Any]]:
        return logs.read_lines(self.path / "events.jsonl")


class Stage(_Folder):
    """One stage's folder: ``stage.json``, ``metrics.jsonl``, ``samples.jsonl``, checkpoints, model."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    def append_metrics(self, step: int, values: Mapping[str, Any]) -> None:
        """Record numbers of one step."""
        logs.append_lines(self.path / "metrics.jsonl", [{"step": step, **files.plain(dict(values))}])

    def write_answers(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep all answers of an evaluation, one prompt a row, in place of those before."""
        files.write_text(
            self.path / "answers.jsonl",
            "".join(json.dumps(files.plain(dict(row)), ensure_ascii=False) + "\n" for row in rows),
        )

    def answers(self) -> list[dict[str, Any]]:
        return logs.read_lines(self.path / "answers.jsonl")

    def append_samples(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Record samples worth showing."""
        logs.append_lines(self.path / "samples.jsonl", [files.plain(dict(row)) for row in rows])

    def metrics(self) -> list[dict[str, Any]]:
        return logs.read_lines(self.path / "metrics.jsonl")

    def samples(self) -> list[dict[str, Any]]:
        return logs.read_lines(self.path / "samples.jsonl")

    def truncate(self, step: int) -> None:
        """Delete what was logged after ``step``: on resume the steps after it are repeated."""
        for name in ("metrics.jsonl", "samples.jsonl"):
            logs.keep_lines(self.path / name, lambda row: row.get("step", 0) <= step)

    def read_json(self, name: str = "stage.json") -> Any:
        return super().read_json(name)

    def steps(self) -> list[int]:
        """Steps at which whole checkpoints lie, in order."""
        if not self.checkpoints.exists():
            return []
        found = (STEP.fullmatch(p.name) for p in self.checkpoints.iterdir())
        return sorted(int(m.group(1)) for m in found if m)

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"step-{step:06d}"


class RunFolder(_Folder):
    """A run's folder."""

    @classmethod
    def existing(cls, path: str | Path) -> RunFolder:
        """The run at ``path``; a UserError where there is none."""
        folder = cls(path)
        if not (folder.path / "run.json").exists():
            raise UserError(
                f"{path} is not a run: it holds no run.json",
                remedy="name the folder that `plaudit run` or `plaudit demo` printed, such as runs/pocket",
            )
        return folder

    def read_json(self, name: str) -> Any:
        value = super().read_json(name)
        if name == "run.json" and not isinstance(value, dict | None):
            raise UserError(
                f"{self.path / name} is not the record of a run: it holds a {type(value).__name__}",
                remedy="restore it from a copy, or name another run",
            )
        return value

    def record(self, *needed: str) -> dict[str, Any]:
        """What ``run.json`` holds; UserError where there is none, or where one of these sections is missing."""
        found: dict[str, Any] = self.existing(self.path).read_json("run.json")
        if missing := [name for name in needed if not isinstance(found.get(name), dict)]:
            raise UserError(
                f"{self.path}/run.json is not the whole record of a run: it holds no {', '.join(missing)}",
                remedy=f"restore it from a copy, or run the recipe again: plaudit run RECIPE --out {self.path}",
            )
        return found

    def stage(self, name: str) -> Stage:
        return Stage(self.path / "stages" / name)

    def stages(self) -> list[Stage]:
        """The stages that have a folder, in the order in which they began."""
        root = self.path / "stages"
        found = [Stage(p) for p in root.iterdir() if p.is_dir()] if root.exists() else []
        return sorted(found, key=lambda s: ((s.read_json() or {}).get("started", math.inf), s.name))
