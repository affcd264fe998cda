"""Experiments beside a finished demo: the same run with one thing changed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from plaudit.config import load_recipe
from plaudit.pipeline.run import execute_config, recipe_path
from plaudit.report import build
from plaudit.runs import RunFolder

CHANGES = {
    "no-leash": ("ppo.kl.coefficient=0",),
    "biased-raters": ("rank.biased=true",),
}


def run_sibling(base: RunFolder, name: str, overrides: Sequence[str]) -> RunFolder:
    """Run the changed recipe inside ``base``, adopting every stage that the change does not touch.

    The report of ``base`` then shows both.
    """
    # The thread count belongs to the key of every stage: measured anew, it could keep them from being adopted.
    threads = base.read_json("run.json")["resolved"]["threads"]
    config = load_recipe(
        recipe_path("pocket"), [*overrides, *CHANGES[name], f"name={name}", f"threads={threads}"]
    )
    sibling = RunFolder(base.path / "siblings" / name)
    execute_config(config, sibling, donor=base)
    shutil.copyfile(sibling.stage("ppo").path / "metrics.jsonl", sibling.path / "ppo_metrics.jsonl")
    build(base.path)
    return base
