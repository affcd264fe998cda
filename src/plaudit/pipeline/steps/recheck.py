"""Items of an earlier rank step, ranked once more: where its judge and a reward model disagree, and random ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from plaudit.config.graph import Node
from plaudit.config.sections import Rank
from plaudit.data.records import Preference, Prompt, Response
from plaudit.models.reward_model import load_reward_model
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.judged_pairs import score_differences
from plaudit.pipeline.steps.ranked_items import CHOSEN, answers_to_rank

DISAGREEMENT, RANDOM = "disagreement", "random"


Items = list[tuple[Prompt, tuple[Response, ...]]]


def items_to_rank(context: Context, step: Node) -> tuple[Items, int]:
    """What a rank step shows, fresh or of an earlier step; and how many of the answers are scripted."""
    if step.settings.recheck is None:
        return answers_to_rank(context, step)
    return items_again(context, step), 0


def items_again(context: Context, step: Node) -> Items:
    """As many items as the step asks for, every answer marked with why its item was chosen."""
    settings: Rank = step.settings
    assert settings.recheck is not None and isinstance(settings.prompts, int)
    train, held = context.parts(settings.recheck)
    records: list[Preference] = [*train, *held]
    if len(records) < settings.prompts:
        context.say(
            f"{step.name}: {settings.recheck} has {len(records)} of the {settings.prompts} items asked for"
        )
    apart = _apart(context, step, records) if settings.disagreement else np.zeros(len(records))
    rng = np.random.default_rng([context.seed, len(records)])
    found: Items = []
    for i, why in chosen(apart, settings.prompts, settings.disagreement, rng):
        marked = tuple(replace(r, metadata={**r.metadata, CHOSEN: why}) for r in records[i].responses)
        found.append((records[i].prompt, marked))
    count = sum(shown[0].metadata[CHOSEN] == DISAGREEMENT for _, shown in found)
    context.say(
        f"{step.name}: {len(found)} items of {settings.recheck} are ranked again, {count} of them where its ranking "
        f"and the reward model disagree most, {len(found) - count} at random"
    )
    return found


def chosen(
    disagreement: Sequence[float] | np.ndarray, count: int, share: float, rng: np.random.Generator
) -> list[tuple[int, str]]:
    """``share`` of ``count`` items are those of the largest disagreement, the others random ones of the rest.

    [N] → at most N pairs of an index and why it was chosen, in random order. The random share says how often the judge
    is wrong where nobody suspects it, and keeps the new labels from being of odd items alone.
    """
    count = min(count, len(disagreement))
    order = np.argsort(-np.asarray(disagreement), kind="stable")
    most = order[: round(count * share)]
    others = rng.permutation(order[len(most) :])[: count - len(most)]
    marked = [(int(i), DISAGREEMENT) for i in most] + [(int(i), RANDOM) for i in others]
    return [marked[j] for j in rng.permutation(len(marked))]


def _apart(context: Context, step: Node, records: Sequence[Preference]) -> np.ndarray:
    """[N]: |judge's share of the win − σ(score difference)|, the mean over an item's pairs."""
    models = [
        load_reward_model(path).to(context.device)
        for part in step.asked
        for path in context.reward_folders(str(part.path))
    ]
    delta, outcome, _, groups = score_differences(context, models, records)
    by: dict[str, list[float]] = defaultdict(list)
    for key, gap in zip(groups, np.abs(outcome - 1 / (1 + np.exp(-delta))), strict=True):
        by[key].append(float(gap))
    if missing := sum(r.prompt.id not in by for r in records):
        context.say(
            f"{step.name}: {missing} items are too long for the reward model: none is chosen by disagreement"
        )
    return np.array([np.mean(by[r.prompt.id]) if r.prompt.id in by else 0.0 for r in records])
