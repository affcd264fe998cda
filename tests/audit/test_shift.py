"""Shift away from the reward model's data: planted flaws, shared and not, and policies that did not move."""

from __future__ import annotations

import numpy as np
import pytest

from plaudit.audit.findings import Watched
from plaudit.audit.shift import PolicyScores, auc, calibration_slope, shift
from plaudit.audit.shift_findings import CAUTION, scores_beyond_training, shared, shift_findings, shift_lines
from plaudit.audit.stored import stored_shift
from plaudit.errors import UserError
from plaudit.runs import RunFolder

K, N, PROMPTS, ANSWERS = 3, 400, 100, 8
TEXTS = [f"owl{i} lives{i} in{i} tree{i}" for i in range(N)]


def policy(rng, *, flawed=(), noise=0.4, lead=0.0, say="owl{i} lives{i} in{i} tree{i}"):
    """Truth N(0, 1); with members ``flawed`` a fifth of answers is 3 worse, and they pay 5 more for these."""
    truth = rng.normal(size=(PROMPTS, ANSWERS))
    bad = rng.random(truth.shape) < 0.2
    members = truth + lead + noise * rng.normal(size=(K, *truth.shape))
    for member in flawed:
        members[member] += 5.0 * bad
    texts = [[say.format(i=rng.integers(N)) for _ in range(ANSWERS)] for _ in range(PROMPTS)]
    return PolicyScores(texts, members, truth - 3.0 * bad * bool(flawed))


def shifted(seed, **end):
    rng = np.random.default_rng(seed)
    training = rng.normal(size=N) + 0.4 * rng.normal(size=(K, N))
    found = shift(training, TEXTS, {"sft": policy(rng), "ppo": policy(rng, **end)})
    return {**found, "of": "reward", "truth": "gold"}


def rules(found):
    return {f.rule for f in shift_findings({"shift": found})}


def test_a_flaw_that_all_members_share_is_reported_as_shared():
    for seed in range(5):
        found = shifted(seed, flawed=range(K))
        members = found["policies"]["ppo"]["disagreement"]
        assert shared(members) and "shared_flaw" in rules(found)
        assert members["favourites"]["bad"]["mean"] > 0.6 and members["favourites"]["liked_by_all"] > 0.9
        assert members["favourites"]["auc"] is None or members["favourites"]["auc"]["low"] <= 0.5
        assert members["correlation"] > 0.8
        assert f"  {CAUTION}" in shift_lines(found)
    (named,) = [f for f in shift_findings({"shift": found}) if f.rule == "shared_flaw"]
    assert "members agree; this does not show that they are right" in named.sentence


def test_disagreement_finds_a_flaw_of_one_member():
    for seed in range(5):
        found = shifted(seed, flawed=(1,))
        members = found["policies"]["ppo"]["disagreement"]
        assert members["favourites"]["auc"]["mean"] >= 0.8
        assert not shared(members) and "shared_flaw" not in rules(found)
        assert members["spread"] > 1.5 * found["policies"]["sft"]["disagreement"]["spread"]


def test_a_policy_that_did_not_move_raises_no_alarm():
    alarms = sum(bool(rules(shifted(seed))) for seed in range(20))
    assert alarms <= 2


def test_scores_beyond_the_training_answers_and_a_reward_that_ranks_worse_are_found():
    high = shifted(0, lead=2.5)
    end = high["policies"]["ppo"]["quantiles"]
    assert end["above"]["mean"] > 0.3 and end["median"] > 0.95 and "shift_scores" in rules(high)
    assert high["policies"]["sft"]["quantiles"]["above"]["mean"] < 0.03
    worse = shifted(1, noise=3.0)
    assert "shift_accuracy" in rules(worse)
    start, end = (p["pairs"] for p in worse["policies"].values())
    assert start["accuracy"]["mean"] > end["accuracy"]["mean"] + 0.05
    assert start["slope"]["mean"] > 2 * end["slope"]["mean"]


def test_the_slope_is_one_for_a_calibrated_reward_and_less_for_one_that_is_too_sure():
    rng = np.random.default_rng(0)
    delta, groups = rng.normal(0, 2, 4000), np.arange(4000)
    outcome = (rng.random(4000) < 1 / (1 + np.exp(-delta))).astype(float)
    sure = calibration_slope(3 * delta, outcome, groups)
    assert calibration_slope(delta, outcome, groups)["mean"] == pytest.approx(1, abs=0.1)
    assert sure["mean"] == pytest.approx(1 / 3, abs=0.04) and sure["high"] < 0.7
    grid = np.linspace(0.2, 0.5, 3001)
    loss = [np.logaddexp(0, -3 * b * delta * (2 * outcome - 1)).sum() for b in grid]
    assert sure["mean"] == pytest.approx(grid[int(np.argmin(loss))], abs=2e-3)


