"""Random numbers that depend on what is drawn and on nothing else.

Each response has a stream, a 64-bit hash of (seed, step, prompt key, sample index); the uniform of
token position t is a hash of (stream, t). So a sample is the same whatever the batch, the order,
the refilling, the number of ranks, or a resume in between. The mixing is SplitMix64's finalizer
(Steele, Lea, Flood 2014).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def _mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer: avalanche mixing, a bijection of 64-bit integers."""
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))


def streams(seed: int, step: int, keys: Sequence[str], indices: Sequence[int]) -> np.ndarray:
    """One stream per response: uint64 [N], from ``keys`` [N] and sample ``indices`` [N]."""
    roots: dict[str, int] = {}
    for key in keys:
        if key not in roots:
            text = f"{seed}/{step}/{key}".encode()
            roots[key] = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    root = np.array([roots[key] for key in keys], dtype=np.uint64)
    index = np.asarray(indices, dtype=np.int64).astype(np.uint64)
    return _mix(root ^ _mix((index + np.uint64(1)) * _GOLDEN))


def uniforms(stream: np.ndarray, position: np.ndarray | int) -> np.ndarray:
    """u ∈ (0, 1), float64, of token ``position`` in ``stream`` (both [N], or broadcast)."""
    counter = np.atleast_1d(np.asarray(position, dtype=np.int64)).astype(np.uint64) + np.uint64(1)
    bits = _mix(stream + counter * _GOLDEN)
    # 52 bits and a half: never 0, never 1, exact in a double.
    return ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
