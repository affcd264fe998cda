"""The reference implementation of the kernels: plain torch operations that autograd differentiates.

``compute: {kernels: reference}`` uses it everywhere; the fast kernels are tested against it.

Shapes: S slots, H heads, G key-value heads, d and dv head sizes, B rows, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.kernels.attention_blocks import AttentionBlock, Rows, cut_into_blocks, take_ranges
from plaudit.kernels.interface import LogitShape

# The kernels of this module are never fused (``interface.Kernels``).
fused = False
# Tokens per block of the two-level search, at most.
BLOCK = 64
# A log-probability whose exponential is 0 in fp32: p log p is 0 where p is, and would be NaN at -inf.
NEVER = -200.0


def packed_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rows: Rows,
    *,
    scale: float,
    causal: bool = True,
    window: int | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Attention of q [H, S, d] over k [G, S, d] and v [G, S, dv] within the sequences of a table: [S, H, dv]."""
    blocks = cut_into_blocks(rows, causal, None)
    return torch.cat([block_attention(b, q, k, v, scale, window, softcap, sinks) for b in blocks])


def block_attention(
    block: AttentionBlock,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float,
    window: int | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention of one block: [Tq, H, dv]."""
    group = q.shape[0] // k.shape[0]
    queries = q[:, block.start : block.end]
    keys, values = (take_ranges(block.keys, t).repeat_interleave(group, dim=0) for t in (k, v))
    mask = block.mask(window, torch.float32, q.device)
    if softcap is None and sinks is None:
        plain = block.plain and (window is None or window >= queries.shape[1])
        attended = F.scaled_dot_product_attention(
            queries[None],
            keys[None],
            values[None],
            attn_mask=None if plain or mask is None else mask.to(q.dtype),
            is_causal=plain,
            scale=scale,
        )
        return attended[0].transpose(0, 1)
    return explicit_attention(queries, keys, values, mask, scale, softcap, sinks).transpose(0, 1)


def explicit_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    scale: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention [..., H, Tq, dv] with a soft cap on scores and sinks [H], which torch's kernel lacks."""
    scores = (q @ k.transpose(-1, -2)).float() * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores + mask
    if sinks is None:
        weights = scores.softmax(-1)
    else:
        # A sink is one more key whose value is zero.
        sink = sinks.float().reshape(-1, 1, 1).expand(*scores.shape[:-1], 1)
        weights = torch.cat([scores, sink], dim=-1).softmax(-1)[..., :-1]
    return weights.to(v.dtype) @ v


def linear_log_probs(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    shape: LogitShape,
    temperature: float,
    details: bool,
    bf16: bool,
    kept_logits: int,
) -> tuple[Tensor, ...]:
    """log softmax(shape(W h + b) / T) of the targets [N]; see ``Kernels``. ``kept_logits`` is not needed: autograd."""
    dtype = torch.bfloat16 if bf16 else weight.dtype
    z = F.linear(hidden.to(dtype), weight.to(dtype)).float()
    if bias is not None:
        z = z + bias
    return gathered(shape.apply(z) / temperature, targets, details)


def gathered(z: Tensor, targets: Tensor, details: bool) -> tuple[Tensor, ...]:
    """log softmax(z) of the targets [N]; with ``details`` also the entropy [N]."""
    rows = z.log_softmax(-1)
    log_prob = rows.gather(-1, targets[:, None]).squeeze(-1)
    if not details:
        return (log_prob,)
    return log_prob, -(rows.exp() * rows.clamp(min=NEVER)).sum(-1)


def draw_tokens(z: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [B] and their log-probabilities [B] fp32 from logits [B, V] and ``uniform`` [B] float64.

    Inverse CDF: the first v with Σ_{w ≤ v} p(w) > u, found in two levels so that the running sums are short. A token
    of probability 0 is never drawn. The log-probability is NaN where logits are.
    """
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
