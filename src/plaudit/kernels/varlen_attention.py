"""Attention over a packed row of sequences with shared prompts: tiled, forward and backward, as one numba loop.

    A = softmax(Q Kᵀ) V,   dV = Pᵀ dO,   dS = P ⊙ (dO Vᵀ − Σ P ⊙ dO Vᵀ),   dQ = dS K,   dK = dSᵀ Q

Nothing above the diagonal or outside a sequence is multiplied, except to fill a tile. bf16 inputs accumulate in fp32.
Each (prompt group, key-value head) pair is one work unit, so results are bitwise independent of the thread count and
of other sequences. The loops are in ``varlen_attention_numba.py``.

Importing this needs numba and a processor that ``gemm_llvm.py`` supports.

Shapes: S slots, n queries, H heads, G key-value heads, d head size. Queries are already scaled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.kernels.gemm_llvm import COLUMN_MULTIPLE, HAS_BF16_DOT
from plaudit.kernels.numba_utils import set_threads_for
from plaudit.kernels.packed_bf16 import as_lanes
from plaudit.kernels.varlen_attention_numba import RUN, backward_kernel, forward_kernel

# Larger than any sequence.
NO_WINDOW = 1 << 40

Table = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class VarlenPlan:
    """Which queries attend to which keys.

    ``segments`` [sequences, 3]: first slot, length, first column in its group.
    ``groups`` [groups, 5]: first segment, the one after the last, first run, the one after the last, columns.
    ``runs`` [runs, 6]: first query, the one after the last, tokens of the prefix, first column of its own sequence,
    columns of its weights, and the offset of these. ``seen`` [n]: tokens of its own sequence that a query attends to.
    ``weights``: attention weights of one head.
    """

    segments: Table
    groups: Table
    runs: Table
    seen: Table
    weights: int
    window: int

    def forward(self, q: Tensor, k: Tensor, v: Tensor, out: Tensor, keep: bool) -> list[Tensor]:
        """Attention of q [H, n, d] over k and v [G, S, d] into ``out`` [n, H, d]; returns the weights if ``keep``."""
        saved = q.new_empty(len(q), self.weights if keep else 0)
        set_threads_for(2 * self.weights * q.shape[0] * q.shape[2])
        with _output_lanes(out, saved) as into:
            forward_kernel(*map(as_lanes, (q, k, v)), *self._tables(), self.window, keep, *into)
        return [saved] if keep else []

    def backward(
        self,
        grad: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        saved: Sequence[Tensor],
        dq: Tensor,
        dk: Tensor,
        dv: Tensor,
    ) -> None:
        """The gradients of q, k and v, from that of the output, ``grad`` [n, H, d]."""
        set_threads_for(4 * self.weights * q.shape[0] * q.shape[2])
        with _output_lanes(dq, dk, dv) as into:
            backward_kernel(*map(as_lanes, (q, k, v, grad, saved[0])), *self._tables(), *into)

    def _tables(self) -> tuple[Table, ...]:
        return self.segments, self.groups, self.runs, self.seen


def supports(size: int, dtype: torch.dtype) -> bool:
    """Whether the kernel computes heads of this size and dtype."""
    return size % COLUMN_MULTIPLE == 0 and (
        dtype == torch.float32 or (dtype == torch.bfloat16 and HAS_BF16_DOT)
    )


def varlen_plan(
    rows: Sequence[tuple[int, int, int, int]], *, window: int | None, needed: Tensor | None = None
) -> VarlenPlan:
    """The plan for the sequences of a table; with ``needed`` (sorted slots) for those queries only."""
    wanted = None if needed is None else needed.numpy()
    segments: list[list[int]] = []
    groups: list[list[int]] = []
    runs: list[list[int]] = []
    seen: list[Table] = []
    query = weights = 0
    for start, end, before, beyond in rows:
        if before == beyond:
            groups.append([len(segments), 0, len(runs), 0, 0])
        group = groups[-1]
        own, prefix = group[4], beyond - before
        if prefix and segments[group[0]] != [before, prefix, 0]:
            raise ValueError("a response must follow its prompt, with only its siblings between")
        segments.append([start, end - start, own])
        slots = np.arange(start, end)
        if wanted is not None:
            slots = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, end)]
        seen.append(slots - start + 1)
        for first in range(0, len(slots), RUN):
            part = seen[-1][first : first + RUN]
            width = _round_up(prefix) + _round_up(int(part[-1]))
            runs.append([query, query + len(part), prefix, own, width, weights])
            query += len(part)
            weights += len(part) * width
        group[1], group[3], group[4] = len(segments), len(runs), own + _round_up(end - start)
    return VarlenPlan(
        _table(segments, 3),
        _table(groups, 5),
        _table(runs, 6),
        np.concatenate(seen),
        weights,
        NO_WINDOW if window is None else window,
    )


@lru_cache(maxsize=8)
def cached_varlen_plan(rows: tuple[tuple[int, int, int, int], ...], window: int | None) -> VarlenPlan:
    """The plan for all queries, kept because every layer of a forward pass uses the same one."""
    return varlen_plan(rows, window=window)


def _table(rows: list[list[int]], columns: int) -> Table:
    return np.array(rows, dtype=np.int64).reshape(-1, columns)


def _round_up(n: int) -> int:
    return -(-n // COLUMN_MULTIPLE) * COLUMN_MULTIPLE


@contextmanager
def _output_lanes(*tensors: Tensor) -> Iterator[list[Any]]:
    """Lanes of output tensors: their own memory, or that of copies where a tensor is not contiguous."""
    whole = [t if t.is_contiguous() else torch.empty(t.shape, dtype=t.dtype) for t in tensors]
    yield [as_lanes(t) for t in whole]
    for tensor, made in zip(tensors, whole):
        if made is not tensor:
            tensor.copy_(made)
