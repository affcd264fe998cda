"""A key-value cache whose rows are written in place, dropped and refilled.

All rows write the same column at the same step, so a row that has seen ``p`` tokens occupies the
columns [end − p, end). Columns are in time order: a sliding window is a shorter slice, and what a
row may not see is one additive mask [rows, columns] that steps only slice.

Shapes: R rows, C columns, H key-value heads, K and V head sizes (which may differ).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from plaudit.rollout.prefix import Prefixes

# Rows that are looked at together, and columns by which parts must differ to be looked at apart.
SPAN = 16
NEAR = 12


class RowCache(Cache):
    """Keys and values of ``rows`` rows in ``columns`` columns for every layer.

    ``windows`` holds each layer's sliding window, or None. Tensors are allocated when the first
    keys and values arrive, since only they tell the heads and sizes. ``live`` rows are in use;
    ``end`` is one past the current column; ``start`` [R] is each row's first column, ``before`` [R] the
    tokens that came before it and lie elsewhere (``prefixes``).
    """

    def __init__(
        self, windows: list[int | None], rows: int, columns: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        super().__init__(layers=[RowLayer(self, window) for window in windows])
        self.rows, self.columns = rows, columns
        self.live = 0
        self.end = 0
        self.low = 0
        self._spans: list[tuple[int, int, int]] = []
        self.start = torch.zeros(rows, dtype=torch.long, device=device)
        self.before = torch.zeros(rows, dtype=torch.long, device=device)
        self.prefixes: Prefixes | None = None
        self.mask = torch.zeros(rows, columns, dtype=dtype, device=device)
        self._column = torch.arange(columns, device=device)

    def positions(self) -> Tensor:
        """The position of each live row's current token: [R]."""
        return self.end - 1 - self.start[: self.live] + self.before[: self.live]

    @property
    def bytes(self) -> int:
        """Memory of the keys and values allocated so far."""
        held = [t for layer in self.layers for t in (layer.keys, layer.values) if t is not None]
        return sum(t.numel() * t.element_size() for t in held)

    def fits(self, windows: list[int | None], rows: int, columns: int, like: Tensor) -> bool:
        """Whether the cache can serve again for layers, rows and columns like these.

        The number of columns must be the same: it is a stride, on which the last bit of a matmul may depend,
        and a sample must not depend on earlier calls.
        """
        return (
            [layer.window for layer in self.layers] == windows
            and self.rows >= rows
            and self.columns == columns
            and (self.mask.dtype, self.mask.device) == (like.dtype, like.device)
        )

    def open(self, slots: Tensor, lengths: Tensor, before: Tensor | int = 0) -> None:
        """Give ``slots`` to rows that have ``lengths`` tokens each here, and ``before`` elsewhere."""
        first = self.end - lengths
        self.start[slots] = first
        self.before[slots] = before
        closed = self._column < first[:, None]
        self.mask[slots] = torch.zeros_like(closed, dtype=self.mask.dtype).masked_fill_(closed, -torch.inf)

    def fill(
        self, layer: int, slots: Tensor, parents: Tensor, lengths: Tensor, keys: Tensor, values: Tensor
    ) -> None:
        """Copy prompts' keys [P, H, T, K] and values [P, H, T, V], padded on the right, into ``slots``.

        ``parents`` [n] names each slot's prompt, ``lengths`` [n] its tokens.
        """
        self.layers[layer].fill(slots, parents, lengths, keys, values)

    def advance(self) -> None:
        """Open the next column; move everything to the front when the last one is used up."""
        if self.end == self.columns:
            shift = self.low
            if shift == 0:
                raise RuntimeError("the cache is full: a row is longer than its columns")
            for layer in self.layers:
                layer.shift(shift, self.end, self.live)
            self.mask[:, : self.end - shift] = self.mask[:, shift : self.end].clone()
            self.mask[:, self.end - shift :] = 0
            self.start -= shift
            self.end -= shift
            self.low = 0
            self._spans = [(begin, end, first - shift) for begin, end, first in self._spans]
        self.end += 1

    def move(self, source: Tensor, target: Tensor) -> None:
        """Copy rows ``source`` over rows ``target``: how the holes of finished rows are closed."""
        self.start[target] = self.start[source]
        self.before[target] = self.before[source]
        self.mask[target] = self.mask[source]
        for layer in self.layers:
            layer.move(source, target, self.low, self.end)

    def settle(self, live: int) -> None:
        """Set the number of rows in use."""
        self.live = live
        starts = self.start[:live].tolist()
        self.low = min(starts, default=self.end)
        self._spans = []
        # Parts that read less pay on a CPU; each costs an accelerator several launches.
        span = SPAN if self.start.device.type == "cpu" else max(1, live)
        for begin in range(0, live, span):
            end, first = min(live, begin + span), min(starts[begin : begin + span])
            if self._spans and abs(self._spans[-1][2] - first) < NEAR:
                begin, _, before = self._spans.pop()
                first = min(first, before)
            self._spans.append((begin, end, first))

    def spans(self, window: int | None) -> list[tuple[int, int, int]]:
        """Live rows in parts (begin, end, first column that any of them sees): short rows read less."""
        least = 0 if window is None else self.end - window
        return [(begin, end, max(first, least)) for begin, end, first in self._spans]

    def masks(self) -> dict[str, Tensor]:
        """The additive mask [R, 1, 1, columns seen] of each kind of layer."""
        kinds: dict[str, Tensor] = {}
        for layer in self.layers:
            kind = "full_attention" if layer.window is None else "sliding_attention"
            if kind not in kinds:
                kinds[kind] = self.mask[: self.live, None, None, layer.first() : self.end]
        return kinds


