"""Attention over a packed row as one compiled loop, tile by tile, and its way back.

    A = softmax(Q Kᵀ) V,   dV = Pᵀ dO,   dS = P ⊙ (dO Vᵀ − Σ P ⊙ dO Vᵀ),   dQ = dS K,   dK = dSᵀ Q

Nothing beyond the diagonal or a sequence is multiplied, but for what fills a tile. fp32 numbers are multiplied as fp32,
bf16 as bf16 with fp32 sums. A group (a sequence with all that branch off it) and a key-value head are one thread's
work, so that no bit hangs on the number of threads, nor a sequence on those beside it.

Importing this needs numba and a processor that ``tiles.py`` knows.

Shapes: S slots, n queries, H heads, G key-value heads, d head size. Queries come scaled.
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

from plaudit.kernels.gemm_llvm import PAIRS, WIDE
from plaudit.kernels.numba_utils import share
from plaudit.kernels.packed_bf16 import words
from plaudit.kernels.varlen_attention_numba import RUN, backward, forward

# A window that no sequence reaches.
ENDLESS = 1 << 40

Table = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Plan:
    """Which queries look at what.

    ``segments`` [sequences, 3]: first slot, length, first column in its group.
    ``groups`` [groups, 5]: first segment, the one after the last, first run, the one after the last, columns.
    ``runs`` [runs, 6]: first query, the one after the last, tokens of the prefix, first column of their own sequence,
    columns of their weights, and where these begin. ``seen`` [n]: tokens of its own sequence that a query sees.
    ``weights``: how many a head has.
    """

    segments: Table
    groups: Table
    runs: Table
    seen: Table
    weights: int
    window: int

    def attend(self, q: Tensor, k: Tensor, v: Tensor, out: Tensor, keep: bool) -> list[Tensor]:
        """Attention of q [H, n, d] over k and v [G, S, d] into ``out`` [n, H, d]; where kept, the weights."""
        kept = q.new_empty(len(q), self.weights if keep else 0)
        share(2 * self.weights * q.shape[0] * q.shape[2])
        with _written(out, kept) as into:
            forward(*map(words, (q, k, v)), *self._tables(), self.window, keep, *into)
        return [kept] if keep else []

    def attend_back(
        self,
        grad: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        kept: Sequence[Tensor],
        dq: Tensor,
        dk: Tensor,
        dv: Tensor,
    ) -> None:
        """From ``grad`` [n, H, d] of what was attended: the gradients of q, k and v."""
        share(4 * self.weights * q.shape[0] * q.shape[2])
        with _written(dq, dk, dv) as into:
            backward(*map(words, (q, k, v, grad, kept[0])), *self._tables(), *into)

    def _tables(self) -> tuple[Table, ...]:
        return self.segments, self.groups, self.runs, self.seen


def suits(size: int, dtype: torch.dtype) -> bool:
    """Whether heads of this size and type are for these loops."""
    return size % WIDE == 0 and (dtype == torch.float32 or (dtype == torch.bfloat16 and PAIRS))


def plan_of(
    rows: Sequence[tuple[int, int, int, int]], *, window: int | None, needed: Tensor | None = None
) -> Plan:
    """The plan for the sequences of a table; with ``needed`` (sorted slots) for the queries there alone."""
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
            raise ValueError("a sequence must follow what it branches off, with only its siblings between")
        segments.append([start, end - start, own])
        slots = np.arange(start, end)
        if wanted is not None:
            slots = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, end)]
        seen.append(slots - start + 1)
        for first in range(0, len(slots), RUN):
            part = seen[-1][first : first + RUN]
            width = _wide(prefix) + _wide(int(part[-1]))
            runs.append([query, query + len(part), prefix, own, width, weights])
            query += len(part)
            weights += len(part) * width
        group[1], group[3], group[4] = len(segments), len(runs), own + _wide(end - start)
    return Plan(
        _table(segments, 3),
        _table(groups, 5),
        _table(runs, 6),
        np.concatenate(seen),
        weights,
        ENDLESS if window is None else window,
    )


@lru_cache(maxsize=8)
def whole_plan(rows: tuple[tuple[int, int, int, int], ...], window: int | None) -> Plan:
    """The plan for all queries; every layer of a forward asks for the same one."""
    return plan_of(rows, window=window)


def _table(rows: list[list[int]], columns: int) -> Table:
    return np.array(rows, dtype=np.int64).reshape(-1, columns)


def _wide(n: int) -> int:
    return -(-n // WIDE) * WIDE


@contextmanager
def _written(*tensors: Tensor) -> Iterator[list[Any]]:
    """The words of tensors that are written: in place, or of copies where a tensor does not lie in one piece."""
    whole = [t if t.is_contiguous() else torch.empty(t.shape, dtype=t.dtype) for t in tensors]
    yield [words(t) for t in whole]
    for tensor, made in zip(tensors, whole):
        if made is not tensor:
            tensor.copy_(made)
