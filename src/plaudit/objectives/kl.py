"""KL estimators between a policy and its reference, and controllers of the KL coefficient."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.objectives.checks import expect_same_shape
from plaudit.objectives.policy import LOG_RATIO_LIMIT

Estimator = Literal["k1", "k2", "k3", "k3_ratio"]

K3_BOUND = 10.0
"""Log-ratio log π_ref − log π, in nats, beyond which k3 is continued by its tangent."""


def kl_k1(log_prob: Tensor, reference_log_prob: Tensor) -> Tensor:
    """The plain estimator of KL(π ‖ π_ref) from a token drawn from π: log π − log π_ref.

    Equal shapes in and out, nats. Unbiased, may be negative; the sum over a response's tokens
    estimates the KL of the whole response. As a *loss* its mean gradient is zero: it belongs in the
    reward. Schulman 2020, "Approximating KL divergence".
    """
    expect_same_shape(log_prob=log_prob, reference_log_prob=reference_log_prob)
    return log_prob - reference_log_prob


def kl_k2(log_prob: Tensor, reference_log_prob: Tensor) -> Tensor:
    """The squared estimator: ½·(log π − log π_ref)².

    Equal shapes in and out, nats. Biased (third order in the log-ratio), never negative; its mean
    gradient under π is that of KL(π ‖ π_ref), so it is the one to use as a loss. Schulman 2020.
    """
    return 0.5 * kl_k1(log_prob, reference_log_prob).square()


def kl_k3(log_prob: Tensor, reference_log_prob: Tensor) -> Tensor:
    """The unbiased estimator that is never negative: (e^x − 1) − x, x = log π_ref − log π.

    Equal shapes in and out, nats. As a *loss* its mean gradient under π is that of KL(π_ref ‖ π), the other
    direction. Computed by expm1, which keeps the digits near x = 0. Beyond 10 = ``K3_BOUND`` e^x is continued by its
    tangent, e^10·(1 + x − 10): finite at any x, with a gradient that stays at e^10 − 1 and does not vanish.
    Schulman 2020.
    """
    x = kl_k1(reference_log_prob, log_prob)
    # Two branches that never share a gradient: e^10 less e^10 would leave little of a small one.
    return torch.expm1(x.clamp(max=K3_BOUND)) + math.exp(K3_BOUND) * F.relu(x - K3_BOUND) - x


def kl_k3_ratio(log_prob: Tensor, reference_log_prob: Tensor, old_log_prob: Tensor) -> Tensor:
    """k3 of tokens that an older policy drew, weighed by ρ = π/π_old, whose gradient counts: ρ·k3.

        ∇(ρ·k3) = ρ·(k3 + 1 − e^x)·∇log π = ρ·(log π − log π_ref)·∇log π

    Equal shapes in and out, nats. Its mean under π_old is Σ_t KL(π(·|s_t) ‖ π_ref(·|s_t)) over π_old's states, value
    and gradient, so as a loss it follows the reverse KL also after the policy has moved. The gradient is computed in
    its last form: k3 and e^x cancel in it, which would leave no digit of a large x. ρ is held within e^±20.
    DeepSeek-AI 2025 (V3.2, arXiv:2512.02556) §3.1.
    """
    expect_same_shape(log_prob=log_prob, old_log_prob=old_log_prob)
    now = log_prob.detach()
    ratio = (now - old_log_prob).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    gradient = ratio * kl_k1(now, reference_log_prob)
    # The second part is 0, and carries the gradient.
    return ratio * kl_k3(now, reference_log_prob) + gradient * (log_prob - now)


def kl_penalty(
    log_prob: Tensor, reference_log_prob: Tensor, *, estimator: Estimator, old_log_prob: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The estimator of this name, and where it was bounded: (nats, bool), in the shape of the input.

    ``old_log_prob`` is needed by ``k3_ratio`` alone. Raises ValueError for another name.
    """
    if estimator == "k3_ratio":
        if old_log_prob is None:
            raise ValueError("k3_ratio needs the log-probs of the policy that sampled")
        values = kl_k3_ratio(log_prob, reference_log_prob, old_log_prob)
    elif estimator in _PLAIN:
        values = _PLAIN[estimator](log_prob, reference_log_prob)
    else:
        raise ValueError(f"the KL estimator must be k1, k2, k3 or k3_ratio, got {estimator!r}")
    beyond = (reference_log_prob - log_prob).detach() > K3_BOUND
    return values, beyond if estimator in ("k3", "k3_ratio") else torch.zeros_like(beyond)


