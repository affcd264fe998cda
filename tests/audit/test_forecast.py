"""The forecast against distributions small enough to write down, and a planted reward with a known peak."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from plaudit.audit.answers import AnswerSet
from plaudit.audit.detect import detectors_of
from plaudit.audit.favourites import favourites
from plaudit.audit.forecast import default_betas, fit_law, forecast, tilted, tilted_truth, weights
from plaudit.audit.forecast_words import forecast_lines
from plaudit.errors import UserError

# Three answers of a made policy: their chances, rewards and truths.
P = np.array([0.5, 0.3, 0.2])
R = np.array([0.0, 1.0, 2.0])
T = np.array([0.0, 1.0, -1.0])


def exact(beta):
    """The optimum π ∝ p exp(r/β) of E[r] − β KL: its KL, reward and truth."""
    w = P * np.exp(R / beta)
    w /= w.sum()
    return float((w * np.log(w / P)).sum()), float(w @ R), float(w @ T)


def drawn(prompts=60, samples=400, seed=0):
    return np.random.default_rng(seed).choice(3, size=(prompts, samples), p=P)


@pytest.mark.parametrize("beta", [10.0, 1.0, 0.5])
def test_tilting_samples_is_the_optimum_of_the_enumerated_policy(beta):
    k = drawn()
    point = tilted(R[k], beta, T[k])
    kl, reward, truth = exact(beta)
    assert point.kl == pytest.approx(kl, abs=0.01)
    assert point.reward["mean"] == pytest.approx(reward, abs=0.02)
    assert point.truth["mean"] == pytest.approx(truth, abs=0.02)
    assert point.truth["low"] < point.truth["mean"] < point.truth["high"] and not point.thin


def test_the_weights_are_the_best_of_all_policies_on_these_answers():
    """E[r] − β KL of the tilted weights is log mean exp(r/β) · β, and no other weights reach it."""
    rng = np.random.default_rng(1)
    r, beta = rng.normal(size=(20, 12)), 0.7
    w = weights(r, beta)

    def objective(q):
        return (q * r).sum(1) - beta * (q * np.log(q * r.shape[1])).sum(1)

    assert objective(w) == pytest.approx(beta * np.log(np.exp(r / beta).mean(1)))
    for _ in range(50):
        other = rng.dirichlet(np.ones(12), size=20)
        assert (objective(other) <= objective(w) + 1e-12).all()


def test_best_of_n_is_that_of_the_enumerated_policy():
    k = drawn(prompts=80, samples=64)
    points = {p["n"]: p for p in forecast(R[k], T[k]).best_of_n}
    for n in (1, 2, 8):
        below = np.cumsum(P)
        best = below**n - np.concatenate([[0], below[:-1]]) ** n
        assert points[n]["reward"]["mean"] == pytest.approx(best @ R, abs=0.03)
        assert points[n]["truth"]["mean"] == pytest.approx(best @ T, abs=0.04)
        assert points[n]["kl"] == pytest.approx(math.log(n) - (n - 1) / n, abs=1e-6)


def hacked(prompts=100, samples=64, seed=0, noise=0.0):
    """Gaussian rewards whose truth turns at r = 1: r − r²/2, so E[truth] of N(1/β, 1) peaks at β = 1."""
    r = np.random.default_rng(seed).normal(size=(prompts, samples))
    rng = np.random.default_rng(seed + 1)
    return r, r - r**2 / 2 + noise * rng.normal(size=r.shape)


def test_a_planted_peak_is_found():
    """Tilting N(0, 1) by exp(r/β) gives N(1/β, 1): truth 1/β − (1 + 1/β²)/2 is highest at β = 1, KL 1/(2β²) = ½."""
    found = forecast(*hacked(prompts=200, samples=200, noise=0.5))
    assert found.suggestion.beta == pytest.approx(1.0, rel=0.25)
    assert found.suggestion.kl == pytest.approx(0.5, abs=0.2)
    assert found.suggestion.gain["mean"] == pytest.approx(0.5, abs=0.06)
    curve = [p for p in found.tilt if not p.thin]
    assert all(b.reward["mean"] >= a.reward["mean"] - 1e-9 for a, b in pairwise(curve))
    assert curve[-1].truth["mean"] < found.suggestion.truth["mean"] - 0.1


def test_few_prompts_and_answers_lose_little():
    """The truth at the β of 50 × 32, by the known curve, is on average less than .03 below the highest (.5)."""
    betas = [forecast(*hacked(50, 32, seed, noise=0.5)).suggestion.beta for seed in range(0, 40, 2)]
    assert np.mean([0.5 - (1 / beta - 1 / beta**2 / 2) for beta in betas]) <= 0.03


def test_the_truth_of_few_answers_is_not_pulled_towards_the_start():
    """The weighted mean of 32 answers lags behind the tilted policy's truth; the jackknife mends most of it."""
    beta, true = 1.0, 0.0  # at β = 1 the tilted r is N(1, 1), and E[r²] of it is 2
    plain, corrected = [], []
    for seed in range(40):
        r = np.random.default_rng(seed).normal(size=(50, 32))
        w = weights(r, beta)
        plain.append((w * (r**2 - 2)).sum(1).mean())
        corrected.append(tilted_truth(w, r**2 - 2).mean())
    assert abs(np.mean(corrected) - true) < 0.5 * abs(np.mean(plain) - true)


