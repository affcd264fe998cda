"""Experiments beside a finished demo: the same run with one thing changed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from plaudit.config import load_recipe
from plaudit.pipeline.run import execute_config, recipe_path
from plaudit.report import build
from plaudit.runs import RunFolder

# Over-optimisation takes longer than the demo trains, so that the leashed run beside it is as long.
LONG = ("ppo.iterations=48", "ppo.schedule=constant")
EXPERIMENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "no-leash": {"leashed": LONG, "no-leash": (*LONG, "ppo.kl.coefficient=0")},
    "biased-raters": {"biased-raters": ("rank.biased=true",)},
}


def run_siblings(base: RunFolder, experiment: str, overrides: Sequence[str]) -> RunFolder:
    """Run an experiment's changed recipes inside ``base``, adopting every stage that a change does not touch.

    The report of ``base`` then shows them beside it.
    """
    # The thread count belongs to the key of every stage: measured anew, it could keep them from being adopted.
    threads = f"threads={base.read_json('run.json')['resolved']['threads']}"
    for name, changes in EXPERIMENTS[experiment].items():
        config = load_recipe(recipe_path("pocket"), [*overrides, threads, *changes, f"name={name}"])
        sibling = RunFolder(base.path / "siblings" / name)
        execute_config(config, sibling, donor=base)
        shutil.copyfile(sibling.stage("ppo").path / "metrics.jsonl", sibling.path / "rl_metrics.jsonl")
    build(base.path)
    return base
