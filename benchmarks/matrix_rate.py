"""The fastest matrix product that an installed library makes here: what "of the matrix rate" divides by.

    python benchmarks/matrix_rate.py [--threads 1] [--seconds 0.3]

Prints one JSON line: GFLOP/s by precision, each with the library and the shape that reached it, and the shapes that
would have taken too long.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# [m, k] · [k, n], the least work first: squares, and the feed-forward layer and the output head of the measured model.
SHAPES = ((512, 512, 512), (2048, 256, 688), (1024, 1024, 1024), (2048, 256, 4096), (2048, 2048, 2048))
# Without instructions for bf16 a product takes minutes: shapes that would take this many seconds are left out.
LONGEST = 1.0


def candidates(a: Any, b: Any) -> dict[str, Callable[[], Any]]:
    """a · b of two torch tensors, by every library that can multiply their precision."""
    import torch

    found: dict[str, Callable[[], Any]] = {"torch.mm": lambda: torch.mm(a, b)}
    onednn = torch.ops.mkldnn
    if torch.backends.mkldnn.is_available() and hasattr(onednn, "_linear_pointwise"):
        # A processor without the instructions for a precision has no packed weights of it.
        with contextlib.suppress(RuntimeError):
            packed = onednn._reorder_linear_weight(b.t().contiguous(), len(a))
            found["oneDNN, weight packed"] = lambda: onednn._linear_pointwise(a, packed, None, "none", [], "")
    if a.dtype != torch.float32:
        return found
    import numpy as np
    from scipy.linalg import blas

    x, y = a.numpy(), b.numpy()
    found["numpy"] = lambda: np.matmul(x, y)
    # BLAS stores columns first: the transposed product needs no copy.
    found["scipy"] = lambda: blas.sgemm(1.0, y.T, x.T)
    return found


def fastest(make: Callable[[], Any], seconds: float) -> float:
    """The least seconds of a call."""
    make()
    least, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        make()
        least = min(least, time.perf_counter() - start)
    return least


def measure(threads: int, seconds: float) -> dict[str, Any]:
    import torch

    torch.set_num_threads(threads)
    best: dict[str, Any] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        for m, k, n in SHAPES:
            if 2 * m * k * n / 1e9 > LONGEST * best.get(name, float("inf")):
                best.setdefault(f"{name}_left_out", []).append(f"{m} × {k} × {n}")
                continue
            a, b = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)
            for library, make in candidates(a, b).items():
                rate = 2 * m * k * n / fastest(make, seconds) / 1e9
                if rate > best.get(name, 0.0):
                    best |= {name: rate, f"{name}_by": f"{library}, {m} × {k} × {n}"}
    return best


def matrix_rate(threads: int, seconds: float = 0.1) -> dict[str, Any]:
    """The same from a process of its own, in which no other library has chosen its threads yet."""
    command = [sys.executable, str(Path(__file__)), "--threads", str(threads), "--seconds", str(seconds)]
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | {name: str(threads) for name in names}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each library at each shape")
    given = parser.parse_args()
    print(json.dumps(measure(given.threads, given.seconds), ensure_ascii=False))
