"""A run's newest reward model on pairs with a known winner, beside what needs no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plaudit.data.baselines import human_agreement
from plaudit.data.readers.read import read
from plaudit.data.records import Comparisons, Preference, Ranking
from plaudit.errors import UserError
from plaudit.pipeline.suites.policies import suite_records
from plaudit.runs import RunFolder


def score(folder: RunFolder, name: str | None, path: Path, limit: int | None) -> dict[str, Any]:
    """Accuracy with its interval, “longer wins” and human agreement."""
    from plaudit.evaluation.calibration import pair_report
    from plaudit.models.reward_model import load_reward_model
    from plaudit.pipeline.finished_run import context_of
    from plaudit.pipeline.steps.judged_pairs import score_differences

    rankings = known_pairs(name, path, limit)
    context = context_of(folder)
    if not context.graph.reward_models:
        raise UserError(f"{folder.path} trained no reward model to test", remedy="name a run that did")
    step = context.graph.reward_models[-1]
    with context.runtime.computing():
        models = [load_reward_model(p).to(context.device) for p in context.reward_folders(step)]
        delta, outcome, longer, groups = score_differences(context, models, rankings)
    report = pair_report(delta, outcome, longer, groups=groups)
    kept = ("accuracy", "low", "high", "longer_wins", "when_longer", "when_shorter", "decided", "ties")
    found = {key: report[key] for key in kept}
    found["left_out"] = sum(len(r.comparisons().outcomes) for r in rankings) - len(delta)
    return {"step": step, **found, "human_agreement": human_agreement(rankings)}


def known_pairs(name: str | None, path: Path, limit: int | None) -> list[Preference]:
    """The rankings of a suite's file."""
    if name is None:
        return read(path, kind="preferences", limit=limit).records
    records = suite_records(name, path, "preferences")
    return [r for r in records if isinstance(r, Comparisons | Ranking)][:limit]


def lines(suite: str, found: dict[str, Any]) -> list[str]:
    """The accuracy beside “longer wins” and people's agreement."""
    return [
        f"{suite}: reward model {found['step']} on {found['decided']} pairs"
        + (f"; {found['left_out']} are too long for it" if found["left_out"] else ""),
        f"accuracy            {found['accuracy']:.3f} [{found['low']:.3f}, {found['high']:.3f}]",
        f"longer wins         {found['longer_wins']:.3f}",
        *([f"two people agree    {found['human_agreement']:.3f}"] if found["human_agreement"] else []),
    ]