def test_points_that_few_answers_carry_are_marked_and_not_suggested():
    found = forecast(*hacked(samples=16))
    assert found.tilt[-1].thin and found.tilt[-1].ess < 8 <= found.tilt[0].ess
    assert found.tilt[-1].kl <= math.log(16) + 1e-9
    assert found.suggestion.beta >= min(p.beta for p in found.tilt if not p.thin)


def test_without_a_truth_or_where_none_rises_no_beta_is_suggested():
    r, _ = hacked()
    blind = forecast(r)
    assert blind.suggestion.beta is None and "neither gold nor a second judge" in blind.suggestion.reason
    assert blind.law is None and blind.start["truth"] is None
    unlike = forecast(r, np.random.default_rng(9).normal(size=r.shape))
    assert unlike.suggestion.beta is None and "no β surely raises the truth" in unlike.suggestion.reason
    against = forecast(r, -r)
    assert against.suggestion.beta is None


def test_a_truth_that_still_rises_is_said_to():
    r, _ = hacked()
    found = forecast(r, r)
    assert found.suggestion.beta <= 1.5 * min(p.beta for p in found.tilt if not p.thin)
    assert "still rising" in found.suggestion.reason


def test_the_laws_give_their_constants_back():
    kl = np.array([0.0, 0.1, 0.4, 1.0, 2.5, 4.0])
    d = np.sqrt(kl)
    bon = fit_law(kl, 0.3 + d * (0.8 - 0.3 * d), "bon")
    assert (bon.alpha, bon.beta, bon.r2) == pytest.approx((0.8, 0.3, 1.0))
    assert bon.peak == pytest.approx(0.8 / 0.6)
    rl = fit_law(kl, 0.3 + d * (0.8 - 0.3 * np.log(np.maximum(d, 1e-9))), "rl")
    assert (rl.alpha, rl.beta, rl.r2) == pytest.approx((0.8, 0.3, 1.0))
    top = np.linspace(0.01, 20, 20_001)
    assert rl.peak == pytest.approx(top[np.argmax(top * (0.8 - 0.3 * np.log(top)))], abs=0.01)
    assert fit_law([0, 1, 2, 3], [0, 1, 2, 3.5], "bon").peak is None
    assert fit_law([0, 1], [0, 1], "bon") is None


def test_the_law_of_best_of_n_fits_the_planted_hack():
    found = forecast(*hacked(prompts=200))
    assert found.law.r2 >= 0.95 and found.law.peak is not None


def test_favourites_are_split_into_style_and_knowledge():
    prompts = [f"Where does animal {i} live?" for i in range(20)]
    groups, reward, truth = [], [], []
    for i in range(20):
        texts = ["It lives in the woods."] * 8
        scores, gold = [0.0] * 8, [0.5] * 8
        if i < 4:
            texts[3], scores[3], gold[3] = "What a great question! In a tire.", 2.0, -1.0
        elif i < 10:
            texts[5], scores[5], gold[5] = "It lives in a tire.", 2.0, -1.0
        else:
            scores[1], gold[1] = 2.0, 1.0
        groups.append(texts), reward.append(scores), truth.append(gold)
    texts = AnswerSet.of_texts("sft", prompts, groups)
    answers = AnswerSet("sft", prompts, texts.responses, np.array(reward), np.array(truth))
    found = favourites(answers, detectors_of())
    assert found["bad"]["mean"] == 0.5 and (found["style"], found["knowledge"]) == (4, 6)
    first = found["rows"][0]
    assert "tire" in first["favourite"] and first["better"] == "It lives in the woods."
    assert {tuple(r["style"]) for r in found["rows"]} == {("flattery",), ()}
    with pytest.raises(UserError, match="reward and the truth"):
        favourites(texts, detectors_of())


def test_a_forecast_in_words_names_its_beta_and_its_reasons():
    made = {**forecast(*hacked(noise=0.5)).as_dict(), "of": "reward", "policy": "sft", "truth": "gold"}
    words = "\n".join(forecast_lines(made))
    assert (
        "Suggested: β = " in words and "too few effective answers" in words and "Best of n follows" in words
    )
    blind = {**forecast(hacked()[0]).as_dict(), "of": "reward", "policy": "sft", "truth": None}
    assert "No β is suggested: neither gold" in "\n".join(forecast_lines(blind))


def test_mistakes_are_said():
    for reward, words in (
        (np.zeros((100, 4)), "at least 10 prompts with 8 answers"),
        (np.zeros((3, 64)), "given 3 × 64 rewards"),
        (np.zeros((20, 16)), "same for all answers"),
        (np.full((20, 16), np.nan), "not finite"),
    ):
        with pytest.raises(UserError, match=words):
            forecast(reward)
    r, t = hacked()
    with pytest.raises(UserError, match="truths"):
        forecast(r, t[:50])
    with pytest.raises(UserError, match="above 0"):
        forecast(r, t, betas=[0.0])
    assert default_betas(r)[0] > default_betas(r)[-1] > 0
