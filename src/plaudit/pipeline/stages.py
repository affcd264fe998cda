"""Stages: what each one depends on, when it may be skipped, and how it is run to its end.

A stage's key is a hash of its settings, its inputs' keys, the content of the files it reads and its
code version. A stage that is done under the same key is skipped; one that was cut off is resumed; one
that is done under another key is set aside and run again.
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
from typing import Any

from plaudit.runs import RunFolder, Stage, files
from plaudit.runs.memory import begin_peak, peak_mb


@dataclass(frozen=True)
class StageSpec:
    """One stage of a plan. ``version`` changes when its code computes something else than before."""

    name: str
    run: Callable[[Stage], Mapping[str, Any]]
    settings: Any = None
    inputs: Sequence[str] = ()
    reads: Sequence[Path] = ()
    version: int = 1


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

    def keys(self) -> dict[str, str]:
        """The key of every stage, from the first to the last."""
        keys: dict[str, str] = {}
        for spec in self.stages:
            content = {
                "name": spec.name,
                "version": spec.version,
                "settings": spec.settings,
                "common": self.common,
                "inputs": {name: keys[name] for name in spec.inputs},
                "reads": {path.name: file_hash(path) for path in spec.reads},
            }
            text = json.dumps(content, sort_keys=True, default=str)
            keys[spec.name] = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        return keys


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


def execute(
    plan: Plan,
    folder: RunFolder,
    *,
    announce: Callable[[str, str], None],
    donor: RunFolder | None = None,
    is_main: bool = True,
) -> None:
    """Run the plan. ``announce(stage, state)`` hears "skipped", "resumed", "started", "done".

    A stage that ``donor`` has done under the same key is copied from there.
    """
    for name, key in plan.keys().items():
        spec = next(s for s in plan.stages if s.name == name)
        stage = folder.stage(name)
        if donor and is_main and not is_done(folder, name, key) and is_done(donor, name, key):
            _adopt(stage, donor.stage(name))
            folder.event("adopted", stage=name, donor=str(donor.path))
        if is_done(folder, name, key):
            announce(name, "skipped")
            continue
        before = stage.read_json() or {}
        resumed = before.get("key") == key
        if is_main:
            if before and not resumed:
                _set_aside(folder, stage)
            files.sweep(stage.path)
            began = before["started"] if resumed else time.time()
            stage.write_json("stage.json", {"key": key, "status": "running", "started": began})
            folder.event("resumed" if resumed else "started", stage=name)
        announce(name, "resumed" if resumed else "started")
        begin_peak()
        clock = time.perf_counter()
        outcome = dict(spec.run(stage))
        seconds = time.perf_counter() - clock
        if is_main:
            began = (stage.read_json() or {}).get("started")
            record = {"key": key, "status": "done", "started": began, "seconds": seconds, "resumed": resumed}
            record["peak_mb"] = peak_mb()
            stage.write_json("stage.json", {**record, **outcome})
            folder.event("done", stage=name, seconds=seconds)
        announce(name, "done")


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
