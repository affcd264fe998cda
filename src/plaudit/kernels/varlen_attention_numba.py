"""The loops of attention over a packed row, tile by tile (``tiled.py``), and of its way back.

What is multiplied lies in words: columns of a group's keys (or values) upright, [words, room], so that a tile of scores
is rows times columns, and the others as steps, [room / numbers a word, d], so that weights are rows times them. Every
sequence begins at a whole multiple of WIDE columns; what lies between is zero.

Shapes: S slots, n queries, H heads, G key-value heads, d head size, as words [.., d / numbers a word].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from plaudit.kernels.gemm_llvm import ROWS, WIDE, highest, product
from plaudit.kernels.numba_utils import OPTIONS, exp, loop
from plaudit.kernels.packed_bf16 import across, copy, fill, per, put, take, upright

# Queries of one run: what lies between the products of a run stays in the cache.
RUN = 64


@njit(inline="always")
def _whole(n: int) -> int:
    return (n + WIDE - 1) // WIDE * WIDE


@njit(**OPTIONS)
def _widest(group: Any, runs: Any) -> int:
    most = 0
    for run in range(group[2], group[3]):
        most = max(most, runs[run, 4])
    return most


@njit(**OPTIONS)
def _laid_out(kv: int, x: Any, y: Any, segments: Any, group: Any) -> Any:
    """Of a group's keys and values, or the other way round: x upright, y as steps."""
    _, slots, words = x.shape
    room, size = group[4], words * per(x)
    flat_x, flat_y = x.reshape(-1), y.reshape(-1)
    columns, steps = np.zeros(words * room, dtype=x.dtype), np.zeros(room * words, dtype=x.dtype)
    for segment in range(group[0], group[1]):
        start, length, column = segments[segment]
        place = (kv * slots + start) * words
        upright(flat_x, place, length, words, columns, column, room)
        across(flat_y, place, words, length, size, steps, column * words)
    return columns, steps


@njit(**OPTIONS)
def _scores(
    rows: Any, at: int, words: int, columns: Any, room: int, own: int, wide: int, mine: int, out: Any, width: int
) -> None:  # fmt: skip
    """A tile of rows times the columns of the prefix (``wide``) and of their own sequence (``mine``, from ``own``)."""
    if wide:
        product(rows, at, words, 1, columns, 0, room, words, out, 0, width, wide, False)
    product(rows, at, words, 1, columns, own, room, words, out, wide, width, mine, False)


