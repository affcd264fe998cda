"""A judge's verdicts on models' outputs in AlpacaEval's layout: raw and length-controlled win rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.data.records import Comparisons
from plaudit.errors import UserError
from plaudit.evaluation.judged_win_rate import judged_win_rate
from plaudit.evaluation.length_controlled import FEWEST_MODELS, length_controlled_rates
from plaudit.pipeline.suites.policies import suite_records
from plaudit.runs import RunFolder


def score(folder: RunFolder, name: str, path: Path, limit: int | None) -> dict[str, Any]:
    """The verdicts of a file, or of all models' files in a folder; they are of outputs, so no model is loaded."""
    records = suite_records(name, path, "preferences")
    asked = list(dict.fromkeys(r.prompt.conversation for r in records))[:limit]
    kept = set(asked)
    return verdict_rates([r for r in records if r.prompt.conversation in kept], path)


def verdict_rates(records: Sequence[Comparisons], path: Path) -> dict[str, Any]:
    """Win rates of every model against the one that is in all pairs.

    From ten models on ``controlled`` is by the joint GLM with the instructions' difficulty
    (``length_controlled_rates``), with fewer by one model at a time, which is rough. UserError where no model is in
    all pairs, or where several judges gave the verdicts.
    """
    judges = Counter(r.outcomes[0].rater for r in records)
    if len(judges) > 1:
        raise UserError(
            f"{path} holds verdicts of {len(judges)} judges: {', '.join(sorted(map(str, judges)))}",
            remedy="name the files of one judge",
        )
    pairs = [tuple(str(a.metadata["model"]) for a in r.responses) for r in records]
    everywhere = set.intersection(*map(set, pairs))
    if not everywhere:
        raise UserError(
            f"{path}: no model is in all pairs, so there is no baseline to win against",
            remedy="AlpacaEval's verdicts have one generator_1, the baseline, in every row",
        )
    baseline = pairs[0][0] if pairs[0][0] in everywhere else pairs[0][1]
    side = np.array([int(pair[0] == baseline) for pair in pairs])  # of the model
    won = [r.outcomes[0].result for r in records]
    result = np.array([1 - w if s else w for w, s in zip(won, side)])
    longer = np.array(
        [len(r.responses[s].text) - len(r.responses[1 - s].text) for r, s in zip(records, side)], dtype=float
    )
    models = np.array([pair[s] for pair, s in zip(pairs, side)])
    instructions = np.array([r.prompt.conversation for r in records])
    if len(twice := [k for k, n in Counter(zip(models, instructions)).items() if n > 1]):
        raise UserError(
            f"{path}: {twice[0][0]} has several verdicts on one instruction ({len(twice)} such)",
            remedy="name the files of one judge's single pass",
        )
    found = {}
    for model in dict.fromkeys(models):
        own = models == model
        found[str(model)] = judged_win_rate(result[own], longer[own], instructions[own])
    joint = len(found) >= FEWEST_MODELS
    if joint:
        for model, rate in length_controlled_rates(result, longer, models, instructions).items():
            found[model]["controlled"] = rate
    order = sorted(found, key=lambda m: -found[m]["controlled"]["mean"])
    return {
        "baseline": baseline,
        "judge": next(iter(judges)),
        "joint": joint,
        "models": {model: found[model] for model in order},
    }


def lines(suite: str, found: dict[str, Any]) -> list[str]:
    """The models by their length-controlled win rate."""
    how = (
        "the joint GLM with the instructions' difficulty"
        if found["joint"]
        else f"rough: {FEWEST_MODELS} models or more would show how hard each instruction is"
    )
    out = [
        f"{suite}: win rates against {found['baseline']} by {found['judge'] or 'an unnamed judge'}",
        f"length-controlled by {how}",
    ]
    for model, rate in found["models"].items():
        fair = rate["controlled"]
        out.append(
            f"{model:24} raw {rate['mean']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]  "
            f"controlled {fair['mean']:.3f} [{fair['low']:.3f}, {fair['high']:.3f}]  "
            f"longer {rate['longer']:.0%}, {rate['pairs']} verdicts"
        )
    return out
