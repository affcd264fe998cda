"""What lies between the fused layers' products, by torch and by compiled loops: microseconds.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/layers.py

The size is that of the 5 M model: 256 features, 688 inner ones, 8 heads that are turned and 4 that are not. For a chunk
of 512 rows; attention for a layer over 16 sequences of 30 to 455 tokens, by blocks and by tiles; log-probs for 512
tokens of a vocabulary of 4096.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from plaudit.kernels import elementwise, elementwise_numba, token_logprob, varlen_attention
from plaudit.kernels.attention_blocks import CHUNK, cut_into_blocks
from plaudit.kernels.blockwise_attention import AttentionPlan, BlockwisePlan, aligned_blocks
from plaudit.kernels.interface import LogitShape
from plaudit.kernels.linear_logprob import _grad_logits
from plaudit.training.memory import keep_freed_memory

ROWS, WIDTH, INNER, HEADS, TURNED, SIZE, VOCABULARY = 512, 256, 688, 12, 8, 64, 4096
# As the bench's pairs: 125 tokens of prompt and 51 of reply on average, 95 of 100 below 455 together.
LENGTHS = (30, 41, 52, 63, 75, 88, 101, 116, 132, 149, 168, 190, 217, 252, 311, 455)


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
    out[:TURNED] = elementwise.rope_pairs(heads[:, :TURNED], turn).transpose(0, 1)
    out[TURNED:] = heads[:, TURNED:].transpose(0, 1)


def torch_turns_back(grad: Tensor, turn: Tensor) -> Tensor:
    made = torch.empty(ROWS, HEADS, SIZE).copy_(grad.transpose(0, 1))
    elementwise.rope_pairs(made[:, :TURNED], turn.conj())
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
        "gate": lambda: elementwise.swiglu(g, u, True),
        # What is overwritten must not grow from one call to the next.
        "gate, back": lambda: elementwise.swiglu_backward(dh.clone(), g, u),
        "norm, back": lambda: elementwise.rmsnorm_backward((one.clone(), other), x, r, base, out),
    }
    found = {}
    for name, call in calls.items():
        by_loop = microseconds(call)
        with patch.object(elementwise, "load_compiled", lambda _: None):
            found[name] = microseconds(call), by_loop
    found["turn"] = (
        microseconds(lambda: torch_turns(made, pairs, heads)),
        microseconds(lambda: elementwise_numba.rope(made, apart, TURNED, heads, 0)),
    )
    found["turn, back"] = (
        microseconds(lambda: torch_turns_back(heads, pairs)),
        microseconds(lambda: elementwise_numba.rope_backward(heads, apart, TURNED, 0)),
    )
    return found | attention(dtype) | log_probs(dtype)


def attention(dtype: torch.dtype) -> dict[str, tuple[float, float]]:
    rows, at = [], 0
    for length in LENGTHS:
        rows.append((at, at + length, at, at))
        at += length
    q, k, v = (torch.randn(4, at, SIZE).to(dtype) for _ in range(3))
    grad, out = torch.randn(at, 4, SIZE).to(dtype), torch.empty(at, 4, SIZE, dtype=dtype)
    slopes = [torch.empty_like(q) for _ in range(3)]
    pieces = aligned_blocks(
        cut_into_blocks(tuple(rows), True, CHUNK), window=None, slots=at, align=dtype == torch.bfloat16
    )
    ways: list[AttentionPlan] = [BlockwisePlan(pieces), varlen_attention.varlen_plan(rows, window=None)]
    there, back = [], []
    for way in ways:
        kept = way.forward(q, k, v, out, True)
        there.append(microseconds(lambda way=way: way.forward(q, k, v, out, True)))
        back.append(microseconds(lambda way=way, kept=kept: way.backward(grad, q, k, v, kept, *slopes)))
    return {"attention of a layer": (there[0], there[1]), "attention, back": (back[0], back[1])}


def log_probs(dtype: torch.dtype) -> dict[str, tuple[float, float]]:
    z, targets, grad = torch.randn(ROWS, VOCABULARY).to(dtype), torch.arange(ROWS), torch.randn(ROWS)
    table = z.float().log_softmax(-1)
    _, normalizer = token_logprob.log_prob(z, targets, 1.0)
    shape = LogitShape(1.0, None)
    # What is overwritten is copied first, on both sides.
    return {
        "log-probs": (
            microseconds(lambda: z.float().log_softmax(-1).gather(-1, targets[:, None])),
            microseconds(lambda: token_logprob.log_prob(z, targets, 1.0)),
        ),
        "log-probs, back": (
            microseconds(
                lambda: _grad_logits(table.clone(), targets, normalizer, grad, None, shape, 1.0).to(dtype)
            ),
            microseconds(lambda: token_logprob.grad_logits(z.clone(), targets, normalizer, grad, 1.0)),
        ),
    }


def main() -> None:
    keep_freed_memory()
    print("| | fp32 torch | fp32 loop | bf16 torch | bf16 loop |\n|---|---|---|---|---|")
    full, half = measured(torch.float32), measured(torch.bfloat16)
    for name in full:
        print(f"| {name} | " + " | ".join(f"{t:.0f}" for t in (*full[name], *half[name])) + " |")


if __name__ == "__main__":
    main()