@njit(**OPTIONS)
def _weighted(
    weights: Any, width: int, steps: Any, size: int, prefix: int, own: int, wide: int, mine: int, out: Any
) -> None:  # fmt: skip
    """A tile of weights times the steps of the prefix and of their own sequence: [ROWS, d]."""
    numbers = per(weights)
    row = width // numbers
    if wide:
        many = (prefix + numbers - 1) // numbers
        product(weights, 0, row, 1, steps, 0, size, many, out, 0, size, size, False)
    at, many = own // numbers * size, mine // numbers
    product(weights, wide // numbers, row, 1, steps, at, size, many, out, 0, size, size, wide > 0)


@njit(**OPTIONS)
def _softmax(s: Any, at: int, wide: int, mine: int, prefix: int, seen: int, window: int) -> Any:
    """eˢ⁻ᵐᵃˣ of what a query sees and 0 for the rest, in place; 1 / their sum, NaN where one is not finite.

    Its scores lie from ``at`` on: ``wide`` columns for ``prefix`` tokens, then ``mine`` for ``seen`` tokens of its own.
    """
    lost = max(0, prefix + seen - window)
    before, after = min(lost, prefix), max(0, lost - prefix)
    own = at + wide
    fill(s, at, before, -np.inf)
    fill(s, at + prefix, wide - prefix + after, -np.inf)
    fill(s, own + seen, mine - seen, -np.inf)
    top = highest(s, at, wide + mine)
    fill(s, at, before, 0)
    fill(s, at + prefix, wide - prefix + after, 0)
    fill(s, own + seen, mine - seen, 0)
    total = _exponentials(s, at + before, at + prefix, top) + _exponentials(s, own + after, own + seen, top)
    return np.float32(1) / total


@njit(**OPTIONS)
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


@njit(**OPTIONS)
def _slopes(grads: Any, at: int, count: int, weights: Any) -> None:
    """P ⊙ (dP − Σ P ⊙ dP) in place of ``count`` numbers of dP from ``at`` on."""
    part, line = grads[at : at + count], weights[:count]
    mean = np.float32(0)
    for i in range(len(part)):
        mean += part[i] * line[i]
    for i in range(len(part)):
        part[i] = (part[i] - mean) * line[i]


@njit(**OPTIONS)
def _forward_group(
    kv: int, q: Any, k: Any, v: Any, segments: Any, group: Any, runs: Any, seen: Any, window: int, keep: bool, out: Any,
    kept: Any,
) -> None:  # fmt: skip
    heads, queries, words = q.shape
    numbers, room, share = per(q), group[4], heads // k.shape[0]
    size = words * numbers
    flat_q, flat_out, flat_kept = q.reshape(-1), out.reshape(-1), kept.reshape(-1)
    keys, values = _laid_out(kv, k, v, segments, group)
    widest = _widest(group, runs)
    rows = np.zeros(ROWS * words, dtype=q.dtype)
    scores = np.empty(ROWS * widest, dtype=np.float32)
    weights = np.zeros(ROWS * widest // numbers, dtype=q.dtype)
    made = np.empty(ROWS * size, dtype=np.float32)
    for run in range(group[2], group[3]):
        first, last, prefix, own, width, place = runs[run]
        wide, step = _whole(prefix), width // numbers
        for head in range(kv * share, (kv + 1) * share):
            for begin in range(first, last, ROWS):
                have = min(ROWS, last - begin)
                mine = _whole(seen[begin + have - 1])
                copy(flat_q, (head * queries + begin) * words, have * words, rows, 0)
                _scores(rows, 0, words, keys, room, own, wide, mine, scores, width)
                for r in range(have):
                    factor = _softmax(scores, r * width, wide, mine, prefix, seen[begin + r], window)
                    fill(scores, r * width + wide + mine, width - wide - mine, 0)
                    put(scores, r * width, factor, width, weights, r * step)
                _weighted(weights, width, values, size, prefix, own, wide, mine, made)
                for r in range(have):
                    put(made, r * size, np.float32(1), size, flat_out, ((begin + r) * heads + head) * words)
                if keep:
                    target = head * kept.shape[1] + (place + (begin - first) * width) // numbers
                    copy(weights, 0, have * step, flat_kept, target)


@njit(**OPTIONS)
def _backward_group(
    kv: int, q: Any, k: Any, v: Any, grad: Any, kept: Any, segments: Any, group: Any, runs: Any, seen: Any, dq: Any,
    dk: Any, dv: Any,
) -> None:  # fmt: skip
    heads, queries, words = q.shape
    numbers, room, share = per(q), group[4], heads // k.shape[0]
    size = words * numbers
    flat_q, flat_grad, flat_kept, flat_dq = q.reshape(-1), grad.reshape(-1), kept.reshape(-1), dq.reshape(-1)
    values, keys = _laid_out(kv, v, k, segments, group)
    widest = _widest(group, runs)
    of_keys, of_values = np.zeros(room * size, dtype=np.float32), np.zeros(room * size, dtype=np.float32)
    grads, grad_steps = np.empty(RUN * words, dtype=q.dtype), np.empty(RUN * words, dtype=q.dtype)
    query_steps = np.empty(RUN * words, dtype=q.dtype)
    kept_steps = np.empty(RUN // numbers * widest, dtype=q.dtype)
    slope_steps = np.empty(RUN // numbers * widest, dtype=q.dtype)
    scores, line = np.empty(ROWS * widest, dtype=np.float32), np.empty(widest, dtype=np.float32)
    slopes = np.zeros(ROWS * widest // numbers, dtype=q.dtype)
    made = np.empty(ROWS * size, dtype=np.float32)
    for run in range(group[2], group[3]):
        first, last, prefix, own, width, place = runs[run]
        count, wide, step = last - first, _whole(prefix), width // numbers
        for head in range(kv * share, (kv + 1) * share):
            weights = head * kept.shape[1] + place // numbers
            for r in range(count):
                copy(flat_grad, ((first + r) * heads + head) * words, words, grads, r * words)
            across(grads, 0, words, count, size, grad_steps, 0)
            across(flat_q, (head * queries + first) * words, words, count, size, query_steps, 0)
            across(flat_kept, weights, step, count, width, kept_steps, 0)
            for begin in range(0, count, ROWS):
                have = min(ROWS, count - begin)
                mine = _whole(seen[first + begin + have - 1])
                _scores(grads, begin * words, words, values, room, own, wide, mine, scores, width)
                for r in range(have):
                    take(flat_kept, weights + (begin + r) * step, width, line)
                    _slopes(scores, r * width, wide + mine, line)
                    fill(scores, r * width + wide + mine, width - wide - mine, 0)
                    put(scores, r * width, np.float32(1), width, slopes, r * step)
                across(slopes, 0, step, have, width, slope_steps, begin // numbers * width)
                _weighted(slopes, width, keys, size, prefix, own, wide, mine, made)
                for r in range(have):
                    target = (head * queries + first + begin + r) * words
                    put(made, r * size, np.float32(1), size, flat_dq, target)
            ahead = 0
            for column in range(0, width, ROWS):
                # The first queries of a run see nothing of its last columns.
                while seen[first + ahead] <= column - wide and ahead < count - 1:
                    ahead += 1
                skip = ahead // numbers
                many = (count + numbers - 1) // numbers - skip
                at = skip * width + column
                to = (column if column < wide else own + column - wide) * size
                product(
                    kept_steps,
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
                product(
                    slope_steps,
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
            target = (kv * k.shape[1] + start + i) * words
            put(of_keys, (column + i) * size, np.float32(1), size, dk.reshape(-1), target)
            put(of_values, (column + i) * size, np.float32(1), size, dv.reshape(-1), target)


def _forward_units(
    q: Any, k: Any, v: Any, segments: Any, groups: Any, runs: Any, seen: Any, window: int, keep: bool, out: Any,
    kept: Any,
) -> None:  # fmt: skip
    for unit in prange(k.shape[0] * groups.shape[0]):
        kv = unit // groups.shape[0]
        group = groups[unit - kv * groups.shape[0]]
        _forward_group(kv, q, k, v, segments, group, runs, seen, window, keep, out, kept)


def _backward_units(
    q: Any, k: Any, v: Any, grad: Any, kept: Any, segments: Any, groups: Any, runs: Any, seen: Any, dq: Any, dk: Any,
    dv: Any,
) -> None:  # fmt: skip
    for unit in prange(k.shape[0] * groups.shape[0]):
        kv = unit // groups.shape[0]
        group = groups[unit - kv * groups.shape[0]]
        _backward_group(kv, q, k, v, grad, kept, segments, group, runs, seen, dq, dk, dv)


forward, backward = loop(_forward_units), loop(_backward_units)
