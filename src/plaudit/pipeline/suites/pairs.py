"""A run's newest reward model on pairs with a known winner, beside what needs no model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plaudit.data.baselines import human_agreement
from plaudit.data.readers.read import read
from plaudit.data.records import Comparisons, Labeled, Preference, Prompt, Ranking, Response
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
    """The rankings of a suite's file; of labeled answers, good ones of a question before its bad ones."""
    if name is None:
        return read(path, kind="preferences", limit=limit).records
    records = suite_records(name, path, None)
    if labels := [r for r in records if isinstance(r, Labeled)]:
        return _good_before_bad(labels)[:limit]
    ranked: list[Preference] = [r for r in records if isinstance(r, Comparisons | Ranking)][:limit]
    if not ranked:
        raise UserError(f"{path} holds no preferences and no labels of the data set {name}")
    return ranked


def _good_before_bad(labels: Sequence[Labeled]) -> list[Preference]:
    """A ranking of every question that has answers of both kinds; UserError where none has."""
    questions: dict[str, tuple[Prompt, dict[str, bool]]] = {}
    for label in labels:
        questions.setdefault(label.prompt.id, (label.prompt, {}))[1].setdefault(
            label.response.text, label.good
        )
    made: list[Preference] = []
    for prompt, answers in questions.values():
        good, bad = ([text for text, said in answers.items() if said is kind] for kind in (True, False))
        if good and bad:
            groups = tuple(range(len(good))), tuple(range(len(good), len(answers)))
            made.append(Ranking(prompt, tuple(map(Response, (*good, *bad))), groups))
    if not made:
        raise UserError(
            "no question has a good and a bad answer", remedy="name a set that labels several answers each"
        )
    return made


def lines(suite: str, found: dict[str, Any]) -> list[str]:
    """The accuracy beside “longer wins” and people's agreement."""
    return [
        f"{suite}: reward model {found['step']} on {found['decided']} pairs"
        + (f"; {found['left_out']} are too long for it" if found["left_out"] else ""),
        f"accuracy            {found['accuracy']:.3f} [{found['low']:.3f}, {found['high']:.3f}]",
        f"longer wins         {found['longer_wins']:.3f}",
        *([f"two people agree    {found['human_agreement']:.3f}"] if found["human_agreement"] else []),
    ]
