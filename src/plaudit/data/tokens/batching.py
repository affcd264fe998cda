"""From token items to token batches: a budget of tokens, and length balance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind, slots_of


def plan(items: Sequence[TokenItem], token_budget: int, layout: LayoutKind = "padded") -> list[list[int]]:
    """Group items into micro-batches of at most ``token_budget`` slots of a layout, padding included.

    Items are sorted by length, so that rows of a padded batch are nearly equal and short sequences of a
    packed one meet their equals; an item larger than the budget gets a batch of its own. The order is a
    function of the items alone.
    """
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
