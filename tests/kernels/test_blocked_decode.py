"""Keys and values that are fetched near are multiplied like those that are there."""

from __future__ import annotations

import pytest
import torch

from plaudit.kernels import blocked_decode as blocked_decode
from plaudit.kernels.blocked_decode import BlockedDecode


@pytest.mark.parametrize("rows", [1, 7, 40])
@pytest.mark.parametrize("numbers", [1, 600, 1 << 19])
def test_far_products_are_the_near_ones(rows, numbers, monkeypatch):
    monkeypatch.setattr(blocked_decode, "BLOCK_NUMBERS", numbers)
    torch.manual_seed(0)
    keys = torch.randn(rows, 30, 8)[:, 5:22]
    q, weights = torch.randn(rows, 2, 8), torch.rand(rows, 2, 17)
    near, far = BlockedDecode(), BlockedDecode()
    far.out_of_cache = True
    for _ in range(2):  # the second time the room is there
        torch.testing.assert_close(far.scores(q, keys), near.scores(q, keys))
        torch.testing.assert_close(far.weighted_sum(weights, keys), near.weighted_sum(weights, keys))
    few = keys[:, :3]
    torch.testing.assert_close(far.scores(q, few), near.scores(q, few))


@pytest.mark.parametrize("several", [True, False])
def test_bf16_products_are_the_same_either_way(several):
    torch.manual_seed(0)
    keys, q = torch.randn(6, 9, 8).bfloat16(), torch.randn(6, 2, 8).bfloat16()
    near = BlockedDecode()
    near.out_of_cache = True
    torch.testing.assert_close(
        near.scores(q, keys, several).float(), q.float() @ keys.float().transpose(1, 2), atol=0.05, rtol=0.02
    )
