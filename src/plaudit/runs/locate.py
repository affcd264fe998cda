"""Where a model lies: a folder, a run's end, or a step of a run (``RUN@step``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.errors import UserError, suggest
from plaudit.runs import files
from plaudit.runs.folder import RunFolder

PLACES = ("base", "start", "end")


@dataclass(frozen=True)
class Located:
    """A model's folder, and the run and step that it is of, where it is of one."""

    folder: Path
    run: Path | None = None
    step: str | None = None

    @property
    def name(self) -> str:
        """What a person calls it: ``RUN@step``, or the folder's name."""
        return f"{self.run.name}@{self.step}" if self.run else self.folder.name or str(self.folder)


def is_run(spec: str | Path) -> bool:
    """Whether this names a run, or a step of one."""
    return (_parted(str(spec))[0] / "run.json").exists()


def _parted(spec: str) -> tuple[Path, str | None]:
    if Path(spec).exists():
        return Path(spec), None
    path, at, step = spec.rpartition("@")
    return (Path(path), step) if at and path else (Path(spec), None)


def step_names(run: RunFolder, what: str = "policy") -> list[str]:
    """The steps of a run that have saved a policy (or a reward model), in the order of work."""
    record = run.read_json("run.json") or {}
    steps: Mapping[str, Any] = record.get("steps") or _older(run)
    return [n for n, s in steps.items() if what in s["gives"] and _models(run, n)]


def _models(run: RunFolder, step: str) -> list[Path]:
    """A step's model folders: several where it trained an ensemble."""
    stage = run.stage(step)
    if (stage.model / "config.json").exists():
        return [stage.model]
    members = sorted(stage.path.glob("member-*/model"), key=lambda p: int(p.parent.name.rpartition("-")[2]))
    return [p for p in members if (p / "config.json").exists()]


def places_of(run: RunFolder) -> dict[str, str]:
    """The steps at ``base``, ``start`` and ``end`` among those that have saved a policy."""
    record = run.read_json("run.json") or {}
    there = step_names(run)
    if not there:
        return {}
    known = {p: s for p, s in (record.get("places") or {}).items() if s in there}
    return {"base": there[0], "end": there[-1], **known} if known else {"base": there[0], "end": there[-1]}


def _older(run: RunFolder) -> dict[str, dict[str, Any]]:
    """The steps of a run that was recorded before recipes were graphs, from its folders."""
    found: dict[str, dict[str, Any]] = {}
    for stage in run.stages():
        models = _models(run, stage.name)
        if models:
            scores = "plaudit_reward" in (files.read_json(models[0] / "config.json") or {})
            found[stage.name] = {"gives": ("reward model",) if scores else ("policy",)}
    return found


def locate(spec: str | Path, kind: str = "policy") -> Located:
    """The model that a folder, RUN or RUN@step names; RUN is its end (or its newest reward model).

    UserError that names the choices where there is none. A hub name is no folder: it stays what it is.
    """
    path, step = _parted(str(spec))
    if not (path / "run.json").exists():
        if step is not None and not path.exists():
            raise UserError(
                f"there is no run {path}", remedy="name the folder of a run, such as runs/pocket@sft"
            )
        if step is not None:
            raise UserError(f"{path} is no run, so it has no step {step!r}", remedy=f"name {path} alone")
        if path.exists() and not (path / "config.json").exists():
            raise UserError(
                f"{spec} is neither a run nor a model: it holds no run.json and no config.json",
                remedy="name the folder of a run, such as runs/pocket, or a Hugging Face model folder",
            )
        return Located(path)
    run = RunFolder(path)
    there = step_names(run, kind)
    if not there:
        raise UserError(f"{path} has no trained {kind} yet", remedy=f"plaudit resume {path}")
    if step is None:
        step = places_of(run)["end"] if kind == "policy" else there[-1]
    elif step in PLACES and kind == "policy":
        step = places_of(run).get(step, there[-1])
    if step not in there:
        known = f"there are: {', '.join(there)}"
        raise UserError(f"{path} has no {kind} of a step {step!r}", remedy=suggest(step, there) or known)
    return Located(_models(run, step)[0], path, step)


def model_folder(spec: str | Path, kind: str = "policy") -> Path:
    """The folder of the model that ``locate`` finds."""
    return locate(spec, kind).folder


def model_source(path: str | Path) -> str:
    """Where a policy is loaded from: the folder of RUN or RUN@step, else the path or hub name as it is."""
    return str(locate(path).folder) if is_run(path) else str(path)


def model_folders(run: RunFolder, step: str) -> list[Path]:
    """All model folders of a step: several for an ensemble."""
    return _models(run, step)
