"""Estimates the time of a step from its amount of computation and the processor.

Nothing is measured, so that the estimate does not depend on how busy the machine is:

    seconds = (6 · N · trained + 2 · N · forward) / (0.6 · peak) + sampling + loads · (4 · N / 0.5 GB/s + 0.5 s)

N is the number of parameters; with adapters a trained token takes 4 · N, since the base has no weight gradients. A
step of sampling reads all weights once and computes 2 · N for each of the sequences that are sampled together. The
shares of the peak are those of docs/benchmarks.md.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

# The part of the processor's peak that training and forward passes reach, and that decoding reaches.
TRAINING, DECODING = 0.6, 0.3
# Bytes a second: of memory in decoding, of a disk that models are read from and written to.
MEMORY, DISK = 1.5e10, 5e8
# One GPU of the kind that most have: bf16 peak, and its memory.
GPU_PEAK, GPU_MEMORY = 3e14, 1.5e12
GPU_TRAINING = 0.35
# What processors call the instruction that multiplies pairs of bf16.
PAIRED = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
# Seconds to build a model's modules and its tokenizer.
BUILD = 0.5


@dataclass(frozen=True)
class Amount:
    """What a step computes, in tokens of one model.

    ``trained`` forward and backward, ``forward`` alone, ``sampled`` new ones, ``at_once`` sequences together;
    ``loads`` models are read or written.
    """

    trained: float = 0.0
    forward: float = 0.0
    sampled: float = 0.0
    at_once: float = 64.0
    loads: float = 0.0


@dataclass(frozen=True)
class Speed:
    """A machine: peak of matmuls in FLOP/s, the part of it that training reaches, and memory in bytes a second."""

    peak: float
    training: float = TRAINING
    memory: float = MEMORY
    name: str = ""


GPU = Speed(GPU_PEAK, GPU_TRAINING, GPU_MEMORY, "one GPU (300 TFLOP/s in bf16)")


def seconds(amount: Amount, parameters: float, speed: Speed, *, adapters: bool = False) -> float:
    """The time that the amount takes on the machine."""
    flops = parameters * (amount.trained * (4 if adapters else 6) + 2 * amount.forward)
    together = max(1.0, amount.at_once)
    step = max(2 * parameters * together / (speed.peak * DECODING), 4 * parameters / speed.memory)
    loading = amount.loads * (4 * parameters / DISK + BUILD)
    return flops / (speed.peak * speed.training) + amount.sampled / together * step + loading


def cpu(threads: int, precision: str = "fp32") -> Speed:
    """This processor with so many threads: cores × clock × FLOP a cycle, all from what the system says of it."""
    facts = _cpuinfo()
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    # Two fused multiply-adds a cycle of 16 or 8 numbers; AMD's family 25 splits the wide ones in two.
    wide = "avx512f" in flags and facts.get("cpu family") != "25"
    a_cycle = 64 if wide else 32 if "avx2" in flags else 16
    if precision == "bf16" and flags & PAIRED:
        a_cycle *= 2
    clock = _clock(facts)
    name = f"{threads} thread{'s' if threads > 1 else ''} × {clock:.2g} GHz × {a_cycle} FLOP"
    return Speed(threads * clock * 1e9 * a_cycle, name=name)


def _cpuinfo() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _clock(facts: dict[str, str]) -> float:
    """GHz: the most that the system states, else half of BogoMIPS (the time-stamp counter); never the current one."""
    try:
        most = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").read_text(encoding="utf-8")
        return float(most) / 1e6
    except (OSError, ValueError):
        pass
    named = re.search(r"(\d+(?:\.\d+)?)\s*GHz", facts.get("model name", ""))
    if named:
        return float(named[1])
    try:
        return float(facts["bogomips"]) / 2e3
    except (KeyError, ValueError):
        return 2.5


def threads_here() -> int:
    """Threads of a run on this machine, where nobody has set them: one a core that this process may use, at most."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def duration(time: float) -> str:
    """Seconds in words."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if time >= 1.5 * size:
            amount = time / size
            return f"{amount:.1f} {unit}" if amount < 10 and unit != "min" else f"{amount:.0f} {unit}"
    return f"{max(1, round(time))} s"
