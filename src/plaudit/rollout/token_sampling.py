"""From logits and a uniform number to a token and its log-probability.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.kernels.optional import load_compiled
from plaudit.rollout.protocol import SamplingSettings

DECODE_KERNEL = "plaudit.kernels.decode_numba"
# Tokens per block of the two-level search, at most.
BLOCK = 64


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

    Inverse CDF: the first v with Σ_{w ≤ v} p(w) > u, found in two levels so that the running sums are
    short. A token of probability 0 is never drawn. The log-probability is NaN where logits are.
    """
    if settings.temperature == 0:
        best, ids = logits.max(-1)
        # 0 for every finite logit, NaN otherwise.
        return ids, (best - best).float()
    z = scale_and_truncate(logits, settings)
    if z.device.type == "cpu" and (kernel := load_compiled(DECODE_KERNEL)) is not None:
        drawn: tuple[Tensor, Tensor] = kernel.draw_tokens(z, uniform)
        return drawn
    p = z.softmax(-1)
    rows, vocabulary = p.shape
    width = next((w for w in range(BLOCK, BLOCK // 2, -1) if vocabulary % w == 0), BLOCK)
    # Padding by nothing would still copy everything.
    grid = (F.pad(p, (0, spare)) if (spare := -vocabulary % width) else p).view(rows, -1, width)
    sums = grid.sum(-1).double()
    total = sums.sum(-1)
    block, rest = _first_above(sums, uniform * total)
    within, _ = _first_above(grid[torch.arange(rows, device=p.device), block].double(), rest)
    ids = block * width + within
    chosen = p.gather(-1, ids[:, None])[:, 0]
    return ids, (chosen.double() / total).log().float()


def _first_above(weights: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The first place [B] where the running sum of ``weights`` [B, n] exceeds ``target`` [B].

    Also what is left of the target there. Places of weight 0 are never chosen, whatever rounding
    does to the sums.
    """
    running = weights.cumsum(-1)
    reachable = running.masked_fill(weights <= 0, -1.0)
    below = torch.nextafter(reachable.amax(-1), torch.zeros_like(target))
    target = torch.minimum(target, below)
    place = (reachable > target[:, None]).to(torch.uint8).argmax(-1)
    before = (running - weights).gather(-1, place[:, None])[:, 0]
    return place, (target - before).clamp_min(0)
