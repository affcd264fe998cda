"""CUDA flash attention over a packed row of sequences with shared prompts.

A response attends to two sets of keys: its own (causally) and its prompt's (all). The varlen kernel computes each with
its log-normalizer l, and the two are merged:

    l = log(e^l₁ + e^l₂),   O = e^(l₁ − l) O₁ + e^(l₂ − l) O₂

In the backward pass the kernel gets the merged O and l for either set: with P = exp(S − l) and Δ = Σ dO ⊙ O it returns
each set's part of the gradient, and the parts of the queries add (as in ring attention, Liu et al. 2023,
arXiv:2310.01889).

Shapes: S slots, H heads, G key-value heads, d head size, B slots of responses, P slots of
their shared prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

Rows = tuple[tuple[int, int, int, int], ...]

# The kernel's largest head size, and what it must be a multiple of.
LARGEST, STEP = 256, 8


@dataclass(frozen=True)
class CumulativeLengths:
    """Cumulative lengths of ``queries`` and ``keys`` [n + 1], and the longest of each."""

    queries: Tensor
    keys: Tensor
    most_queries: int
    most_keys: int


@dataclass(frozen=True)
class PromptBranches:
    """Responses that share a prompt: their slots [B], their prompts' slots [P], and the lengths of both."""

    slots: Tensor
    prompts: Tensor
    lengths: CumulativeLengths


@dataclass(frozen=True)
class VarlenSequences:
    """A packed row: every sequence by itself, and responses with their shared prompts."""

    own: CumulativeLengths
    branches: PromptBranches | None


@lru_cache(maxsize=8)
def varlen_sequences(rows: Rows, device: torch.device) -> VarlenSequences:
    """The kernel's arguments for ``rows`` of a table, kept because every layer of a forward pass uses the same ones."""
    own = [end - start for start, end, *_ in rows]
    slots: list[int] = []
    prompts: list[int] = []
    groups: list[list[int]] = []  # queries and keys of each prompt's responses, which lie side by side
    known: tuple[int, int] | None = None
    for start, end, before, beyond in rows:
        if before == beyond:
            known = None
            continue
        if known != (before, beyond):
            prompts += range(before, beyond)
            groups.append([0, beyond - before])
            known = before, beyond
        slots += range(start, end)
        groups[-1][0] += end - start
    branches = None
    if groups:
        asked, seen = zip(*groups)
        branches = PromptBranches(
            torch.tensor(slots, device=device),
            torch.tensor(prompts, device=device),
            _lengths(asked, seen, device),
        )
    return VarlenSequences(_lengths(own, own, device), branches)


def _lengths(queries: Any, keys: Any, device: torch.device) -> CumulativeLengths:
    def sums(lengths: Any) -> Tensor:
        return torch.tensor([0, *lengths]).cumsum(0).to(device, torch.int32)

    return CumulativeLengths(sums(queries), sums(keys), max(queries), max(keys))


def supports(q: Tensor, k: Tensor, v: Tensor, window: int | None, longest: int) -> bool:
    """Whether the kernel computes this: on CUDA, bf16, no window that cuts a sequence, equal head sizes."""
    return (
        q.device.type == "cuda"
        and q.dtype == k.dtype == v.dtype == torch.bfloat16
        and q.shape[-1] == v.shape[-1] <= LARGEST
        and q.shape[-1] % STEP == 0
        and (window is None or window >= longest)
    )


def varlen_attention(
    q: Tensor, k: Tensor, v: Tensor, sequences: VarlenSequences, scale: float, causal: bool = True
) -> Tensor:
    """Attention of q [S, H, d] over k and v [S, G, d] within the sequences of a row: [S, H, d]."""
    made: Tensor = _Varlen.apply(q, k, v, sequences, scale, causal)
    return made


class _Varlen(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, sequences: VarlenSequences, scale: float, causal: bool
    ) -> Tensor:
        out, total, state = _kernel(q, k, v, sequences.own, causal, scale)
        if (b := sequences.branches) is not None:
            theirs, their_total, _ = _kernel(q[b.slots], k[b.prompts], v[b.prompts], b.lengths, False, scale)
            mine = total[:, b.slots]
            joined = torch.logaddexp(mine, their_total)
            shares = [(part - joined).exp().t()[..., None] for part in (mine, their_total)]
            out[b.slots] = (out[b.slots] * shares[0] + theirs * shares[1]).to(out.dtype)
            total[:, b.slots] = joined
        ctx.save_for_backward(q, k, v, out, total, state)
        ctx.settings = sequences, scale, causal
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        q, k, v, out, total, state = ctx.saved_tensors
        sequences, scale, causal = ctx.settings
        grad = grads[0].contiguous()
        dq, dk, dv = _kernel_backward(grad, q, k, v, out, total, state, sequences.own, causal, scale)
        if (b := sequences.branches) is not None:
            more_q, more_k, more_v = _kernel_backward(
                grad[b.slots], q[b.slots], k[b.prompts], v[b.prompts],
                out[b.slots], total[:, b.slots].contiguous(), state, b.lengths, False, scale,
            )  # fmt: skip
            # Every slot occurs once, so nothing is added by chance in another order.
            dq[b.slots] += more_q
            dk[b.prompts] += more_k
            dv[b.prompts] += more_v
        return dq, dk, dv, None, None, None


def _kernel(
    q: Tensor, k: Tensor, v: Tensor, lengths: CumulativeLengths, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Attention [S, H, d], log-normalizers [H, S] in fp32, and the kernel's state for the backward pass."""
    out, total, state, *_ = torch.ops.aten._flash_attention_forward(
        q, k, v, lengths.queries, lengths.keys, lengths.most_queries, lengths.most_keys,
        0.0, causal, False, scale=scale,
    )  # fmt: skip
    return out, total, state


def _kernel_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    total: Tensor,
    state: Tensor,
    lengths: CumulativeLengths,
    causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    unused = torch.empty(0, device=q.device)
    made: tuple[Tensor, Tensor, Tensor] = torch.ops.aten._flash_attention_backward(
        grad, q, k, v, out, total, lengths.queries, lengths.keys, lengths.most_queries, lengths.most_keys,
        0.0, causal, state, unused, scale=scale,
    )  # fmt: skip
    return made