_PLAIN = {"k1": kl_k1, "k2": kl_k2, "k3": kl_k3}


def exact_kl(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """KL(p ‖ q) = Σ_v p_v·(log p_v − log q_v) with the whole vocabulary summed out.

    [..., V], equal shapes → [...], in nats, ≥ 0. A token impossible under p adds nothing; one that p
    can draw and q cannot makes it ∞. Raises ValueError for unequal shapes.
    """
    expect_same_shape(logits_p=logits_p, logits_q=logits_q)
    log_p, log_q = logits_p.log_softmax(-1), logits_q.log_softmax(-1)
    # −∞ − (−∞) and 0·∞ would be NaN where p is 0.
    ratio = (log_p - log_q).masked_fill(log_p == -math.inf, 0.0)
    return (log_p.exp() * ratio).sum(-1)


class KLController(Protocol):
    """Holds the KL coefficient β and updates it with the observed KL."""

    value: float

    def update(self, observed_kl: float, samples: int) -> None: ...
    def state(self) -> dict[str, float]: ...
    def load(self, state: Mapping[str, float]) -> None: ...


class FixedKL:
    """A constant KL coefficient β ≥ 0."""

    def __init__(self, coefficient: float) -> None:
        if not 0 <= coefficient < math.inf:
            raise ValueError(f"the KL coefficient must be 0 or more, got {coefficient}")
        self.value = float(coefficient)

    def update(self, observed_kl: float, samples: int) -> None:
        """No effect."""

    def state(self) -> dict[str, float]:
        return {"value": self.value}

    def load(self, state: Mapping[str, float]) -> None:
        self.value = float(state["value"])


class AdaptiveKL(FixedKL):
    """A KL coefficient that moves the observed KL towards a target.

        e = clamp(KL / target − 1, ±max_error),   β ← β·(1 + e·samples/horizon)

    Args:
        coefficient: β > 0 at the start.
        target: > 0, nats per response.
        horizon: > 0, samples over which the controller acts.
        max_error: > 0, the largest relative error that one update takes into account.

    ``update(observed_kl, samples)`` takes the mean KL in nats per response over ``samples`` new
    responses. Raises ValueError for settings out of range, a KL that is not a finite number, and
    for so many samples that β could reach 0 (samples·max_error ≥ horizon).
    Ziegler et al. 2019 §2.2.
    """

    def __init__(self, coefficient: float, *, target: float, horizon: float, max_error: float = 0.2) -> None:
        super().__init__(coefficient)
        for name, setting in (
            ("coefficient", coefficient),
            ("target", target),
            ("horizon", horizon),
            ("max_error", max_error),
        ):
            if not 0 < setting < math.inf:
                raise ValueError(f"an adaptive KL controller needs {name} above 0, got {setting}")
        self.target, self.horizon, self.max_error = target, horizon, max_error

    def update(self, observed_kl: float, samples: int) -> None:
        if not math.isfinite(observed_kl):
            raise ValueError(f"the observed KL is {observed_kl}")
        if samples * self.max_error >= self.horizon:
            raise ValueError(
                f"one update of {samples} samples could turn the KL coefficient to 0 or below: the horizon "
                f"must be above samples·max_error = {samples * self.max_error:g}, got {self.horizon:g}"
            )
        error = min(max(observed_kl / self.target - 1, -self.max_error), self.max_error)
        self.value *= 1 + error * samples / self.horizon
