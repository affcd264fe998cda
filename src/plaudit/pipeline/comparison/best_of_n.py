"""The best-of-n yardstick of one seed: many answers of the start, chosen by the reward, worth their gold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.config import Config
from plaudit.config.resolve import graph_of
from plaudit.evaluation.best_of_n import best_of_n_frontier
from plaudit.runs import RunFolder, files

STEP = 4_000_000


def write_best_of_n(config: Config, folder: RunFolder, *, samples: int, sizes: Sequence[int]) -> None:
    """Sample, score, judge, and write ``best_of_n.json``; without a reward model there is none to choose by."""
    target = folder.path / "best_of_n.json"
    graph = graph_of(config)
    if not graph.reward_models or config.evaluate is None:
        files.write_json(target, {"points": [], "reason": "the recipe trains no reward model to choose by"})
        return
    from plaudit.pipeline.finished_run import context_of
    from plaudit.pipeline.steps.evaluation_prompts import test_prompts
    from plaudit.pipeline.steps.sampling import answer
    from plaudit.pipeline.steps.scoring import step_reward

    context = context_of(folder, config)
    with context.runtime.computing():
        policy = context.load(graph.places["end"])
        prompts = test_prompts(context, [policy], label="best of n")
        drawn = answer(context, policy, prompts, config.evaluate, n=samples, step=STEP)
        reward = step_reward(context, graph.reward_models[-1], policy)
        scores = reward.score(drawn).scores.reshape(-1, samples)
        values = _values(context, policy, drawn).reshape(-1, samples)
    files.write_json(target, {"points": best_of_n_frontier(scores, values, sizes), "samples": samples})


def _values(context: Any, policy: Any, drawn: Sequence[Any]) -> np.ndarray:
    """Gold, or the proxy judge's win share against another answer of the start to the same prompt."""
    from plaudit.pipeline.steps.evaluation_judge import answer_judge

    judge = answer_judge(context, policy)
    assert judge is not None  # a comparison without one is refused before it begins
    scores = judge.judge(drawn).scores
    if context.gold is not None:
        return scores
    count = len(drawn) // len({s.prompt.id for s in drawn})
    rows = scores.reshape(-1, count)
    # Against the prompt's other samples: what a fresh answer of the start would score.
    wins = (rows[:, :, None] > rows[:, None, :]).sum(2) + 0.5 * (
        (rows[:, :, None] == rows[:, None, :]).sum(2) - 1
    )
    return np.asarray(wins / (count - 1)).reshape(-1)
