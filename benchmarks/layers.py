"""What lies between the fused layers' products, by torch and by compiled loops: microseconds for a chunk of 512 rows.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/layers.py

The size is that of the 5 M model: 256 features, 688 inner ones, 8 heads that are turned and 4 that are not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from plaudit.models.fused import compiled, parts
from plaudit.training.memory import keep_freed_memory

ROWS, WIDTH, INNER, HEADS, TURNED, SIZE = 512, 256, 688, 12, 8, 64


def microseconds(call: Callable[[], Any]) -> float:
    for _ in range(5):
        call()
    times = []
    for _ in range(100):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def torch_turns(made: Tensor, turn: Tensor, out: Tensor) -> None:
    heads = made.float().view(ROWS, HEADS, SIZE)
    heads = heads if heads.data_ptr() != made.data_ptr() else heads.clone()
    out[:TURNED] = parts.rotate(heads[:, :TURNED], turn).transpose(0, 1)
    out[TURNED:] = heads[:, TURNED:].transpose(0, 1)


def torch_turns_back(grad: Tensor, turn: Tensor) -> Tensor:
    made = torch.empty(ROWS, HEADS, SIZE).copy_(grad.transpose(0, 1))
    parts.rotate(made[:, :TURNED], turn.conj())
    return made.flatten(1).to(grad.dtype)


def measured(dtype: torch.dtype) -> dict[str, tuple[float, float]]:
    """Of each part torch's time and the loop's."""
    torch.manual_seed(0)
    g, u, dh = (torch.randn(ROWS, INNER).to(dtype) for _ in range(3))
    one, other = (torch.randn(ROWS, WIDTH).to(dtype) for _ in range(2))
    x, base, out, r = (torch.randn(ROWS, n) for n in (WIDTH, WIDTH, WIDTH, 1))
    made, heads = torch.randn(ROWS, HEADS * SIZE).to(dtype), torch.empty(HEADS, ROWS, SIZE, dtype=dtype)
    angles = torch.randn(ROWS, SIZE // 2)
    pairs = torch.complex(angles.cos(), angles.sin())[:, None]
    apart = torch.stack((angles.cos(), angles.sin()), 1)
    calls = {
        "gate": lambda: parts.gate(g, u, True),
        # What is overwritten must not grow from one call to the next.
        "gate, back": lambda: parts.gate_back(dh.clone(), g, u),
        "norm, back": lambda: parts.norm_back((one.clone(), other), x, r, base, out),
    }
    found = {}
    for name, call in calls.items():
        by_loop = microseconds(call)
        with patch.object(parts, "compiled", lambda _: None):
            found[name] = microseconds(call), by_loop
    found["turn"] = (
        microseconds(lambda: torch_turns(made, pairs, heads)),
        microseconds(lambda: compiled.turn_heads(made, apart, TURNED, heads, 0)),
    )
    found["turn, back"] = (
        microseconds(lambda: torch_turns_back(heads, pairs)),
        microseconds(lambda: compiled.turn_back(heads, apart, TURNED, 0)),
    )
    return found


def main() -> None:
    keep_freed_memory()
    print("| | fp32 torch | fp32 loop | bf16 torch | bf16 loop |\n|---|---|---|---|---|")
    full, half = measured(torch.float32), measured(torch.bfloat16)
    for name in full:
        print(f"| {name} | " + " | ".join(f"{t:.0f}" for t in (*full[name], *half[name])) + " |")


if __name__ == "__main__":
    main()
