"""What compiled loops share: stored numbers in fp32 or bf16, an exponential that vectorises, threads.

Importing this needs numba (``plaudit[fast]``); who asks for loops asks ``kernels/optional.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numba import config, njit, set_num_threads
from numba.core import types
from numba.extending import overload
from torch import Tensor

# Sums may be taken in any order, but what is not finite must stay so.
MATH = {"reassoc", "contract", "nsz", "arcp"}
OPTIONS: Any = {"fastmath": MATH, "nogil": True, "error_model": "numpy", "cache": True}
# Multiplications that are worth waking threads for.
MANY = 1 << 18


def _may_share() -> bool:
    """Whether numba finds OpenMP: the layer of threads that it ships may not be entered by two threads at once."""
    try:
        import_module("numba.np.ufunc.omppool")
    except ImportError:
        return False
    return sys.platform == "linux"


PARALLEL = _may_share()


def loop(function: Callable[..., None]) -> Any:
    """The function compiled, its ``prange`` shared by as many threads as ``share`` said last.

    One thread runs what many run: code made for one alone may add in another order, and change a last bit.
    """
    return njit(parallel=PARALLEL, **OPTIONS)(function)


def share(work: int) -> None:
    """Have the next loop, of ``work`` multiplications, run on torch's number of threads where that is worth it."""
    if not PARALLEL:
        return
    threads = torch.get_num_threads()
    set_num_threads(min(threads, config.NUMBA_NUM_THREADS) if work > MANY else 1)  # type: ignore[attr-defined]
    if torch.get_num_threads() != threads:
        # Its first call starts numba's threads, which tells OpenMP, and so torch, to use every core.
        torch.set_num_threads(threads)


def array(tensor: Tensor) -> Any:
    """A tensor's memory as numba takes it, in one piece: bf16 as its bits."""
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def number(x: Any) -> Any:
    """A stored number as fp32: bf16 comes as its bits."""
    raise NotImplementedError("compiled code only")


@overload(number, inline="always")
def _number_compiled(x: Any) -> Any:
    def widened(x: Any) -> Any:
        return np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)

    def same(x: Any) -> Any:
        return x

    return widened if x is types.uint16 else same


def stored(x: Any, like: Any) -> Any:
    """An fp32 number as ``like`` is stored: bf16 rounded to the nearest, ties to even."""
    raise NotImplementedError("compiled code only")


@overload(stored, inline="always")
def _stored_compiled(x: Any, like: Any) -> Any:
    def narrowed(x: Any, like: Any) -> Any:
        bits = np.float32(x).view(np.uint32)
        return np.uint16(
            (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        )

    def same(x: Any, like: Any) -> Any:
        return x

    return narrowed if like is types.uint16 else same


@njit(inline="always")
def exp(x: Any) -> Any:
    """eˣ of −87 ≤ x < 88, and of less as of −87: 2ⁿ · p(r), x = n ln 2 + r, p of degree 7; it vectorises."""
    x = max(x, np.float32(-87.0))
    n = np.floor(x * np.float32(1.442695041) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1 / 5040)
    for term in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
        p = p * r + np.float32(term)
    return p * np.uint32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
