"""Numba loops of ``varlen_attention.py``: forward and backward pass of one (prompt group, key-value head).

Operands are packed into 32-bit lanes (``packed_bf16.py``). Keys (values in the backward pass) are transposed,
[lanes, stride], so that a tile of scores is one GEMM; values (keys) are interleaved along k, [stride / packing, d], so
that the weighted sum is one. Every sequence begins at a multiple of COLUMN_MULTIPLE; the columns between are zero.

Shapes: S slots, n queries, H heads, G key-value heads, d head size (d / packing lanes), packing 1 (fp32) or 2 (bf16).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from plaudit.kernels.gemm_llvm import COLUMN_MULTIPLE, TILE_ROWS, gemm_tile, max_of
from plaudit.kernels.numba_utils import JIT_OPTIONS, exp, parallel_loop
from plaudit.kernels.packed_bf16 import copy, fill, interleave_k, pack, per_lane, transpose, unpack

# Queries of one run: its scores stay in the cache between two GEMMs.
RUN = 64


@njit(inline="always")
def _round_up(n: int) -> int:
    return (n + COLUMN_MULTIPLE - 1) // COLUMN_MULTIPLE * COLUMN_MULTIPLE


@njit(**JIT_OPTIONS)
def _max_columns(group: Any, runs: Any) -> int:
    most = 0
    for run in range(group[2], group[3]):
        most = max(most, runs[run, 4])
    return most


@njit(**JIT_OPTIONS)
def _lay_out_kv(kv: int, x: Any, y: Any, segments: Any, group: Any) -> Any:
    """Of a group: x transposed [lanes, stride], y interleaved along k [stride / packing, d]."""
    _, slots, lanes = x.shape
    stride, size = group[4], lanes * per_lane(x)
    flat_x, flat_y = x.reshape(-1), y.reshape(-1)
    columns, steps = np.zeros(lanes * stride, dtype=x.dtype), np.zeros(stride * lanes, dtype=x.dtype)
    for segment in range(group[0], group[1]):
        start, length, column = segments[segment]
        place = (kv * slots + start) * lanes
        transpose(flat_x, place, length, lanes, columns, column, stride)
        interleave_k(flat_y, place, lanes, length, size, steps, column * lanes)
    return columns, steps


@njit(**JIT_OPTIONS)
def _scores(
    rows: Any, at: int, lanes: int, columns: Any, stride: int, own: int, n_prefix: int, n_own: int, out: Any, width: int
) -> None:  # fmt: skip
    """Scores of a tile of rows with ``n_prefix`` columns of the prefix and ``n_own`` own ones, from ``own`` on."""
    if n_prefix:
        gemm_tile(rows, at, lanes, 1, columns, 0, stride, lanes, out, 0, width, n_prefix, False)
    gemm_tile(rows, at, lanes, 1, columns, own, stride, lanes, out, n_prefix, width, n_own, False)


@njit(**JIT_OPTIONS)
def _weighted_sum(
    weights: Any, width: int, steps: Any, size: int, prefix: int, own: int, n_prefix: int, n_own: int, out: Any
) -> None:  # fmt: skip
    """A tile of weights times the values of the prefix and of its own sequence: [TILE_ROWS, d]."""
    packing = per_lane(weights)
    row = width // packing
    if n_prefix:
        many = (prefix + packing - 1) // packing
        gemm_tile(weights, 0, row, 1, steps, 0, size, many, out, 0, size, size, False)
    at, many = own // packing * size, n_own // packing
    gemm_tile(
        weights,
        n_prefix // packing,
        row,
        1,
        steps,
        at,
        size,
        many,
        out,
        0,
        size,
        size,
        n_prefix > 0,
    )


@njit(**JIT_OPTIONS)
def _softmax(s: Any, at: int, n_prefix: int, n_own: int, prefix: int, seen: int, window: int) -> Any:
    """eˢ⁻ᵐᵃˣ of what a query sees and 0 for the rest, in place; 1 / their sum, NaN where one is not finite.

    Its scores lie from ``at`` on: ``n_prefix`` columns for ``prefix`` tokens, then ``n_own`` for ``seen`` own tokens.
    """
    lost = max(0, prefix + seen - window)
    before, after = min(lost, prefix), max(0, lost - prefix)
    own = at + n_prefix
    fill(s, at, before, -np.inf)
    fill(s, at + prefix, n_prefix - prefix + after, -np.inf)
    fill(s, own + seen, n_own - seen, -np.inf)
    top = max_of(s, at, n_prefix + n_own)
    fill(s, at, before, 0)
    fill(s, at + prefix, n_prefix - prefix + after, 0)
    fill(s, own + seen, n_own - seen, 0)
    total = _exponentials(s, at + before, at + prefix, top) + _exponentials(s, own + after, own + seen, top)
    return np.float32(1) / total


@njit(**JIT_OPTIONS)
def _exponentials(s: Any, begin: int, end: int, top: Any) -> Any:
    part = s[begin:end]
    total = np.float32(0)
    for i in range(len(part)):
        x = part[i] - top
        weight = exp(x)
        part[i] = weight
        # The last term is 0, or NaN where a score is not finite.
        total += weight + np.float32(0) * x
    return total


@njit(**JIT_OPTIONS)
def _softmax_backward(grads: Any, at: int, count: int, weights: Any) -> None:
    """P ⊙ (dP − Σ P ⊙ dP) in place of ``count`` numbers of dP from ``at`` on."""
    part, weight_row = grads[at : at + count], weights[:count]
    mean = np.float32(0)
    for i in range(len(part)):
        mean += part[i] * weight_row[i]
    for i in range(len(part)):
        part[i] = (part[i] - mean) * weight_row[i]


@njit(**JIT_OPTIONS)
def _forward_group(
    kv: int, q: Any, k: Any, v: Any, segments: Any, group: Any, runs: Any, seen: Any, window: int, keep: bool, out: Any,
    saved: Any,
) -> None:  # fmt: skip
    heads, queries, lanes = q.shape
    packing, stride, heads_per_kv = per_lane(q), group[4], heads // k.shape[0]
    size = lanes * packing
    flat_q, flat_out, flat_saved = q.reshape(-1), out.reshape(-1), saved.reshape(-1)
    keys, values = _lay_out_kv(kv, k, v, segments, group)
    widest = _max_columns(group, runs)
    rows = np.zeros(TILE_ROWS * lanes, dtype=q.dtype)
    scores = np.empty(TILE_ROWS * widest, dtype=np.float32)
    weights = np.zeros(TILE_ROWS * widest // packing, dtype=q.dtype)
    result = np.empty(TILE_ROWS * size, dtype=np.float32)
    for run in range(group[2], group[3]):
        first, last, prefix, own, width, place = runs[run]
        n_prefix, step = _round_up(prefix), width // packing
        for head in range(kv * heads_per_kv, (kv + 1) * heads_per_kv):
            for begin in range(first, last, TILE_ROWS):
                have = min(TILE_ROWS, last - begin)
                n_own = _round_up(seen[begin + have - 1])
                copy(flat_q, (head * queries + begin) * lanes, have * lanes, rows, 0)
                _scores(rows, 0, lanes, keys, stride, own, n_prefix, n_own, scores, width)
                for r in range(have):
                    factor = _softmax(scores, r * width, n_prefix, n_own, prefix, seen[begin + r], window)
                    fill(
                        scores,
                        r * width + n_prefix + n_own,
                        width - n_prefix - n_own,
                        0,
                    )
                    pack(scores, r * width, factor, width, weights, r * step)
                _weighted_sum(weights, width, values, size, prefix, own, n_prefix, n_own, result)
                for r in range(have):
                    pack(
                        result, r * size, np.float32(1), size, flat_out, ((begin + r) * heads + head) * lanes
                    )
                if keep:
                    target = head * saved.shape[1] + (place + (begin - first) * width) // packing
                    copy(weights, 0, have * step, flat_saved, target)


@njit(**JIT_OPTIONS)
def _backward_group(
    kv: int, q: Any, k: Any, v: Any, grad: Any, saved: Any, segments: Any, group: Any, runs: Any, seen: Any, dq: Any,
    dk: Any, dv: Any,
) -> None:  # fmt: skip
    heads, queries, lanes = q.shape
    packing, stride, heads_per_kv = per_lane(q), group[4], heads // k.shape[0]
    size = lanes * packing
    flat_q, flat_grad, flat_saved, flat_dq = (
        q.reshape(-1),
        grad.reshape(-1),
        saved.reshape(-1),
        dq.reshape(-1),
    )
    values, keys = _lay_out_kv(kv, v, k, segments, group)
    widest = _max_columns(group, runs)
    of_keys, of_values = np.zeros(stride * size, dtype=np.float32), np.zeros(stride * size, dtype=np.float32)
    grads, grad_steps = np.empty(RUN * lanes, dtype=q.dtype), np.empty(RUN * lanes, dtype=q.dtype)
    query_steps = np.empty(RUN * lanes, dtype=q.dtype)
    saved_steps = np.empty(RUN // packing * widest, dtype=q.dtype)
    score_grad_steps = np.empty(RUN // packing * widest, dtype=q.dtype)
    scores, weight_row = np.empty(TILE_ROWS * widest, dtype=np.float32), np.empty(widest, dtype=np.float32)
    score_grads = np.zeros(TILE_ROWS * widest // packing, dtype=q.dtype)
    result = np.empty(TILE_ROWS * size, dtype=np.float32)
    for run in range(group[2], group[3]):
        first, last, prefix, own, width, place = runs[run]
        count, n_prefix, step = last - first, _round_up(prefix), width // packing
        for head in range(kv * heads_per_kv, (kv + 1) * heads_per_kv):
            weights = head * saved.shape[1] + place // packing
            for r in range(count):
                copy(flat_grad, ((first + r) * heads + head) * lanes, lanes, grads, r * lanes)
            interleave_k(grads, 0, lanes, count, size, grad_steps, 0)
            interleave_k(flat_q, (head * queries + first) * lanes, lanes, count, size, query_steps, 0)
            interleave_k(flat_saved, weights, step, count, width, saved_steps, 0)
            for begin in range(0, count, TILE_ROWS):
                have = min(TILE_ROWS, count - begin)
                n_own = _round_up(seen[first + begin + have - 1])
                _scores(
                    grads,
                    begin * lanes,
                    lanes,
                    values,
                    stride,
                    own,
                    n_prefix,
                    n_own,
                    scores,
                    width,
                )
                for r in range(have):
                    unpack(flat_saved, weights + (begin + r) * step, width, weight_row)
                    _softmax_backward(scores, r * width, n_prefix + n_own, weight_row)
                    fill(
                        scores,
                        r * width + n_prefix + n_own,
                        width - n_prefix - n_own,
                        0,
                    )
                    pack(scores, r * width, np.float32(1), width, score_grads, r * step)
                interleave_k(score_grads, 0, step, have, width, score_grad_steps, begin // packing * width)
                _weighted_sum(score_grads, width, keys, size, prefix, own, n_prefix, n_own, result)
                for r in range(have):
                    target = (head * queries + first + begin + r) * lanes
                    pack(result, r * size, np.float32(1), size, flat_dq, target)
            ahead = 0
            for column in range(0, width, TILE_ROWS):
                # The first queries of a run see nothing of its last columns.
                while seen[first + ahead] <= column - n_prefix and ahead < count - 1:
                    ahead += 1
                skip = ahead // packing
                many = (count + packing - 1) // packing - skip
                at = skip * width + column
                to = (column if column < n_prefix else own + column - n_prefix) * size
                gemm_tile(
                    saved_steps,
                    at,
                    1,
                    width,
                    grad_steps,
                    skip * size,
                    size,
                    many,
                    of_values,
                    to,
                    size,
                    size,
                    True,
                )
                gemm_tile(
                    score_grad_steps,
                    at,
                    1,
                    width,
                    query_steps,
                    skip * size,
                    size,
                    many,
                    of_keys,
                    to,
                    size,
                    size,
                    True,
                )
    for segment in range(group[0], group[1]):
        start, length, column = segments[segment]
        for i in range(length):
            target = (kv * k.shape[1] + start + i) * lanes
            pack(of_keys, (column + i) * size, np.float32(1), size, dk.reshape(-1), target)
            pack(of_values, (column + i) * size, np.float32(1), size, dv.reshape(-1), target)


def _forward_units(
    q: Any, k: Any, v: Any, segments: Any, groups: Any, runs: Any, seen: Any, window: int, keep: bool, out: Any,
    saved: Any,
) -> None:  # fmt: skip
    for unit in prange(k.shape[0] * groups.shape[0]):
        kv = unit // groups.shape[0]
        group = groups[unit - kv * groups.shape[0]]
        _forward_group(kv, q, k, v, segments, group, runs, seen, window, keep, out, saved)


def _backward_units(
    q: Any, k: Any, v: Any, grad: Any, saved: Any, segments: Any, groups: Any, runs: Any, seen: Any, dq: Any, dk: Any,
    dv: Any,
) -> None:  # fmt: skip
    for unit in prange(k.shape[0] * groups.shape[0]):
        kv = unit // groups.shape[0]
        group = groups[unit - kv * groups.shape[0]]
        _backward_group(kv, q, k, v, grad, saved, segments, group, runs, seen, dq, dk, dv)


forward_kernel, backward_kernel = parallel_loop(_forward_units), parallel_loop(_backward_units)
