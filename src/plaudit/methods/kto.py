"""KTO: a policy learns from single answers, each good or bad (Ethayarajh et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from plaudit.config import Kto
from plaudit.data.layouts import LayoutKind
from plaudit.data.records import Labelled, Preference, Rated, Record
from plaudit.data.tokens import TokenBatch, TokenItem
from plaudit.errors import UserError
from plaudit.methods.outcomes import answer_weights, win_shares
from plaudit.methods.references import EXTRA, response_totals
from plaudit.models.logprobs import log_probs
from plaudit.models.packing import layout_for
from plaudit.objectives import kto
from plaudit.training.engine import LossOutput, Term
from plaudit.training.passes import Pass

# The paper's range for (weight · count) of good answers over that of bad ones (§4.3).
LOW, HIGH = 1.0, 4 / 3


class KTO:
    """L = Σ_answers w·(1 − σ(±β(h − z))) / Σ_answers w, h = Σ_t log π − log π_ref.

    z = max(0, mean of h over answers to other prompts), over the whole global batch and without a gradient: it is
    computed before the micro-batches, and each item brings its own mismatched answer (its ``payload``), so neither
    the order nor the size of a batch matters.
    """

    def __init__(self, policy: Any, settings: Kto, *, reference: Callable[..., Any] | None = None) -> None:
        self.model = policy.model
        self.pad_id = policy.pad_id
        self.settings = settings
        self.reference = reference
        self.kl = 0.0

    @property
    def layout(self) -> LayoutKind:
        return layout_for(self.model)

    def normalizers(self, items: Sequence[TokenItem]) -> dict[str, float]:
        return {"kto": float(sum(w for item in items for w in item.extras["weight"]))}

    def prepare(self, items: Sequence[TokenItem], forward: Pass) -> None:
        """Estimate z from the mismatched answers of a global batch."""
        mismatched = [item.payload for item in items]
        with torch.no_grad():
            self.kl = max(
                0.0, forward.mean(mismatched, self.pad_id, self.layout, lambda b: self._totals(b)[1])
            )

    def _totals(self, batch: TokenBatch) -> tuple[torch.Tensor, torch.Tensor]:
        totals = batch.sum_by_response(log_probs(self.model, batch).log_prob)
        return totals, totals - response_totals(batch, self.reference)

    def loss(self, batch: TokenBatch) -> LossOutput:
        s = self.settings
        totals, ratio = self._totals(batch)
        good = batch.per_response("good") > 0
        values = kto(
            ratio,
            good,
            self.kl,
            beta=s.beta,
            desirable_weight=s.desirable_weight,
            undesirable_weight=s.undesirable_weight,
        )
        reward, totals = s.beta * ratio.detach(), totals.detach()
        right = (ratio.detach() > self.kl) == good
        return LossOutput(
            {"kto": Term(values, batch.per_response("weight"))},
            {
                "rewards/accuracy": (right.sum(), len(right)),
                "rewards/chosen": (reward[good].sum(), good.sum()),
                "rewards/rejected": (reward[~good].sum(), (~good).sum()),
                "logps/chosen": (totals[good].sum(), good.sum()),
                "logps/rejected": (totals[~good].sum(), (~good).sum()),
                "kto/kl": (self.kl * len(reward), len(reward)),
            },
        )


def labels_of(records: Sequence[Record], threshold: float | None = None) -> list[Labelled]:
    """Single labels: thumbs as they are, ratings by ``threshold``, answers of a ranking by their share of wins.

    An answer that wins as often as it loses says nothing and is left out; another weighs the mean of its judgements'
    weights. UserError for ratings without a threshold.
    """
    labels: list[Labelled] = []
    for record in records:
        if isinstance(record, Labelled):
            labels.append(record)
        elif isinstance(record, Rated):
            if threshold is None:
                raise UserError(
                    "the data holds ratings, and nothing says which are good",
                    remedy="set kto.threshold: ratings from it on are good",
                )
            labels.append(Labelled(record.prompt, record.response, record.score >= threshold))
        elif isinstance(record, Preference):
            comparisons = record.comparisons()
            shares, weights = win_shares(comparisons), answer_weights(comparisons)
            for response, share, weight in zip(comparisons.responses, shares, weights):
                if not np.isnan(share) and share != 0.5:
                    labels.append(Labelled(record.prompt, response, bool(share > 0.5), float(weight)))
    return labels


def with_mismatches(items: Sequence[TokenItem], *, seed: int) -> list[TokenItem]:
    """Give every item, as its payload, its own prompt with the answer to another prompt, drawn once by ``seed``.

    Drawn over the whole data, not the batch: z is then the same estimate at any batch size, and the reference's
    log-probs of it are computed once.
    """
    keys = np.array([item.key for item in items])
    if len(set(keys.tolist())) < 2:
        raise UserError("KTO estimates KL on answers to other prompts, and there is one prompt alone")
    rng = np.random.default_rng([seed, 77])
    partner = rng.permutation(len(items))
    for i in range(len(items)):
        while keys[partner[i]] == keys[i]:
            partner[i] = rng.integers(len(items))
    return [
        replace(item, payload=TokenItem(item.prompt, items[j].responses, key=item.key, extras={}))
        for item, j in zip(items, partner)
    ]


def balance(items: Sequence[TokenItem], settings: Kto) -> str | None:
    """A sentence where the weights leave the paper's range for these labels, with weights that do not."""
    good = sum(bool(item.extras["good"][0]) for item in items)
    bad = len(items) - good
    if not good or not bad:
        return (
            f"all {len(items)} labels are {'good' if good else 'bad'}: KTO learns little from one side alone"
        )
    ratio = settings.desirable_weight * good / (settings.undesirable_weight * bad)
    if LOW <= ratio <= HIGH:
        return None
    wanted = settings.undesirable_weight * bad / good
    return (
        f"desirable_weight · {good} good labels / (undesirable_weight · {bad} bad ones) is {ratio:.2f}, outside the "
        f"paper's 1 to 1.33: desirable_weight from {wanted * LOW:.2f} to {wanted * HIGH:.2f} is within"
    )


def attach_mismatched_reference(items: Sequence[TokenItem], known: Sequence[TokenItem]) -> list[TokenItem]:
    """Items whose payloads carry the reference's log-probs that ``known`` holds, one to one."""
    return [
        replace(item, payload=replace(item.payload, extras={EXTRA: other.extras[EXTRA]}))
        for item, other in zip(items, known)
    ]
