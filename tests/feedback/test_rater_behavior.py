"""Signs of how labelers work, each by hand on a few judgements."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings, strategies as st

from plaudit.feedback.quality import rater_behavior
from plaudit.feedback.quality.agreement import cohen_kappa
from plaudit.feedback.quality.gold_agreement import gold_score
from plaudit.feedback.quality.labelers import alike_of_says, kappa_of_says, meetings
from plaudit.feedback.quality.pairs import coded_judgements, pairs_of
from plaudit.feedback.quality.records import JudgementRecord, RatedAnswer

WORDS = {"a": 10, "b": 20, "c": 40, "d": 80, "e": 20}
ANSWERS = {a: RatedAnswer(a, f"model-{a}", n) for a, n in WORDS.items()}


def judge(item, groups, shown=None, labeler="l", **more):
    """``groups`` as "a>bc": a first, then b and c together."""
    ranked = tuple(tuple(g) for g in groups.split(">")) if groups else ()
    ranks = tuple(shown) if shown else tuple(a for g in ranked for a in g)
    key = f"{item}/{labeler}/{more.get('purpose', 'work')}/{groups}/{more.get('round', 1)}"
    return JudgementRecord(key, item, labeler, ranked, ranks, **more)


def numbers(judged):
    data = coded_judgements(judged, ANSWERS)
    return data.pairs, data.words


def test_pairs_by_hand():
    pairs = pairs_of([judge("1", "b>ac", "cba")], ANSWERS)
    seen = list(zip(pairs.first, pairs.second, pairs.verdict, pairs.first_shown, pairs.second_shown))
    # a with b, a with c, b with c: second better, tie, first better; c was shown first, a last.
    assert [tuple(map(int, row)) for row in seen] == [(0, 1, 2, 2, 1), (0, 2, 1, 2, 0), (1, 2, 0, 1, 0)]
    assert pairs.weight.tolist() == [1 / 3] * 3 and len(set(pairs.unit)) == 3


def test_a_judgement_weighs_one_whatever_it_ranks():
    pairs = pairs_of([judge("1", "a>b"), judge("2", "a>b>c>d"), judge("3", "abcde"), judge("4", "")], ANSWERS)
    assert np.bincount(pairs.judgement, weights=pairs.weight, minlength=4) == pytest.approx([1, 1, 1, 0])


def test_units_are_shared_between_labelers_and_not_between_items():
    judged = [judge("1", "a>b"), judge("1", "b>a", labeler="m"), judge("2", "a>b")]
    pairs = pairs_of(judged, ANSWERS)
    assert pairs.unit[0] == pairs.unit[1] != pairs.unit[2]
    counts, weights, items = pairs.counts()
    assert (
        counts.tolist() == [[1, 0, 1], [1, 0, 0]] and weights.tolist() == [1, 1] and items.tolist() == [0, 1]
    )


@pytest.mark.parametrize(
    ("judged", "message"),
    [
        (judge("1", "a>b", purpose="play"), "purpose 'play'"),
        (JudgementRecord("j", "1", "l", (("a",), ("b",)), ("a", "b", "b")), "twice"),
        (JudgementRecord("j", "1", "l", (("a",), ("z",)), ("a", "z")), "'z', which is not among"),
        (judge("1", "a>b", "abc"), "does not rank the answers"),
        (JudgementRecord("j", "1", "l", (("a",), ("a", "b")), ("a", "b")), "does not rank the answers"),
    ],
)
def test_faulty_judgements_are_named(judged, message):
    with pytest.raises(ValueError, match=message):
        coded_judgements([judged], ANSWERS)


def test_what_enters_agreement():
    """Work once per labeler and item, the first; surplus does, other purposes do not."""
    judged = [
        judge("1", "b>a", round=2, created=5.0),
        judge("1", "a>b", created=1.0),
        judge("1", "a>b", labeler="m", surplus=True),
        *(judge("1", "a>b", labeler="n", purpose=p) for p in ("gold", "calibration", "repeat")),
    ]
    assert coded_judgements(judged, ANSWERS).counted.tolist() == [False, True, True, False, False, False]


def test_position_bias_by_hand():
    """First shown wins, loses, wins against one of two others; the third pair, without the first, says nothing."""
    judged = [judge("1", "a>b", "ab"), judge("2", "a>b", "ba"), judge("3", "c>a>b", "abc")]
    assert rater_behavior.position_bias(numbers(judged)[0]).value == pytest.approx(
        (1 + 0 + 1 / 3) / (1 + 1 + 2 / 3) - 0.5
    )


def test_a_latin_square_cancels_quality():
    """Labelers who agree fully and see each rotation once: no position bias, whatever they prefer."""
    rotations = [("abcd"[k:] + "abcd"[:k]) for k in range(4)]
    for order in itertools.permutations("abcd"):
        judged = [judge("1", ">".join(order), shown, labeler=shown) for shown in rotations]
        assert rater_behavior.position_bias(numbers(judged)[0]).value == pytest.approx(0)


def test_length_by_hand():
    """Longer wins, loses; a tie and two answers of one length say nothing."""
    judged = [judge("1", "b>a"), judge("2", "a>b"), judge("3", "c>a"), judge("4", "ab"), judge("5", "b>e")]
    pairs, words = numbers(judged)
    found = rater_behavior.longer_preferred(pairs, words)
    assert (found.value, found.n) == (pytest.approx(2 / 3), 3)


def test_length_coefficient_is_that_of_a_logistic_regression():
    rng = np.random.default_rng(0)
    judged = []
    for i in range(300):
        a, b = rng.choice(list("abcd"), 2, replace=False)
        first = rng.random() < 1 / (1 + (WORDS[b] / WORDS[a]) ** 0.7)
        judged.append(judge(str(i), f"{a}>{b}" if first else f"{b}>{a}", a + b))
    pairs, words = numbers(judged)
    gap = np.log(words[pairs.first] / words[pairs.second])
    theirs = sm.Logit(pairs.verdict == 0, gap[:, None]).fit(disp=False)
    ours = rater_behavior.length_bias(pairs, words, resamples=4000)
    assert ours.value == pytest.approx(theirs.params[0], abs=1e-6)
    low, high = theirs.conf_int()[0]
    assert ours.low == pytest.approx(low, abs=0.06) and ours.high == pytest.approx(high, abs=0.06)


def test_length_coefficient_without_a_finite_value():
    for judged in ([judge("1", "b>a"), judge("2", "c>a")], [judge("1", "ab")], []):
        pairs, words = numbers(judged)
        assert math.isnan(rater_behavior.length_bias(pairs, words).value)


def test_self_consistency_by_hand():
    judged = [
        judge("1", "a>b>c"),
        judge("1", "b>a>c", purpose="repeat", round=2),  # one of three pairs turned
        judge("2", "a>b"),
        judge("2", "ab", purpose="repeat", round=2),  # decided once only
        judge("3", "a>b", labeler="m"),
        judge("3", "b>a", purpose="repeat", round=2),  # somebody else's first
    ]
    data = coded_judgements(judged, ANSWERS)
    first, again = data.pairs_of(data.counted), data.pairs_of(data.chosen("repeat"))
    found = rater_behavior.self_consistency(first, again)
    assert (found.value, found.n) == (pytest.approx(2 / 3), 1)
    assert rater_behavior.self_consistency(again.where(np.zeros(len(again), bool)), again).n == 0


def ranking(text):
    return tuple(tuple(g) for g in text.split(">"))


@pytest.mark.parametrize(
    ("said", "accepted", "share", "exact"),
    [
        ("a>b>c", ["a>b>c"], 1, True),
        ("a>cb", ["a>bc"], 1, True),  # a tie is a set
        ("b>a>c", ["a>b>c"], 2 / 3, False),
        ("ab>c", ["a>b>c"], 2 / 3, False),  # a tie where gold decides is a miss
        ("a>b>c", ["ab>c"], 1, False),  # what gold leaves open may be decided
        ("c>b>a", ["a>b>c", "c>b>a"], 1, True),  # any accepted ranking will do
        (
            "abc",
            ["abc"],
            None,
            True,
        ),  # gold that ties all decides no pair: no share, for a match as for a miss
        ("a>bc", ["abc"], None, False),
        ("abc", ["abc", "a>bc"], 1, True),  # one of the accepted rankings in full
        ("b>ac", ["abc", "a>bc"], 0, False),
    ],
)
def test_gold(said, accepted, share, exact):
    found = gold_score(ranking(said), [ranking(r) for r in accepted])
    assert found == (share if share is None else pytest.approx(share), exact)


def test_gold_without_a_ranking():
    assert gold_score((), [ranking("a>b")]) == (0, False)
    assert gold_score(ranking("a>b"), []) is None


def test_too_quick():
    """Twenty words at 400 a minute take three seconds."""
    assert rater_behavior.too_quick([2.9, 3.1], [20, 20]).tolist() == [True, False]


def test_median_and_its_interval():
    """The interval holds the true median about as often as it says, with several values per item."""
    rng = np.random.default_rng(6)
    items, held = np.repeat(np.arange(60), 3), 0
    for _ in range(250):
        values = np.exp(np.repeat(rng.normal(0, 0.5, 60), 3) + rng.normal(0, 0.5, 180))
        found = rater_behavior.median(values, items, resamples=300)
        assert found.value == np.median(values) and found.n == 60
        held += found.low <= 1 <= found.high
    assert 0.90 <= held / 250 <= 0.985
    assert math.isnan(rater_behavior.median([], []).value) and math.isnan(
        rater_behavior.median([1.0], [0]).low
    )


def test_shares_are_of_what_they_are_of():
    found = rater_behavior.share([1, 0, 1], ["x", "y", "z"], [1, 1, 0])
    assert (found.value, found.n) == (0.5, 2)


@given(
    st.lists(
        st.tuples(st.sampled_from("lmn"), st.integers(0, 4), st.sampled_from(["a>b", "b>a", "ab"])),
        max_size=30,
    )
)
@settings(max_examples=80, deadline=None)
def test_meetings_are_all_pairs_of_labelers(rows):
    """κ of two labelers is Cohen's of the table and its mirror image; each meeting is found once."""
    unique = {(labeler, item): groups for labeler, item, groups in rows}
    judged = [judge(str(i), g, "ab", labeler=labeler) for (labeler, i), g in unique.items()]
    data = coded_judgements(judged, ANSWERS)
    met = meetings(data.pairs)
    code = {"a>b": 0, "ab": 1, "b>a": 2}
    expected = {}
    for left, right in itertools.combinations(data.labelers, 2):
        both = [i for i in range(5) if (left, i) in unique and (right, i) in unique]
        if both:
            expected[left, right] = tuple([code[unique[who, i]] for i in both] for who in (left, right))
    found = {(data.labelers[a], data.labelers[b]): says for a, b, says in met.each()}
    assert found.keys() == expected.keys()
    for key, (x, y) in expected.items():
        x, y = np.asarray(x), np.asarray(y)
        two, mirror = np.concatenate([x, 2 - x]), np.concatenate([y, 2 - y])
        kappa = cohen_kappa(two, mirror, values=(0, 1, 2), resamples=0).value
        assert kappa_of_says(found[key].sum(axis=0)[None])[0] == pytest.approx(kappa, nan_ok=True)
        decided = (x != 1) & (y != 1)
        share = (x == y)[decided].mean() if decided.any() else math.nan
        assert alike_of_says(found[key]).value == pytest.approx(share, nan_ok=True)


def test_agreement_of_a_labeler_by_hand():
    """l agrees with m on 1 and 2, with n on 1, not on 2, and on two of three pairs of 5; n's ties are no decisions."""
    judged = [
        *(judge(i, "a>b", labeler=w) for i in "12" for w in "lm"),
        judge("1", "a>b", labeler="n"),
        judge("2", "b>a", labeler="n"),
        judge("3", "b>a", labeler="n"),
        judge("4", "ab", labeler="n"),
        judge("4", "a>b", labeler="l"),
        judge("5", "a>bc", labeler="n"),
        judge("5", "a>b>c", labeler="l"),
    ]
    data = coded_judgements(judged, ANSWERS)
    met = meetings(data.pairs)
    assert (
        met.agreement_of(0).value == pytest.approx((3 + 2 / 3) / (4 + 2 / 3)) and met.agreement_of(0).n == 3
    )
    assert met.agreement_of(2).value == pytest.approx((2 + 2 / 3) / (4 + 2 / 3))
