"""From token items to token batches: a budget of tokens, and length balance."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import torch

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind, slots_of


def plan(
    items: Sequence[TokenItem], token_budget: int, layout: LayoutKind = "padded", world: int = 1
) -> list[list[int]]:
    """Group items into micro-batches of at most ``token_budget`` slots of a layout, padding included.

    For several ranks the number of micro-batches is a multiple of ``world``, every world-th one is a rank's, and all
    have nearly the same number of slots; where there are fewer items than that, some are empty.

    Items are sorted by length, so that rows of a padded batch are nearly equal and short sequences of a
    packed one meet their equals; an item larger than the budget gets a batch of its own. The order is a
    function of the items alone.
    """
    if world > 1:
        return _near_equal(items, token_budget, layout, world)
    order = sorted(range(len(items)), key=lambda i: (-items[i].longest, i))
    batches: list[list[int]] = []
    current: list[int] = []
    used = rows = longest = 0
    for i in order:
        if layout == "padded":
            rows += len(items[i].responses)
            longest = max(longest, items[i].longest)
            used = rows * longest
        else:
            used += slots_of(items[i], layout)
        if current and used > token_budget:
            batches.append(current)
            current, rows, longest = [], len(items[i].responses), items[i].longest
            used = rows * longest if layout == "padded" else slots_of(items[i], layout)
        current.append(i)
    if current:
        batches.append(current)
    return batches


def slots_in(items: Sequence[TokenItem], layout: LayoutKind) -> int:
    """Slots that items take as one micro-batch, padding included."""
    if layout == "padded":
        rows = sum(len(item.responses) for item in items)
        return rows * max((item.longest for item in items), default=0)
    return sum(slots_of(item, layout) for item in items)


def _near_equal(
    items: Sequence[TokenItem], token_budget: int, layout: LayoutKind, world: int
) -> list[list[int]]:
    """The fewest rounds of ``world`` micro-batches within the budget, each as nearly equal as items allow."""
    if not items:
        return []
    if layout == "padded":
        rounds = -(-len(plan(items, token_budget, layout)) // world)
        return _by_length(items, token_budget, layout, rounds * world)
    rounds = max(1, -(-slots_in(items, layout) // (token_budget * world)))
    while True:
        parts = _by_slots(items, layout, rounds * world)
        # By how much the largest is too large, so that few rounds are tried in vain; single items are never split.
        largest = max((_used(items, part, layout) for part in parts if len(part) > 1), default=0)
        if largest <= token_budget:
            return parts
        rounds = max(rounds + 1, min(rounds * largest // token_budget, -(-len(items) // world)))


def _used(items: Sequence[TokenItem], part: Sequence[int], layout: LayoutKind) -> int:
    return slots_in([items[i] for i in part], layout)


def _by_slots(items: Sequence[TokenItem], layout: LayoutKind, count: int) -> list[list[int]]:
    """Items dealt out, the largest first, each to the part that has the fewest slots so far."""
    sizes = [slots_of(item, layout) for item in items]
    parts: list[list[int]] = [[] for _ in range(count)]
    heap = [(0, number) for number in range(count)]
    for i in sorted(range(len(items)), key=lambda i: (-sizes[i], i)):
        used, number = heapq.heappop(heap)
        parts[number].append(i)
        heapq.heappush(heap, (used + sizes[i], number))
    return [sorted(part, key=lambda i: (-items[i].longest, i)) for part in parts]


def _by_length(
    items: Sequence[TokenItem], token_budget: int, layout: LayoutKind, count: int
) -> list[list[int]]:
    """Items of nearly equal length together, under the smallest budget that makes no more than ``count`` parts."""
    low, high = 1, token_budget
    while low < high:
        middle = (low + high) // 2
        if len(plan(items, middle, layout)) <= count:
            high = middle
        else:
            low = middle + 1
    parts = plan(items, high, layout)
    return parts + [[] for _ in range(count - len(parts))]


def collate(items: Sequence[TokenItem], pad_id: int) -> TokenBatch:
    """Items as one batch; ``pad_id`` fills the empty slots of a padded layout."""
    responses = [segment for item in items for segment in item.responses]
    lengths = np.asarray([len(segment) for segment in responses], dtype=np.int64)
    counts = [len(item.responses) for item in items]
    return TokenBatch(
        items=list(items),
        pad_id=pad_id,
        targets=torch.from_numpy(np.concatenate([s.ids for s in responses])),
        trained=torch.from_numpy(np.concatenate([s.trained for s in responses])),
        response_of=torch.from_numpy(np.repeat(np.arange(len(responses)), lengths)),
        lengths=torch.from_numpy(lengths),
        item_of=torch.from_numpy(np.repeat(np.arange(len(items)), counts)),
    )
