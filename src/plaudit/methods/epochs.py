"""Epochs of minibatches over the items of one iteration's rollouts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from plaudit.config import Online
from plaudit.data.tokens.item import TokenItem
from plaudit.methods.on_policy import minibatch_items
from plaudit.training.engine import Engine
from plaudit.training.method import Work

NAMES = {"loss/policy": "policy/loss", "loss/value": "val/loss"}


def train_epochs(
    engine: Engine,
    settings: Online,
    items: Sequence[TokenItem],
    work: Callable[[Sequence[TokenItem]], Work],
    *,
    seed: Sequence[int],
    update: Sequence[str] | None = None,
) -> dict[str, float]:
    """Mean metrics of the steps on ``work(minibatch)``; stops when the policy has moved far enough in an epoch.

    ``update`` as for ``Engine.step``; each epoch has an order of its own by ``seed``.
    """
    size = minibatch_items(settings)
    window: dict[str, list[float]] = defaultdict(list)
    epochs = 0
    while items and epochs < settings.epochs:
        order = np.random.default_rng([*seed, epochs]).permutation(len(items))
        moved: list[float] = []
        for start in range(0, len(items), size):
            step = engine.step(work([items[i] for i in order[start : start + size]]), update=update)
            if epochs == 0 and start == 0 and "policy/approxkl" in step:
                window["policy/approxkl_first"].append(step["policy/approxkl"])
            for name, value in step.items():
                window[name].append(value)
            moved.append(step.get("policy/approxkl", 0.0))
        epochs += 1
        if settings.kl.epoch_target is not None and np.mean(moved) > 1.5 * settings.kl.epoch_target:
            break
    mean = {NAMES.get(name, name): float(np.mean(values)) for name, values in window.items()}
    return mean | {"epochs": float(epochs)}
