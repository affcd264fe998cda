"""How well a reward model predicts rankings it never saw, beside what needs no model at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plaudit.config.graph import Node
from plaudit.data.baselines import agreement
from plaudit.data.records import Preference
from plaudit.evaluation.calibration import accuracy, pair_report
from plaudit.models.reward_model import load_reward_model
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.judged_pairs import score_differences
from plaudit.pipeline.steps.rank import judge_of


def evaluate_reward(context: Context, step: Node) -> dict[str, Any]:
    """Held-out accuracy, calibration and the baselines, of a step's reward model or the mean of its ensemble."""
    _, held = context.records(step)
    models = [load_reward_model(path).to(context.device) for path in context.reward_folders(step.name)]
    delta, outcome, longer, groups = score_differences(context, models, held)
    ceiling = _ceiling(context, step, held)
    result = pair_report(delta, outcome, longer, groups=groups, ceiling=ceiling)
    people = agreement(held)
    result |= {"human_agreement": people.share, "human_pairs": people.pairs}
    if context.world is not None:
        result["pairs"] = {}
        for kind, pairs in context.world.probes().items():
            delta, outcome, _, _ = score_differences(context, models, pairs)
            result["pairs"][kind] = accuracy(delta, outcome)["mean"]
    return result


def _ceiling(context: Context, step: Node, held: Sequence[Preference]) -> float | None:
    """What a judge that knows its own aim reaches on its own noisy labels, where all are of one such judge."""
    specs = [context.graph[s.name].settings.by for s in step.on if context.graph.gives_records(s.name)]
    if len(specs) != len(step.on) or any(spec != specs[0] or (spec and spec.people) for spec in specs):
        return None
    judge = judge_of(context, specs[0])
    return float(judge.ceiling(held)) if hasattr(judge, "ceiling") else None
