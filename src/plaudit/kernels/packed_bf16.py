"""Packs tensors into 32-bit lanes: one fp32, or two adjacent bf16 with the first in the low half.

So one GEMM kernel (``gemm_llvm.py``) serves both dtypes. Importing this needs numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from numba.core import types
from numba.extending import overload
from torch import Tensor

from plaudit.kernels.gemm_llvm import COLUMN_MULTIPLE
from plaudit.kernels.numba_utils import JIT_OPTIONS, as_numpy, store_as


def as_lanes(tensor: Tensor) -> Any:
    """The lanes of a tensor, as a contiguous numpy array: uint32 for bf16, float32 else."""
    return as_numpy(tensor).view(np.uint32) if tensor.dtype == torch.bfloat16 else as_numpy(tensor)


def per_lane(x: Any) -> int:
    """Numbers in one lane: 2 for bf16, 1 for fp32."""
    raise NotImplementedError("compiled code only")


@overload(per_lane, inline="always")
def _per_lane_compiled(x: Any) -> Any:
    per_lane = 2 if x.dtype == types.uint32 else 1

    def known(x: Any) -> int:
        return per_lane

    return known


def unpack(x: Any, at: int, count: int, out: Any) -> None:
    """``count`` numbers (a multiple of COLUMN_MULTIPLE) from lane ``at`` on as fp32, into ``out`` from 0 on."""
    raise NotImplementedError("compiled code only")


@overload(unpack)
def _unpack_compiled(x: Any, at: int, count: int, out: Any) -> Any:
    def packed(x: Any, at: int, count: int, out: Any) -> None:
        lanes = x[at : at + (count >> 1)]
        for i in range(len(lanes)):
            lane = lanes[i]
            out[2 * i] = np.uint32(lane << np.uint32(16)).view(np.float32)
            out[2 * i + 1] = np.uint32(lane & np.uint32(0xFFFF0000)).view(np.float32)

    def plain(x: Any, at: int, count: int, out: Any) -> None:
        lanes = x[at : at + count]
        for i in range(len(lanes)):
            out[i] = lanes[i]

    return packed if x.dtype == types.uint32 else plain


def pack(values: Any, values_at: int, factor: Any, count: int, out: Any, at: int) -> None:
    """``count`` fp32 numbers (a multiple of COLUMN_MULTIPLE) times ``factor``, into lanes of ``out`` from ``at``."""
    raise NotImplementedError("compiled code only")


@overload(pack)
def _pack_compiled(values: Any, values_at: int, factor: Any, count: int, out: Any, at: int) -> Any:
    def packed(values: Any, values_at: int, factor: Any, count: int, out: Any, at: int) -> None:
        like = np.uint16(0)
        row, to = values[values_at : values_at + count], out[at : at + (count >> 1)]
        for i in range(len(to)):
            low, high = store_as(row[2 * i] * factor, like), store_as(row[2 * i + 1] * factor, like)
            to[i] = np.uint32(low) | (np.uint32(high) << np.uint32(16))

    def plain(values: Any, values_at: int, factor: Any, count: int, out: Any, at: int) -> None:
        row, to = values[values_at : values_at + count], out[at : at + count]
        for i in range(len(to)):
            to[i] = row[i] * factor

    return packed if out.dtype == types.uint32 else plain


def interleave_k(x: Any, at: int, row: int, rows: int, width: int, out: Any, out_at: int) -> None:
    """Interleave rows along k: one row per k-step in fp32, a pair of rows in bf16.

    ``rows`` rows of ``width`` numbers that begin ``row`` lanes apart.
    """
    raise NotImplementedError("compiled code only")


@overload(interleave_k)
def _interleave_k_compiled(x: Any, at: int, row: int, rows: int, width: int, out: Any, out_at: int) -> Any:
    def packed(x: Any, at: int, row: int, rows: int, width: int, out: Any, out_at: int) -> None:
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

    def plain(x: Any, at: int, row: int, rows: int, width: int, out: Any, out_at: int) -> None:
        for r in range(rows):
            begin, to_begin = at + r * row, out_at + r * width
            lanes, to = x[begin : begin + width], out[to_begin : to_begin + width]
            for i in range(len(lanes)):
                to[i] = lanes[i]

    return packed if x.dtype == types.uint32 else plain


@njit(**JIT_OPTIONS)
def transpose(x: Any, at: int, count: int, lanes: int, out: Any, column: int, stride: int) -> None:
    """Transpose ``count`` rows of lanes into columns of ``out`` [lanes, stride], from ``column`` on."""
    for begin in range(0, count, COLUMN_MULTIPLE):
        for e in range(lanes):
            for i in range(begin, min(count, begin + COLUMN_MULTIPLE)):
                out[e * stride + column + i] = x[at + i * lanes + e]


@njit(**JIT_OPTIONS)
def fill(s: Any, at: int, count: int, value: Any) -> None:
    part = s[at : at + count]
    for i in range(len(part)):
        part[i] = value


@njit(**JIT_OPTIONS)
def copy(x: Any, at: int, count: int, out: Any, out_at: int) -> None:
    lanes, to = x[at : at + count], out[out_at : out_at + count]
    for i in range(len(to)):
        to[i] = lanes[i]
