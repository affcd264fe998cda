"""Cuts attention over a packed row into blocks of queries and keys that are computed together."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

# First slot, the one after the last, and the same of the shared prompt (or the first slot twice), for each sequence.
Rows = tuple[tuple[int, int, int, int], ...]
# Longest sequence whose probabilities are saved for the backward pass (T² · H numbers a layer); beyond it torch's
# kernel, which recomputes them.
LONGEST = 1024
# Queries computed at once: a causal sequence in chunks skips most of what lies above its diagonal.
CHUNK = 128

PREFIX = 0  # owner of the tokens that every sequence of a block attends to


@dataclass(frozen=True)
class SequencePart:
    """Tokens of one sequence within a block: count, first position, and number of the sequence."""

    length: int
    position: int
    owner: int


@dataclass(frozen=True)
class AttentionBlock:
    """Queries ``start`` to ``end`` attend to the slots ``keys`` through a mask.

    ``repeat`` adjacent sequences of equal length form one block: each has 1 / ``repeat`` of the ranges.
    """

    start: int
    end: int
    keys: tuple[tuple[int, int], ...]
    query_parts: tuple[SequencePart, ...]
    key_parts: tuple[SequencePart, ...]
    causal: bool
    repeat: int = 1

    @property
    def queries(self) -> int:
        return (self.end - self.start) // self.repeat

    @property
    def plain(self) -> bool:
        """Whether it is one whole causal sequence, for which kernels need no mask."""
        return self.causal and self.repeat == 1 and self.query_parts == self.key_parts and len(self.keys) == 1

    def mask(self, window: int | None, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        """0 where a query attends and −∞ elsewhere: [Tq, Tk]; None where it attends everywhere."""
        if not self.causal:
            return None
        return _mask(self.query_parts, self.key_parts, window, dtype, device)


@lru_cache(maxsize=256)
def _mask(
    queries: tuple[SequencePart, ...],
    keys: tuple[SequencePart, ...],
    window: int | None,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    def columns(parts: Sequence[SequencePart]) -> tuple[Tensor, Tensor]:
        positions = torch.cat([torch.arange(p.position, p.position + p.length) for p in parts])
        owners = torch.cat([torch.full((p.length,), p.owner) for p in parts])
        return positions, owners

    at, who = columns(queries)
    at_key, whose = columns(keys)
    visible = (whose == who[:, None]) | (whose == PREFIX)
    visible &= at_key <= at[:, None]
    if window is not None:
        visible &= at[:, None] - at_key < window
    return torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, -torch.inf).to(device)


# Masked scores that a block may compute so that a response joins its siblings instead of having its own block.
JOIN = 4096


@lru_cache(maxsize=16)
def cut_into_blocks(rows: Rows, causal: bool, chunk: int | None) -> tuple[AttentionBlock, ...]:
    """Blocks for the sequences ``rows`` of a table, in the order of slots.

    ``chunk``: most queries of one sequence in a block; keys after them are left out, which saves half of the scores of
    a long sequence. None leaves sequences whole.
    """
    blocks: list[AttentionBlock] = []
    i = 0
    while i < len(rows):
        start, end = rows[i][:2]
        after = i + 1
        while after < len(rows) and rows[after][2:] == (start, end):
            after += 1
        if after > i + 1:
            blocks += _tree(rows[i:after], chunk)
        else:
            length = end - start
            while after < len(rows) and _alone(rows, after) and rows[after][1] - rows[after][0] == length:
                after += 1
            blocks += _equals(start, end, after - i, causal, chunk)
        i = after
    return tuple(blocks)


def _alone(rows: Sequence[tuple[int, int, int, int]], i: int) -> bool:
    """Whether a sequence has neither a shared prompt nor responses that share it."""
    start, end, before, beyond = rows[i]
    return before == beyond and not (i + 1 < len(rows) and rows[i + 1][2:] == (start, end))


# Longer sequences are efficient alone; batched, their upper triangles would be computed too.
STACK = 96


def _equals(start: int, end: int, count: int, causal: bool, chunk: int | None) -> list[AttentionBlock]:
    """``count`` adjacent sequences of equal length, the first from ``start`` to ``end``."""
    length = end - start
    if chunk is None or (causal and length > STACK):
        return [b for n in range(count) for b in _chunks(start + n * length, end + n * length, causal, chunk)]
    part = (SequencePart(length, 0, PREFIX),)
    whole = (start, start + count * length)
    return [AttentionBlock(*whole, (whole,), part, part, causal, repeat=count)]


def _chunks(start: int, end: int, causal: bool, chunk: int | None) -> list[AttentionBlock]:
    """One sequence in blocks of at most ``chunk`` queries, each with all keys before them."""
    size = chunk if chunk and causal else end - start
    blocks = []
    for a in range(start, end, size):
        b = min(a + size, end)
        own = SequencePart(b - a, a - start, PREFIX)
        blocks.append(
            AttentionBlock(a, b, ((start, b),), (own,), (SequencePart(b - start, 0, PREFIX),), causal)
        )
    return blocks


def _tree(rows: Sequence[tuple[int, int, int, int]], chunk: int | None) -> list[AttentionBlock]:
    """A prompt and the responses that share it."""
    start, end = rows[0][:2]
    prompt = end - start
    blocks = _chunks(start, end, True, chunk)
    for number, (a, b, *_) in enumerate(rows[1:], start=1):
        own = SequencePart(b - a, prompt, number)
        last = blocks[-1]
        # Masked scores if the response joins the previous block.
        joined = (b - a) * (last.end - last.start + sum(p.length for p in last.key_parts) - prompt)
        if joined <= JOIN and chunk is not None:
            first, *rest = last.keys
            keys = (first, (rest[0][0], b)) if rest else ((start, b),)
            blocks[-1] = AttentionBlock(
                last.start, b, keys, (*last.query_parts, own), (*last.key_parts, own), True
            )
        else:
            blocks.append(
                AttentionBlock(
                    a, b, ((start, end), (a, b)), (own,), (SequencePart(prompt, 0, PREFIX), own), True
                )
            )
    return blocks


_last_table: tuple[Any, Rows] | None = None


def rows_of(table: Tensor) -> Rows:
    """The table of a layout [1, 1, sequences, 4] as numbers, kept because every layer of a forward pass asks."""
    global _last_table
    if _last_table is None or _last_table[0]() is not table:
        _last_table = weakref.ref(table), tuple((a, b, c, d) for a, b, c, d in table[0, 0].tolist())
    return _last_table[1]


def longest_of(rows: Rows) -> int:
    """Tokens of the longest sequence, its shared prompt included."""
    return max(end - start + beyond - before for start, end, before, beyond in rows)


def take_ranges(ranges: Sequence[tuple[int, int]], tensor: Tensor) -> Tensor:
    """The keys (or values) in ranges of slots: [G, Tk, d] of ``tensor`` [G, S, d]."""
    if len(ranges) == 1:
        return tensor[:, slice(*ranges[0])]
    return torch.cat([tensor[:, a:b] for a, b in ranges], dim=1)