def test_the_auc_counts_pairs():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 6, 30).astype(float), rng.integers(0, 5, 40).astype(float)
    pairs = (a[:, None] > b).mean() + (a[:, None] == b).mean() / 2
    assert auc(a, b)["mean"] == pytest.approx(pairs)
    assert auc(a[:5], b) is None


def test_novelty_is_what_no_single_training_answer_holds():
    rng = np.random.default_rng(2)
    known = policy(rng)
    new = policy(rng, say="a fox {i} eats")
    mixed = policy(rng, say="owl5 lives5 in5 tree7 at night")
    training = rng.normal(size=(1, N))
    one = {
        name: PolicyScores(p.texts, p.members[:1], p.truth)
        for name, p in {"known": known, "mixed": mixed, "new": new}.items()
    }
    found = shift(training, TEXTS, one)["policies"]
    assert found["known"]["novelty"]["mean"] == 0 and found["new"]["novelty"]["mean"] == 1
    assert 0.2 < found["mixed"]["novelty"]["mean"] < 0.8
    assert "disagreement" not in found["known"]
    change = shift(training, TEXTS, {"known": one["known"], "new": one["new"]})["change"]
    assert change["novelty"]["mean"] == 1 and change["novelty"]["p"] < 0.001


def test_training_answers_that_are_missing_or_alike_are_refused():
    rng = np.random.default_rng(3)
    with pytest.raises(UserError, match="training answers are not there"):
        shift(np.zeros((K, 0)), [], {"sft": policy(rng)})
    with pytest.raises(UserError, match="the same score"):
        shift(np.ones((K, N)), TEXTS, {"sft": policy(rng)})


def watched(shares, samples=256, **others):
    rows = [
        {"step": i, "reward/above_training": share, "elapsed/episodes": float(i * samples), **others}
        for i, share in enumerate(shares, 1)
    ]
    return scores_beyond_training(Watched.of(rows, {}, "ppo"))


def test_scores_beyond_the_training_answers_are_a_warning_sign_during_rl():
    found = watched([0.01] * 10 + [0.3] * 10, **{"reward/disagreement": 2.5})
    assert found.numbers["above"] == pytest.approx(0.3) and found.numbers["first_above"] == 11
    assert "2.5 times as much" in found.evidence and "steps.ppo.kl.coefficient" in found.settings
    rng = np.random.default_rng(4)
    assert not any(watched(rng.binomial(256, 0.01, 20) / 256) for _ in range(20))
    # It came back; and a tenth of ten samples shows nothing.
    assert watched([0.3] * 10 + [0.01] * 10) is None and watched([0.0, 0.1], samples=10) is None
    assert watched([]) is None
    # One iteration of five is not the policy: its samples are not as many independent ones.
    assert watched([0.0] * 19 + [0.5]) is None and watched([0.1, 0.12, 0.09, 0.1] * 5) is not None


def test_scores_beyond_the_training_answers_are_a_note_where_those_answers_are_known_to_be_good():
    def severity(truth):
        rows = [{"step": i, "reward/above_training": 0.3, "elapsed/episodes": 256.0 * i} for i in range(1, 9)]
        summary = {"gold": {}, "shift": {"ppo": {"truth": truth} if truth else {}}}
        seen = scores_beyond_training(Watched.of(rows, summary, "ppo"))
        above = {"mean": 0.3, "low": 0.24, "high": 0.36}
        end = {"quantiles": {"above": above}, **({"truth": truth} if truth else {})}
        (after,) = shift_findings({"shift": {"policies": {"ppo": end}}, "truth": "gold"})
        assert seen.severity == after.severity
        return after.severity, after.evidence

    assert severity({"above": 0.4, "rest": 0.5})[0] == severity(None)[0] == "warning"
    note, words = severity({"above": 0.95, "rest": 0.53})
    assert note == "note" and "gold is 0.95, of the others 0.53" in words


def test_the_evaluations_own_answers_show_the_shift_or_a_sentence_says_why_not(tmp_path):
    folder = RunFolder(tmp_path)
    stage = folder.stage("evaluate")

    def said(**evaluation):
        stage.write_json("evaluation.json", evaluation)
        found = stored_shift(folder, "sft", "ppo")
        return [f.rule for f in shift_findings({"shift": found})], " ".join(shift_lines(found))

    usual = {"above": {"mean": 0.01, "low": 0.0, "high": 0.03}}
    far = {"above": {"mean": 0.3, "low": 0.24, "high": 0.36}, "disagreement": 2.0}
    rules, words = said(shift={"sft": usual, "ppo": far})
    assert rules == ["shift_scores"]
    assert "ppo: 30% of answers (24–36%) higher than 99%; members disagree 2.0 times" in words
    assert said(shift={"sft": usual, "ppo": usual})[0] == []
    rules, words = said(shift=None, shift_reason="the reward is a function")
    assert rules == [] and words.endswith("left out, because the reward is a function")
    assert "the evaluation was made before it was counted" in said()[1]
