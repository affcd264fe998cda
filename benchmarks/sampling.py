"""Sampling: plaudit's native sampler against transformers' ``generate``, alternating in one run.

    OMP_NUM_THREADS=1 python benchmarks/sampling.py [--pairs 7] [--shape NAME ...]

Every shape prints the median seconds of each way and the median, least and greatest ratio over the
pairs. Weights are random; so many tokens end a response that lengths are like those of a tuned model.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from plaudit.rollout.forward import ModelForward
from plaudit.rollout.native import NativeSampler
from plaudit.rollout.protocol import Request, SamplingSettings


@dataclass(frozen=True)
class Shape:
    """A model and a batch: ``prompts`` × ``n`` responses of at most ``new`` tokens, ``mean`` on average."""

    hidden: int
    layers: int
    vocabulary: int
    prompts: int
    n: int
    prompt: tuple[int, int]
    new: int
    mean: int | None


SHAPES = {
    "pocket 128×4, 256 prompts": Shape(128, 4, 1500, 256, 1, (12, 29), 48, 15),
    "pocket 96×3, 256 prompts": Shape(96, 3, 1500, 256, 1, (12, 29), 48, 15),
    "pocket 128×4, 64 prompts": Shape(128, 4, 1500, 64, 1, (12, 29), 48, 15),
    "pocket 128×4, 32×8": Shape(128, 4, 1500, 32, 8, (12, 29), 48, 15),
    "5 M, 64 prompts, no ends": Shape(256, 4, 4096, 64, 1, (64, 128), 64, None),
    "5 M, 8×8, no ends": Shape(256, 4, 4096, 8, 8, (64, 128), 64, None),
}


def contestants(shape: Shape) -> dict[str, Callable[[], Any]]:
    torch.manual_seed(0)
    ends = list(range(shape.vocabulary // shape.mean)) if shape.mean else [shape.vocabulary - 1]
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=-(-shape.hidden * 8 // 3 // 8) * 8,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.hidden // 32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=ends,
    )
    model = LlamaForCausalLM(config).eval()
    rng = np.random.default_rng(0)
    low, high = shape.prompt
    prompts = [
        rng.integers(len(ends), shape.vocabulary - 1, size=rng.integers(low, high + 1))
        for _ in range(shape.prompts)
    ]
    requests = [Request(ids, str(i), shape.n) for i, ids in enumerate(prompts)]
    policy = SimpleNamespace(model=model, tokenizer=None, pad_id=0, end_ids=ends)
    settings = SamplingSettings(shape.new)
    fused, generic = NativeSampler(policy), NativeSampler(policy)
    # The same engine over the model's own modules.
    generic._checked, generic._way = model, ModelForward

    width = max(map(len, prompts))
    ids = torch.zeros(shape.prompts * shape.n, width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i in range(len(ids)):
        prompt = torch.from_numpy(prompts[i // shape.n])
        ids[i, width - len(prompt) :] = prompt
        mask[i, width - len(prompt) :] = 1
    own = GenerationConfig(
        max_new_tokens=shape.new, do_sample=True, top_k=0, eos_token_id=ends, pad_token_id=0
    )
    return {
        "native": lambda: fused.sample(requests, settings, seed=0, step=0),
        "native, model's modules": lambda: generic.sample(requests, settings, seed=0, step=0),
        "generate": lambda: model.generate(input_ids=ids, attention_mask=mask, generation_config=own),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--shape", nargs="*", choices=SHAPES, default=list(SHAPES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| shape | way | seconds | generate is slower by |\n|---|---|---|---|")
    for name in arguments.shape:
        ways = contestants(SHAPES[name])
        for run in ways.values():
            run()
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(arguments.pairs):
            for way, run in ways.items():
                begin = time.perf_counter()
                run()
                seconds[way].append(time.perf_counter() - begin)
        for way, times in seconds.items():
            ratios = [g / t for g, t in zip(seconds["generate"], times)]
            spread = f"{statistics.median(ratios):.2f} × ({min(ratios):.2f}–{max(ratios):.2f})"
            print(f"| {name} | {way} | {statistics.median(times):.3f} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
