"""Whole runs on two ranks, with delays and counts planted."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from plaudit.config import validate
from plaudit.errors import Waiting
from plaudit.pipeline import run as run_module
from plaudit.runs import RunFolder
from plaudit.runtime import Mesh

SOURCE = f"{os.sep}plaudit{os.sep}"
TOUCHED = (
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.listdir",
    "os.scandir",
    "os.link",
    "os.chmod",
)


class Delays:
    """A pause before the first file operation from each place of plaudit's code that touches a run's folder."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.seconds = 0.0
        self.seen: set[tuple[str, str, int]] = set()
        sys.addaudithook(self._heard)

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder is None or not event.startswith(TOUCHED) or not args:
            return
        if not isinstance(args[0], str | Path) or not str(args[0]).startswith(self.folder):
            return
        frame = sys._getframe(1)
        while frame is not None and SOURCE not in frame.f_code.co_filename:
            frame = frame.f_back  # type: ignore[assignment]
        if frame is None:
            return
        place = (event, frame.f_code.co_filename, frame.f_lineno)
        if place not in self.seen:
            self.seen.add(place)
            time.sleep(self.seconds)


_delays: list[Delays] = []


def execute(
    mesh: Mesh, recipe: dict[str, Any], path: str, delay: float = 0.0, **options: Any
) -> dict[str, Any]:
    """Run a recipe; what came of it, and how many places waited on this rank."""
    if not _delays:
        _delays.append(Delays())
    delays = _delays[0]
    slow = delay > 0 and mesh.is_main
    delays.folder, delays.seconds, delays.seen = (path if slow else None), delay, set()
    try:
        run_module.execute_config(validate(recipe, "here"), RunFolder(path), **options)
        ended = "done"
    except Waiting as waiting:
        ended = str(waiting)
    finally:
        delays.folder = None
    mesh.barrier()
    return {"ended": ended, "weights": weights(path), "delayed": len(delays.seen)}


def weights(path: str) -> dict[str, bytes]:
    return {
        p.relative_to(path).as_posix(): p.read_bytes()
        for p in sorted(Path(path).glob("stages/*/model/*.safetensors"))
    }


def counting(counts: Counter[str], plain: Any, name: str, size: Any) -> Any:
    def wrapped(self: Any, *args: Any, **more: Any) -> Any:
        counts[name] += size(*args)
        return plain(self, *args, **more)

    return wrapped


def counted(mesh: Mesh, recipe: dict[str, Any], path: str) -> dict[str, int]:
    """How many answers were drawn, scored, judged and ranked on this rank while a recipe ran."""
    from plaudit.feedback.simulated import SimulatedRaters
    from plaudit.rewards import ModelReward
    from plaudit.rollout.native import NativeSampler

    counts: Counter[str] = Counter()
    plain = {
        (NativeSampler, "sample"): lambda requests, *rest: sum(r.n for r in requests),
        (ModelReward, "score"): lambda samples: len(samples),
        (SimulatedRaters, "judge"): lambda *rest: 1,
    }
    kept = {(owner, name): getattr(owner, name) for owner, name in plain}
    for (owner, name), size in plain.items():
        setattr(owner, name, counting(counts, kept[owner, name], f"{owner.__name__}.{name}", size))
    try:
        execute(mesh, recipe, path)
    finally:
        for (owner, name), function in kept.items():
            setattr(owner, name, function)
    return dict(counts)


def noted(what: str) -> None:
    with Path(os.environ["ASKED"]).open("a") as file:
        file.write(f"{what} {os.environ.get('RANK', '0')}\n")


def quality(text: str) -> int:
    return -abs(len(text) - 25) if text else -1000


def judge(prompt: Any, first: str, second: str) -> float:
    """A judge of one's own that writes down who asked it."""
    noted("judge")
    return 0.5 + 0.45 * ((quality(first) > quality(second)) - (quality(first) < quality(second)))


def reward(sample: Any) -> float:
    noted("reward")
    return quality(sample.answer) / 10


def asked(mesh: Mesh, home: str, name: str) -> Counter[str]:
    """How often a recipe asked its judge and its reward function, and on which rank."""
    notes = Path(home) / "asked.txt"
    if mesh.is_main:
        notes.write_text("")
    os.environ["ASKED"] = str(notes)
    mesh.barrier()
    files = {"preferences": f"{home}/prefs.jsonl", "prompts": f"{home}/prompts.jsonl"}
    learning = {"iterations": 2, "prompts_per_iteration": 4, "minibatch": 8, "samples_per_prompt": 2}
    recipe = {
        "name": name,
        "threads": 1,
        "policy": {"path": f"{home}/model"},
        "data": {**files, "preference_validation": 0.3, "max_length": 120},
        "steps": {
            "rank": {"prompts": 8, "answers": 3, "max_new_tokens": 6, "by": "python:rank_runs:judge"},
            "dpo": {"on": ["rank"], "max_steps": 1, "batch_size": 4},
            "grpo": {**learning, "max_new_tokens": 6, "reward_function": "rank_runs:reward"},
        },
        "evaluate": {"prompts": 6, "max_new_tokens": 6, "show": 2},
    }
    assert execute(mesh, recipe, f"{home}/{name}")["ended"] == "done"
    return Counter(notes.read_text().splitlines())


def look_at_project(mesh: Mesh, recipe: dict[str, Any], path: str) -> list[str]:
    """The files that a recipe's projects were taken to."""
    from plaudit.pipeline.projects import frozen

    found = frozen(validate(recipe, "here"), Path(path))
    return [s.path for s in found.data.preferences]
