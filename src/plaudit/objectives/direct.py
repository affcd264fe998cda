"""Learning from preferences without a reward model: implicit rewards of a policy, and losses on them.

A loss takes what the policy says of the left and the right response and ``result`` r, the share of the win that
goes to left. Losses that are defined for a winner w and a loser l are read for any r as

    L = r·ℓ(left, right) + (1 − r)·ℓ(right, left)

so that a tie pulls both ways alike. Sums of log-probs over a response are in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.objectives.checks import expect_rank, expect_same_shape
from plaudit.objectives.preference import bradley_terry

Divergence = Literal["reverse_kl", "forward_kl", "js", "alpha"]

EXPONENT_BOUND = 30.0
"""Nats beyond which the exponential of a divergence is continued by its tangent."""


def divergence_reward(
    log_ratio: Tensor, *, divergence: Divergence = "reverse_kl", alpha: float = 0.5
) -> Tensor:
    """The implicit reward of a log-ratio under an f-divergence penalty: f'(u), u = π/π_ref = e^x.

        reverse_kl: x    forward_kl: −e^−x    js: log σ(x)    alpha: (1 − e^−αx)/α

    Args:
        log_ratio: x = log π − log π_ref of whole responses, any shape.
        alpha: in (0, 1), of the α-divergence alone.

    Constants are left out: they cancel between two responses. Beyond 30 = ``EXPONENT_BOUND`` an exponential is
    continued by its tangent, e^y → e^30·(1 + y − 30): value and gradient stay finite, and neither is ever 0.
    Limits: α → 0 is reverse_kl, α → 1 is forward_kl plus a constant.
    Wang et al. 2023 (arXiv:2309.16240) table 1.
    """
    if divergence == "reverse_kl":
        return log_ratio
    if divergence == "js":
        return F.logsigmoid(log_ratio)
    if divergence == "forward_kl":
        return -_bounded(torch.exp, -log_ratio)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be in (0, 1), got {alpha}")
    return -_bounded(torch.expm1, -alpha * log_ratio) / alpha


def beyond_bound(log_ratio: Tensor, *, divergence: Divergence, alpha: float = 0.5) -> Tensor:
    """Where ``divergence_reward`` uses the tangent: bool, in the shape of the input."""
    rate = {"forward_kl": 1.0, "alpha": alpha}.get(divergence)
    if rate is None:
        return torch.zeros_like(log_ratio, dtype=torch.bool)
    return -rate * log_ratio > EXPONENT_BOUND


def _bounded(exponential: Callable[[Tensor], Tensor], y: Tensor) -> Tensor:
    # Two branches that never share a gradient: e^30 less e^30 would leave nothing of a small one.
    tangent = math.exp(EXPONENT_BOUND) * F.relu(y - EXPONENT_BOUND)
    return exponential(y.clamp(max=EXPONENT_BOUND)) + tangent


def smoothed(result: Tensor | float, label_smoothing: float) -> Tensor | float:
    """A result of which a share ε of judgements is taken to be wrong: r(1 − ε) + (1 − r)ε."""
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing must be in [0, .5), got {label_smoothing}")
    return result * (1 - 2 * label_smoothing) + label_smoothing


def dpo(
    left: Tensor,
    right: Tensor,
    *,
    result: Tensor | float = 1.0,
    label_smoothing: float = 0.0,
    margin: Tensor | float = 0.0,
) -> Tensor:
    """Direct preference optimization: Bradley–Terry on implicit rewards.

        L = −r'·log σ(z) − (1 − r')·log σ(−z),   z = s_left − s_right − m(2r − 1),   r' smoothed

    Args:
        left, right: [P] implicit rewards s = β·(log π − log π_ref).
        result, margin: as in ``bradley_terry``.
        label_smoothing: ε of conservative DPO.

    Returns [P]. Limits: s_left = s_right, m = 0 gives log 2; gradients on left and right are opposite.
    Rafailov et al. 2023 (arXiv:2305.18290) eq. 7; ε: Mitchell 2023; m: Amini et al. 2024 (ODPO).
    """
    expect_same_shape(left=left, right=right)
    if not label_smoothing:
        return bradley_terry(left - right, result=result, margin=margin)
    # The margin belongs to what was judged, the smoothing to how far the judgement is believed.
    z = left - right - margin * (2 * result - 1)
    return bradley_terry(z, result=smoothed(result, label_smoothing))


def robust_dpo(
    left: Tensor, right: Tensor, *, result: Tensor | float = 1.0, label_smoothing: float = 0.1
) -> Tensor:
    """DPO that is unbiased when a share ε of the labels is flipped.

        ℓ = [−(1 − ε)·log σ(Δ) + ε·log σ(−Δ)] / (1 − 2ε),   Δ = s_w − s_l

    Shapes as in ``dpo``. Limits: ε = 0 is DPO; E over flips of ℓ is the loss of the true label.
    Chowdhury et al. 2024 (arXiv:2403.00409) eq. 12.
    """
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing must be in [0, .5), got {label_smoothing}")
    e = label_smoothing

    def loss(winner: Tensor, loser: Tensor) -> Tensor:
        delta = winner - loser
        return (-(1 - e) * F.logsigmoid(delta) + e * F.logsigmoid(-delta)) / (1 - 2 * e)

    return _both_ways(loss, left, right, result)


def hinge_dpo(left: Tensor, right: Tensor, *, result: Tensor | float = 1.0) -> Tensor:
    """SLiC's hinge on implicit rewards: ℓ = max(0, 1 − (s_w − s_l)).

    Shapes as in ``dpo``. Limits: no gradient once s_w − s_l ≥ 1.
    Zhao et al. 2023 (arXiv:2305.10425), with the reference of Liu et al. 2023 (RSO).
    """
    return _both_ways(lambda w, v: F.relu(1 - (w - v)), left, right, result)


def ipo(left: Tensor, right: Tensor, *, beta: float, result: Tensor | float = 1.0) -> Tensor:
    """Identity preference optimization: regress the log-ratio gap to a finite target.

        ℓ = (h_w − h_l − 1/(2β))²

    Args:
        left, right: [P] h = log π − log π_ref, summed over the response, or its mean per token.
        beta: > 0, the paper's τ.

    Returns [P]. Limits: least at h_w − h_l = 1/(2β), where DPO's is at infinity; a tie is least at 0.
    Azar et al. 2023 (arXiv:2310.12036) eq. 17; the mean per token as confirmed by its authors.
    """
    _positive(beta=beta)
    return _both_ways(lambda w, v: (w - v - 0.5 / beta).square(), left, right, result)


def sppo_hard(left: Tensor, right: Tensor, *, beta: float, result: Tensor | float = 1.0) -> Tensor:
    """Self-play preference optimization with hard labels: ℓ = (h_w − 1/(2β))² + (h_l + 1/(2β))².

    Shapes as in ``ipo``. Limits: least at h_w = 1/(2β), h_l = −1/(2β), each by itself.
    Wu et al. 2024 (arXiv:2405.00675) eq. 4.7.
    """
    _positive(beta=beta)
    goal = 0.5 / beta
    return _both_ways(lambda w, v: (w - goal).square() + (v + goal).square(), left, right, result)


def apo_zero(left: Tensor, right: Tensor, *, result: Tensor | float = 1.0) -> Tensor:
    """Anchored preference optimization, winners up and losers down: ℓ = 1 − σ(s_w) + σ(s_l).

    Shapes as in ``dpo``. For winners better than the policy. D'Oosterlinck et al. 2024 (arXiv:2408.06266) eq. 4.
    """
    return _both_ways(lambda w, v: 1 - w.sigmoid() + v.sigmoid(), left, right, result)


def apo_down(left: Tensor, right: Tensor, *, result: Tensor | float = 1.0) -> Tensor:
    """Anchored preference optimization, both down, the loser more: ℓ = σ(s_w) + 1 − σ(s_w − s_l).

    Shapes as in ``dpo``. For a policy better than the winners. D'Oosterlinck et al. 2024 eq. 5.
    """
    return _both_ways(lambda w, v: w.sigmoid() + 1 - (w - v).sigmoid(), left, right, result)


def log_odds(mean_log_prob: Tensor) -> Tensor:
    """log p/(1 − p) of p = exp of the mean log-prob per token: x − log(1 − e^x), x < 0.

    Any shape. x is held below −1e-6, where p is 1 within rounding and its odds have no end.
    Hong et al. 2024 (ORPO, arXiv:2403.07691) eq. 4.
    """
    x = mean_log_prob.clamp(max=-1e-6)
    # log1p near 0, log(−expm1) near −∞: each where it is exact.
    return x - torch.where(x > -0.6931, torch.log(-torch.expm1(x)), torch.log1p(-x.exp()))


def kto(
    log_ratio: Tensor,
    desirable: Tensor,
    kl: Tensor | float,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Kahneman–Tversky optimization: single answers, compared with the policy's mean log-ratio.

        good: L = w_D·(1 − σ(β(h − z)))     bad: L = w_U·(1 − σ(β(z − h)))

    Args:
        log_ratio: [R] h = log π − log π_ref of whole responses.
        desirable: [R] bool.
        kl: z ≥ 0, how far the policy has moved from the reference on the whole, without a gradient.
        beta: > 0.

    Returns [R]. Limits: h = z gives half the weight; w/2 is also what an answer costs that moves with z.
    Ethayarajh et al. 2024 (arXiv:2402.01306) eq. 8.
    """
    expect_rank(1, log_ratio=log_ratio)
    expect_same_shape(log_ratio=log_ratio, desirable=desirable)
    if desirable.dtype != torch.bool:
        raise TypeError(f"desirable must be bool, is {desirable.dtype}")
    _positive(beta=beta)
    gap = beta * (log_ratio - kl)
    good = desirable_weight * (1 - gap.sigmoid())
    bad = undesirable_weight * (1 - (-gap).sigmoid())
    return torch.where(desirable, good, bad)


def _both_ways(
    loss: Callable[[Tensor, Tensor], Tensor], left: Tensor, right: Tensor, result: Tensor | float
) -> Tensor:
    expect_rank(1, left=left, right=right)
    expect_same_shape(left=left, right=right)
    if isinstance(result, Tensor):
        expect_same_shape(left=left, result=result)
    elif not 0 <= result <= 1:
        raise ValueError(f"result must be from 0 to 1, got {result}")
    return result * loss(left, right) + (1 - result) * loss(right, left)


def _positive(**values: float) -> None:
    for name, value in values.items():
        if value <= 0:
            raise ValueError(f"{name} must be above 0, got {value}")
