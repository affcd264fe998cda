"""How well a reward model predicts rankings it never saw, beside what needs no model at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.config.graph import Node
from plaudit.data.baselines import agreement
from plaudit.data.records import Comparisons, Preference
from plaudit.evaluation.calibration import accuracy, pair_report
from plaudit.methods.lengths import bounded
from plaudit.methods.train import render_preferences
from plaudit.models.reward_model import load_reward_model
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.rank import judge_of
from plaudit.rewards import score_items


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


def score_differences(
    context: Any, models: Sequence[Any], records: Sequence[Preference]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """For every judged pair: score difference, share of the win, length difference, and its prompt.

    Scores of several members are averaged after each is brought to unit spread by its stored std.
    """
    renderer = bounded(context.renderer(models[0].tokenizer), *models)
    items = render_preferences(renderer, records)
    every = []
    for model in models:
        pad = model.tokenizer.pad_token_id or 0
        scores = score_items(model, items, pad_id=pad, runtime=context.runtime)
        every.append(scores / (model.std if len(models) > 1 and model.std else 1.0))
    scores = np.mean(every, axis=0)
    delta, outcome, longer, groups = [], [], [], []
    offset = 0
    for item in items:
        comparisons: Comparisons = item.payload
        for o in comparisons.outcomes:
            delta.append(scores[offset + o.left] - scores[offset + o.right])
            outcome.append(o.result)
            groups.append(item.key)
            longer.append(len(comparisons.responses[o.left].text) - len(comparisons.responses[o.right].text))
        offset += len(item.responses)
    return np.asarray(delta), np.asarray(outcome), np.asarray(longer), groups
