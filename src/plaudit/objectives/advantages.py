"""Advantages from scores and a KL penalty: rewards per token, GAE, whitening.

Rows are responses, padded on the right; values in the padding are never read. Nothing here carries a
gradient: rewards and old values are constants of an update.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from plaudit.objectives.checks import expect_mask, expect_rank, expect_same_shape


@torch.no_grad()
def shaped_rewards(kl: Tensor, score: Tensor, lengths: Tensor, *, coefficient: float) -> Tensor:
    """The reward of each token: the KL penalty at every token, the score at the last one.

        r_t = −β·kl_t + [t = n − 1]·score

    Args:
        kl: [B, T] log π_old − log π_ref of each token, nats.
        score: [B] one per response. lengths: [B] n, from 1 to T.
        coefficient: β ≥ 0.

    Returns [B, T], 0 in the padding. Raises ValueError for other shapes, or a length out of range.
    Limits: β = 0 leaves the score alone; Σ_t r_t = score − β·Σ_t kl_t.
    Ziegler et al. 2019 eq. 2; Ouyang et al. 2022 §3.5.
    """
    expect_rank(2, kl=kl)
    expect_rank(1, score=score, lengths=lengths)
    expect_same_shape(score=score, lengths=lengths, first_tokens=kl[:, 0])
    if bool(((lengths < 1) | (lengths > kl.shape[1])).any()):
        raise ValueError(f"lengths must be from 1 to {kl.shape[1]}, got {lengths.tolist()}")
    t = torch.arange(kl.shape[1], device=kl.device)
    rewards = torch.where(t < lengths[:, None], -coefficient * kl, torch.zeros_like(kl))
    return rewards + torch.where(t == lengths[:, None] - 1, score[:, None].to(kl.dtype), torch.zeros_like(kl))


@torch.no_grad()
def gae(
    rewards: Tensor,
    values: Tensor,
    mask: Tensor,
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
    bootstrap: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Generalized advantage estimation: temporal differences of the critic, discounted backwards.

        δ_t = r_t + γ·V_{t+1} − V_t,   A_t = δ_t + γλ·A_{t+1},   G_t = A_t + V_t

    Args:
        rewards, values: [B, T]; V_t is the value of the state before token t.
        mask: [B, T] bool, True on a row's tokens, which begin at its left.
        gamma, lam: in [0, 1].
        bootstrap: [B] the value after the last token: 0 (the default) where the response ended, the
            critic's estimate where it was cut and would have gone on.

    Returns (advantages, returns), [B, T] each, 0 in the padding.
    Raises ValueError for other shapes, a mask with a gap, γ or λ out of range.
    Limits: λ = 0 gives δ; λ = 1 gives the discounted sum of rewards minus V.
    Schulman et al. 2016 eq. 16.
    """
    expect_rank(2, rewards=rewards)
    expect_same_shape(rewards=rewards, values=values, mask=mask)
    expect_mask(mask)
    if not (0 <= gamma <= 1 and 0 <= lam <= 1):
        raise ValueError(f"gamma and lam must be in [0, 1], got {gamma} and {lam}")
    if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        raise ValueError("mask must be True on the left of each row and False on its right, without a gap")
    zero = torch.zeros_like(values)
    rewards, values = torch.where(mask, rewards, zero), torch.where(mask, values, zero)
    next_value = torch.zeros_like(values[:, 0])
    if bootstrap is not None:
        expect_same_shape(bootstrap=bootstrap, first_values=next_value)
        next_value = bootstrap.to(values.dtype)
    advantage = torch.zeros_like(values[:, 0])
    columns = []
    for t in range(rewards.shape[1] - 1, -1, -1):
        here = mask[:, t]
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        # In the padding both are carried on untouched, so a row's last token meets its bootstrap.
        advantage = torch.where(here, delta + gamma * lam * advantage, advantage)
        next_value = torch.where(here, values[:, t], next_value)
        columns.append(torch.where(here, advantage, zero[:, t]))
    advantages = torch.stack(columns[::-1], 1)
    return advantages, advantages + values


@torch.no_grad()
def whiten(
    x: Tensor,
    mask: Tensor,
    *,
    shift_mean: bool = True,
    eps: float = 1e-8,
    reduce: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Masked values with mean 0 and standard deviation 1 over the global batch.

        x' = (x − μ) / √(σ² + eps),   + μ where the mean is to be kept

    Args:
        x: any shape. mask: bool, the same shape.
        shift_mean: False keeps the mean μ and scales the spread alone.
        reduce: turns a tensor of this rank's sums into the sums over all ranks; called twice, on a
            rank without a token too.

    Returns x's shape, 0 where masked out; σ² divides by the number of tokens. Raises ValueError for
    unequal shapes and where no rank has a token.
    Limits: equal values give 0 (or μ); how tokens are spread over ranks changes nothing.
    Ziegler et al. 2019's reference code.
    """
    expect_same_shape(x=x, mask=mask)
    expect_mask(mask)
    join = reduce or (lambda sums: sums)
    kept = torch.where(mask, x, torch.zeros_like(x))
    count, total = join(torch.stack([mask.sum().to(x.dtype), kept.sum()]))
    if not count:
        raise ValueError("nothing to whiten: the mask holds no token on any rank")
    mean = total / count
    centered = torch.where(mask, x - mean, torch.zeros_like(x))
    variance = join(centered.square().sum()) / count
    white = centered * torch.rsqrt(variance + eps)
    return white if shift_mean else torch.where(mask, white + mean, white)
