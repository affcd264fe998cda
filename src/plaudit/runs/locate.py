"""Where a model lies: a folder, a run's end, or a step of a run (``RUN@step``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.errors import UserError, suggest
from plaudit.registry import STEPS
from plaudit.runs import files
from plaudit.runs.folder import RunFolder

PLACES = ("base", "start", "end")


@dataclass(frozen=True)
class Located:
    """A model's folder, and the run and step that it is of, where it is of one.

    ``awaited`` is the step that makes the run's end, where it was asked for and is not done yet.
    """

    folder: Path
    run: Path | None = None
    step: str | None = None
    awaited: str | None = None

    @property
    def name(self) -> str:
        """What a person calls it: ``RUN@step``, or the folder's name."""
        if self.run:
            return f"{self.run.resolve().name}@{self.step}"
        return self.folder.name or str(self.folder)

    @property
    def described(self) -> str:
        """The name, with what a person must know of it."""
        return self.name + (f" (the run's end, {self.awaited}, is not trained yet)" if self.awaited else "")


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
    recorded = record.get("places") or _older_places(there)
    return {"base": there[0], "end": there[-1], **{p: s for p, s in recorded.items() if s in there}}


def _older(run: RunFolder) -> dict[str, dict[str, Any]]:
    """The steps of a run that was recorded before recipes were graphs, from its folders: the methods last."""
    found: dict[str, dict[str, Any]] = {}
    for stage in sorted(run.stages(), key=lambda s: _prefers(s.name)):
        models = _models(run, stage.name)
        if models:
            scores = "plaudit_reward" in (files.read_json(models[0] / "config.json") or {})
            found[stage.name] = {"gives": ("reward model",) if scores else ("policy",)}
    return found


def _older_places(there: list[str]) -> dict[str, str]:
    """Where such a run's method began: at the policy before it."""
    before = [name for name in there if not _prefers(name)]
    return {"start": before[-1]} if before else {}


def _prefers(name: str) -> bool:
    kind = STEPS.get(name)
    return kind is not None and kind.preference


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
    awaited = None
    if kind == "policy" and (step is None or step in PLACES):
        step, awaited = _at_place(run, step or "end")
    elif step is None:
        step = there[-1]
    if step not in there:
        known = f"there are: {', '.join(there)}"
        raise UserError(f"{path} has no {kind} of a step {step!r}", remedy=suggest(step, there) or known)
    return Located(_models(run, step)[0], path, step, awaited)


def _at_place(run: RunFolder, place: str) -> tuple[str, str | None]:
    """The step at a place, and the one that is to be there where the run has not come to it.

    A run that is on its way speaks with its newest policy; its start and base have no such stand-in.
    """
    places = places_of(run)
    wanted = ((run.read_json("run.json") or {}).get("places") or {}).get(place, places.get(place))
    if place == "end":
        return places["end"], wanted if wanted != places["end"] else None
    if wanted is None or places.get(place) != wanted:
        why = f": its step {wanted} is not trained yet" if wanted else ""
        raise UserError(
            f"{run.path} has no policy at `{place}`{why}",
            remedy=f"plaudit resume {run.path}, or name one of {', '.join(step_names(run))}",
        )
    return wanted, None


def model_folder(spec: str | Path, kind: str = "policy") -> Path:
    """The folder of the model that ``locate`` finds."""
    return locate(spec, kind).folder


def model_source(path: str | Path) -> str:
    """Where a policy is loaded from: the folder of RUN or RUN@step, else the path or hub name as it is."""
    return str(locate(path).folder) if is_run(path) else str(path)


def model_folders(run: RunFolder, step: str) -> list[Path]:
    """All model folders of a step: several for an ensemble."""
    return _models(run, step)
