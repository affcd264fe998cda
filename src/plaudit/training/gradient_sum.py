"""Gradients summed over ranks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from plaudit.runtime import Mesh

# Numbers that are sent at once.
BUCKET = 2**24


def sum_gradients(parameters: Sequence[nn.Parameter], mesh: Mesh) -> None:
    """Σ over ranks of each gradient, in few messages; a rank that has none of a parameter adds zeros."""
    if mesh.world == 1:
        return
    bucket: list[nn.Parameter] = []
    for i, parameter in enumerate(parameters):
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        bucket.append(parameter)
        if i + 1 == len(parameters) or sum(p.numel() for p in bucket) >= BUCKET:
            flat = mesh.sum(torch.cat([p.grad.flatten() for p in bucket if p.grad is not None]))
            for p, part in zip(bucket, flat.split([p.numel() for p in bucket])):
                p.grad = part.view_as(p)
            bucket = []
