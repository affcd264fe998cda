"""From token items to token batches: a budget of tokens, length balance, and the index tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from plaudit.data.tokens import TokenBatch, TokenItem


def plan(items: Sequence[TokenItem], token_budget: int) -> list[list[int]]:
    """Group items into micro-batches of at most ``token_budget`` slots, padding included.

    Items are sorted by length, so that rows of one batch are nearly equal; an item larger than the
    budget gets a batch of its own. The order is a function of the items alone.
    """
    order = sorted(range(len(items)), key=lambda i: (-items[i].longest, i))
    batches: list[list[int]] = []
    current: list[int] = []
    rows = longest = 0
    for i in order:
        new_rows = rows + len(items[i].responses)
        new_longest = max(longest, items[i].longest)
        if current and new_rows * new_longest > token_budget:
            batches.append(current)
            current, new_rows, new_longest = [], len(items[i].responses), items[i].longest
        current.append(i)
        rows, longest = new_rows, new_longest
    if current:
        batches.append(current)
    return batches


def collate(items: Sequence[TokenItem], pad_id: int) -> TokenBatch:
    """Lay items out as right-padded rows, one row a response."""
    rows = [(i, item.prompt, segment) for i, item in enumerate(items) for segment in item.responses]
    width = max(len(prompt) + len(segment) for _, prompt, segment in rows)
    shape = (len(rows), width)
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    starts = np.empty(len(rows), dtype=np.int64)
    lengths = np.empty(len(rows), dtype=np.int64)
    for r, (_, prompt, segment) in enumerate(rows):
        start, end = len(prompt), len(prompt) + len(segment)
        input_ids[r, :start] = prompt
        input_ids[r, start:end] = segment.ids
        attention_mask[r, :end] = 1
        starts[r] = r * width + start
        lengths[r] = len(segment)
    response_of = np.repeat(np.arange(len(rows)), lengths)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    positions = starts[response_of] + np.arange(len(response_of)) - first[response_of]
    position_ids = np.broadcast_to(np.arange(width), shape).copy()
    return TokenBatch(
        items=list(items),
        input_ids=torch.from_numpy(input_ids),
        attention_mask=torch.from_numpy(attention_mask),
        position_ids=torch.from_numpy(position_ids),
        predicting=torch.from_numpy(positions - 1),
        positions=torch.from_numpy(positions),
        last=torch.from_numpy(starts + lengths - 1),
        targets=torch.from_numpy(np.concatenate([s.ids for _, _, s in rows])),
        trained=torch.from_numpy(np.concatenate([s.trained for _, _, s in rows])),
        response_of=torch.from_numpy(response_of),
        lengths=torch.from_numpy(lengths),
        item_of=torch.from_numpy(np.asarray([i for i, _, _ in rows], dtype=np.int64)),
    )
