"""What becomes of a score before advantages: golden values by hand, and what must hold for all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from plaudit.objectives import overlong, relative_sigmoid


def reward_of_the_paper(n: int, longest: int, cache: int) -> float:
    """R_length of Yu et al. 2025 eq. 13, case by case."""
    if n <= longest - cache:
        return 0.0
    if n <= longest:
        return ((longest - cache) - n) / cache
    return -1.0


@given(st.integers(1, 60), st.data())
def test_the_penalty_is_that_of_the_paper(longest, data):
    cache = data.draw(st.integers(1, longest))
    lengths = list(range(longest + 3))
    found = overlong(torch.tensor(lengths).double(), longest=longest, cache=cache).numpy()
    np.testing.assert_allclose(-found, [reward_of_the_paper(n, longest, cache) for n in lengths], atol=1e-12)
    assert (np.diff(found) >= 0).all() and found[longest] == 1.0


def test_by_hand():
    assert overlong(torch.tensor([1, 6, 8, 10]), longest=10, cache=4).tolist() == [0.0, 0.0, 0.5, 1.0]


@pytest.mark.parametrize("cache", [0, 11])
def test_a_cache_that_does_not_fit_is_refused(cache):
    with pytest.raises(ValueError, match="cache"):
        overlong(torch.tensor([1]), longest=10, cache=cache)


NUMBERS = st.lists(st.floats(-30, 30), min_size=1, max_size=5)


@given(NUMBERS, NUMBERS, st.floats(-20, 20))
def test_relative_sigmoid_is_the_mean_chance_of_winning(scores, references, shift):
    rows = torch.tensor([references] * len(scores), dtype=torch.float64)
    found = relative_sigmoid(torch.tensor(scores, dtype=torch.float64), rows)
    expected = [np.mean([1 / (1 + np.exp(-(r - q))) for q in references]) for r in scores]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    moved = relative_sigmoid(torch.tensor(scores, dtype=torch.float64) + shift, rows + shift)
    np.testing.assert_allclose(moved, found, atol=1e-9)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found.numpy()[np.argsort(scores)]) >= 0).all()


def test_relative_sigmoid_by_hand_and_of_other_shapes():
    found = relative_sigmoid(torch.tensor([1.0, 1e9]), torch.tensor([[1.0, 1.0 - np.log(3)], [0.0, 5.0]]))
    assert found.tolist() == pytest.approx([0.5 * (0.5 + 0.75), 1.0])
    with pytest.raises(ValueError, match="shapes"):
        relative_sigmoid(torch.zeros(2), torch.zeros(3, 2))
