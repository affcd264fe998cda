"""Summary statistics that training logs."""

from __future__ import annotations

import torch
from torch import Tensor

from plaudit.objectives.checks import expect_mask, expect_same_shape


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """The mean over the tokens that the mask holds: Σ_mask x / Σ mask.

    Equal shapes → scalar; values outside the mask are never read. Raises ValueError for an empty
    mask, TypeError where it is not boolean.
    """
    expect_same_shape(x=x, mask=mask)
    expect_mask(mask)
    if not bool(mask.any()):
        raise ValueError("the mask holds no token: the mean is not defined")
    return torch.where(mask, x, torch.zeros_like(x)).sum() / mask.sum()


def explained_variance(predicted: Tensor, target: Tensor) -> Tensor:
    """How much of the target's variance a prediction explains: 1 − Var(target − predicted) / Var(target).

    Equal shapes → scalar: 1 where they differ by a constant, 0 for a constant prediction, negative
    where it is worse than none. A target without variance gives 1 if it is explained so, else 0.
    """
    expect_same_shape(predicted=predicted, target=target)
    left, whole = (target - predicted).var(correction=0), target.var(correction=0)
    flat = (left == 0).to(whole.dtype)
    return torch.where(whole > 0, 1 - left / whole, flat)
