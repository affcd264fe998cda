"""What reward models say of judged pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.data.records import Comparisons, Preference
from plaudit.methods.lengths import bounded
from plaudit.methods.train import render_preferences
from plaudit.rewards import score_items


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
