"""Heads on the encoder: values and scores, at response tokens only.

Shapes: N response tokens, R responses, S slots, D hidden size, V vocabulary (see ``data/tokens/batch.py``).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from plaudit.data.tokens.batch import TokenBatch
from plaudit.models.encoder import encode
from plaudit.objectives import length_normalize


def values(critic: Any, batch: TokenBatch) -> Tensor:
    """V(state before each response token): [N]."""
    return critic.value(encode(critic.backbone, batch, at="predicting").predicting)


def scores(reward_model: Any, batch: TokenBatch) -> Tensor:
    """Raw reward of each response, read at its true last token or as a mean over prompt and answer: [R]."""
    encoded = encode(reward_model.backbone, batch, at="last" if reward_model.pooling == "last" else "all")
    if reward_model.pooling == "last":
        pooled = encoded.hidden.index_select(0, encoded.layout.last)
    else:
        slots, owners = encoded.layout.whole()
        sums = encoded.hidden.new_zeros(batch.responses, encoded.hidden.shape[-1])
        sums = sums.index_add(0, owners, encoded.hidden.index_select(0, slots))
        pooled = sums / torch.bincount(owners, minlength=batch.responses)[:, None]
    raw: Tensor = reward_model.head(pooled).squeeze(-1).float()
    return raw


def comparable_scores(reward_model: Any, batch: TokenBatch) -> Tensor:
    """Raw scores / length^power: the score that is trained on, normalized and used as the reward: [R].

    The power is 0 unless the model was trained length-normalized.
    """
    raw = scores(reward_model, batch)
    if not reward_model.length_power:
        return raw
    return length_normalize(raw, batch.lengths, power=reward_model.length_power)
