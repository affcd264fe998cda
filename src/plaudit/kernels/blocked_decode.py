"""Decode attention for KV caches larger than the CPU cache: copy a block, then multiply.

A matmul with one query per row reads keys from main memory at less than half the speed of a copy. So some rows at a
time are copied to a buffer that stays in the CPU cache, and multiplied there.

Shapes: n rows (times key-value heads), g queries a row, T tokens seen, d head size.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# Bytes from which a KV cache counts as larger than the CPU cache.
CACHE_BYTES = 1 << 24
# Numbers of one block.
BLOCK_NUMBERS = 1 << 19


class BlockedDecode:
    """The two matmuls of decode attention. ``out_of_cache``: the KV cache exceeds the CPU cache; multiply in blocks."""

    def __init__(self) -> None:
        self.out_of_cache = False
        self._room = torch.empty(0)

    def scores(self, q: Tensor, keys: Tensor, several: bool = False) -> Tensor:
        """Scores q kᵀ: [n, g, d] and [n, T, d] → [n, g, T]; ``several``: many queries per row."""
        if q.dtype == torch.bfloat16 and not several:
            # Transposed, the CPU's bf16 matmul is three times as fast.
            return torch.bmm(keys, q.transpose(1, 2)).transpose(1, 2).contiguous()
        if not self.out_of_cache or q.dtype == torch.bfloat16:
            return torch.bmm(q, keys.transpose(1, 2))
        scores = q.new_empty(len(q), q.shape[1], keys.shape[1])
        for part, near in self._parts(keys):
            torch.bmm(q[part], near.transpose(1, 2), out=scores[part])
        return scores

    def weighted_sum(self, weights: Tensor, values: Tensor) -> Tensor:
        """Σ weights · values: [n, g, T] and [n, T, d] → [n, g, d]."""
        if not self.out_of_cache or values.dtype == torch.bfloat16:
            return torch.bmm(weights, values)
        mixed = weights.new_empty(len(weights), weights.shape[1], values.shape[2])
        for part, near in self._parts(values):
            torch.bmm(weights[part], near, out=mixed[part])
        return mixed

    def _parts(self, tensor: Tensor) -> Iterator[tuple[slice, Tensor]]:
        rows, tokens, size = tensor.shape
        count = max(1, BLOCK_NUMBERS // max(1, tokens * size))
        if self._room.numel() < (need := min(rows, count) * tokens * size):
            self._room = tensor.new_empty(need)
        for begin in range(0, rows, count):
            part = slice(begin, min(rows, begin + count))
            near = self._room[: (part.stop - begin) * tokens * size].view(-1, tokens, size)
            yield part, near.copy_(tensor[part])