class RowLayer(CacheLayerMixin):
    """One layer of a ``RowCache``: [R, H, C, K] keys and [R, H, C, V] values."""

    is_sliding = False

    def __init__(self, cache: RowCache, window: int | None) -> None:
        super().__init__()
        self.cache, self.window = cache, window

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate for the heads and sizes of these states.

        Zeros, not empty memory: a masked NaN is still a NaN after the weighted sum.
        """
        rows, columns, mask = self.cache.rows, self.cache.columns, self.cache.mask
        self.keys = mask.new_zeros(rows, key_states.shape[1], columns, key_states.shape[-1])
        self.values = mask.new_zeros(rows, value_states.shape[1], columns, value_states.shape[-1])
        self.is_initialized = True

    def first(self) -> int:
        """The first column that this layer can see."""
        if self.window is None:
            return self.cache.low
        return max(self.cache.low, self.cache.end - self.window)

    def write(self, k: Tensor, v: Tensor) -> None:
        """Write one token's keys [R, H, K] and values [R, H, V] per live row at the current column."""
        if not self.is_initialized:
            self.lazy_initialization(k[:, :, None], v[:, :, None])
        live, column = self.cache.live, self.cache.end - 1
        self.keys[:live, :, column] = k
        self.values[:live, :, column] = v

    def flat(self, begin: int, end: int, first: int) -> tuple[Tensor, Tensor]:
        """Views [rows · H, columns seen, K] and V of what rows ``begin`` to ``end`` see from ``first`` on."""
        heads, last = self.keys.shape[1], self.cache.end
        rows = slice(begin * heads, end * heads)
        keys = self.keys.view(-1, *self.keys.shape[2:])[rows, first:last]
        return keys, self.values.view(-1, *self.values.shape[2:])[rows, first:last]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write one token per live row at the current column; return what the layer sees."""
        self.write(key_states[:, :, 0], value_states[:, :, 0])
        live, seen = self.cache.live, slice(self.first(), self.cache.end)
        return self.keys[:live, :, seen], self.values[:live, :, seen]

    def fill(self, slots: Tensor, parents: Tensor, lengths: Tensor, keys: Tensor, values: Tensor) -> None:
        """See ``RowCache.fill``."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        end, width = self.cache.end, keys.shape[2]
        # Right-padded prompts become right-aligned rows: column j reads token j − (width − length).
        token = torch.arange(width, device=keys.device) - (width - lengths)[:, None]
        token.clamp_min_(0)
        for cached, states in ((self.keys, keys), (self.values, values)):
            moved = states.transpose(1, 2)[parents[:, None], token]
            cached[slots, :, end - width : end] = moved.transpose(1, 2)

    def shift(self, by: int, end: int, live: int) -> None:
        if self.is_initialized:
            for cached in (self.keys, self.values):
                cached[:live, :, : end - by] = cached[:live, :, by:end].clone()

    def move(self, source: Tensor, target: Tensor, low: int, end: int) -> None:
        if self.is_initialized:
            for cached in (self.keys, self.values):
                cached[target, :, low:end] = cached[source, :, low:end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        first = self.first()
        return self.cache.end - first, first

    def get_seq_length(self) -> int:
        return self.cache.end - 1

    def get_max_length(self) -> int:
        return self.cache.columns
