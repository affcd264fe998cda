"""Where and how a run computes: device, threads and determinism, resolved once and recorded."""

from __future__ import annotations

import os
import time
from typing import Any

import torch

from plaudit.errors import UserError
from plaudit.models.compute import Precision
from plaudit.training.probe import step_seconds


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

    Threads cost more than they bring for tiny models, or while another process uses the cores. Whoever sets
    OMP_NUM_THREADS has chosen already.
    """
    if (said := os.environ.get("OMP_NUM_THREADS", "")).isdecimal() and int(said) > 0:
        return int(said), "set by OMP_NUM_THREADS"
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


# bf16 must be this much faster to be worth its rounding.
WORTH = 1.3


def measure_precision(config: Any | None, device: torch.device) -> tuple[Precision, str]:
    """bf16 where a training step of the run's shape is enough faster with it, and why, in words.

    ``config`` is the policy's architecture; without one there is nothing to measure.
    """
    if device.type == "mps":
        return "fp32", "bf16 has not been tried on this device"
    if config is None:
        if device.type == "cuda" and torch.cuda.is_bf16_supported():
            return "bf16", "the device computes it; the policy's size is not known yet"
        return "fp32", "the policy's size is not known yet"
    try:
        seconds = {p: step_seconds(config, device, p) for p in ("fp32", "bf16")}
    except Exception as error:  # an unknown architecture may refuse to be cut to a slice in any way
        return "fp32", f"a {config.model_type} could not be measured ({type(error).__name__})"
    ratio = seconds["fp32"] / seconds["bf16"]
    best: Precision = "bf16" if ratio >= WORTH else "fp32"
    return best, f"measured: bf16 takes {1 / ratio:.2f} of fp32's time for a step of this width"


def make_deterministic(device: torch.device, wanted: bool) -> None:
    """On the CPU torch is deterministic at a fixed thread count; on CUDA it must be asked."""
    if device.type == "cuda" and wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
