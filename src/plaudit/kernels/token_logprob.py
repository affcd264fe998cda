"""The log-probability of one token of a vocabulary a row, and its slopes, as compiled loops of one pass or two.

    log p = s z_y − log Σ_v exp(s z_v),   d log p / d z_v = s (1[v = y] − p_v)

Logits are read and slopes written in fp32 or bf16; everything between is fp32. A logit of -inf has
probability 0; a NaN or +inf makes its row NaN.

Shapes: N rows, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from plaudit.kernels.numba_utils import OPTIONS, array, exp, loop, number, share, stored

# Highest numbers that are looked for side by side.
LANES = 128


def chosen(z: Tensor, targets: Tensor, factor: float) -> tuple[Tensor, Tensor]:
    """log p of ``targets`` [N] and the normaliser log Σ_v exp(factor · z_v) [N] of logits z [N, V], in fp32."""
    log_prob, normaliser = torch.empty(len(z)), torch.empty(len(z))
    share(16 * z.numel())
    _chosen(array(z), array(targets), np.float32(factor), log_prob.numpy(), normaliser.numpy())
    return log_prob, normaliser


def details(z: Tensor, targets: Tensor, normaliser: Tensor, factor: float) -> tuple[Tensor, Tensor]:
    """The entropy of each row [N], and whether the target is its first highest logit [N]."""
    entropy, hits = torch.empty(len(z)), torch.empty(len(z), dtype=torch.bool)
    share(16 * z.numel())
    _details(*map(array, (z, targets, normaliser)), np.float32(factor), entropy.numpy(), hits.numpy())
    return entropy, hits


def slopes(z: Tensor, targets: Tensor, normaliser: Tensor, grad: Tensor, factor: float) -> Tensor:
    """The gradient of the logits from that of log p, ``grad`` [N], in place of the logits z [N, V]."""
    share(16 * z.numel())
    _slopes(array(z), array(targets), array(normaliser), array(grad), np.float32(factor))
    return z


@njit(**OPTIONS)
def _highest(row: Any, tops: Any) -> Any:
    for j in range(LANES):
        tops[j] = -np.inf
    whole = len(row) // LANES
    for i in range(whole):
        part = row[i * LANES : (i + 1) * LANES]
        for j in range(LANES):
            x = number(part[j])
            tops[j] = x if x > tops[j] else tops[j]
    rest = row[whole * LANES :]
    for j in range(len(rest)):
        x = number(rest[j])
        tops[j] = x if x > tops[j] else tops[j]
    return np.max(tops)


@njit(inline="always")
def _open(x: Any) -> Any:
    """x, and the lowest number that ``exp`` tells apart for what lies below it, -inf too; NaN stays."""
    return np.float32(-87.0) if x < np.float32(-87.0) else x


def _chosen_rows(z: Any, targets: Any, factor: Any, log_prob: Any, normaliser: Any) -> None:
    for r in prange(len(z)):
        row = z[r]
        top = factor * _highest(row, np.empty(LANES, dtype=np.float32))
        total = np.float32(0)
        for i in range(len(row)):
            x = _open(factor * number(row[i]) - top)
            # The last term is 0, or NaN where a logit is NaN or +inf.
            total += exp(x) + np.float32(0) * x
        normaliser[r] = top + np.log(total)
        log_prob[r] = factor * number(row[targets[r]]) - normaliser[r]


def _detail_rows(z: Any, targets: Any, normaliser: Any, factor: Any, entropy: Any, hits: Any) -> None:
    for r in prange(len(z)):
        row, base = z[r], normaliser[r]
        total = np.float32(0)
        for i in range(len(row)):
            x = _open(factor * number(row[i]) - base)
            total -= exp(x) * x
        entropy[r] = total
        top = _highest(row, np.empty(LANES, dtype=np.float32))
        target = number(row[targets[r]])
        hits[r] = target == top
        for i in range(targets[r]):
            if number(row[i]) == target:
                hits[r] = False


def _slope_rows(z: Any, targets: Any, normaliser: Any, grad: Any, factor: Any) -> None:
    for r in prange(len(z)):
        row, scale, base = z[r], -grad[r] * factor, normaliser[r]
        at = factor * number(row[targets[r]]) - base
        for i in range(len(row)):
            x = _open(factor * number(row[i]) - base)
            row[i] = stored(scale * (exp(x) + np.float32(0) * x), row[0])
        row[targets[r]] = stored(scale * (exp(at) - np.float32(1)), row[0])


_chosen, _details, _slopes = loop(_chosen_rows), loop(_detail_rows), loop(_slope_rows)
