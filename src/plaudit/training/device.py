"""Where and how a run computes: device, threads and determinism, resolved once and recorded."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from plaudit.runtime import Precision

CPUS = Path("/sys/devices/system/cpu")
CGROUP = Path("/sys/fs/cgroup")


# Width per thread: below it threads wait for one another longer than they compute.
WIDTH_OF_A_THREAD = 64
# From this width on bf16 products are clearly faster, where the processor has them (docs/core.md).
WIDE = 128


def choose_threads(width: int | None) -> tuple[int, str]:
    """Physical cores in reach, at most one for each 64 of the model's width, and why, in words.

    Nothing is measured: the same command on the same kind of machine takes the same number, however busy it is.
    Whoever sets OMP_NUM_THREADS has chosen already.
    """
    if (said := os.environ.get("OMP_NUM_THREADS", "")).isdecimal() and int(said) > 0:
        return int(said), "set by OMP_NUM_THREADS"
    cores = cores_in_reach()
    words = "one core in reach" if cores == 1 else f"{cores} physical cores in reach"
    if width is None or cores <= (most := max(1, width // WIDTH_OF_A_THREAD)):
        return cores, words
    return most, f"{words}, one thread for each {WIDTH_OF_A_THREAD} of the width {width}"


def cores_in_reach() -> int:
    """Physical cores that this process may use: its affinity, and the quota of its container."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    processors = os.sched_getaffinity(0)
    cores = len({_core_of(number) for number in processors})
    quota = _quota()
    return max(1, min(cores, int(quota))) if quota is not None else cores


def _core_of(processor: int) -> str:
    """The name of a logical processor's core: the list of all that share it, or its own number where none is given."""
    try:
        return (CPUS / f"cpu{processor}" / "topology" / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(processor)


def _quota() -> float | None:
    """Processors' worth of time that the container grants, None for no limit."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((CGROUP / name).read_text() for name in files).split()
        except (OSError, ValueError):
            continue
        if quota.isdecimal() and int(period) > 0:
            return int(quota) / int(period)
    return None


def choose_precision(width: int | None, device: torch.device) -> tuple[Precision, str]:
    """bf16 where the processor computes it and the model is wide enough, and why, in words; nothing is measured."""
    if device.type == "mps":
        return "fp32", "bf16 has not been tried on this device"
    if device.type == "cuda":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
        what = "the GPU computes bf16" if has else "the GPU does not compute bf16"
    else:
        found = [name for name in ("amx_bf16", "avx512_bf16") if torch.cpu.get_capabilities().get(name)]
        has, what = (
            bool(found),
            f"the processor has {found[0]}" if found else "the processor has no bf16 products",
        )
    if not has:
        return "fp32", what
    if width is None:
        return ("bf16" if device.type == "cuda" else "fp32"), f"{what}; the policy's size is not known yet"
    if width < WIDE:
        return "fp32", f"{what}, but a width of {width} is below {WIDE}"
    return "bf16", f"{what}, and a width of {width} is at least {WIDE}"


def make_deterministic(device: torch.device, wanted: bool) -> None:
    """On the CPU torch is deterministic at a fixed thread count; on CUDA it must be asked."""
    if device.type == "cuda" and wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
