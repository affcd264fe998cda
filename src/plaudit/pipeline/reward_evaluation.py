"""How well a reward model predicts rankings it never saw, beside what needs no model at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.data.baselines import human_agreement
from plaudit.data.records import Comparisons, Preference
from plaudit.evaluation.calibration import accuracy, pair_report
from plaudit.methods.lengths import bounded
from plaudit.methods.train import render_preferences
from plaudit.models.reward_model import load_reward_model
from plaudit.pipeline.reward_stages import members, preferences
from plaudit.rewards import score_items


def evaluate_reward(context: Any) -> dict[str, Any]:
    """Held-out accuracy, calibration and the baselines, of the (first) reward model or the ensemble's mean."""
    settings = context.config.reward
    _, held = preferences(context)
    models = [
        load_reward_model(m.model).to(context.device)
        for m in members(context.folder.stage("reward"), settings.members)
    ]
    delta, outcome, longer, groups = _deltas(context, models, held)
    ceiling = context.materials.raters.ceiling(held) if context.materials.raters else None
    result = pair_report(delta, outcome, longer, groups=groups, ceiling=ceiling)
    result["human_agreement"] = human_agreement(held)
    if context.materials.world is not None:
        result["pairs"] = {}
        for kind, pairs in context.materials.world.probes().items():
            delta, outcome, _, _ = _deltas(context, models, pairs)
            result["pairs"][kind] = accuracy(delta, outcome)["mean"]
    return result


def _deltas(
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
        scores = score_items(model, items, pad_id=pad, device=context.device)
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
