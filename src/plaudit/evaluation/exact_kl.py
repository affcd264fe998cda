"""The exact KL between two policies: a sum over the whole vocabulary at every token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.models.architectures import backbone
from plaudit.models.encoder import encode
from plaudit.models.logprobs import CHUNK, logits_at
from plaudit.models.packing import layout_for
from plaudit.objectives import exact_kl
from plaudit.runtime import Runtime
from plaudit.training.sweep import per_response


def response_kl(
    policy: Any,
    reference: Any,
    items: Sequence[TokenItem],
    *,
    temperature: float = 1.0,
    token_budget: int = 8192,
    runtime: Runtime | None = None,
) -> np.ndarray:
    """Σ_t KL(π(·|s_t) ‖ π_ref(·|s_t)) of every response, in nats: [R].

    With responses sampled from ``policy`` its mean is an unbiased estimate of the sequence KL, with
    far less noise than Σ log-ratio: only the states are sampled, not the tokens.
    """

    # Tokens at once: both models' logits, their log-softmax and the products are there together.
    rows = max(1, CHUNK // backbone(policy.model).config.get_text_config().vocab_size)

    def block(own: Tensor, other: Tensor) -> Tensor:
        return exact_kl(
            logits_at(policy.model, own) / temperature, logits_at(reference.model, other) / temperature
        )

    def kl(batch: TokenBatch) -> Tensor:
        states = [
            encode(model, batch, at="predicting").predicting.split(rows)
            for model in (policy.model, reference.model)
        ]
        return batch.sum_by_response(torch.cat([block(own, other) for own, other in zip(*states)]))

    runtime = runtime or Runtime()
    with runtime.computing():
        found = per_response(
            items,
            kl,
            pad_id=policy.pad_id,
            layout=layout_for(policy.model, reference.model),
            token_budget=token_budget,
            runtime=runtime,
        )
    return np.concatenate(found) if found else np.zeros(0)
