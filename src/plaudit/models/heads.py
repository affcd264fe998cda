"""Heads on the encoder: log-probs, values and scores, at response tokens only.

Shapes: N response tokens, R responses, S slots, D hidden size, V vocabulary (see ``data/tokens.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from plaudit.data.tokens import TokenBatch
from plaudit.models.encoder import backbone, encode
from plaudit.objectives import length_normalise

LOGITS_BUDGET = 2**28  # elements of one [chunk, V] block of logits: 1 GiB in fp32


@dataclass
class TokenLogProbs:
    """Per response token: log-prob [N], and where asked the entropy [N] and argmax hits [N]."""

    log_prob: Tensor
    entropy: Tensor | None = None
    correct: Tensor | None = None


def output_head(model: nn.Module) -> Any:
    outer: Any = model
    inner: Any = outer.get_base_model() if hasattr(outer, "get_base_model") else outer
    return inner.get_output_embeddings()


def logits_at(model: nn.Module, hidden: Tensor) -> Tensor:
    """The model's own logits for hidden states [N, D], with the scaling and cap of its family: [N, V]."""
    config = backbone(model).config
    logits = output_head(model)(hidden).float()
    if scale := getattr(config, "logit_scale", None):
        logits = logits * scale
    if scaling := getattr(config, "logits_scaling", None):
        logits = logits / scaling
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = torch.tanh(logits / cap) * cap
    return logits


def _token_log_probs(
    logits: Tensor, targets: Tensor, temperature: float, details: bool
) -> tuple[Tensor, ...]:
    if temperature != 1.0:
        logits = logits / temperature
    normaliser = logits.logsumexp(-1)
    log_prob = logits.gather(-1, targets[:, None]).squeeze(-1) - normaliser
    if not details:
        return (log_prob,)
    probabilities = (logits - normaliser[:, None]).exp()
    entropy = normaliser - (probabilities * logits).sum(-1)
    return log_prob, entropy, logits.detach().argmax(-1) == targets


def log_probs(
    model: nn.Module, batch: TokenBatch, *, temperature: float = 1.0, details: bool = False
) -> TokenLogProbs:
    """log π(token | what came before) of every response token, in nats: [N].

    ``temperature`` divides the logits, as the sampler's does. ``details`` adds entropy and whether
    the token was the most probable one. Logits of prompt tokens are never computed.
    """
    hidden = encode(model, batch).index_select(0, batch.predicting)
    vocabulary = backbone(model).config.vocab_size
    chunk = max(1, LOGITS_BUDGET // vocabulary)
    parts = [
        _token_log_probs(logits_at(model, h), t, temperature, details)
        for h, t in zip(hidden.split(chunk), batch.targets.split(chunk))
    ]
    columns = [torch.cat(column) for column in zip(*parts)]
    return TokenLogProbs(*columns)


def response_logits(model: nn.Module, batch: TokenBatch) -> Tensor:
    """Logits that predict every response token: [N, V]. For exact KL on a few prompts."""
    return logits_at(model, encode(model, batch).index_select(0, batch.predicting))


def values(critic: Any, batch: TokenBatch) -> Tensor:
    """V(state before each response token): [N]."""
    return critic.value(encode(critic.backbone, batch).index_select(0, batch.predicting))


def scores(reward_model: Any, batch: TokenBatch) -> Tensor:
    """Raw reward of each response, read at its true last token or as a masked mean: [R]."""
    hidden = encode(reward_model.backbone, batch)
    if reward_model.pooling == "last":
        pooled = hidden.index_select(0, batch.last)
    else:
        rows = hidden.view(*batch.attention_mask.shape, -1)
        mask = batch.attention_mask[..., None].to(hidden.dtype)
        pooled = (rows * mask).sum(1) / mask.sum(1)
    raw: Tensor = reward_model.head(pooled).squeeze(-1).float()
    return raw


def comparable_scores(reward_model: Any, batch: TokenBatch) -> Tensor:
    """Raw scores over length^power: what is trained on, normalised and paid as reward: [R].

    The power is 0 unless the model was fitted length-normalised.
    """
    raw = scores(reward_model, batch)
    if not reward_model.length_power:
        return raw
    return length_normalise(raw, batch.lengths, power=reward_model.length_power)
