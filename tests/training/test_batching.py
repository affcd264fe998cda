"""Plans respect the budget and lose nothing; index tensors point at the right tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from plaudit.data.tokens.batching import collate, plan
from plaudit.data.tokens.item import Segment, TokenItem

ids = st.lists(st.integers(1, 50), min_size=1, max_size=12)
item = st.builds(
    lambda prompt, responses: TokenItem(np.asarray(prompt), tuple(Segment.of(r) for r in responses)),
    ids,
    st.lists(ids, min_size=1, max_size=4),
)


LAYOUTS = ("padded", "packed", "shared")


@settings(max_examples=60, deadline=None)
@given(st.lists(item, min_size=1, max_size=20), st.integers(1, 200), st.sampled_from(LAYOUTS))
def test_plan_uses_every_item_once_within_the_budget(items, budget, kind):
    batches = plan(items, budget, kind)
    assert sorted(i for batch in batches for i in batch) == list(range(len(items)))
    for batch in batches:
        laid = collate([items[i] for i in batch], 0).layout(kind)
        assert len(batch) == 1 or laid.input_ids.numel() <= budget


@settings(max_examples=60, deadline=None)
@given(st.lists(item, min_size=1, max_size=6), st.sampled_from(LAYOUTS))
def test_indices_point_at_the_tokens_they_name(items, kind):
    batch = collate(items, pad_id=0)
    layout = batch.layout(kind)
    flat = layout.input_ids.flatten()
    responses = [(i, r) for i, it in enumerate(items) for r in it.responses]
    assert batch.item_of.tolist() == [i for i, _ in responses]
    assert batch.lengths.tolist() == [len(r) for _, r in responses]
    assert torch.equal(flat[layout.positions], batch.targets)
    assert batch.targets.tolist() == [t for _, r in responses for t in r.ids]
    assert flat[layout.last].tolist() == [int(r.ids[-1]) for _, r in responses]
    first = [0, *np.cumsum(batch.lengths.numpy())[:-1].tolist()]
    before = [flat[layout.predicting[n]].item() for n in first]
    assert before == [int(items[i].prompt[-1]) for i, _ in responses]
    slots, owners = layout.whole()
    for r, (i, segment) in enumerate(responses):
        assert flat[slots[owners == r]].tolist() == [*items[i].prompt, *segment.ids]
    place = layout.position_ids.flatten()
    before = [len(items[i].prompt) for i, _ in responses]
    assert place[layout.first].tolist() == before
    if kind == "padded":
        assert layout.attention_mask.sum() == sum(it.slots for it in items)
    elif kind == "packed":
        assert len(flat) == sum(it.slots for it in items)
    else:
        assert len(flat) == sum(len(it.prompt) + sum(map(len, it.responses)) for it in items)


def test_a_shared_prompt_is_the_prefix_of_its_responses_in_the_table():
    items = [
        TokenItem(np.asarray([1, 2]), (Segment.of([3]), Segment.of([4, 5]))),
        TokenItem(np.asarray([6]), (Segment.of([7]),)),
    ]
    layout = collate(items, 0).layout("shared")
    assert layout.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 2, 3, 0, 1]]
    assert layout.table[0, 0].tolist() == [[0, 2, 0, 0], [2, 3, 0, 2], [3, 5, 0, 2], [5, 7, 5, 5]]


def test_sum_by_response_adds_the_tokens_of_each_response():
    items = [TokenItem(np.asarray([1]), (Segment.of([2, 3]), Segment.of([4])))]
    batch = collate(items, pad_id=0)
    assert batch.sum_by_response(torch.tensor([1.0, 2.0, 5.0])).tolist() == [3.0, 5.0]


def test_an_item_needs_a_prompt_and_responses_with_tokens():
    with pytest.raises(ValueError, match="prompt needs at least one token"):
        TokenItem(np.asarray([]), (Segment.of([1]),))
    with pytest.raises(ValueError, match="response needs at least one token"):
        TokenItem(np.asarray([1]), (Segment.of([]),))
