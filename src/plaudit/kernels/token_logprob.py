"""Fused log-softmax and gather over the vocabulary, and its gradient (cf. linear cross-entropy), as numba loops.

    log p = s z_y − log Σ_v exp(s z_v),   d log p / d z_v = s (1[v = y] − p_v)

Logits are read and gradients written in fp32 or bf16; arithmetic is fp32. A logit of -inf has probability 0; NaN or
+inf makes its row NaN.

Shapes: N rows, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from plaudit.kernels.numba_utils import (
    JIT_OPTIONS,
    as_numpy,
    exp,
    load_fp32,
    parallel_loop,
    set_threads_for,
    store_as,
)

# Running maxima kept side by side, so that the search vectorizes.
MAX_LANES = 128


def log_prob(z: Tensor, targets: Tensor, factor: float) -> tuple[Tensor, Tensor]:
    """log p of ``targets`` [N] and the log-normalizer log Σ_v exp(factor · z_v) [N] of logits z [N, V], in fp32."""
    found, normalizer = torch.empty(len(z)), torch.empty(len(z))
    set_threads_for(16 * z.numel())
    _log_prob(as_numpy(z), as_numpy(targets), np.float32(factor), found.numpy(), normalizer.numpy())
    return found, normalizer


def entropy(z: Tensor, normalizer: Tensor, factor: float) -> Tensor:
    """The entropy of each row [N]."""
    found = torch.empty(len(z))
    set_threads_for(16 * z.numel())
    _entropy(as_numpy(z), as_numpy(normalizer), np.float32(factor), found.numpy())
    return found


def grad_logits(z: Tensor, targets: Tensor, normalizer: Tensor, grad: Tensor, factor: float) -> Tensor:
    """The gradient of the logits from that of log p, ``grad`` [N]; overwrites the logits z [N, V]."""
    set_threads_for(16 * z.numel())
    _grad_logits(as_numpy(z), as_numpy(targets), as_numpy(normalizer), as_numpy(grad), np.float32(factor))
    return z


@njit(**JIT_OPTIONS)
def _max(row: Any, tops: Any) -> Any:
    for j in range(MAX_LANES):
        tops[j] = -np.inf
    whole = len(row) // MAX_LANES
    for i in range(whole):
        part = row[i * MAX_LANES : (i + 1) * MAX_LANES]
        for j in range(MAX_LANES):
            x = load_fp32(part[j])
            tops[j] = x if x > tops[j] else tops[j]
    rest = row[whole * MAX_LANES :]
    for j in range(len(rest)):
        x = load_fp32(rest[j])
        tops[j] = x if x > tops[j] else tops[j]
    return np.max(tops)


@njit(inline="always")
def _clamp(x: Any) -> Any:
    """x, raised to the lowest argument of ``exp``; NaN stays."""
    return np.float32(-87.0) if x < np.float32(-87.0) else x


def _log_prob_rows(z: Any, targets: Any, factor: Any, log_prob: Any, normalizer: Any) -> None:
    for r in prange(len(z)):
        row = z[r]
        top = factor * _max(row, np.empty(MAX_LANES, dtype=np.float32))
        total = np.float32(0)
        for i in range(len(row)):
            x = _clamp(factor * load_fp32(row[i]) - top)
            # The last term is 0, or NaN where a logit is NaN or +inf.
            total += exp(x) + np.float32(0) * x
        normalizer[r] = top + np.log(total)
        log_prob[r] = factor * load_fp32(row[targets[r]]) - normalizer[r]


def _entropy_rows(z: Any, normalizer: Any, factor: Any, found: Any) -> None:
    for r in prange(len(z)):
        row, base = z[r], normalizer[r]
        total = np.float32(0)
        for i in range(len(row)):
            x = _clamp(factor * load_fp32(row[i]) - base)
            total -= exp(x) * x
        found[r] = total


def _grad_logits_rows(z: Any, targets: Any, normalizer: Any, grad: Any, factor: Any) -> None:
    for r in prange(len(z)):
        row, scale, base = z[r], -grad[r] * factor, normalizer[r]
        at = factor * load_fp32(row[targets[r]]) - base
        for i in range(len(row)):
            x = _clamp(factor * load_fp32(row[i]) - base)
            row[i] = store_as(scale * (exp(x) + np.float32(0) * x), row[0])
        row[targets[r]] = store_as(scale * (exp(at) - np.float32(1)), row[0])


_log_prob, _entropy, _grad_logits = (
    parallel_loop(_log_prob_rows),
    parallel_loop(_entropy_rows),
    parallel_loop(_grad_logits_rows),
)
