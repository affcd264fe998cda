"""The path of a run in KL, proxy and gold."""

import pytest

from plaudit.evaluation.frontier import over_optimization, path, points


def row(step, kl=None, score=None, gold=None):
    found = {"step": step, "objective/kl": kl, "objective/scores": score, "gold": gold}
    return {k: v for k, v in found.items() if v is not None}


HACKED = [
    row(0, gold=0.3),
    row(1, 0.0, 0.0),
    row(2, 1.0, 0.4, 0.7),
    row(3, 5.0, 0.9),
    row(4, 12.0, 1.3, 0.1),
    row(5, 30.0, 1.7, -0.5),
]


def test_scores_belong_to_the_policy_before_the_update_and_gold_to_the_one_after():
    found = points([row(0, gold=0.3), row(1, 0.0, 0.1), row(2, 0.5, 0.2, 0.6)])
    assert [(p.updates, p.kl, p.proxy, p.gold) for p in found] == [
        (0, 0.0, 0.1, 0.3),
        (1, 0.5, 0.2, None),
        (2, None, None, 0.6),
    ]


def test_the_record_of_a_stopped_run_is_not_a_further_policy():
    rows = [row(1, 0.0, 0.1), row(2, 1.0, 0.2), {**row(1, 99.0, 0.9), "stopped": 1.0}]
    assert [p.kl for p in points(rows)] == [0.0, 1.0]


def test_start_peak_and_end_carry_their_updates():
    gold = path(points(HACKED), "gold")
    assert (gold.start, gold.peak, gold.end) == (0.3, 0.7, -0.5)
    assert (gold.peak_at, gold.end_at) == (2, 5)
    assert gold.fall == pytest.approx(1.2)


def test_of_two_equal_peaks_the_first_counts():
    assert path(points([row(0, gold=1.0), row(1, gold=1.0)]), "gold").peak_at == 0


def test_a_quantity_measured_once_has_no_path():
    assert path(points([row(0, gold=1.0)]), "gold") is None
    assert path([], "kl") is None


def test_over_optimization_is_a_fall_of_gold_while_the_proxy_gains():
    found = over_optimization(HACKED, sft=0.3, perfect=1.1)
    assert found["fall"] == pytest.approx(1.2)
    assert found["fall_share"] == pytest.approx(1.5)
    # At gold's peak, after 2 updates, the proxy stood at 0.9; the last one seen is 1.7.
    assert found["proxy_gain_past_peak"] == pytest.approx(0.8)
    assert found["kl_end"] == 30.0


def test_a_run_that_only_improves_has_fallen_by_nothing():
    rows = [row(0, gold=0.3), row(1, 0.0, 0.0, 0.5), row(2, 0.4, 0.3, 0.8)]
    found = over_optimization(rows, sft=0.3, perfect=1.1)
    assert found["fall"] == 0 and found["fall_share"] == 0 and found["proxy_gain_past_peak"] == 0


def test_without_gold_nothing_is_claimed():
    found = over_optimization([row(1, 0.0, 0.1), row(2, 1.0, 0.5)])
    assert found["gold"] is None and found["fall"] is None and found["proxy_gain_past_peak"] is None


def test_without_a_gap_there_is_no_share():
    assert over_optimization(HACKED)["fall_share"] is None
    assert over_optimization(HACKED, sft=1.0, perfect=1.0)["fall_share"] is None
