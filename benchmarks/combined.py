"""The recipe `recipes/combined-feedback.yaml` on the pocket world, with people who rank through the labeling server.

A judge of known error labels many answers; simulated people rank some of them again: those on which the judge and the
reward models disagree, or as many random ones, or none.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "recipes" / "combined-feedback.yaml"

# What the world needs in the recipe's steps, in the place of a model and files of one's own: the judge errs often, and
# reward models know what people think from votes.
JUDGE = {"judge": "pocket:rule", "error": 0.3, "position": 2.0}
LEARNED = {"from": "votes", "batch_size": 4, "lr": 0.0003, "epochs": 1}
FITTED = {
    "rank-ai": {"by": JUDGE, "answers": 4, "scripted_share": 0.35},
    "dpo": {"epochs": 1, "batch_size": 16, "lr": 0.0001},
    "reward-ai": {**LEARNED, "on": ["rank-ai"]},
    "reward": LEARNED,
    "ppo": {"iterations": 20, "forecast": True, "kl": {"coefficient": 0.12}},
}
ARMS: Mapping[str, Mapping[str, Any]] = {
    "disagreement": {"disagreement": 0.7},
    "random": {"disagreement": 0.0},
    "no people": {},
}


def combined_recipe(
    base: Mapping[str, Any], arm: str, sizes: Mapping[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """The shipped recipe's steps behind those of ``base`` up to votes; ``sizes`` are settings by step."""
    from plaudit.config import read_yaml

    raw = deepcopy(dict(base))
    first = {k: v for k, v in raw["steps"].items() if k in ("pretrain", "sft", "votes")}
    steps = read_yaml(RECIPE)["steps"]
    for part in (FITTED, sizes or {}):
        for name, settings in part.items():
            steps[name] = {**steps[name], **settings}
    if ARMS[arm]:
        steps["rank-people"].update(ARMS[arm])
    else:
        del steps["rank-people"]
        steps["reward"]["on"] = ["rank-ai"]
    return {**raw, "name": f"combined-{arm.replace(' ', '-')}", "steps": {**first, **steps}, **changes}


def run_with_people(raw: Mapping[str, Any], out: Path, *, donor: Any = None) -> Any:
    """The run from its start to its end: it stops for people, who rank all its items, and goes on."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "pipeline")]
    from labelers import Labelers, ranked_by

    from plaudit.config import validate
    from plaudit.errors import Waiting
    from plaudit.feedback.simulated import SimulatedRaters
    from plaudit.pipeline.run import execute_config, resume
    from plaudit.pocket.gold import Gold
    from plaudit.pocket.settings import Raters
    from plaudit.runs import RunFolder

    config, folder = validate(dict(raw), str(raw["name"])), RunFolder(out)
    try:
        return execute_config(config, folder, donor=donor)
    except Waiting:
        items = folder.stage("rank-people").path / "items.jsonl"
        people = SimulatedRaters(Gold(), noise=Raters().noise, seed=config.seed)
        labelers = Labelers(folder.path / "projects" / "rank-people", ["Ann"], ranked_by(people, items))
        count = len(items.read_text().splitlines())
        # Some of what a labeler is shown is an item once more, to see how steady he is.
        while left := count - _judged(folder):
            labelers.judge(left)
    return resume(out)


def _judged(folder: Any) -> int:
    """Items that were judged before a stop."""
    from plaudit.feedback.exporting import exported
    from plaudit.feedback.project_location import opened
    from plaudit.feedback.project_setup import database_url, only_project
    from plaudit.feedback.store.projects import named_project

    with opened(database_url(folder.path / "projects" / "rank-people", None)) as database:
        return int(database.read(lambda db: len(list(exported(db, named_project(db, only_project(db)))))))


def wrong_share(folder: Any) -> float | None:
    """Of the pairs that people ranked again, the share in which the judge had gold against it."""
    from plaudit.data.baselines import pair_verdicts
    from plaudit.data.readers.read import read
    from plaudit.pocket.gold import Gold

    gold, wrong, pairs = Gold(), 0, 0
    again = {tuple(r.prompt.messages) for r in _records(folder, "rank-people", read)}
    for record in _records(folder, "rank-ai", read):
        if tuple(record.prompt.messages) not in again:
            continue
        scores = [gold.judge(record.prompt, r).score for r in record.responses]
        for (i, j), said in pair_verdicts(record.comparisons()).items():
            if abs(scores[i] - scores[j]) > 1e-9:
                pairs += 1
                wrong += (said - 0.5) * (scores[i] - scores[j]) < 0
    return wrong / pairs if pairs else None


def _records(folder: Any, step: str, read: Any) -> Sequence[Any]:
    parts = [folder.stage(step).path / f"{part}.jsonl" for part in ("train", "held_out")]
    return [r for p in parts if p.exists() and p.stat().st_size for r in read(p).records]
