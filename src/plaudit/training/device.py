"""Where and how a run computes: device, threads and determinism, resolved once and recorded."""

from __future__ import annotations

import os
import time

import torch

from plaudit.errors import UserError


def resolve_device(name: str) -> torch.device:
    """``auto`` prefers CUDA, then Apple's MPS, then the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda"
        elif torch.backends.mps.is_available():
            name = "mps"
        else:
            name = "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "device: cuda was asked for, but torch sees no CUDA device", remedy="use device: auto"
        )
    return torch.device(name)


def measure_threads(hidden: int, tokens: int = 4096) -> tuple[int, str]:
    """The thread count that is fastest for matrix products of the run's size, and why, in words.

    Threads cost more than they bring for tiny models, or while another process uses the cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    options = sorted({1, *(c for c in (2, 4, 8, 16) if c < cores), cores})
    if options == [1]:
        return 1, "one core"
    before = torch.get_num_threads()
    a, b = torch.randn(tokens, hidden), torch.randn(hidden, 4 * hidden)
    seconds: dict[int, float] = {}
    for threads in options:
        torch.set_num_threads(threads)
        runs = []
        for _ in range(7):
            start = time.perf_counter()
            torch.nn.functional.silu(a @ b).sum()
            runs.append(time.perf_counter() - start)
        seconds[threads] = min(runs[2:])
    torch.set_num_threads(before)
    # A second thread must earn its place: within 10 % the smaller number is the calmer choice.
    best = next(t for t in options if seconds[t] <= 1.1 * min(seconds.values()))
    table = ", ".join(f"{t}: {1e3 * s:.1f} ms" for t, s in seconds.items())
    return best, f"measured at width {hidden} ({table})"


def make_deterministic(device: torch.device, wanted: bool) -> None:
    """On the CPU torch is deterministic at a fixed thread count; on CUDA it must be asked."""
    if device.type == "cuda" and wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
