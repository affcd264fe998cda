"""Best of n as a yardstick: what choosing by a reward is worth, and how far it moves the policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from plaudit.evaluation.statistics import mean_interval
from plaudit.objectives import best_of_n_kl, best_of_n_mean


def best_of_n_frontier(scores: np.ndarray, values: np.ndarray, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """One point for each n: mean value of the best-scored of n, its interval over prompts, and the KL bound.

    ``scores`` and ``values`` [prompts, N]: what the best is chosen by, and what it is worth.
    """
    found = []
    for n in sizes:
        each = best_of_n_mean(torch.from_numpy(scores), torch.from_numpy(values), n).numpy()
        found.append({"n": n, "kl": best_of_n_kl(n), **mean_interval(each)})
    return found
