"""Advantages from several samples of a prompt, and surrogates that need no critic.

Shapes: I prompts, G samples of each; tokens and sequences as in ``policy``.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from plaudit.objectives.checks import expect_rank, expect_same_shape
from plaudit.objectives.policy import LOG_RATIO_LIMIT

Scale = Literal["group", "batch", "none"]


ROUNDING = 16 * torch.finfo(torch.float32).eps
"""What an fp32 model's score of one answer may differ by, relative to its size, from batch to batch."""


def tie_tolerance(rewards: Tensor) -> Tensor:
    """By how much two rewards of a prompt may differ and still be one number but for rounding.

        τ_g = 16·ε₃₂ · max(max_i |R_gi|, mean |R|),   ε₃₂ = 1.2e-7

    [I, G] → [I, 1]. The mean is that of all rewards: a score that happens to be near 0 was rounded where scores of
    the usual size are. Exact rewards of 0 and 1 are safe beside others of up to 500,000 on average.
    """
    expect_rank(2, rewards=rewards)
    size = rewards.abs()
    # Below the root of the smallest number a deviation, whose square is taken, would be 0.
    least = torch.finfo(rewards.dtype).tiny ** 0.5
    return ROUNDING * torch.maximum(size.amax(1, keepdim=True), size.mean()) + least


def zero_variance(rewards: Tensor) -> Tensor:
    """Which prompts' samples all score the same, within ``tie_tolerance``: [I, G] → [I] bool."""
    spread = rewards.amax(1, keepdim=True) - rewards.amin(1, keepdim=True)
    return (spread <= tie_tolerance(rewards)).squeeze(1)


def group_advantages(rewards: Tensor, *, scale: Scale = "group", eps: float = 1e-4) -> Tensor:
    """A sample's reward relative to the mean of its prompt's samples.

        A = (R − mean_g) / (std + ε·usual),   std of the group, of the batch, or A = R − mean_g

    Args:
        rewards: [I, G], G ≥ 2. A prompt asked twice is two rows.
        scale: ``none`` leaves the spread (Dr. GRPO): prompts whose samples differ little then weigh little.
        eps: ε, relative to the usual std: the median over the groups that have a spread.

    Returns [I, G]; 0 where all samples of a prompt score the same within rounding (``zero_variance``). ``std`` has the
    divisor G − 1 (or I·G − 1).
    Limits: rewards moved by a constant per prompt give the same; with scale the same at any positive factor.
    Shao et al. 2024 (arXiv:2402.03300) eq. 3; none: Liu et al. 2025 (arXiv:2503.20783).
    """
    expect_rank(2, rewards=rewards)
    if rewards.shape[1] < 2:
        raise ValueError("a group needs two samples or more")
    flat = zero_variance(rewards)
    centered = (rewards - rewards.mean(1, keepdim=True)).masked_fill(flat[:, None], 0.0)
    if scale == "none" or bool(flat.all()):
        return centered
    each = rewards.std(1, keepdim=True)
    std = each if scale == "group" else rewards.std()
    return centered / (std + eps * each[~flat].median())


def leave_one_out(rewards: Tensor) -> Tensor:
    """A sample's reward less the mean of the prompt's other samples.

        A_i = R_i − Σ_{j≠i} R_j / (G − 1)   =   G/(G − 1) · (R_i − mean_g)

    [I, G], G ≥ 2 → [I, G]. Unbiased: the baseline does not depend on the sample itself.
    Kool et al. 2019; Ahmadian et al. 2024 (RLOO, arXiv:2402.14740) eq. 8.
    """
    expect_rank(2, rewards=rewards)
    count = rewards.shape[1]
    if count < 2:
        raise ValueError("a group needs two samples or more")
    return (rewards - rewards.mean(1, keepdim=True)) * (count / (count - 1))


def rewards_to_go(rewards: Tensor, mask: Tensor, *, gamma: float = 1.0) -> Tensor:
    """Discounted sums of what comes after: R_t = r_t + γ·R_{t+1}.

    [B, T] rewards and bool mask (responses padded on the right) → [B, T], 0 outside the mask.
    """
    expect_same_shape(rewards=rewards, mask=mask)
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must be from 0 to 1, got {gamma}")
    out = torch.zeros_like(rewards)
    running = rewards.new_zeros(rewards.shape[0])
    for t in range(rewards.shape[1] - 1, -1, -1):
        running = torch.where(mask[:, t], rewards[:, t] + gamma * running, running)
        out[:, t] = running.masked_fill(~mask[:, t], 0.0)
    return out


def cispo_loss(
    log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, *, clip_high: float = 0.2
) -> tuple[Tensor, Tensor]:
    """REINFORCE with a clipped importance weight: every token keeps a gradient.

        L = −sg[min(ρ, 1 + clip_high)] · A · log π,   ρ = exp(log π − log π_old)

    Shapes as in ``clipped_policy_loss``. Returns (loss, where the weight was clipped).
    Limits: at ρ = 1 its gradient is PPO's. MiniMax 2025 (M1, arXiv:2506.13585) eq. 4, without a lower bound.
    """
    expect_same_shape(log_prob=log_prob, old_log_prob=old_log_prob, advantage=advantage)
    if clip_high <= 0:
        raise ValueError(f"clip_high must be above 0, got {clip_high}")
    ratio = (log_prob - old_log_prob).detach().clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    return -ratio.clamp(max=1 + clip_high) * advantage * log_prob, ratio > 1 + clip_high


def best_of_n_kl(n: int) -> float:
    """An upper bound of KL(best of n ‖ one sample), exact where no two answers tie: log n − (n − 1)/n nats.

    Beirami et al. 2024 (arXiv:2401.01879); Stiennon et al. 2020.
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, got {n}")
    return float(torch.tensor(float(n)).log()) - (n - 1) / n


def best_of_n_mean(scores: Tensor, values: Tensor, n: int) -> Tensor:
    """The mean value of the best-scored of n samples, without bias, from N ≥ n samples of each prompt.

        Σ_i C(i − 1, n − 1) / C(N, n) · v_(i),   v in ascending order of score; values of equal scores are averaged

    Args:
        scores: [I, N] what the best is chosen by (the proxy).
        values: [I, N] what the chosen one is worth (gold, or the scores themselves).

    Returns [I]. Limits: n = 1 is the mean, n = N the value of the best.
    Nakano et al. 2021 (WebGPT) appendix I; Gao et al. 2022 appendix I.
    """
    expect_rank(2, scores=scores)
    expect_same_shape(scores=scores, values=values)
    total = scores.shape[1]
    if not 1 <= n <= total:
        raise ValueError(f"n must be from 1 to {total}, got {n}")
    # C(i − 1, n − 1)/C(N, n) from the largest i down: n/N, then times (i − n)/(i − 1).
    weights = torch.zeros(total, dtype=torch.float64)
    weight = n / total
    for i in range(total, n - 1, -1):
        weights[i - 1] = weight
        weight *= (i - n) / (i - 1) if i > 1 else 0.0
    order = scores.argsort(dim=1, stable=True)
    ranked, worth = scores.gather(1, order), values.gather(1, order).double()
    # Among equal scores each is as likely to be drawn: all get the mean weight of their places.
    starts = torch.ones_like(ranked, dtype=torch.bool)
    starts[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    block = starts.long().cumsum(1) - 1
    sums = torch.zeros_like(worth).scatter_add_(1, block, weights.expand_as(worth).contiguous())
    counts = torch.zeros_like(worth).scatter_add_(1, block, torch.ones_like(worth))
    return (worth * (sums / counts.clamp(min=1)).gather(1, block)).sum(1).to(values.dtype)
