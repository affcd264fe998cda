"""Prompts that several rows continue: their keys and values lie once, and the rows of a group look at them together.

A step's attention over them is one product per group instead of one per row, which reads the prompt once:

    softmax([Q Kₚᵀ + M, Q Kᵣᵀ]) [Vₚ; Vᵣ],   p: the group's prompt, r: the row's own tokens

Shapes: R rows, P prompts in use, n rows of the largest group, G key-value heads, g heads a key-value head, W columns.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from plaudit.kernels.blocked_decode import BlockedDecode


class Prefixes:
    """Keys and values [P, G, W, d] of prompts for every layer, and which row continues which."""

    def __init__(self, layers: int, prompts: int, width: int, like: Tensor) -> None:
        self.width = width
        self.mask = torch.zeros(prompts, width, dtype=like.dtype, device=like.device)
        self.lengths = torch.zeros(prompts, dtype=torch.long, device=like.device)
        self.keys: list[Tensor | None] = [None] * layers
        self.values: list[Tensor | None] = [None] * layers
        self.used = 0
        self.in_order = False
        self.row_of = self.group = self.place = torch.empty(0, dtype=torch.long, device=like.device)

    def add(self, lengths: Tensor) -> int:
        """Room for prompts of these lengths; the number of the first."""
        first, count = self.used, len(lengths)
        if (missing := first + count - len(self.mask)) > 0:
            # A group that is let in by halves holds its prompt twice.
            self.mask, self.lengths = _longer(self.mask, missing), _longer(self.lengths, missing)
            for store in (self.keys, self.values):
                store[:] = [None if tensor is None else _longer(tensor, missing) for tensor in store]
        closed = torch.arange(self.width, device=lengths.device) >= lengths[:, None]
        self.mask[first : first + count] = torch.zeros_like(closed, dtype=self.mask.dtype).masked_fill_(
            closed, -torch.inf
        )
        self.lengths[first : first + count] = lengths
        self.used += count
        return first

    def fill(self, layer: int, first: int, keys: Tensor, values: Tensor) -> None:
        """Store prompts' keys and values [p, G, T, d], padded on the right, from number ``first`` on."""
        for store, states in ((self.keys, keys), (self.values, values)):
            kept = store[layer]
            if kept is None:
                # Zeros, not empty memory: a masked NaN is still a NaN after the weighted sum.
                kept = store[layer] = states.new_zeros(
                    len(self.mask), states.shape[1], self.width, states.shape[-1], dtype=self.mask.dtype
                )
            kept[first : first + len(states), :, : states.shape[2]] = states

    def settle(self, groups: np.ndarray) -> np.ndarray:
        """Take the prompt of each live row, forget prompts that no row continues; the rows' new numbers."""
        kept, renamed = np.unique(groups, return_inverse=True)
        if len(kept) < self.used:
            index = torch.from_numpy(kept).to(self.mask.device)
            self.mask[: len(kept)] = self.mask[index]
            self.lengths[: len(kept)] = self.lengths[index]
            for store in (self.keys, self.values):
                for tensor in store:
                    if tensor is not None:
                        tensor[: len(kept)] = tensor[index]
            self.used = len(kept)
        counts = np.bincount(renamed, minlength=len(kept))
        order = np.argsort(renamed, kind="stable")
        place = np.empty(len(renamed), dtype=np.int64)
        place[order] = np.arange(len(renamed)) - np.repeat(np.cumsum(counts) - counts, counts)
        # Groups with fewer rows than the largest compute a row twice, and nobody reads it.
        row_of = np.zeros((len(kept), int(counts.max(initial=1))), dtype=np.int64)
        row_of[renamed, place] = np.arange(len(renamed))
        device = self.mask.device
        self.row_of, self.group, self.place = (
            torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in (row_of, renamed, place)
        )
        # Whole groups one after the other are a view away.
        self.in_order = bool((row_of.ravel() == np.arange(row_of.size)).all()) and row_of.size == len(renamed)
        return renamed

    def of(self, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
        """A layer's keys, values and lengths of the prompts, and each row's prompt; None where a step feeds all."""
        keys, values = self.keys[layer], self.values[layer]
        return None if keys is None or values is None else (keys, values, self.lengths, self.group)

    def attend(self, layer: int, q: Tensor, scores: Tensor, values: Tensor, matmul: BlockedDecode) -> Tensor:
        """Attention [R · G, g, dv] of queries ``q`` [R · G, g, d] over prompt and own tokens.

        ``scores`` [R · G, g, C] are those of the rows' own tokens, masked, ``values`` [R · G, C, dv] theirs.
        """
        keys, prompt_values = self.keys[layer], self.values[layer]
        if keys is None or prompt_values is None:  # every prompt is one token, which a step feeds
            return matmul.weighted_sum(scores.softmax(-1), values)
        rows, heads = len(self.group), keys.shape[1]
        group = q.shape[1]
        prompts, n = self.row_of.shape
        asked = self._gather(q.view(rows, heads, group, -1))
        seen = matmul.scores(asked, keys[:prompts].flatten(0, 1), several=True)
        seen = seen.view(prompts, heads, n, group, -1)
        seen += self.mask[:prompts, None, None, None]
        before = self._scatter(seen).reshape(rows * heads, group, -1)
        weights = torch.cat([before, scores], dim=-1).softmax(-1)
        mine = matmul.weighted_sum(weights[..., self.width :], values)
        shared = self._gather(weights[..., : self.width].view(rows, heads, group, -1))
        theirs = matmul.weighted_sum(shared, prompt_values[:prompts].flatten(0, 1)).view(
            prompts, heads, n, group, -1
        )
        return mine.add_(self._scatter(theirs).reshape(mine.shape))

    def _gather(self, rows: Tensor) -> Tensor:
        """[R, G, g, x] → [P · G, n · g, x]."""
        grouped = rows.view(*self.row_of.shape, *rows.shape[1:]) if self.in_order else rows[self.row_of]
        return grouped.transpose(1, 2).flatten(2, 3).flatten(0, 1)

    def _scatter(self, groups: Tensor) -> Tensor:
        """[P, G, n, g, x] → [R, G, g, x]."""
        ordered = groups.transpose(1, 2)
        return ordered.flatten(0, 1) if self.in_order else ordered[self.group, self.place]


def _longer(tensor: Tensor, rows: int) -> Tensor:
    return torch.cat([tensor, tensor.new_zeros(rows, *tensor.shape[1:])])
