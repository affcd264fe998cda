"""Stages: what each one depends on, when it may be skipped, and how it is run to its end.

A stage's key is a hash of its settings, its inputs' keys, the content of the files it reads and the user's functions
that it calls. A stage that is done under the same key is skipped; one that was cut off is resumed; one that is done
under another key is set aside and run again. Beside the key stands the version of the code that made it: a stage made
by other code, or from one that was, is kept and named; ``again`` makes it anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plaudit.runs import RunFolder, Stage, files
from plaudit.runs.memory import begin_peak, peak_mb

if TYPE_CHECKING:
    from plaudit.runtime import Mesh

ALL = "all"
LEFT = "left"  # a stage that is not to run, and is taken as it is
ASKED_AS = "asked_as"  # in the record of such a step: the key that it was asked under
FROZEN = "frozen"  # in the outcome of a step that people answered: the hash of what they gave


@dataclass(frozen=True)
class StageSpec:
    """One stage of a plan. ``code`` is the version of the code that it runs; ``asked`` marks people's answers."""

    name: str
    run: Callable[[Stage], Mapping[str, Any]]
    settings: Any = None
    inputs: Sequence[str] = ()
    reads: Sequence[Path] = ()
    code: str = ""
    asked: bool = False


@dataclass
class Plan:
    """Stages in order; every input comes before its reader."""

    stages: list[StageSpec] = field(default_factory=list)
    common: Mapping[str, Any] = field(default_factory=dict)

    def add(self, spec: StageSpec) -> None:
        known = {s.name for s in self.stages}
        if missing := set(spec.inputs) - known:
            raise ValueError(f"stage {spec.name!r} reads {sorted(missing)}, which come later or never")
        self.stages.append(spec)

    def keys(self, folder: RunFolder | None = None) -> dict[str, str]:
        """The key of every stage, from the first to the last; in ``folder`` people's frozen answers are their own."""
        keys: dict[str, str] = {}
        for spec in self.stages:
            keys[spec.name] = self.key(spec, keys, folder)
        return keys

    def key(self, spec: StageSpec, before: Mapping[str, str], folder: RunFolder | None = None) -> str:
        """One stage's key, from the keys of its inputs.

        A stage that people answered is never asked again by itself: its key is that of what they gave.
        """
        if spec.asked and folder is not None:
            record = folder.stage(spec.name).read_json() or {}
            if record.get("status") == "done":
                return str(record["key"])
        content = {
            "name": spec.name,
            "settings": spec.settings,
            "common": self.common,
            "inputs": {name: before[name] for name in spec.inputs},
            "reads": {path.name: file_hash(path) for path in spec.reads},
        }
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def codes(self, versions: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What each stage is made by: the version of its code and of the libraries."""
        return {spec.name: {"code": spec.code, "versions": dict(versions)} for spec in self.stages}


def file_hash(path: Path) -> str:
    """Hash of a file's content; a name that is no file stands for itself (a hub data set)."""
    if not path.is_file():
        return str(path)
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_done(folder: RunFolder, name: str, key: str) -> bool:
    record = folder.stage(name).read_json() or {}
    return record.get("key") == key and record.get("status") == "done"


def made_by_other_code(
    plan: Plan, folder: RunFolder, made_by: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Finished stages of other code or libraries than these, or that follow from one; why, by name.

    Also those that people answered under other settings: they are not asked again by themselves.
    """
    found: dict[str, str] = {}
    asked: dict[str, str] = {}
    keys = plan.keys(folder)
    for spec in plan.stages:
        record = folder.stage(spec.name).read_json() or {}
        if not is_done(folder, spec.name, keys[spec.name]):
            continue
        if spec.asked and record.get(ASKED_AS) not in (None, plan.key(spec, keys)):
            asked[spec.name] = "people answered it under other settings, or after other steps"
            continue
        known, now = record.get("made_by"), made_by.get(spec.name, {})
        after = [name for name in spec.inputs if name in found]
        if known and known.get("code") != now.get("code"):
            found[spec.name] = "made by other code"
        elif known and known.get("versions") != now.get("versions"):
            differ = [k for k, v in now.get("versions", {}).items() if known.get("versions", {}).get(k) != v]
            found[spec.name] = f"made with another {', '.join(differ)}"
        elif after:
            found[spec.name] = f"follows {after[0]}, which was"
    return {spec.name: why for spec in plan.stages if (why := {**found, **asked}.get(spec.name))}


def execute(
    plan: Plan,
    folder: RunFolder,
    *,
    announce: Callable[[str, str], None],
    donor: RunFolder | None = None,
    mesh: Mesh | None = None,
    again: Sequence[str] = (),
    made_by: Mapping[str, Any] | None = None,
    only: Sequence[str] | None = None,
) -> None:
    """Run the plan. ``announce(stage, state)`` hears "skipped", "resumed", "started", "done".

    A stage that ``donor`` has done under the same key is copied from there. ``again`` names stages to make anew
    (``all`` for every one that no people were asked for), with everything that follows from them; ``only`` names the
    ones that may run, the others being taken as they are.
    """
    from plaudit.runtime import Mesh  # torch, which nobody needs for a wrong recipe

    mesh = mesh or Mesh()
    anew: set[str] = set()
    for spec in plan.stages:
        if (
            spec.name in again
            or (ALL in again and not spec.asked)
            or (anew & set(spec.inputs) and not spec.asked)
        ):
            anew.add(spec.name)
    keys: dict[str, str] = {}
    for spec in plan.stages:
        name, stage = spec.name, folder.stage(spec.name)

        def begin(spec: StageSpec = spec) -> tuple[str, str]:
            return _begin(plan, spec, keys, folder, donor, anew, made_by, only)

        # Rank 0 decides, and brings the folder to where the stage begins, before any other rank looks at it.
        state, keys[name] = mesh.from_main(begin)
        if state == LEFT:
            continue
        announce(name, state)
        if state == "skipped":
            continue
        begin_peak()
        clock = time.perf_counter()
        outcome = dict(spec.run(stage))
        seconds = time.perf_counter() - clock
        # What people gave decides what follows, not how they were asked.
        asked_as = {ASKED_AS: keys[name]} if FROZEN in outcome else {}
        keys[name] = outcome.pop(FROZEN, keys[name])
        if mesh.is_main:
            record = {
                "key": keys[name],
                "status": "done",
                "started": (stage.read_json() or {}).get("started"),
                "seconds": seconds,
                "resumed": state == "resumed",
                "peak_mb": peak_mb(),
            }
            stage.write_json("stage.json", {**record, **asked_as, **_by(made_by, name), **outcome})
            folder.event("done", stage=name, seconds=seconds)
        mesh.barrier()
        announce(name, "done")


def _begin(
    plan: Plan,
    spec: StageSpec,
    keys: Mapping[str, str],
    folder: RunFolder,
    donor: RunFolder | None,
    anew: set[str],
    made_by: Mapping[str, Any] | None,
    only: Sequence[str] | None,
) -> tuple[str, str]:
    """Whether a stage is left, skipped, resumed or started, and its key; its folder is made ready."""
    name, stage = spec.name, folder.stage(spec.name)
    # Asked anew by name, people's step has the key of what it is asked, not of what they once gave.
    key = plan.key(spec, keys, None if name in anew else folder)
    if only is not None and name not in only:
        return LEFT, (stage.read_json() or {}).get("key", key)
    fresh = name in anew and is_done(folder, name, key)
    if donor and not is_done(folder, name, key) and is_done(donor, name, key):
        _adopt(stage, donor.stage(name))
        folder.event("adopted", stage=name, donor=str(donor.path))
    if is_done(folder, name, key) and not fresh:
        return "skipped", key
    before = stage.read_json() or {}
    resumed = before.get("key") == key and not fresh
    if before and not resumed:
        _set_aside(folder, stage)
    files.sweep(stage.path)
    began = before["started"] if resumed else time.time()
    record = {"key": key, "status": "running", "started": began}
    stage.write_json("stage.json", record | _by(made_by, name))
    folder.event("resumed" if resumed else "started", stage=name)
    return ("resumed" if resumed else "started"), key


def _by(made_by: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    return {"made_by": made_by[name]} if made_by and name in made_by else {}


def _adopt(stage: Stage, source: Stage) -> None:
    # Hard links where the file system has them: finished stages are never written to again.
    def link(a: str, b: str) -> str:
        try:
            os.link(a, b)
        except OSError:
            shutil.copy2(a, b)
        return b

    with files.new_folder(stage.path) as folder:
        shutil.copytree(source.path, folder, dirs_exist_ok=True, copy_function=link)


def _set_aside(folder: RunFolder, stage: Stage) -> None:
    """Keep what a changed stage replaces, out of the way of readers."""
    shelf = folder.path / "replaced"
    shelf.mkdir(parents=True, exist_ok=True)
    number = 1 + sum(1 for p in shelf.iterdir() if p.name.startswith(f"{stage.name}-"))
    shutil.move(stage.path, shelf / f"{stage.name}-{number:03d}")
