"""The policy's terms of an RL loss: a surrogate on tokens or sequences, entropy, and KL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.methods.kl_penalty import KLPenalty
from plaudit.models.logprobs import TokenLogProbs
from plaudit.objectives import cispo_loss, clipped_policy_loss, kl_k3
from plaudit.training.method import Term

Aggregation = Literal["token", "sequence", "fixed", "sum"]


def normalizer(items: Sequence[TokenItem], aggregation: Aggregation, length: int) -> float:
    """The divisor of a sum over tokens: tokens, responses, or responses times the longest length."""
    responses = sum(len(item.responses) for item in items)
    if aggregation == "token":
        return float(sum(len(r) for item in items for r in item.responses))
    return float(responses * length if aggregation == "fixed" else responses)


def token_weights(batch: TokenBatch, aggregation: Aggregation) -> Tensor:
    """[N]: 1, or 1/length where each response is to weigh one."""
    if aggregation == "sequence":
        return (1.0 / batch.lengths)[batch.response_of]
    return torch.ones(batch.tokens, device=batch.targets.device)


def policy_terms(
    out: TokenLogProbs,
    batch: TokenBatch,
    *,
    clip: float,
    clip_high: float | None = None,
    surrogate: Literal["clip", "cispo"] = "clip",
    ratio: Literal["token", "sequence"] = "token",
    length_normalized: bool = True,
    aggregation: Aggregation = "token",
    entropy_coefficient: float = 0.0,
    kl: KLPenalty | None = None,
    on_policy: bool = False,
) -> tuple[dict[str, Term], dict[str, Any]]:
    """Terms ``policy``, ``entropy`` and ``kl`` of items with old log-probs and advantages, and their metrics.

    ``ratio: sequence`` takes one ratio a response, of the mean of its log-ratios (GSPO) or of their sum.
    ``on_policy`` says that the policy has not moved since it sampled: its old log-probs are then these
    very ones, ρ = exp(log π − stop(log π)) = 1 with ∇ρ = ∇log π, and need not be in the items.
    """
    detached = out.log_prob.detach()
    old = detached if on_policy else batch.per_token("old_log_probs")
    weights = token_weights(batch, aggregation)
    advantages = batch.per_token("advantages")
    if ratio == "sequence":
        scale = batch.lengths if length_normalized else torch.ones_like(batch.lengths)
        new_s, old_s = (batch.sum_by_response(x) / scale for x in (out.log_prob, old))
        per_response = batch.sum_by_response(advantages) / batch.lengths
        values, clipped = clipped_policy_loss(new_s, old_s, per_response, clip=clip, clip_high=clip_high)
        terms = {"policy": Term(values, torch.ones_like(values))}
        clipfrac = (clipped.float().sum(), len(values))
    else:
        if surrogate == "cispo":
            values, clipped = cispo_loss(out.log_prob, old, advantages, clip_high=clip_high or clip)
        else:
            values, clipped = clipped_policy_loss(
                out.log_prob, old, advantages, clip=clip, clip_high=clip_high
            )
        terms = {"policy": Term(values, weights)}
        clipfrac = (clipped.float().sum(), batch.tokens)
    if out.entropy is not None and entropy_coefficient:
        terms["entropy"] = Term(-out.entropy, weights, entropy_coefficient)
    penalty, metrics = kl.of_loss(out.log_prob, old, batch, weights) if kl else ({}, {})
    return terms | penalty, metrics | {
        "policy/clipfrac": clipfrac,
        # KL(old ‖ new) on old samples: the k3 estimator with the roles of policy and reference.
        "policy/approxkl": (kl_k3(old, detached).sum(), batch.tokens),
        "policy/ratio": ((detached - old).exp().sum(), batch.tokens),
    }
