"""Plans respect the budget and lose nothing; index tensors point at the right tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plaudit.data.batching import collate, plan
from plaudit.data.tokens import Segment, TokenItem

ids = st.lists(st.integers(1, 50), min_size=1, max_size=12)
item = st.builds(
    lambda prompt, responses: TokenItem(np.asarray(prompt), tuple(Segment.of(r) for r in responses)),
    ids,
    st.lists(ids, min_size=1, max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(item, min_size=1, max_size=20), st.integers(1, 200))
def test_plan_uses_every_item_once_within_the_budget(items, budget):
    batches = plan(items, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(items)))
    for batch in batches:
        rows = sum(len(items[i].responses) for i in batch)
        assert len(batch) == 1 or rows * max(items[i].longest for i in batch) <= budget


@settings(max_examples=60, deadline=None)
@given(st.lists(item, min_size=1, max_size=6))
def test_indices_point_at_the_tokens_they_name(items):
    batch = collate(items, pad_id=0)
    flat = batch.input_ids.flatten()
    responses = [(i, r) for i, it in enumerate(items) for r in it.responses]
    assert batch.item_of.tolist() == [i for i, _ in responses]
    assert batch.lengths.tolist() == [len(r) for _, r in responses]
    assert torch.equal(flat[batch.positions], batch.targets)
    assert batch.targets.tolist() == [t for _, r in responses for t in r.ids]
    assert flat[batch.last].tolist() == [int(r.ids[-1]) for _, r in responses]
    first = [0, *np.cumsum(batch.lengths.numpy())[:-1].tolist()]
    before = [flat[batch.predicting[n]].item() for n in first]
    assert before == [int(items[i].prompt[-1]) for i, _ in responses]
    assert batch.attention_mask.sum() == sum(it.slots for it in items)


def test_sum_by_response_adds_the_tokens_of_each_response():
    items = [TokenItem(np.asarray([1]), (Segment.of([2, 3]), Segment.of([4])))]
    batch = collate(items, pad_id=0)
    assert batch.sum_by_response(torch.tensor([1.0, 2.0, 5.0])).tolist() == [3.0, 5.0]


def test_an_item_needs_a_prompt_and_responses_with_tokens():
    with pytest.raises(ValueError, match="prompt needs at least one token"):
        TokenItem(np.asarray([]), (Segment.of([1]),))
    with pytest.raises(ValueError, match="response needs at least one token"):
        TokenItem(np.asarray([1]), (Segment.of([]),))
