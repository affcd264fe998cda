"""Shared numba helpers: bf16 load and store, a vectorizable exp, thread count.

Importing this needs numba (``plaudit[fast]``); other packages load kernels through ``kernels/optional.py``.
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

# Sums may be reordered, but NaN and infinity must be kept.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}
JIT_OPTIONS: Any = {"fastmath": FASTMATH, "nogil": True, "error_model": "numpy", "cache": True}
# Multiplications from which a loop runs on several threads.
PARALLEL_FLOPS = 1 << 18


def _has_openmp() -> bool:
    """Whether numba finds OpenMP; its own threading layer is not thread-safe."""
    try:
        import_module("numba.np.ufunc.omppool")
    except ImportError:
        return False
    return sys.platform == "linux"


PARALLEL = _has_openmp()


def parallel_loop(function: Callable[..., None]) -> Any:
    """Compile ``function``; its ``prange`` runs on the threads that ``set_threads_for`` set last.

    One thread runs the parallel code too: code compiled for one thread may add in another order.
    """
    return njit(parallel=PARALLEL, **JIT_OPTIONS)(function)


def set_threads_for(work: int) -> None:
    """Run the next loop, of ``work`` multiplications, on torch's number of threads, or on one if it is small."""
    if not PARALLEL:
        return
    threads = torch.get_num_threads()
    set_num_threads(min(threads, config.NUMBA_NUM_THREADS) if work > PARALLEL_FLOPS else 1)  # type: ignore[attr-defined]
    if torch.get_num_threads() != threads:
        # The first call starts numba's threads, which makes OpenMP, and so torch, use every core.
        torch.set_num_threads(threads)


def as_numpy(tensor: Tensor) -> Any:
    """A contiguous numpy view (or copy) of a tensor; bf16 as uint16 bits."""
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def load_fp32(x: Any) -> Any:
    """A number in fp32, from fp32 or from bf16 bits."""
    raise NotImplementedError("compiled code only")


@overload(load_fp32, inline="always")
def _load_fp32_compiled(x: Any) -> Any:
    def widened(x: Any) -> Any:
        return np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)

    def same(x: Any) -> Any:
        return x

    return widened if x is types.uint16 else same


def store_as(x: Any, like: Any) -> Any:
    """An fp32 number in the dtype of ``like``: fp32, or bf16 bits (round to nearest, ties to even)."""
    raise NotImplementedError("compiled code only")


@overload(store_as, inline="always")
def _store_as_compiled(x: Any, like: Any) -> Any:
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
    """eˣ of −87 ≤ x < 88, and of less as of −87: 2ⁿ · p(r), x = n ln 2 + r, p of degree 7. Vectorizes."""
    x = max(x, np.float32(-87.0))
    n = np.floor(x * np.float32(1.442695041) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1 / 5040)
    for term in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
        p = p * r + np.float32(term)
    return p * np.uint32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
