"""With one update per rollout old log-probs equal the training pass's, so the extra forward pass is skipped.

With one epoch of one minibatch the policy has not moved when the loss is computed, so log π_old = log π and

    ρ = exp(log π − stop(log π)) = 1,   ∇ρ = ∇log π

Rollouts compute log π_old when something reads it before the update: a KL in the reward, ``kl_max``, an estimator of
one's own. Otherwise what describes a rollout (KL, entropy, the gap to the sampler) is taken from the training pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from plaudit.config import Online
from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind
from plaudit.methods.rollouts import Rollouts
from plaudit.models.logprobs import TokenLogProbs
from plaudit.runtime import Mesh
from plaudit.training.method import LossOutput, TrainingMethod
from plaudit.training.sweep import by_item, by_tensor

OWN = ("old_log_probs", "entropies")


class TakesOwnPass(Protocol):
    """Whether a loss takes items without old log-probs as on-policy, and then returns ``own_tokens``."""

    on_policy: bool


def is_on_policy(algorithm: TakesOwnPass, settings: Online) -> bool:
    """Whether the old log-probs can be taken from the only update of a rollout."""
    one_update = settings.epochs == 1 and minibatch_items(settings) >= settings.prompts_per_iteration
    # What describes a rollout is taken from that update, so all of it must be trained on.
    return algorithm.on_policy and one_update and not getattr(settings, "mask_unfinished", False)


def minibatch_items(settings: Online) -> int:
    """Prompts of one minibatch, which ``settings`` gives in responses."""
    return max(1, settings.minibatch // settings.samples_per_prompt)


def own_tokens(out: TokenLogProbs) -> dict[str, Tensor]:
    """Log-probs and entropies [N] that describe a rollout, by name."""
    assert out.entropy is not None
    return dict(zip(OWN, (out.log_prob.detach(), out.entropy.detach())))


class Recording:
    """A method, and ``own_tokens`` of the micro-batches that pass through its loss."""

    def __init__(self, method: TrainingMethod) -> None:
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

    def attach_to(self, rollouts: Rollouts, mesh: Mesh) -> None:
        """Give the rollouts what all ranks have seen of their items."""
        mine = {i: self.seen[id(item)] for i, item in enumerate(rollouts.items) if id(item) in self.seen}
        found = {i: rows for part in mesh.each(mine) for i, rows in part.items()}
        rollouts.attach(**dict(zip(OWN, by_tensor(found))))
