"""The KL between two policies with the whole vocabulary summed out at every token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from plaudit.data.tokens.batching import collate, plan
from plaudit.data.tokens.item import TokenItem
from plaudit.models.heads import response_logits
from plaudit.models.packing import layout_for
from plaudit.objectives import exact_kl


@torch.no_grad()
def response_kl(
    policy: Any,
    reference: Any,
    items: Sequence[TokenItem],
    *,
    temperature: float = 1.0,
    token_budget: int = 8192,
    device: Any = "cpu",
) -> np.ndarray:
    """Σ_t KL(π(·|s_t) ‖ π_ref(·|s_t)) of every response, in nats: [R].

    With responses sampled from ``policy`` its mean is an unbiased estimate of the sequence KL, with
    far less noise than Σ log-ratio: only the states are sampled, not the tokens.
    """
    results: list[np.ndarray | None] = [None] * len(items)
    for indices in plan(items, token_budget, layout_for(policy.model, reference.model)):
        batch = collate([items[i] for i in indices], policy.pad_id).to(device)
        own = response_logits(policy.model, batch) / temperature
        other = response_logits(reference.model, batch) / temperature
        flat = batch.sum_by_response(exact_kl(own, other)).cpu().numpy()
        offset = 0
        for i in indices:
            k = len(items[i].responses)
            results[i] = flat[offset : offset + k]
            offset += k
    return np.concatenate([r for r in results if r is not None]) if items else np.zeros(0)
