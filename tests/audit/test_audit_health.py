"""Each rule on synthetic curves: it speaks where it should, and only there."""

from dataclasses import replace

import numpy as np
import pytest
from made_runs import pocket_summary, ppo_rows

from plaudit.audit import health, health_rl
from plaudit.audit.findings import Watched
from plaudit.audit.health import RULES, examine

SUMMARY = {"gold": {"start": {"mean": 0.3}, "perfect": {"mean": 1.1}}}
STEPS = range(1, 21)


def curve(key, values, **others):
    """Rows of twenty iterations: one number follows ``values``, the rest stay as given."""
    return [{"step": s, key: v, **others} for s, v in zip(STEPS, values)]


def seen(rows, summary=None, step="ppo"):
    """What a rule looks at: the rows of a PPO step that began at SFT."""
    return replace(Watched.of(rows, summary or {}, step), start="SFT")


def linear(start, end):
    return [float(v) for v in np.linspace(start, end, 20)]


@pytest.mark.parametrize("gold", [True, False])
def test_a_healthy_run_has_no_findings(gold):
    rng = np.random.default_rng(0)
    rows = ppo_rows(iterations=14, penalty=True, rng=rng, gold=gold)
    assert examine([seen(rows, pocket_summary(rng))]) == []


def test_a_run_without_records_has_no_findings():
    assert examine([seen([])]) == []
    assert examine([]) == []


def test_a_run_without_a_kl_penalty_is_found_out():
    rng = np.random.default_rng(0)
    found = examine([seen(ppo_rows(iterations=14, penalty=False, rng=rng), SUMMARY)])
    assert {"gold_falls_while_proxy_rises", "kl_too_high", "length_runaway"} <= {f.rule for f in found}
    severities = [f.severity for f in found]
    assert severities == sorted(severities, key=["serious", "warning", "note"].index)


@pytest.mark.parametrize(("end", "severity"), [(1.5, None), (5.9, None), (8.0, "warning"), (40.0, "serious")])
def test_kl_is_judged_by_where_it_ends(end, severity):
    finding = health_rl.kl_too_high(seen(curve("objective/kl", linear(0, end))))
    assert (finding.severity if finding else None) == severity


def test_a_kl_that_came_back_is_no_finding():
    values = [*linear(0, 12)[:10], *linear(6, 2)[:10]]
    assert health_rl.kl_too_high(seen(curve("objective/kl", values))) is None


def test_the_evidence_names_the_iteration_at_which_kl_passed_the_line():
    finding = health_rl.kl_too_high(seen(curve("objective/kl", [0.0] * 7 + [20.0] * 13)))
    assert "at iteration 8" in finding.evidence and "20.0" in finding.evidence


def test_noise_around_a_kl_of_zero_is_no_finding_and_a_clear_minus_is():
    assert health_rl.kl_negative(seen(curve("objective/kl", [-0.1, 0.05] * 10))) is None
    finding = health_rl.kl_negative(seen(curve("objective/kl", [0.0, -3.0, *[0.0] * 18])))
    assert finding.severity == "serious" and "iteration 2" in finding.evidence and "−3.00" in finding.evidence


def test_entropy_is_judged_per_token():
    # Twice the entropy over twenty times the tokens: each token is decided.
    rows = [
        {"step": s, "objective/entropy": e, "objective/response_length": n}
        for s, e, n in zip(STEPS, linear(20, 20), linear(10, 400))
    ]
    assert health_rl.entropy_collapse(seen(rows)).rule == "entropy_collapse"
    same = [{**row, "objective/response_length": 10.0} for row in rows]
    assert health_rl.entropy_collapse(seen(same)) is None


def test_entropy_may_halve_but_not_vanish():
    assert health_rl.entropy_collapse(seen(curve("objective/entropy", linear(16, 7)))) is None
    finding = health_rl.entropy_collapse(seen(curve("objective/entropy", [16 * 0.8**i for i in range(20)])))
    assert "since iteration 12" in finding.evidence  # 0.8 to the 11th is the first below a tenth


def test_growing_answers_warn_and_cut_answers_are_serious():
    def judged(end, finished):
        rows = curve("objective/response_length", linear(12, end), **{"objective/finished": finished})
        finding = health_rl.length_runaway(seen(rows))
        return finding and finding.severity

    assert judged(14, 0.98) is None
    assert judged(25, 0.98) == "warning"
    assert judged(25, 0.5) == "serious"
    assert judged(12, 0.5) == "serious"


