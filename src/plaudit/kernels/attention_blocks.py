"""How attention over a packed row is cut into blocks: which queries look at which keys together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

PREFIX = 0  # the number of the sequence that all others of a block may see


@dataclass(frozen=True)
class Part:
    """Some tokens of one sequence within a block: how many, from which position, whose."""

    length: int
    position: int
    owner: int


@dataclass(frozen=True)
class Block:
    """Queries ``start`` to ``end`` see the slots ``keys`` through a mask.

    ``repeat`` equal sequences that lie side by side are one block: their queries and keys are then the
    ``repeat``-th parts of the ranges.
    """

    start: int
    end: int
    keys: tuple[tuple[int, int], ...]
    query_parts: tuple[Part, ...]
    key_parts: tuple[Part, ...]
    causal: bool
    repeat: int = 1

    @property
    def queries(self) -> int:
        return (self.end - self.start) // self.repeat

    @property
    def plain(self) -> bool:
        """One whole causal sequence, for which kernels need no mask."""
        return self.causal and self.repeat == 1 and self.query_parts == self.key_parts and len(self.keys) == 1

    def mask(self, window: int | None, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        """0 where a query may look and −∞ elsewhere: [Tq, Tk]; None where it may look everywhere."""
        if not self.causal:
            return None
        return _mask(self.query_parts, self.key_parts, window, dtype, device)


@lru_cache(maxsize=256)
def _mask(
    queries: tuple[Part, ...],
    keys: tuple[Part, ...],
    window: int | None,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    def columns(parts: Sequence[Part]) -> tuple[Tensor, Tensor]:
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


# Scores that a block may compute in vain so that a response joins its siblings, instead of a block of its own.
JOIN = 4096


@lru_cache(maxsize=16)
def blocks_of(
    rows: tuple[tuple[int, int, int, int], ...], causal: bool, chunk: int | None
) -> tuple[Block, ...]:
    """Blocks for the sequences of a table, in the order of slots.

    ``chunk`` is the most queries of one sequence that a block computes: with the keys after them left
    out, half of a long sequence's scores are never computed. None leaves sequences whole.
    """
    blocks: list[Block] = []
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
    """Whether a sequence neither branches off another nor is branched off."""
    start, end, before, beyond = rows[i]
    return before == beyond and not (i + 1 < len(rows) and rows[i + 1][2:] == (start, end))


# Longer sequences keep a product busy by themselves; side by side their upper triangles would be computed too.
STACK = 96


def _equals(start: int, end: int, count: int, causal: bool, chunk: int | None) -> list[Block]:
    """``count`` sequences of equal length side by side, the first of them from ``start`` to ``end``."""
    length = end - start
    if chunk is None or (causal and length > STACK):
        return [b for n in range(count) for b in _chunks(start + n * length, end + n * length, causal, chunk)]
    part = (Part(length, 0, PREFIX),)
    whole = (start, start + count * length)
    return [Block(*whole, (whole,), part, part, causal, repeat=count)]


def _chunks(start: int, end: int, causal: bool, chunk: int | None) -> list[Block]:
    """One sequence in blocks of at most ``chunk`` queries, which see all that came before them."""
    size = chunk if chunk and causal else end - start
    blocks = []
    for a in range(start, end, size):
        b = min(a + size, end)
        own = Part(b - a, a - start, PREFIX)
        blocks.append(Block(a, b, ((start, b),), (own,), (Part(b - start, 0, PREFIX),), causal))
    return blocks


def _tree(rows: Sequence[tuple[int, int, int, int]], chunk: int | None) -> list[Block]:
    """A prompt and the responses that branch off it."""
    start, end = rows[0][:2]
    prompt = end - start
    blocks = _chunks(start, end, True, chunk)
    for number, (a, b, *_) in enumerate(rows[1:], start=1):
        own = Part(b - a, prompt, number)
        last = blocks[-1]
        # Scores that are masked when the response joins the block before it.
        joined = (b - a) * (last.end - last.start + sum(p.length for p in last.key_parts) - prompt)
        if joined <= JOIN and chunk is not None:
            first, *rest = last.keys
            keys = (first, (rest[0][0], b)) if rest else ((start, b),)
            blocks[-1] = Block(last.start, b, keys, (*last.query_parts, own), (*last.key_parts, own), True)
        else:
            blocks.append(Block(a, b, ((start, end), (a, b)), (own,), (Part(prompt, 0, PREFIX), own), True))
    return blocks
