"""One query a row over keys and values that lie in main memory.

Such a product reads its keys at less than half the speed of a copy. What is too large to stay in the processor's caches
from one step to the next is therefore copied, some rows at a time, to memory that does stay, and multiplied there.

Shapes: n rows (times key-value heads), g queries a row, T tokens seen, d head size.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# Bytes of a cache that is taken to lie in main memory.
FAR = 1 << 24
# Numbers copied at once.
ROOM = 1 << 19


class Near:
    """The two products of attention; ``far`` says that keys and values must be fetched."""

    def __init__(self) -> None:
        self.far = False
        self._room = torch.empty(0)

    def weigh(self, q: Tensor, keys: Tensor, several: bool = False) -> Tensor:
        """Scores q kᵀ: [n, g, d] and [n, T, d] → [n, g, T]; ``several``: of many queries a row."""
        if q.dtype == torch.bfloat16 and not several:
            # This way round the CPU's bf16 product is three times as fast.
            return torch.bmm(keys, q.transpose(1, 2)).transpose(1, 2).contiguous()
        if not self.far or q.dtype == torch.bfloat16:
            return torch.bmm(q, keys.transpose(1, 2))
        scores = q.new_empty(len(q), q.shape[1], keys.shape[1])
        for part, near in self._parts(keys):
            torch.bmm(q[part], near.transpose(1, 2), out=scores[part])
        return scores

    def mix(self, weights: Tensor, values: Tensor) -> Tensor:
        """Σ weights · values: [n, g, T] and [n, T, d] → [n, g, d]."""
        if not self.far or values.dtype == torch.bfloat16:
            return torch.bmm(weights, values)
        mixed = weights.new_empty(len(weights), weights.shape[1], values.shape[2])
        for part, near in self._parts(values):
            torch.bmm(weights[part], near, out=mixed[part])
        return mixed

    def _parts(self, tensor: Tensor) -> Iterator[tuple[slice, Tensor]]:
        rows, tokens, size = tensor.shape
        count = max(1, ROOM // max(1, tokens * size))
        if self._room.numel() < (need := min(rows, count) * tokens * size):
            self._room = tensor.new_empty(need)
        for begin in range(0, rows, count):
            part = slice(begin, min(rows, begin + count))
            near = self._room[: (part.stop - begin) * tokens * size].view(-1, tokens, size)
            yield part, near.copy_(tensor[part])
