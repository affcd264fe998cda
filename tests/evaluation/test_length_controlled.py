"""Length-controlled win rates of many models: planted quality is recovered whatever the lengths are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import spearmanr

from plaudit.evaluation.length_controlled import length_controlled_rates, ridge_logistic

MODELS, ITEMS = 16, 300


def planted(rng, *, liking: float, spread: float = 0.2):
    """Verdicts of a judge that likes length, on instructions of unlike difficulty; the quality, and a column each."""
    theta = rng.normal(0, 0.8, MODELS)
    psi = rng.uniform(0.7, 1.3, MODELS)
    gamma = rng.normal(0, 1, ITEMS)
    lead = rng.permutation(np.linspace(-600, 600, MODELS))  # characters that a model writes more
    phi = rng.normal(liking, spread, MODELS)
    rows = [(m, i) for m in range(MODELS) for i in range(ITEMS)]
    model, item = np.array(rows).T
    delta = rng.normal(lead[model], 400)
    scale = np.array([delta[model == m].std() for m in range(MODELS)])
    logit = theta[model] + phi[model] * np.tanh(delta / scale[model]) + psi[model] * gamma[item]
    won = (rng.random(len(rows)) < 1 / (1 + np.exp(-logit))).astype(float)
    fair = 1 / (1 + np.exp(-(theta[:, None] + psi[:, None] * gamma)))
    raw = np.array([won[model == m].mean() for m in range(MODELS)])
    return fair.mean(axis=1), raw, lead, (won, delta, [f"m{m:02}" for m in model], item)


def column(rates, key):
    return np.array([rates[f"m{m:02}"][key] for m in range(MODELS)])


def test_a_planted_liking_for_length_is_taken_away():
    errors, raws, inside, orders = [], [], 0, []
    for seed in range(3):
        fair, raw, lead, given = planted(np.random.default_rng(seed), liking=1.5)
        rates = length_controlled_rates(*given)
        found = column(rates, "mean")
        errors.append(np.abs(found - fair).mean())
        raws.append(np.abs(raw - fair).mean())
        inside += int(((column(rates, "low") <= fair) & (fair <= column(rates, "high"))).sum())
        orders.append((spearmanr(raw, fair)[0], spearmanr(found, fair)[0]))
        assert abs(spearmanr(raw - fair, lead)[0]) > 0.9
        assert abs(np.corrcoef(found - fair, lead)[0, 1]) < 0.8
        assert column(rates, "length").mean() == pytest.approx(1.5, abs=0.25)
    assert np.mean(errors) < 0.035 < 0.1 < np.mean(raws)
    before, after = np.mean(orders, axis=0)
    assert before < 0.6 < 0.9 < after
    assert inside >= 0.85 * 3 * MODELS


def test_without_a_liking_the_rates_stay_what_they_are():
    _, raw, _, given = planted(np.random.default_rng(7), liking=0.0, spread=0.0)
    rates = length_controlled_rates(*given)
    assert np.abs(column(rates, "mean") - raw).mean() < 0.02
    assert abs(column(rates, "length").mean()) < 0.2


def test_a_model_cannot_game_the_rate_by_one_length_of_answers():
    """Its own answers alone would let a model that loses blame its brevity; the prior of all models does not."""
    rng = np.random.default_rng(3)
    _, _, _, (won, delta, models, item) = planted(rng, liking=1.5)
    own = np.array(models) == "m00"
    delta[own] = -1500 + rng.normal(0, 30, own.sum())
    won[own] = (rng.random(own.sum()) < 0.1).astype(float)
    found = length_controlled_rates(won, delta, models, item)["m00"]
    assert found["mean"] < 0.45 and 0.5 < found["length"] < 2.2


def test_the_penalized_fit_is_that_of_a_general_optimizer():
    rng = np.random.default_rng(0)
    x, group = rng.normal(size=(400, 3)), rng.integers(0, 2, 400)
    x[:, 0] = 1
    y, offset = rng.random(400), rng.normal(size=400)
    center, precision = np.array([0.0, 1.0, -0.5]), np.array([0.01, 11.0, 1.0])
    found = ridge_logistic(y, x, group, center, precision, offset)
    for g in (0, 1):
        own = group == g

        def loss(b, own=own):
            z = offset[own] + x[own] @ b
            fit = np.logaddexp(0, z).sum() - (y[own] * z).sum()
            return fit + (precision * (b - center) ** 2).sum() / 2

        assert found[g] == pytest.approx(minimize(loss, center, tol=1e-10).x, abs=1e-4)


def test_few_models_are_refused():
    with pytest.raises(ValueError, match="3 models do not show how hard an instruction is"):
        length_controlled_rates([1, 0, 1], [1, 2, 3], "abc", [1, 1, 1])
