"""KTO: a policy learns from single answers, each good or bad (Ethayarajh et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from plaudit.config import Kto
from plaudit.data.records import Labeled, Preference, Rated, Record
from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.data.tokens.layout import LayoutKind
from plaudit.errors import UserError
from plaudit.methods.preference_batch import answer_weights, win_shares
from plaudit.methods.reference_log_probs import EXTRA, response_totals
from plaudit.models.logprobs import log_probs
from plaudit.models.packing import layout_for
from plaudit.objectives import kto
from plaudit.training.global_batch import GlobalPass
from plaudit.training.method import LossOutput, Term

# The paper's range for (weight · count) of good answers over that of bad ones (§4.3).
LOW, HIGH = 1.0, 4 / 3
# The extra of a mismatched answer that says whether it was cut.
SHORTENED = "shortened"


class KTO:
    """L = Σ_answers w·(1 − σ(±β(h − z))) / Σ_answers w, h = Σ_t log π − log π_ref.

    z = max(0, mean of h over answers to other prompts), over the whole global batch and without a gradient. It is
    computed before the micro-batches, and each item holds its own mismatched answer (its ``payload``), so it does not
    depend on the order or size of micro-batches.
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

    def prepare(self, items: Sequence[TokenItem], forward: GlobalPass) -> None:
        """Estimate z from the mismatched answers of a global batch."""
        mismatched = [item.payload for item in items]
        mean = forward.mean(mismatched, self.pad_id, self.layout, lambda batch: self._totals(batch)[1])
        self.kl = max(0.0, mean)

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


def labels_of(records: Sequence[Record], threshold: float | None = None) -> list[Labeled]:
    """Single labels: labels unchanged, ratings by ``threshold``, answers of a ranking by their share of wins.

    An answer that wins as often as it loses is left out; any other has the mean of its judgements' weights. UserError
    for ratings without a threshold.
    """
    labels: list[Labeled] = []
    for record in records:
        if isinstance(record, Labeled):
            labels.append(record)
        elif isinstance(record, Rated):
            if threshold is None:
                raise UserError(
                    "the data holds ratings, but nothing says which are good",
                    remedy="set kto.threshold: ratings from it on are good",
                )
            labels.append(Labeled(record.prompt, record.response, record.score >= threshold))
        elif isinstance(record, Preference):
            comparisons = record.comparisons()
            shares, weights = win_shares(comparisons), answer_weights(comparisons)
            for response, share, weight in zip(comparisons.responses, shares, weights):
                if not np.isnan(share) and share != 0.5:
                    labels.append(Labeled(record.prompt, response, bool(share > 0.5), float(weight)))
    return labels


def with_mismatches(
    items: Sequence[TokenItem],
    *,
    seed: int,
    max_length: int | None = None,
    answers: Sequence[TokenItem] = (),
) -> list[TokenItem]:
    """Give every item, as its payload, its own prompt with the answer to another prompt, drawn once by ``seed``.

    Drawn over the whole data, not the batch: z is then the same estimate at any batch size, and the reference's
    log-probs of it are computed once. An answer that does not fit ``max_length`` behind the prompt is cut. Where all
    items have one prompt, the answers are those of the items ``answers``, which are to other prompts. UserError
    where there are none.
    """
    keys = [item.key for item in items]
    pool = items if len(set(keys)) > 1 else [item for item in answers if item.key != keys[0]]
    if not pool:
        check_partners(keys)
    rng = np.random.default_rng([seed, 77])
    partner = derangement(keys, rng) if pool is items else rng.integers(len(pool), size=len(items))
    return [replace(item, payload=_mismatched(item, pool[j], max_length)) for item, j in zip(items, partner)]


def check_partners(prompts: Sequence[str]) -> None:
    """UserError where the labels of these prompts have no answer to another prompt to be held against."""
    if len(set(prompts)) < 2:
        raise UserError(
            f"KTO estimates its KL on answers to other prompts, and all {len(prompts)} labels are of one prompt",
            remedy="give labels of two prompts or more; data.preference_validation takes some of them out of training",
        )


def derangement(keys: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """For each index another one whose key differs, at random: [N], in linear time.

    Indices are put in random order, grouped by key, and shifted by the size of the largest group. No index is used
    twice unless one key has more than half of all. ValueError for fewer than two keys.
    """
    groups: np.ndarray = np.unique(np.asarray(keys), return_inverse=True)[1]
    sizes = np.bincount(groups)
    if len(sizes) < 2:
        raise ValueError("all keys are equal")
    order = rng.permutation(len(groups))
    order = order[np.argsort(rng.permutation(len(sizes))[groups[order]], kind="stable")]
    largest, rest = int(sizes.max()), len(groups) - int(sizes.max())
    partner: np.ndarray = np.empty(len(groups), dtype=np.int64)
    if largest <= rest:
        partner[order] = np.roll(order, -largest)
        return partner
    inside = groups[order] == sizes.argmax()
    many, few = order[inside], order[~inside]
    partner[many], partner[few] = np.resize(few, largest), many[:rest]
    return partner


def _mismatched(item: TokenItem, other: TokenItem, max_length: int | None) -> TokenItem:
    room = None if max_length is None else max_length - len(item.prompt)
    segments = tuple(Segment.of(r.ids[:room]) for r in other.responses)
    extras = {SHORTENED: [float(len(cut) < len(r)) for cut, r in zip(segments, other.responses)]}
    return TokenItem(item.prompt, segments, key=item.key, extras=extras)


def shortened_mismatches(items: Sequence[TokenItem]) -> int:
    """How many of the items' mismatched answers were cut."""
    return sum(bool(item.payload.extras[SHORTENED][0]) for item in items)


def balance(items: Sequence[TokenItem], settings: Kto) -> str | None:
    """A warning if the weights are outside the paper's range for these labels, with weights that are within it."""
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
    """The items with the reference's log-probs of ``known`` (one to one) in their payloads."""
    return [
        replace(item, payload=replace(item.payload, extras={EXTRA: other.extras[EXTRA]}))
        for item, other in zip(items, known)
    ]
