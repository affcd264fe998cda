"""Surrogate losses of proximal policy optimization, and the entropy of a policy."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from plaudit.objectives.checks import expect_same_shape

LOG_RATIO_LIMIT = 20.0
"""Bound of |log-ratio|, so that a single token cannot make the loss infinite."""


def clipped_policy_loss(
    log_prob: Tensor,
    old_log_prob: Tensor,
    advantage: Tensor,
    *,
    clip: float = 0.2,
    clip_high: float | None = None,
    dual_clip: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The clipped surrogate loss: no gain from moving the policy far from the old one.

        ρ = exp(clamp(log π − log π_old, ±20))
        L = max(−A·ρ, −A·clamp(ρ, 1 − clip, 1 + clip_high)),   and for A < 0: L ≤ −A·dual_clip

    Args:
        log_prob, old_log_prob, advantage: equal shapes, one number per token (or per sequence).
        clip: in (0, 1). clip_high: > 0, the upper side's own bound, by default ``clip``.
        dual_clip: > 1 + clip_high, or None for no bound on the loss of a token with A < 0.

    Returns (loss, clipped), of the input's shape; ``clipped`` is True where a bound holds, so that
    the loss has no gradient there. Raises ValueError for unequal shapes or bounds out of range.
    Limits: ρ = 1 clips nothing and its gradient is −A·∇log π.
    Schulman et al. 2017 eq. 7; clip_high: Yu et al. 2025 (DAPO) §3.1; dual_clip: Ye et al. 2020.
    """
    expect_same_shape(log_prob=log_prob, old_log_prob=old_log_prob, advantage=advantage)
    clip_high = clip if clip_high is None else clip_high
    if not 0 < clip < 1 or clip_high <= 0:
        raise ValueError(f"clip must be in (0, 1) and clip_high > 0, got {clip} and {clip_high}")
    if dual_clip is not None and dual_clip <= 1 + clip_high:
        raise ValueError(f"dual_clip must be above 1 + clip_high = {1 + clip_high}, got {dual_clip}")
    log_ratio = log_prob - old_log_prob
    ratio = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    free = -advantage * ratio
    held = -advantage * ratio.clamp(1 - clip, 1 + clip_high)
    loss = torch.maximum(free, held)
    clipped = (held > free) | (log_ratio.abs() > LOG_RATIO_LIMIT)
    if dual_clip is not None:
        bound = -advantage * dual_clip
        beyond = (advantage < 0) & (loss > bound)
        loss = torch.where(beyond, bound, loss)
        clipped = clipped | beyond
    return loss, clipped.detach()


def clipped_value_loss(
    value: Tensor, old_value: Tensor, returns: Tensor, *, clip: float | None = None
) -> tuple[Tensor, Tensor]:
    """Squared error of the critic, without gain from moving further than ``clip`` from the old value.

        L = ½·max((V − G)², (V_old + clamp(V − V_old, ±clip) − G)²)

    Args:
        value, old_value, returns: equal shapes, one number per token; G is ``returns``.
        clip: > 0, in the unit of the values, or None for the plain squared error.

    Returns (loss, clipped), of the input's shape; ``clipped`` is True where the bound holds and the
    loss has no gradient. Raises ValueError for unequal shapes or clip ≤ 0.
    Limits: V = V_old clips nothing; clip → ∞ is the plain error.
    Schulman et al. 2017's reference code; Ziegler et al. 2019.
    """
    expect_same_shape(value=value, old_value=old_value, returns=returns)
    free = (value - returns).square()
    if clip is None:
        return 0.5 * free, torch.zeros_like(free, dtype=torch.bool)
    if clip <= 0:
        raise ValueError(f"clip must be above 0, got {clip}")
    held = (old_value + (value - old_value).clamp(-clip, clip) - returns).square()
    # Within the bound the two differ by rounding alone, which must not count as clipped.
    clipped = (held > free) & ((value - old_value).abs() > clip)
    return 0.5 * torch.where(clipped, held, free), clipped.detach()


def entropy_from_logits(logits: Tensor) -> Tensor:
    """The entropy of the distribution that logits describe: H = −Σ_v p_v·log p_v.

    [..., V] → [...], in nats, from 0 to log V. A logit of −∞ is a token that cannot be drawn.
    """
    log_p = logits.log_softmax(-1)
    # 0·(−∞) would be NaN; the limit of p·log p is 0.
    return -(log_p.exp() * log_p.masked_fill(log_p == -math.inf, 0.0)).sum(-1)