def hacked(gold_end, proxy_end):
    rows = [{"step": 0, "gold": 0.3}]
    rows += [
        {"step": s, "objective/scores": p, "gold": g}
        for s, p, g in zip(STEPS, linear(0, proxy_end), [*linear(0.4, 0.9)[::2], *linear(0.9, gold_end)[::2]])
    ]
    return rows


@pytest.mark.parametrize(
    ("gold_end", "proxy_end", "severity"),
    [
        (0.85, 1.5, None),  # a dip within the noise
        (0.55, 1.5, "warning"),
        (0.0, 1.5, "serious"),
        (0.0, -1.0, None),  # both fall: something else is wrong
    ],
)
def test_gold_falling_while_the_proxy_rises_is_reward_hacking(gold_end, proxy_end, severity):
    finding = health_rl.gold_falls_while_proxy_rises(seen(hacked(gold_end, proxy_end), SUMMARY))
    assert (finding.severity if finding else None) == severity


def test_reward_hacking_needs_a_gold_to_be_seen():
    rows = [{k: v for k, v in row.items() if k != "gold"} for row in hacked(0.0, 1.5)]
    assert health_rl.gold_falls_while_proxy_rises(seen(rows, SUMMARY)) is None
    assert health_rl.gold_falls_while_proxy_rises(seen(hacked(0.0, 1.5))) is None


def test_one_hot_update_at_the_start_is_no_finding_but_staying_hot_is():
    assert health_rl.clip_fraction_too_hot(seen(curve("policy/clipfrac", [0.6] * 3 + [0.1] * 17))) is None
    assert health_rl.clip_fraction_too_hot(seen(curve("policy/clipfrac", linear(0.1, 0.6)))).rule


def test_a_critic_that_starts_badly_may_learn():
    key = "val/var_explained"
    assert health_rl.critic_explains_nothing(seen(curve(key, linear(-4, 0.1)))) is None
    finding = health_rl.critic_explains_nothing(seen(curve(key, linear(-4, -0.2))))
    assert "iteration 1 to 20" in finding.evidence and "−0.20" in finding.evidence
    assert health_rl.critic_explains_nothing(seen(curve(key, linear(-4, -0.2))[:3])) is None


def test_a_score_that_never_rises_is_reported():
    noise = np.random.default_rng(0).normal(0, 0.05, 20)
    rising = [a + b for a, b in zip(linear(0, 0.5), noise)]
    assert health_rl.score_never_rises(seen(curve("objective/scores", rising))) is None
    assert (
        health_rl.score_never_rises(seen(curve("objective/scores", linear(0.2, 0.0)))).rule
        == "score_never_rises"
    )


def test_sampler_and_trainer_must_agree():
    key = "rollout/log_prob_gap_mean"
    assert health_rl.sampler_disagrees(seen(curve(key, [1e-6] * 20))) is None
    assert "iteration 20" in health_rl.sampler_disagrees(seen(curve(key, linear(0, 0.4)))).evidence


def test_the_first_minibatch_must_not_have_moved():
    key = "policy/approxkl_first"
    assert health_rl.first_minibatch_moved(seen(curve(key, [1e-7] * 20))) is None
    assert (
        "iteration 4" in health_rl.first_minibatch_moved(seen(curve(key, [0.0] * 3 + [0.02] * 17))).evidence
    )


def test_numbers_that_were_not_finite_are_reported():
    finding = health_rl.not_finite(seen(curve("val/loss", [0.1] * 6 + [None] * 14)))
    assert "val/loss at iteration 7, 14 in all" in finding.evidence


def test_a_hack_that_a_round_s_audit_suspects_is_reported():
    audits = {
        "audit-1": {"before": "sft", "after": "ppo-1", "hacks": ["flattery", "lists"]},
        "audit-2": {"before": "sft", "after": "ppo-2", "hacks": []},
    }
    finding = health.hack_in_a_round(seen([], {"audits": audits}))
    assert finding.evidence == "audit-1 (sft → ppo-1): flattery, lists."
    assert health.hack_in_a_round(seen([], {"audits": {"audit-2": audits["audit-2"]}})) is None
    assert health.hack_in_a_round(seen([], {})) is None


