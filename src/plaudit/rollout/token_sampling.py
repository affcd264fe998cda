"""Draws a token and its log-probability from logits and a uniform random number.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from plaudit.models.compute import kernels_in_use
from plaudit.rollout.protocol import SamplingSettings


def scale_and_truncate(logits: Tensor, settings: SamplingSettings) -> Tensor:
    """logits / temperature in fp32, tokens outside top-k and top-p at −∞: [B, V].

    Top-k keeps the k largest, top-p then the smallest set of the largest whose probability reaches
    p (Holtzman et al. 2020, arXiv:1904.09751). Tokens tied with the last one kept are kept too.
    """
    z = logits.float()
    if settings.temperature != 1:
        z = z / settings.temperature
    if not settings.truncates:
        return z
    vocabulary = z.shape[-1]
    kept = min(settings.top_k, vocabulary) if settings.top_k else vocabulary
    best = z.topk(kept, dim=-1).values if kept < vocabulary else z.sort(dim=-1, descending=True).values
    floor = best[:, -1:]
    if settings.top_p < 1:
        # Ties with the k-th token belong to the kept set's mass.
        total = torch.where(z >= floor, z, -torch.inf).double().logsumexp(-1, keepdim=True)
        reached = (best.double() - total).exp().cumsum(-1)
        last = (reached < settings.top_p).sum(-1, keepdim=True).clamp_max(kept - 1)
        floor = best.gather(-1, last)
    return z.masked_fill(z < floor, -torch.inf)


def draw(logits: Tensor, uniform: Tensor, settings: SamplingSettings) -> tuple[Tensor, Tensor]:
    """Draw one token per row: ids [B] int64 and log p(id) [B] fp32, from ``uniform`` [B] float64.

    A token of probability 0 is never drawn. The log-probability is NaN where logits are.
    """
    if settings.temperature == 0:
        best, ids = logits.max(-1)
        # 0 for every finite logit, NaN otherwise.
        return ids, (best - best).float()
    z = scale_and_truncate(logits, settings)
    return kernels_in_use().draw_tokens(z, uniform)
