"""How much two ranks are faster than one at the pocket world's model, by the number of sequences of a step.

    python benchmarks/ranks.py [--batches 16 32 64 128]

Needs two idle cores: each rank computes with one thread on a core of its own. Prints a table of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

STEPS, WARM = 30, 5
PROMPT, ANSWER = 18, 14  # tokens, about those of the pocket world
SHAPE = {"hidden": 96, "layers": 3, "heads": 4, "max_positions": 160}
WORDS = 1500


def rank(batches: list[int]) -> None:
    """Milliseconds of a step by batch size, as one JSON line of rank 0."""
    import torch

    import plaudit
    from plaudit.data.tokens.item import Segment, TokenItem
    from plaudit.methods.supervised import Supervised
    from plaudit.training.engine import Engine, ParameterGroup, trainable
    from plaudit.training.memory import keep_freed_memory, spare_libraries

    torch.set_num_threads(1)
    keep_freed_memory()
    spare_libraries()
    runtime = plaudit.Runtime.from_environment("cpu", seed=0)
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[runtime.mesh.rank]})
    tokenizer = plaudit.train_bpe([f"word{i} and word{i * 7}" for i in range(4000)], vocabulary=WORDS)
    policy = plaudit.build_policy(tokenizer, seed=0, **SHAPE)
    policy.model.train()
    random, size = np.random.default_rng(0), len(tokenizer)
    items = [
        TokenItem(
            random.integers(5, size, PROMPT),
            (Segment.of(random.integers(5, size, ANSWER)),),
            extras={"weight": [1.0]},
        )
        for _ in range(max(batches))
    ]
    groups = [ParameterGroup("model", trainable(policy.model), 1e-4)]
    engine = Engine(groups, schedule=lambda _: 1.0, token_budget=8192, runtime=runtime)
    found: dict[str, float] = {}
    for batch in batches:
        took = []
        for _ in range(STEPS + WARM):
            start = time.perf_counter()
            engine.step([(Supervised(policy), items[:batch])])
            took.append(time.perf_counter() - start)
        found[str(batch)] = 1e3 * statistics.median(took[WARM:])
    if runtime.is_main:
        print(json.dumps(found), flush=True)


def measured(world: int, batches: list[int]) -> dict[str, float]:
    command = [
        sys.executable,
        *(("-m", "torch.distributed.run", f"--nproc-per-node={world}") if world > 1 else ()),
    ]
    command += [__file__, "--rank", "--batches", *map(str, batches)]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, check=True
    )
    times: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rank:
        rank(given.batches)
        return
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two ranks need two cores in reach")
    one, two = measured(1, given.batches), measured(2, given.batches)
    print("| sequences a step | one rank, ms | two ranks, ms | times faster |\n|---|---|---|---|")
    for batch in one:
        print(f"| {batch} | {one[batch]:.0f} | {two[batch]:.0f} | {one[batch] / two[batch]:.2f} |")


if __name__ == "__main__":
    main()
