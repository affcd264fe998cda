"""Rows of numbers as words of 32 bits in compiled loops: one fp32 number, or two bf16 neighbours, the first one lower.

So that products of either are the same loops (``tiles.py``). Importing this needs numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from numba.core import types
from numba.extending import overload
from torch import Tensor

from plaudit.kernels.gemm_llvm import WIDE
from plaudit.kernels.numba_utils import OPTIONS, array, stored


def words(tensor: Tensor) -> Any:
    """A tensor's memory as words, in one piece."""
    return array(tensor).view(np.uint32) if tensor.dtype == torch.bfloat16 else array(tensor)


def per(x: Any) -> int:
    """Numbers of a word."""
    raise NotImplementedError("compiled code only")


@overload(per, inline="always")
def _per_compiled(x: Any) -> Any:
    per = 2 if x.dtype == types.uint32 else 1

    def known(x: Any) -> int:
        return per

    return known


def take(x: Any, at: int, count: int, out: Any) -> None:
    """``count`` numbers (a whole multiple of WIDE) of words from ``at`` on as fp32, to the beginning of ``out``."""
    raise NotImplementedError("compiled code only")


@overload(take)
def _take_compiled(x: Any, at: int, count: int, out: Any) -> Any:
    def pairs(x: Any, at: int, count: int, out: Any) -> None:
        words = x[at : at + (count >> 1)]
        for i in range(len(words)):
            word = words[i]
            out[2 * i] = np.uint32(word << np.uint32(16)).view(np.float32)
            out[2 * i + 1] = np.uint32(word & np.uint32(0xFFFF0000)).view(np.float32)

    def same(x: Any, at: int, count: int, out: Any) -> None:
        words = x[at : at + count]
        for i in range(len(words)):
            out[i] = words[i]

    return pairs if x.dtype == types.uint32 else same


def put(values: Any, values_at: int, factor: Any, count: int, out: Any, at: int) -> None:
    """``count`` fp32 numbers (a whole multiple of WIDE) times a factor as words from ``at`` on."""
    raise NotImplementedError("compiled code only")


@overload(put)
def _put_compiled(values: Any, values_at: int, factor: Any, count: int, out: Any, at: int) -> Any:
    def pairs(values: Any, values_at: int, factor: Any, count: int, out: Any, at: int) -> None:
        like = np.uint16(0)
        row, to = values[values_at : values_at + count], out[at : at + (count >> 1)]
        for i in range(len(to)):
            low, high = stored(row[2 * i] * factor, like), stored(row[2 * i + 1] * factor, like)
            to[i] = np.uint32(low) | (np.uint32(high) << np.uint32(16))

    def same(values: Any, values_at: int, factor: Any, count: int, out: Any, at: int) -> None:
        row, to = values[values_at : values_at + count], out[at : at + count]
        for i in range(len(to)):
            to[i] = row[i] * factor

    return pairs if out.dtype == types.uint32 else same


def across(x: Any, at: int, row: int, rows: int, width: int, out: Any, out_at: int) -> None:
    """``rows`` rows of ``width`` numbers, ``row`` words apart, as steps of a product: one a step, or two as pairs."""
    raise NotImplementedError("compiled code only")


@overload(across)
def _across_compiled(x: Any, at: int, row: int, rows: int, width: int, out: Any, out_at: int) -> Any:
    def pairs(x: Any, at: int, row: int, rows: int, width: int, out: Any, out_at: int) -> None:
        lower, upper, half = np.uint32(0xFFFF), np.uint32(0xFFFF0000), np.uint32(16)
        for r in range(rows >> 1):
            begin = at + 2 * r * row
            first, second = x[begin : begin + (width >> 1)], x[begin + row : begin + row + (width >> 1)]
            to = out[out_at + r * width : out_at + (r + 1) * width]
            for i in range(len(first)):
                a, b = first[i], second[i]
                to[2 * i] = (a & lower) | (b << half)
                to[2 * i + 1] = (a >> half) | (b & upper)
        if rows & 1:
            begin, to_begin = at + (rows - 1) * row, out_at + (rows >> 1) * width
            first, to = x[begin : begin + (width >> 1)], out[to_begin : to_begin + width]
            for i in range(len(first)):
                to[2 * i] = first[i] & lower
                to[2 * i + 1] = first[i] >> half

    def same(x: Any, at: int, row: int, rows: int, width: int, out: Any, out_at: int) -> None:
        for r in range(rows):
            begin, to_begin = at + r * row, out_at + r * width
            words, to = x[begin : begin + width], out[to_begin : to_begin + width]
            for i in range(len(words)):
                to[i] = words[i]

    return pairs if x.dtype == types.uint32 else same


@njit(**OPTIONS)
def upright(x: Any, at: int, count: int, words: int, out: Any, column: int, room: int) -> None:
    """``count`` rows of words from ``at`` on as columns of ``out`` [words, room] from ``column`` on."""
    for begin in range(0, count, WIDE):
        for e in range(words):
            for i in range(begin, min(count, begin + WIDE)):
                out[e * room + column + i] = x[at + i * words + e]


@njit(**OPTIONS)
def fill(s: Any, at: int, count: int, value: Any) -> None:
    part = s[at : at + count]
    for i in range(len(part)):
        part[i] = value


@njit(**OPTIONS)
def copy(x: Any, at: int, count: int, out: Any, out_at: int) -> None:
    words, to = x[at : at + count], out[out_at : out_at + count]
    for i in range(len(to)):
        to[i] = words[i]
