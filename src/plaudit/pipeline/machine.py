"""Choices made by looking at the machine: threads, precision, memory, and the versions that a run is made with."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plaudit.config import Config
from plaudit.errors import UserError
from plaudit.runs import RunFolder

if TYPE_CHECKING:
    from plaudit.runtime import ComputeConfig, Runtime


def set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


@contextmanager
def computing(config: Config, folder: RunFolder) -> Iterator[tuple[dict[str, Any], Runtime]]:
    """Computes as the recipe asks on this machine; gives what was chosen by looking at it, and the runtime.

    Rank 0 looks at the machine and the run for all: what each finds by itself may differ.
    """
    from plaudit.runtime import Mesh, Runtime, resolve_device
    from plaudit.training.device import make_deterministic
    from plaudit.training.memory import keep_freed_memory, memory_limit, spare_libraries

    mesh = Mesh.from_environment()
    device = resolve_device(config.device)
    least = mesh.least(memory_limit(device, config.memory))
    resolved = mesh.from_main(lambda: look(config, folder, device, least))
    set_threads(resolved["threads"])
    keep_freed_memory()
    spare_libraries()
    make_deterministic(device, config.deterministic)
    runtime = Runtime(device, mesh, compute_of(config, resolved), config.seed)
    with runtime.computing():
        yield resolved, runtime


def compute_of(config: Config, resolved: Mapping[str, Any]) -> ComputeConfig:
    """The compute settings of a recipe with what was chosen by looking at the machine."""
    from plaudit.runtime import ComputeConfig

    memory = resolved.get("memory_gib")  # older records have none
    return ComputeConfig(
        layout=config.layout,
        fused=config.fused,
        kernels=config.compute.kernels,
        precision=resolved["precision"],
        memory=None if memory is None else memory * 2**30,
        checkpointing=config.checkpointing,
    )


def look(config: Config, folder: RunFolder, device: Any, memory: float) -> dict[str, Any]:
    """Choices made by looking at the machine, made once: a later start reads them from the run.

    ``memory``: bytes that a run may take, on the rank that has the least.
    """
    import torch

    from plaudit.training.cost_model import config_of
    from plaudit.training.device import choose_precision, choose_threads

    before = (folder.read_json("run.json") or {}).get("resolved")
    if (
        before
        and before["device"] == device.type
        and config.threads in (None, before["threads"])
        and config.precision in ("auto", before["precision"])
        and config.memory in (None, before["memory_gib"])
    ):
        return dict(before)
    try:
        architecture = config_of(config.policy)
    except UserError:
        architecture = None  # what is wrong with it is said with all else, before any work
    width = architecture.get_text_config().hidden_size if architecture is not None else None
    if config.threads is not None:
        threads, reason = config.threads, "set by the recipe"
    elif device.type != "cpu":
        threads, reason = torch.get_num_threads(), "torch's default: the work is on the accelerator"
    else:
        threads, reason = choose_threads(width)
    set_threads(threads)
    if config.precision == "auto":
        precision, why = choose_precision(width, device)
    else:
        precision, why = config.precision, "set by the recipe"
    return {
        "device": device.type,
        "threads": threads,
        "threads_reason": reason,
        "precision": precision,
        "precision_reason": why,
        "memory_gib": memory / 2**30,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("plaudit", "torch", "transformers", "tokenizers")},
        },
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cpu": _cpu_name(),
            "cores": os.cpu_count(),
            "accelerator": torch.cuda.get_device_name() if device.type == "cuda" else None,
        },
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def commit() -> dict[str, Any] | None:
    """Commit and cleanliness of the code, where it runs from a checkout."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True, timeout=5
        ).stdout.strip()
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(dirty.strip())}
