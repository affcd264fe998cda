"""The log-probability of every response token: the one primitive behind all objectives on policies.

    log π(y | s) = z_y − log Σ_v exp z_v,   z = cap · tanh(s · W h / cap) / T

Only response tokens reach the output head. Their logits are saved for the backward pass if they fit
``ComputeConfig.kept_logits``, else recomputed chunk by chunk.

Shapes: N response tokens, D hidden size, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from plaudit.data.tokens.batch import TokenBatch
from plaudit.kernels.reference import gathered
from plaudit.models.architectures import backbone
from plaudit.models.computable import check_policy
from plaudit.models.compute import autocast, kernels_in_use
from plaudit.models.encoder import encode
from plaudit.models.output_head import output_head, shape_of
from plaudit.runtime import compute_config

# Logits computed at once.
CHUNK = 2**24


@dataclass
class TokenLogProbs:
    """Per response token: log-prob [N], and where asked the entropy [N]."""

    log_prob: Tensor
    entropy: Tensor | None = None


def log_probs(
    model: nn.Module, batch: TokenBatch, *, temperature: float = 1.0, details: bool = False
) -> TokenLogProbs:
    """log π(token | what came before) of every response token, in nats: [N].

    ``temperature`` divides the logits, as the sampler's does. ``details`` adds the entropy. Logits of prompt
    tokens are never computed.
    """
    check_policy(model)
    hidden = encode(model, batch, at="predicting").predicting
    head = output_head(model)
    shape = shape_of(model)
    if type(head) is not nn.Linear:
        # A head with adapters or of another kind: its own forward, differentiated by autograd.
        columns = _by_autograd(model, hidden, batch.targets, temperature, details)
    else:
        bf16 = compute_config().precision == "bf16" or head.weight.dtype == torch.bfloat16
        columns = kernels_in_use().linear_log_probs(
            hidden,
            head.weight,
            head.bias,
            batch.targets,
            shape=shape,
            temperature=temperature,
            details=details,
            bf16=bf16,
            kept_logits=compute_config().kept_logits,
        )
    return TokenLogProbs(*columns)


def logits_at(model: nn.Module, hidden: Tensor) -> Tensor:
    """The model's own logits for hidden states [N, D], in fp32: [N, V]."""
    with autocast(hidden.device):
        logits = output_head(model)(hidden)
    return shape_of(model).apply(logits.float())


def _by_autograd(
    model: nn.Module, hidden: Tensor, targets: Tensor, temperature: float, details: bool
) -> tuple[Tensor, ...]:
    chunk = max(1, CHUNK // backbone(model).config.get_text_config().vocab_size)
    parts = []
    for h, t in zip(hidden.split(chunk), targets.split(chunk)):
        part = gathered(logits_at(model, h) / temperature, t, details)
        parts.append(part)
    return tuple(torch.cat(column) for column in zip(*parts))