def test_a_policy_that_a_step_went_back_to_is_told_with_both_values():
    back = {"iteration": 4, "by": "gold", "value": 0.81, "last_iteration": 14, "last": 0.66}
    finding = health_rl.rolled_back(seen([], {"rolled_back": {"ppo": back}}))
    assert finding.severity == "note" and finding.numbers == {"iteration": 4, "value": 0.81, "last": 0.66}
    assert "Of iteration 4, gold 0.810; after iteration 14 it was 0.660." in finding.evidence
    assert health_rl.rolled_back(seen([], {})) is None


def test_an_early_stop_is_reported_with_its_reason():
    finding = health_rl.stopped_early(seen([], {"stopped": {"ppo": "objective/kl 9.10 is above kl_max 8"}}))
    assert finding.evidence == "objective/kl 9.10 is above kl_max 8."


@pytest.mark.parametrize(
    ("accuracy", "low", "longer", "severity"),
    [
        (0.72, 0.70, 0.60, None),
        (0.62, 0.58, 0.60, "warning"),
        (0.55, 0.52, 0.60, "serious"),
        (0.55, 0.52, 0.30, "serious"),  # "shorter wins" is right in 70 %
        (0.72, None, 0.60, None),
    ],
)
def test_a_reward_model_must_surely_beat_length(accuracy, low, longer, severity):
    model = {"accuracy": accuracy, "low": low, "high": 0.8, "longer_wins": longer}
    finding = health.reward_model_no_better_than_longer(seen([], {"reward_model": model}))
    assert (finding.severity if finding else None) == severity
    if finding and longer < 0.5:
        assert "shorter wins" in finding.sentence and "70.0%" in finding.evidence


def test_sharpening_is_named_where_a_cooler_sft_does_as_well():
    best = {"temperature": 0.3, "start": {"mean": 1.05}, "end": {"mean": 1.04}}
    summary = {"best_temperature": best, "gap_closed": {"mean": 0.6}}
    assert (
        "best for SFT, gold is 1.05 for SFT and 1.04 for PPO"
        in health.sharpening_only(seen([], summary)).evidence
    )
    assert health.sharpening_only(seen([], {**summary, "gap_closed": {"mean": -0.2}})) is None
    wins = {"best_temperature": best, "judge": "proxy", "win_rate": {"end_vs_start": {"mean": 0.6}}}
    assert "the proxy judge's score is 1.05 for SFT" in health.sharpening_only(seen([], wins)).evidence
    wins["win_rate"] = {"end_vs_start": {"mean": 0.5}}
    assert health.sharpening_only(seen([], wins)) is None
    ahead = {**summary, "best_temperature": {**best, "end": {"mean": 1.1}}}
    assert health.sharpening_only(seen([], ahead)) is None


def test_the_record_of_a_stop_is_not_a_step_of_the_curve():
    rows = [*curve("objective/kl", [1.0] * 20), {"step": 5, "objective/kl": 500.0, "stopped": 1.0}]
    assert health_rl.kl_too_high(seen(rows)) is None


def test_a_stop_of_another_step_is_not_this_ones():
    stopped = {"stopped": {"ppo-1": "objective/kl 9.10 is above kl_max 8"}}
    assert health_rl.stopped_early(replace(seen([], stopped), step="ppo-2")) is None


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_stands_missing_and_odd_numbers(rule):
    odd = [
        {"step": None, "objective/kl": 9.0},
        {"step": 1},
        {"objective/scores": "high"},
        {"step": 2, "gold": True},
    ]
    for summary in ({}, {"gold": None, "best_temperature": [], "reward_model": "x"}):
        rule(seen(odd, summary))


def test_every_finding_says_what_to_do():
    rng = np.random.default_rng(0)
    for finding in examine([seen(ppo_rows(iterations=14, penalty=False, rng=rng), SUMMARY)]):
        assert (
            finding.sentence.endswith(".") and finding.evidence.endswith(".") and finding.action.endswith(".")
        )
        assert any(c.isdigit() for c in finding.evidence)


def test_answers_that_are_mostly_cut_are_a_warning_and_all_of_them_serious():
    def found(share):
        return health.answers_cut(seen([], {"prompts": 200, "length": {"end": {"finished": share}}}))

    assert found(0.5) is None and found(1.0) is None
    assert found(0.49).severity == "warning" and "49% of 200 answers" in found(0.49).evidence
    assert found(0.0).severity == "serious" and "max_new_tokens" in found(0.0).action
