"""``run.json``: what a run was asked, its steps and places, and where its model is in the end."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from plaudit.config import Config
from plaudit.config.graph import Graph
from plaudit.data.rendering.template_date import day_of_templates
from plaudit.errors import UserError
from plaudit.pipeline.machine import commit
from plaudit.runs import RunFolder
from plaudit.runs.locate import model_folders


def run_of_steps(run: str | Path) -> tuple[RunFolder, dict[str, Any]]:
    """A run's folder and record; UserError where there is none, or where it was made before recipes had named steps."""
    folder = RunFolder.existing(run)
    if "steps" not in folder.record():
        raise UserError(f"{run} was made by an older plaudit", remedy="run its recipe again")
    return folder, folder.record("config", "steps")


def run_day(folder: RunFolder) -> date:
    """The day that chat templates write in this run: that on which it began, also when it goes on later."""
    record = folder.read_json("run.json") or {}
    if "date" in record:
        return date.fromisoformat(record["date"])
    return date.fromtimestamp(record["created"]) if "created" in record else date.today()


def write_record(
    folder: RunFolder, config: Config, graph: Graph, resolved: Mapping[str, Any], other: Mapping[str, str]
) -> None:
    before = folder.read_json("run.json")
    record = {
        "date": day_of_templates().isoformat(),
        "name": config.name,
        "config": json.loads(config.model_dump_json()),
        "steps": steps_record(graph),
        "places": graph.places,
        "other_code": dict(other),
        "resolved": resolved,
        "git": commit(),
        "created": (before or {}).get("created", time.time()),
        "command": sys.argv,
    }
    folder.write_json("run.json", record)


def steps_record(graph: Graph) -> dict[str, dict[str, Any]]:
    """What readers of a run need to know of its steps, so that they need not resolve the recipe."""
    return {
        name: {
            "kind": node.kind.name,
            "title": title_of(name, node.kind.name, node.kind.title),
            "tone": node.kind.tone,
            "gives": list(node.kind.gives),
            "preference": node.kind.preference,
            "from": node.start,
            "on": [s.name for s in node.on],
            "rewards": [f"{p.source}:{p.path}" if p.path else p.source for p in node.rewards],
            "inputs": graph.steps_of(name),
        }
        for name, node in graph.nodes.items()
    }


def title_of(name: str, kind: str, title: str) -> str:
    """A step in words: the title of its kind, with what its name adds (``PPO 2``, ``SFT (verdict)``)."""
    plain, own = name.replace("_", "-"), kind.replace("_", "-")
    if plain == own:
        return title
    if plain.startswith(f"{own}-"):
        return f"{title} {plain[len(own) + 1 :].replace('-', ' ')}"
    return f"{title} ({plain.replace('-', ' ')})"


def ending(graph: Graph, folder: RunFolder) -> str | None:
    """Where the model lies that the run was for, and what to do with it; None where it trained none."""
    trained = [n for n in graph.policies if graph[n].kind.starts or graph[n].kind.data]
    run = shlex.quote(str(folder.path))
    if trained:
        step = graph.places["end"]
        pair = " --side-by-side" if graph.places["start"] != step else ""
        what, use = "model", f"plaudit chat {run}{pair}"
    elif graph.reward_models:
        step = graph.reward_models[-1]
        what, use = "reward model", f"plaudit ppo PROMPTS --model MODEL --reward {run}"
    else:
        return None
    exported = (folder.read_json("export.json") or {}) if what == "model" else {}
    made = exported.get("step") == step and (folder.path / "model").is_dir()
    places = [folder.path / "model"] if made else model_folders(folder, step)
    adapter = folder.stage(step).path / "adapter"
    lies = ", ".join([*map(str, places), *([f"adapter: {adapter}"] if adapter.is_dir() else [])])
    return f"{what}: {folder.path}@{step} ({lies}); next: {use}"
