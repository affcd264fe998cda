"""The metrics and samples that an RL iteration records of its rollouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from plaudit.methods.rollouts import Rollouts
from plaudit.objectives import kl_k3, zero_variance
from plaudit.rewards import Sample

# Gold or a second judge of some samples, by which of them it is: one number a sample.
Truth = Callable[[Sequence[Sample]], Mapping[str, Sequence[float]]]


def describe(rollouts: Rollouts, kl_coefficient: float) -> dict[str, float]:
    """Scores, KL in nats per response (sum over tokens, mean over responses), entropy, and the sampler's gap."""
    old, reference = rollouts.rows("old_log_probs"), rollouts.rows("reference_log_probs")
    mask = rollouts.mask
    ratio = reference - old
    kl = (-ratio * mask).sum(1).numpy()
    k3 = (kl_k3(old, reference) * mask).sum(1).numpy()
    gap = (rollouts.rows("sampler_log_probs") - old).abs()[mask]
    scores = rollouts.scores
    groups = torch.from_numpy(scores).reshape(len(rollouts.items), -1)
    alone = groups.shape[1] == 1
    low, high = np.quantile(scores, [0.1, 0.9])
    kl_low, kl_high = np.quantile(kl, [0.1, 0.9])
    return {
        "objective/scores": float(scores.mean()),
        "objective/scores_low": float(low),
        "objective/scores_high": float(high),
        "objective/kl": float(kl.mean()),
        "objective/kl_low": float(kl_low),
        "objective/kl_high": float(kl_high),
        "objective/kl_k3": float(k3.mean()),
        "objective/kl_coef": kl_coefficient,
        "objective/rlhf_reward": float((scores - kl_coefficient * kl).mean()),
        "objective/entropy": float(rollouts.rows("entropies").sum(1).mean()),
        "objective/response_length": float(rollouts.lengths.float().mean()),
        "objective/finished": float(1 - rollouts.cut.mean()),
        **({"policy/masked": float(rollouts.cut.mean())} if rollouts.masked else {}),
        # Groups whose samples all score the same teach nothing to methods that compare within them.
        **({} if alone else {"group/zero_variance": float(zero_variance(groups).float().mean())}),
        "rollout/log_prob_gap_mean": float(gap.mean()),
        "rollout/log_prob_gap_max": float(gap.max()),
    }


def shown_samples(
    rollouts: Rollouts, kl_coefficient: float, count: int, truth: Truth | None = None
) -> list[dict[str, Any]]:
    """Samples with score, KL in nats and score − β·KL, spread evenly over the ranking of scores.

    ``truth`` judges them where gold or a second judge is known: ``{"gold": [S]}`` or ``{"judge": [S]}``.
    """
    order = np.argsort(-rollouts.scores, kind="stable")
    picks = np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))
    kl = (rollouts.rows("old_log_probs") - rollouts.rows("reference_log_probs")).sum(1)
    judged = truth([rollouts.samples[p] for p in order[picks]]) if truth else {}
    rows = []
    for i, pick in enumerate(order[picks]):
        sample, score, nats = rollouts.samples[pick], float(rollouts.scores[pick]), float(kl[pick])
        rows.append(
            {
                "prompt": sample.prompt.conversation,
                "response": sample.text,
                "score": score,
                "kl": nats,
                "total": score - kl_coefficient * nats,
                "finish": sample.finish,
                **{name: float(values[i]) for name, values in judged.items()},
            }
        )
    return rows
