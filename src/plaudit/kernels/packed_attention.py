"""Attention over one packed row of sequences with shared prompts, by the fastest kernel that computes it.

On CUDA in bf16 ``cuda_varlen_attention``; on the CPU ``varlen_attention`` (numba) or ``blockwise_attention``, for
sequences up to ``LONGEST`` tokens; else ``reference``.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from plaudit.kernels import reference
from plaudit.kernels.attention_blocks import CHUNK, LONGEST, Rows, cut_into_blocks, longest_of
from plaudit.kernels.blockwise_attention import AttentionPlan, BlockwisePlan, cached_aligned_blocks
from plaudit.kernels.cuda_varlen_attention import supports, varlen_attention, varlen_sequences
from plaudit.kernels.optional import load_compiled

logger = logging.getLogger(__name__)


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
    """As ``reference.packed_attention``: [S, H, dv]."""
    explicit = softcap is not None or sinks is not None
    longest = longest_of(rows)
    if (
        not explicit
        and supports(q, k, v, window, longest)
        and _kernel_is_right(q.device, q.shape[0], k.shape[0], q.shape[-1])
    ):
        q, k, v = (t.transpose(0, 1) for t in (q, k, v))
        return varlen_attention(q, k, v, varlen_sequences(rows, q.device), scale, causal)
    if explicit or q.device.type != "cpu" or longest > LONGEST:
        return reference.packed_attention(
            q, k, v, rows, scale=scale, causal=causal, window=window, softcap=softcap, sinks=sinks
        )
    plan = _plan(rows, causal, window, q, v.shape[-1])
    attended: Tensor = _Attended.apply(q, k, v, plan, scale, torch.is_grad_enabled())
    return attended


# A prompt with two responses, and single sequences.
_TRIED: Rows = ((0, 7, 0, 0), (7, 12, 0, 7), (12, 15, 0, 7), (15, 24, 15, 15), (24, 25, 24, 24))


@lru_cache(maxsize=32)
def _kernel_is_right(device: torch.device, heads: int, kv: int, size: int) -> bool:
    """Self-test: the CUDA varlen kernel against the reference, forward and backward, once per head shape."""
    generator = torch.Generator().manual_seed(0)

    def drawn(n: int) -> Tensor:
        return torch.randn(_TRIED[-1][1], n, size, generator=generator)

    given, weights, scale = [drawn(heads), drawn(kv), drawn(kv)], drawn(heads), size**-0.5
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
            q, k, v = (t.to(device, torch.bfloat16).requires_grad_() for t in given)
            found = varlen_attention(q, k, v, varlen_sequences(_TRIED, device), scale)
            exact_q, exact_k, exact_v = (t.detach().float().requires_grad_() for t in (q, k, v))
            sides = [t.transpose(0, 1) for t in (exact_q, exact_k, exact_v)]
            expected = reference.packed_attention(sides[0], sides[1], sides[2], _TRIED, scale=scale)
            weights = weights.to(device)
            pairs = [(found, expected)]
            grads = torch.autograd.grad((found * weights).sum(), (q, k, v))
            pairs += zip(grads, torch.autograd.grad((expected * weights).sum(), (exact_q, exact_k, exact_v)))
            right = all(
                float((a.float() - b).detach().norm()) <= 3e-2 * float(b.detach().norm()) for a, b in pairs
            )
            reason = "its numbers differ"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # A kernel of another version or device may fail in any way; the reference always works.
        right, reason = False, repr(error)[:200]
    if not right:
        logger.warning("attention is computed block by block: the device's kernel was tried, %s", reason)
    return right


def _plan(rows: Rows, causal: bool, window: int | None, q: Tensor, size: int) -> AttentionPlan:
    """How the queries of a row are computed: by the numba kernel if it is there, else block by block."""
    found = load_compiled("plaudit.kernels.varlen_attention")
    if found is not None and causal and q.shape[-1] == size and found.supports(size, q.dtype):
        plan: AttentionPlan = found.cached_varlen_plan(rows, window)
        return plan
    align = q.dtype == torch.bfloat16
    return BlockwisePlan(
        cached_aligned_blocks(cut_into_blocks(rows, causal, CHUNK), window, q.shape[1], align, q.device)
    )


class _Attended(torch.autograd.Function):
    """A layer's attention with a backward pass of its own: that of its ``Attending``."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, how: AttentionPlan, scale: float, keep: bool
    ) -> Tensor:
        q = q * scale
        out = v.new_empty(q.shape[1], q.shape[0], v.shape[-1])
        ctx.save_for_backward(q, k, v, *how.forward(q, k, v, out, keep))
        ctx.how, ctx.scale = how, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        q, k, v, *kept = ctx.saved_tensors
        slots = q.shape[1]
        # In the memory order of the projections, so that these need no copy.
        dq, dk, dv = (t.new_empty(slots, t.shape[0], t.shape[2]).transpose(0, 1) for t in (q, k, v))
        ctx.how.backward(grads[0], q, k, v, kept, dq, dk, dv)
        return dq.mul_(ctx.scale), dk, dv, None, None, None
