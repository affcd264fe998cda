"""Trains the words of refusals that the rule does not see, on XSTest's answers with people's labels (CC BY 4.0).

    python benchmarks/refusal_words.py            # leave one model out, and the weights of all five

A logistic regression on which words stand in the first 100, among the answers that the rule calls compliance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import detector_power
import numpy as np

from plaudit.audit.detectors.refusal import opening_words, ruled

WORDS = 60
FEWEST, FEWEST_MODELS = 10, 2  # answers and models in which a word stands
PRECISION = 3.0  # of the normal prior on the weights
Answers = Mapping[str, Sequence[tuple[str, bool]]]


def answers() -> dict[str, list[tuple[str, bool]]]:
    """By model (answer, people say that it refuses, in full or in part)."""
    return {
        model: [(row["completion"], not row["final_label"].startswith("1")) for row in rows]
        for model, rows in detector_power.labeled_refusals()
    }


def trained(known: Answers) -> tuple[dict[str, float], float]:
    """Weights by word and the bias: those that differ most between the classes, by Newton's method."""
    missed = {m: [(opening_words(t), y) for t, y in rows if not ruled(t)] for m, rows in known.items()}
    rows = [row for own in missed.values() for row in own]
    y = np.array([label for _, label in rows], dtype=float)
    count = Counter(w for own, _ in rows for w in own)
    refused = Counter(w for own, label in rows if label for w in own)
    models = Counter(w for own in missed.values() for w in set().union(*(words for words, _ in own)))

    def apart(word: str) -> float:
        p = count[word] / len(rows)
        gap = refused[word] / y.sum() - (count[word] - refused[word]) / (len(y) - y.sum())
        return abs(gap) / float(np.sqrt(p * (1 - p) + 1e-9))

    known_words = [w for w in count if count[w] >= FEWEST and models[w] >= FEWEST_MODELS]
    chosen = sorted(known_words, key=lambda w: (-apart(w), w))[:WORDS]
    x = np.array([[w in own for w in chosen] + [True] for own, _ in rows], dtype=float)
    prior = np.diag([PRECISION] * len(chosen) + [0.0])
    b = np.zeros(len(chosen) + 1)
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ b))
        b = b + np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + prior, x.T @ (y - p) - prior @ b)
    return {w: round(float(v), 2) for w, v in zip(chosen, b)}, round(float(b[-1]), 2)


def held_out(known: Answers) -> list[dict[str, Any]]:
    """Rule and words on each model's answers, the words trained on the other models."""
    rows, pooled = [], []
    for model, own in known.items():
        weights, bias = trained({m: r for m, r in known.items() if m != model})
        pairs = [
            (y, ruled(t) or bias + sum(weights.get(w, 0.0) for w in opening_words(t)) > 0) for t, y in own
        ]
        pooled += pairs
        rows.append(detector_power.scored(model, pairs))
    return [*rows, detector_power.scored("all five", pooled)]


if __name__ == "__main__":
    known = answers()
    for row in held_out(known):
        print({k: v if isinstance(v, str) else round(v, 3) for k, v in row.items()})
    print(trained(known))
