"""DPO and its relatives: a policy learns from rankings without a reward model.

A method is two choices: the implicit reward of a response, and a loss on the judged pairs or rankings of a prompt.
``docs/methods/`` has a page for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from plaudit.config import Cpo, Dpo, Orpo, Simpo
from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind
from plaudit.errors import UserError
from plaudit.methods.preference_batch import (
    PairBatch,
    best_of,
    item_weight,
    pairs_of,
    rankings_of,
    total_weight,
)
from plaudit.methods.reference_log_probs import response_totals
from plaudit.models.logprobs import log_probs
from plaudit.models.packing import layout_for
from plaudit.objectives import (
    apo_down,
    apo_zero,
    beyond_bound,
    divergence_reward,
    dpo,
    hinge_dpo,
    ipo,
    log_odds,
    plackett_luce_batch,
    robust_dpo,
    sppo_hard,
)
from plaudit.registry import resolve
from plaudit.training.method import LossOutput, Term

Settings = Dpo | Simpo | Cpo | Orpo


class DirectPreference:
    """L = Σ_items Σ_pairs w·ℓ(left, right) / Σ_items W + c · Σ_items W·NLL(best answer) / Σ_items W.

    The w of an item's pairs add up to its weight W, the mean of its judgements'; NLL is the mean per token.
    ``reference`` is None where the method has none or the items carry its log-probs, which must be at
    ``temperature`` like the policy's. ``strongest`` is the strength that becomes the whole ``margin_scale``.
    """

    def __init__(
        self,
        policy: Any,
        settings: Settings,
        *,
        reference: Callable[..., Any] | None = None,
        temperature: float = 1.0,
        strongest: float = 0.0,
    ) -> None:
        self.model = policy.model
        self.pad_id = policy.pad_id
        self.settings = settings
        self.reference = reference
        self.temperature = temperature
        used = settings.use_strength and strongest > 0
        self.margin_per_strength = settings.margin_scale / strongest if used else 0.0
        self.coefficient = settings.odds_weight if isinstance(settings, Orpo) else 1.0
        self.nll = 1.0 if isinstance(settings, Orpo) else settings.nll

    @property
    def layout(self) -> LayoutKind:
        return layout_for(self.model)

    def normalizers(self, items: Sequence[TokenItem]) -> dict[str, float]:
        return {"preference": total_weight(items), "nll": total_weight(items)}

    def loss(self, batch: TokenBatch) -> LossOutput:
        out = log_probs(self.model, batch, temperature=self.temperature)
        totals = batch.sum_by_response(out.log_prob)
        means = totals / batch.lengths
        ratio = self._log_ratio(batch, totals)
        worth = self._worth(ratio, totals, means)
        pairs = pairs_of(batch)
        terms = {"preference": self._preference(batch, worth, pairs)}
        if self.nll:
            weights = torch.tensor(
                [w for i in batch.items for w in item_weight(i.payload) * best_of(i.payload)],
                dtype=means.dtype,
            )
            terms["nll"] = Term(-means, weights.to(means.device), self.nll)
        metrics = _metrics(self._reward(worth).detach(), totals.detach(), pairs)
        return LossOutput(terms, metrics | self._bounded(ratio.detach()))

    def _log_ratio(self, batch: TokenBatch, totals: Tensor) -> Tensor:
        """log π − log π_ref of each response, per token if ``length_normalised``: [R]; without a reference 0."""
        s = self.settings
        if not isinstance(s, Dpo):
            return torch.zeros_like(totals)
        ratio = totals - response_totals(batch, self.reference)
        return ratio / batch.lengths if s.length_normalised else ratio

    def _bounded(self, ratio: Tensor) -> dict[str, tuple[Tensor | float, Tensor | float]]:
        """The number of responses at which the divergence uses the tangent of its exponential."""
        s = self.settings
        if not isinstance(s, Dpo) or s.divergence not in ("forward_kl", "alpha"):
            return {}
        beyond = beyond_bound(ratio, divergence=s.divergence, alpha=s.alpha or 0.5)
        return {"divergence/bounded": (beyond.sum(), len(beyond))}

    def _worth(self, ratio: Tensor, totals: Tensor, means: Tensor) -> Tensor:
        """What the loss is taken of: log-ratios of DPO, unscaled, else the implicit reward itself: [R]."""
        s = self.settings
        if isinstance(s, Orpo):
            return log_odds(means)
        if isinstance(s, Simpo):
            return s.beta * means
        if isinstance(s, Cpo):
            return s.beta * totals
        return divergence_reward(ratio, divergence=s.divergence, alpha=s.alpha or 0.5)

    def _reward(self, worth: Tensor) -> Tensor:
        return self.settings.beta * worth if isinstance(self.settings, Dpo) else worth

    def _preference(self, batch: TokenBatch, worth: Tensor, pairs: PairBatch) -> Term:
        s = self.settings
        if isinstance(s, Dpo) and s.loss == "plackett_luce":
            rankings = rankings_of(batch)
            return Term(plackett_luce_batch(s.beta * worth, rankings.groups, ties="equal"), rankings.weight)
        left, right, r = worth[pairs.left], worth[pairs.right], pairs.result
        margin = pairs.strength * self.margin_per_strength
        if not isinstance(s, Dpo):
            if isinstance(s, Simpo):
                margin = margin + s.gamma
            values = dpo(left, right, result=r, label_smoothing=s.label_smoothing, margin=margin)
        elif ":" in s.loss:
            values = own_loss(s.loss, left, right, beta=s.beta, result=r)
        elif s.loss == "ipo":
            values = ipo(left, right, beta=s.beta, result=r)
        elif s.loss == "sppo_hard":
            values = sppo_hard(left, right, beta=s.beta, result=r)
        else:
            left, right = s.beta * left, s.beta * right
            if s.loss == "sigmoid":
                values = dpo(left, right, result=r, label_smoothing=s.label_smoothing, margin=margin)
            elif s.loss == "robust":
                values = robust_dpo(left, right, result=r, label_smoothing=s.label_smoothing)
            else:
                plain = {"hinge": hinge_dpo, "apo_zero": apo_zero, "apo_down": apo_down}[s.loss]
                values = plain(left, right, result=r)
        return Term(values, pairs.weight, self.coefficient)


def own_loss(reference: str, left: Tensor, right: Tensor, *, beta: float, result: Tensor) -> Tensor:
    """The loss of each pair [P] by the user's function; UserError if it returns anything else."""
    values = resolve(reference, "loss")(left, right, beta=beta, result=result)
    if not isinstance(values, Tensor) or values.shape != left.shape:
        got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise UserError(
            f"the loss {reference} returned {got} for {len(left)} pairs",
            remedy="return one number a pair: a tensor of the shape of its arguments",
        )
    return values


def _metrics(
    rewards: Tensor, totals: Tensor, pairs: PairBatch
) -> dict[str, tuple[Tensor | float, Tensor | float]]:
    """Implicit rewards and log-probs of winners and losers, apart, over decided pairs."""
    winner, loser = pairs.winners_first()
    count = len(winner)
    gap = rewards[winner] - rewards[loser]
    return {
        "rewards/accuracy": ((gap > 0).sum(), count),
        "rewards/margin": (gap.sum(), count),
        "rewards/chosen": (rewards[winner].sum(), count),
        "rewards/rejected": (rewards[loser].sum(), count),
        "logps/chosen": (totals[winner].sum(), count),
        "logps/rejected": (totals[loser].sum(), count),
    }
