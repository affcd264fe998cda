"""The random streams: uniform, independent, and a function of what is drawn only."""

from __future__ import annotations

import numpy as np
from scipy import stats

from plaudit.rollout.random import streams, uniforms

LIMIT = 1e-4


def grid(rows=400, positions=250, seed=5, step=7):
    """Uniforms [rows, positions] of 100 prompts with 4 samples each."""
    keys = [f"prompt {i // 4}" for i in range(rows)]
    stream = streams(seed, step, keys, [i % 4 for i in range(rows)])
    return uniforms(stream[:, None], np.arange(positions)[None])


def test_values_are_uniform_in_the_open_interval():
    u = grid()
    assert u.dtype == np.float64 and u.min() > 0 and u.max() < 1
    assert stats.kstest(u.ravel(), "uniform").pvalue > LIMIT
    # The low bits must be as random as the high ones: a drawn token may hang on them.
    assert stats.kstest((u.ravel() * 2**20) % 1, "uniform").pvalue > LIMIT


def test_the_extremes_of_the_hash_stay_inside_the_interval():
    assert ((np.uint64(2**64 - 1) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52 < 1.0
    assert (np.float64(0) + 0.5) * 2.0**-52 > 0.0


def test_neighbours_in_every_direction_are_independent():
    u = grid()
    by_sample = u.reshape(100, 4, -1)
    other_seed, other_step = grid(seed=6), grid(step=8)
    pairs = {
        "position": (u[:, :-1], u[:, 1:]),
        "sample": (by_sample[:, :-1], by_sample[:, 1:]),
        "prompt": (by_sample[:-1], by_sample[1:]),
        "seed": (u, other_seed),
        "step": (u, other_step),
        "diagonal": (by_sample[:, :-1, 1:], by_sample[:, 1:, :-1]),
    }
    for name, (a, b) in pairs.items():
        table = np.histogram2d(a.ravel(), b.ravel(), bins=8, range=[[0, 1], [0, 1]])[0]
        p = stats.chisquare(table.ravel()).pvalue
        assert p > LIMIT, f"{name}: {p}"


def test_serial_triples_fill_the_cube():
    u = grid(rows=1000, positions=30).reshape(-1, 3)
    counts = np.histogramdd(u, bins=6, range=[[0, 1]] * 3)[0]
    assert stats.chisquare(counts.ravel()).pvalue > LIMIT


def test_flipping_one_bit_of_the_counter_flips_half_of_the_bits():
    base = streams(1, 1, ["p"] * 64, list(range(64)))
    for bit in range(8):
        a = (uniforms(base, 1 << bit) * 2.0**52).astype(np.uint64)
        b = (uniforms(base, 0) * 2.0**52).astype(np.uint64)
        flipped = np.unpackbits((a ^ b).view(np.uint8)).sum() / (64 * 52)
        assert 0.45 < flipped < 0.55


def test_no_two_streams_are_equal():
    keys = [f"{i}" for i in range(2000) for _ in range(8)]
    stream = streams(0, 0, keys, [i % 8 for i in range(len(keys))])
    assert len(np.unique(stream)) == len(keys)


def test_a_value_depends_on_seed_step_key_index_and_position_only():
    keys, indices = ["a", "b", "a", "c"], [0, 0, 1, 5]
    together = uniforms(streams(3, 2, keys, indices), np.array([4, 0, 9, 1]))
    order = [2, 0, 3, 1]
    turned = uniforms(
        streams(3, 2, [keys[i] for i in order], [indices[i] for i in order]), np.array([9, 4, 1, 0])
    )
    np.testing.assert_array_equal(together[order], turned)
    alone = uniforms(streams(3, 2, ["c"], [5]), 1)
    assert alone[0] == together[3]


def test_values_are_pinned_across_versions_and_machines():
    got = uniforms(streams(1, 2, ["prompt", "prompt", "other"], [0, 1, 0]), np.array([0, 0, 3]))
    np.testing.assert_array_equal(got, [0.20215467806343856, 0.2888504679239393, 0.6696240632916085])
