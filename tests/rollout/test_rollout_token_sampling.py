"""Drawing one token: against a brute-force distribution in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from plaudit.kernels import auto
from plaudit.rollout.protocol import SamplingSettings
from plaudit.rollout.token_sampling import draw, scale_and_truncate


@pytest.fixture(params=["compiled", "uncompiled"], autouse=True, scope="module")
def loops(request):
    """With numba, and as it is without."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "uncompiled":
            patch.setattr(auto, "load_compiled", lambda name: None)
        yield


def brute_force(logits, temperature=1.0, top_k=0, top_p=1.0):
    """Probabilities of one row, written as plainly as possible."""
    z = np.asarray(logits, dtype=np.float64) / temperature
    weights = np.exp(z - z.max())
    kept = list(range(len(z)))
    if top_k:
        kth = sorted(z, reverse=True)[min(top_k, len(z)) - 1]
        kept = [v for v in kept if z[v] >= kth]
    if top_p < 1:
        mass, total, threshold = 0.0, sum(weights[v] for v in kept), -np.inf
        for v in sorted(kept, key=lambda v: -z[v]):
            mass += weights[v] / total
            if mass >= top_p:
                threshold = z[v]
                break
        kept = [v for v in kept if z[v] >= threshold]
    p = np.zeros(len(z))
    p[kept] = weights[kept]
    return p / p.sum()


def at(logits, u, **kwargs):
    ids, log_probs = draw(
        torch.tensor(np.asarray(logits)[None], dtype=torch.float32).expand(len(u), -1).contiguous(),
        torch.tensor(u, dtype=torch.float64),
        SamplingSettings(1, **kwargs),
    )
    return ids.numpy(), log_probs.numpy()


@settings(max_examples=100, deadline=None)
@given(
    logits=arrays(np.float32, st.integers(1, 9), elements=st.integers(-6, 6).map(float)),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    top_k=st.integers(0, 10),
    top_p=st.sampled_from([0.11, 0.37, 0.59, 0.73, 0.83, 0.91, 0.97, 1.0]),
)
def test_truncation_equals_brute_force_with_ties(logits, temperature, top_k, top_p):
    chosen = SamplingSettings(1, temperature=temperature, top_k=top_k, top_p=top_p)
    p = scale_and_truncate(torch.from_numpy(logits)[None], chosen)[0].double().softmax(-1).numpy()
    expected = brute_force(logits, temperature, top_k, top_p)
    np.testing.assert_array_equal(p > 0, expected > 0)
    np.testing.assert_allclose(p, expected, atol=1e-6)


@pytest.mark.parametrize("vocabulary", [1, 2, 31, 63, 64, 65, 127, 1500, 50257])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.6}, {"top_k": 7, "top_p": 0.8}])
def test_each_token_is_found_at_its_place_in_the_cumulative_distribution(vocabulary, options):
    rng = np.random.default_rng(vocabulary)
    logits = rng.normal(size=vocabulary).astype(np.float32) * 2
    p = brute_force(logits, **options)
    cumulative = np.concatenate([[0], np.cumsum(p)])
    tokens = np.flatnonzero(p > 1e-5)[:: max(1, vocabulary // 500)]
    for share in (0.02, 0.5, 0.98):
        u = cumulative[tokens] + share * p[tokens]
        ids, log_probs = at(logits, u, **options)
        np.testing.assert_array_equal(ids, tokens)
        np.testing.assert_allclose(log_probs, np.log(p[tokens]), atol=2e-6)


@pytest.mark.parametrize("vocabulary", [5, 60, 100, 1500])
def test_a_token_of_probability_zero_is_never_drawn(vocabulary):
    rng = np.random.default_rng(0)
    edges = np.array([2.0**-53, 1e-300, 0.25, 0.5, 0.75, 1 - 2.0**-53, np.nextafter(1.0, 0)])
    u = np.concatenate([edges, rng.random(200)])
    for _ in range(20):
        logits = rng.normal(size=vocabulary).astype(np.float32) * 30
        logits[rng.random(vocabulary) < 0.9] = -np.inf
        logits[rng.integers(vocabulary)] = 0
        ids, log_probs = at(logits, u)
        assert np.isfinite(logits[ids]).all()
        assert np.isfinite(log_probs).all()


def test_only_the_last_token_possible():
    for vocabulary in (64, 65, 1500):
        logits = np.full(vocabulary, -np.inf, dtype=np.float32)
        logits[-1] = -5
        ids, log_probs = at(logits, np.array([1e-12, 0.5, 1 - 2.0**-53]))
        assert (ids == vocabulary - 1).all() and (log_probs == 0).all()


@pytest.mark.parametrize("options", [{}, {"temperature": 1.7, "top_k": 12}, {"top_p": 0.6}])
def test_frequencies_follow_the_probabilities(options):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=80) * 1.5
    p = brute_force(logits.astype(np.float32), **options)
    ids, _ = at(logits, rng.random(40_000), **options)
    counts = np.bincount(ids, minlength=80)
    assert (counts[p == 0] == 0).all()
    possible = p > 0
    assert stats.chisquare(counts[possible], 40_000 * p[possible]).pvalue > 1e-3


def test_greedy_takes_the_first_best_token_with_certainty():
    ids, log_probs = at([0.0, 3.0, 3.0, -1.0], [0.1, 0.9], temperature=0.0)
    assert (ids == 1).all() and (log_probs == 0).all()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_show_in_the_log_probability(temperature, bad):
    _, log_probs = at([0.0, bad, 1.0], [0.4], temperature=temperature)
    assert np.isnan(log_probs).all()
