"""One update per rollout: the pass that is trained on is the sampling policy's own, so it gives the old log-probs.

With one epoch of one minibatch the policy has not moved when the loss is computed, so log π_old = log π and

    ρ = exp(log π − stop(log π)) = 1,   ∇ρ = ∇log π

No pass of its own is needed to know log π_old, unless something must know it before the update: a KL in the
reward, or a leash that stops the run before it trains. What a rollout is described by (KL, entropy, the gap to the
sampler) is then read from the training pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from plaudit.config import Online
from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind
from plaudit.methods.rollouts import Rollouts
from plaudit.models.logprobs import TokenLogProbs
from plaudit.training.engine import LossOutput, Method
from plaudit.training.ranks import Ranks
from plaudit.training.sweep import by_item, by_tensor

OWN = ("old_log_probs", "entropies")


@runtime_checkable
class OnPolicy(Protocol):
    """An algorithm whose loss takes items without old log-probs as on-policy, and then gives ``own_tokens``."""

    def pays_kl(self, kl_coefficient: float) -> bool:
        """Whether the rewards need the policy's log-probs."""
        ...


def is_on_policy(algorithm: object, settings: Online, kl_coefficient: float) -> bool:
    """Whether nothing needs the old log-probs before the only update of this rollout."""
    return (
        isinstance(algorithm, OnPolicy)
        and settings.epochs == 1
        and minibatch_items(settings) >= settings.prompts_per_iteration
        and settings.kl.kl_max is None
        and not algorithm.pays_kl(kl_coefficient)
    )


def minibatch_items(settings: Online) -> int:
    """Prompts of one minibatch, which ``settings`` gives in responses."""
    return max(1, settings.minibatch // settings.samples_per_prompt)


def own_tokens(out: TokenLogProbs) -> dict[str, Tensor]:
    """What the rollout is described by, of the pass that is trained on."""
    assert out.entropy is not None
    return dict(zip(OWN, (out.log_prob.detach(), out.entropy.detach())))


class Recording:
    """A method, and ``own_tokens`` of the micro-batches that pass through its loss."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self.pad_id = method.pad_id
        # By the item's identity; a micro-batch that is computed again, after memory ran out, overwrites its own.
        self.seen: dict[int, list[list[np.ndarray]]] = {}

    @property
    def layout(self) -> LayoutKind:
        return self.method.layout

    def normalizers(self, items: Sequence[TokenItem]) -> dict[str, float]:
        return self.method.normalizers(items)

    def loss(self, batch: TokenBatch) -> LossOutput:
        output = self.method.loss(batch)
        rows = by_item(batch, [output.tokens[name] for name in OWN])
        self.seen.update(zip(map(id, batch.items), rows))
        return output

    def attach_to(self, rollouts: Rollouts, ranks: Ranks) -> None:
        """Give the rollouts what all ranks have seen of their items."""
        mine = {i: self.seen[id(item)] for i, item in enumerate(rollouts.items) if id(item) in self.seen}
        found = {i: rows for part in ranks.gather_shares([mine]) for i, rows in part.items()}
        rollouts.attach(**dict(zip(OWN, by_tensor(found))))
