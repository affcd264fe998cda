"""Agreement measures against published examples, other libraries, and what must hold for any data."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from evalica import alpha as evalica_alpha
from hypothesis import given, settings, strategies as st
from statsmodels.stats import inter_rater

from plaudit.feedback.quality.agreement import (
    agreeing_pairs,
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    mirrored,
    pairwise_agreement,
    rating_counts,
)
from plaudit.feedback.quality.bootstrap import GROUPS, pooled, proportion, resampled

NAN = math.nan

# Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section D: 4 observers, 12 units.
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]

# Fleiss 1971, table 1: 30 patients, 6 psychiatrists each, 5 diagnoses.
FLEISS = np.asarray(
    [
        *([0, 0, 0, 6, 0], [0, 3, 0, 0, 3], [0, 1, 4, 0, 1], [0, 0, 0, 0, 6], [0, 3, 0, 3, 0]),
        *([2, 0, 4, 0, 0], [0, 0, 4, 0, 2], [2, 0, 3, 1, 0], [2, 0, 0, 4, 0], [0, 0, 0, 0, 6]),
        *([1, 0, 0, 5, 0], [1, 1, 0, 4, 0], [0, 3, 3, 0, 0], [1, 0, 0, 5, 0], [0, 2, 0, 3, 1]),
        *([0, 0, 5, 0, 1], [3, 0, 0, 1, 2], [5, 1, 0, 0, 0], [0, 2, 0, 4, 0], [1, 0, 2, 0, 3]),
        *([0, 0, 0, 0, 6], [0, 1, 0, 5, 0], [0, 2, 0, 1, 3], [2, 0, 0, 4, 0], [1, 0, 0, 4, 1]),
        *([0, 5, 0, 1, 0], [4, 0, 0, 0, 2], [0, 2, 0, 4, 0], [1, 0, 5, 0, 0], [0, 0, 0, 0, 6]),
    ]
)

# Cohen 1968, table 1: two raters, three diagnoses, 200 patients.
COHEN = np.asarray([[88, 14, 18], [10, 40, 10], [2, 6, 12]])


def ratings_of(table):
    """Two raters' ratings from how often they gave (row, column)."""
    cells = [(i, j) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
    return np.asarray(cells, dtype=float).T


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_krippendorffs_own_example(level, published):
    counts, values = rating_counts(KRIPPENDORFF)
    assert krippendorff_alpha(counts, level=level, values=values).value == pytest.approx(published, abs=5e-4)


def test_fleiss_own_example():
    assert FLEISS.sum(axis=0).tolist() == [26, 26, 30, 55, 43]  # as printed
    assert fleiss_kappa(FLEISS).value == pytest.approx(0.430, abs=5e-4)
    assert pairwise_agreement(FLEISS, ties="category").value == pytest.approx(0.556, abs=5e-4)


def test_cohens_own_example():
    a, b = ratings_of(COHEN)
    assert cohen_kappa(a, b).value == pytest.approx(0.492, abs=5e-4)


def test_gwets_example_of_a_rare_value():
    """Gwet 2002: 118 of 125 subjects are negative for both raters; kappa is below zero, AC1 is not."""
    a, b = ratings_of([[118, 5], [2, 0]])
    counts, _ = rating_counts([a, b])
    assert cohen_kappa(a, b).value == pytest.approx(-0.0234, abs=5e-5)
    assert gwet_ac1(counts).value == pytest.approx(0.9408, abs=5e-5)


@st.composite
def ratings(draw, missing=True):
    """[raters, units] of numbers from 1 to 4, with gaps."""
    raters, units = draw(st.integers(2, 5)), draw(st.integers(2, 12))
    cell = st.integers(1, 4) | st.just(NAN) if missing else st.integers(1, 4)
    row = st.lists(cell, min_size=units, max_size=units)
    return np.asarray(draw(st.lists(row, min_size=raters, max_size=raters)), float)


@given(ratings(missing=False))
@settings(max_examples=60, deadline=None)
def test_fleiss_and_cohen_are_statsmodels(matrix):
    counts, _ = rating_counts(matrix)
    if counts.shape[1] < 2:
        assert math.isnan(fleiss_kappa(counts, resamples=0).value)
        return
    assert fleiss_kappa(counts, resamples=0).value == pytest.approx(inter_rater.fleiss_kappa(counts))
    a, b = matrix[:2].astype(int)
    table = np.zeros((4, 4))
    np.add.at(table, (a - 1, b - 1), 1)
    for weights, name in ((None, None), ("linear", "linear"), ("quadratic", "quadratic")):
        ours = cohen_kappa(a, b, weights=weights, values=(1, 2, 3, 4), resamples=0).value
        with np.errstate(invalid="ignore", divide="ignore"):
            theirs = inter_rater.cohens_kappa(table, wt=name, return_results=False)
        assert ours == pytest.approx(theirs, nan_ok=True)


@given(ratings(), st.sampled_from(["nominal", "ordinal", "interval", "ratio"]))
@settings(max_examples=60, deadline=None)
def test_alpha_is_evalicas(matrix, level):
    counts, values = rating_counts(matrix)
    rated = counts[counts.sum(axis=1) >= 2]
    if (rated.sum(axis=0) > 0).sum() < 2:
        assert math.isnan(krippendorff_alpha(counts, level=level, values=values, resamples=0).value)
        return
    theirs = evalica_alpha(pd.DataFrame(matrix), distance=level).alpha
    ours = krippendorff_alpha(counts, level=level, values=values, resamples=0).value
    assert ours == pytest.approx(theirs, abs=1e-9)


def all_measures(counts):
    return [
        pairwise_agreement(counts, ties="category", resamples=0).value,
        fleiss_kappa(counts, resamples=0).value,
        gwet_ac1(counts, resamples=0).value,
        krippendorff_alpha(counts, resamples=0).value,
    ]


@given(ratings(), st.permutations(range(4)), st.randoms())
@settings(max_examples=60, deadline=None)
def test_names_and_order_do_not_matter(matrix, names, random):
    """Values renamed, raters and units permuted: every nominal measure stays, bit for bit or nearly."""
    counts, _ = rating_counts(matrix)
    raters, units = list(range(len(matrix))), list(range(matrix.shape[1]))
    random.shuffle(raters)
    random.shuffle(units)
    renamed = np.where(np.isnan(matrix), NAN, np.asarray([0, *names])[np.nan_to_num(matrix).astype(int)])
    other, _ = rating_counts(renamed[np.ix_(raters, units)])
    if counts.shape[1] > 1:
        assert all_measures(other) == pytest.approx(all_measures(counts), nan_ok=True)


@given(ratings())
@settings(max_examples=60, deadline=None)
def test_bounds(matrix):
    counts, values = rating_counts(matrix)
    share = pairwise_agreement(counts, ties="category", resamples=0).value
    assert math.isnan(share) or 0 <= share <= 1
    found = all_measures(counts)[1:] if counts.shape[1] > 1 else []
    for level in ("ordinal", "interval", "ratio"):
        found.append(krippendorff_alpha(counts, level=level, values=values, resamples=0).value)
    # Chance never exceeds 1, so agreement beyond chance never does.
    assert all(math.isnan(value) or value <= 1 + 1e-12 for value in found)


@given(st.lists(st.integers(1, 3), min_size=2, max_size=20), st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_perfect_agreement_is_one(units, raters):
    if len(set(units)) < 2:
        return
    matrix = np.tile(np.asarray(units, float), (raters, 1))
    counts, values = rating_counts(matrix)
    assert all_measures(counts) == pytest.approx([1.0] * 4)
    assert krippendorff_alpha(counts, level="ordinal").value == pytest.approx(1)
    assert krippendorff_alpha(counts, level="interval", values=values).value == pytest.approx(1)
    assert cohen_kappa(matrix[0], matrix[1], weights="quadratic").value == pytest.approx(1)


def test_independent_raters_agree_by_chance():
    matrix = np.random.default_rng(5).choice([1.0, 2.0, 3.0], p=[0.6, 0.3, 0.1], size=(4, 20_000))
    counts, values = rating_counts(matrix)
    assert fleiss_kappa(counts, resamples=0).value == pytest.approx(0, abs=0.01)
    for level in ("nominal", "ordinal", "interval", "ratio"):
        found = krippendorff_alpha(counts, level=level, values=values, resamples=0).value
        assert found == pytest.approx(0, abs=0.01)
    assert cohen_kappa(matrix[0], matrix[1], resamples=0).value == pytest.approx(0, abs=0.02)
    assert pairwise_agreement(counts, ties="category").value == pytest.approx(0.36 + 0.09 + 0.01, abs=0.01)


def test_what_a_tie_counts():
    """Two firsts, two ties and one second make ten pairs of raters, three of them without a tie."""
    counts = np.asarray([[2.0, 2.0, 1.0]])
    assert agreeing_pairs(counts, "excluded").tolist() == [[1, 3]]
    assert agreeing_pairs(counts, "category").tolist() == [[2, 10]]
    assert agreeing_pairs(counts, "half").tolist() == [[2 + 6 / 2, 10]]
    with pytest.raises(ValueError, match="first, tie, second"):
        agreeing_pairs(np.ones((1, 2)), "half")


def test_units_of_an_item_share_its_weight():
    """One ranking of four answers that two raters see alike weighs as much as one pair that they do not."""
    counts = [[0, 0, 2]] * 6 + [[1, 0, 1]]
    found = pairwise_agreement(counts, weights=[1 / 6] * 6 + [1], items=[0] * 6 + [1])
    assert (found.value, found.n) == (pytest.approx(0.5), 2)


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=2, max_size=10), st.data())
@settings(max_examples=40, deadline=None)
def test_mirrored_measures_do_not_depend_on_which_is_first(rows, data):
    counts = np.asarray(rows, float)
    swap = np.asarray(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    swapped = np.where(swap[:, None], counts[:, ::-1], counts)
    one, items = np.ones(len(rows)), np.arange(len(rows))
    for measure in (fleiss_kappa, gwet_ac1):
        a, b = (
            measure(c, weights=w, items=i, resamples=0).value
            for c, w, i in (mirrored(counts, one, items), mirrored(swapped, one, items))
        )
        assert a == pytest.approx(b, nan_ok=True, abs=1e-9)
    c, w, i = mirrored(counts, one, items)
    assert (c * w[:, None]).sum() == counts.sum()  # α asks how many ratings there are
    plain = pairwise_agreement(counts, ties="category", resamples=0)
    assert pairwise_agreement(c, ties="category", weights=w, items=i, resamples=0).value == pytest.approx(
        plain.value, nan_ok=True
    )


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Raters who are right with probability .8 agree in .68: 95 % of the intervals should hold that."""
    rng = np.random.default_rng(11)
    held = {"agreement": 0, "kappa": 0, "alpha": 0}
    runs = 250
    for _ in range(runs):
        truth = rng.integers(0, 2, 120) * 2
        right = rng.random((3, 120)) < 0.8
        matrix = np.where(right, truth, 2 - truth)
        counts = (matrix[:, :, None] == np.arange(3)).sum(axis=0)
        for name, measure, expected in (
            ("agreement", pairwise_agreement, 0.68),
            ("kappa", fleiss_kappa, 0.36),
            ("alpha", krippendorff_alpha, 0.36),
        ):
            found = measure(counts, resamples=400, seed=1)
            held[name] += found.low <= expected <= found.high
    assert all(0.91 <= n / runs <= 0.98 for n in held.values()), held


def test_intervals_are_of_items_not_of_units():
    """Copies of the units of an item tell nothing new, so they do not narrow the interval."""
    rng = np.random.default_rng(0)
    counts = np.stack([rng.binomial(3, 0.7, 200), np.zeros(200), np.zeros(200)], axis=1)
    counts[:, 2] = 3 - counts[:, 0]
    once = pairwise_agreement(counts, resamples=2000)
    copies = pairwise_agreement(np.tile(counts, (6, 1)), items=np.tile(np.arange(200), 6), resamples=2000)
    assert copies.high - copies.low == pytest.approx(once.high - once.low, rel=1e-9)
    taken_apart = pairwise_agreement(np.tile(counts, (6, 1)), resamples=2000)
    assert taken_apart.high - taken_apart.low < 0.6 * (once.high - once.low)


def test_three_ways_to_draw_are_one_distribution():
    """Equal rows drawn together, rows drawn one by one, and random groups of rows have the same spread."""
    rng = np.random.default_rng(2)
    few = rng.integers(0, 2, (4000, 2)).astype(float)  # equal rows
    many = few + rng.normal(0, 1e-6, few.shape)  # the same, but all different: groups
    spread = [resampled(rows, resamples=3000, seed=0).std(axis=0) for rows in (few, many)]
    assert spread[0] == pytest.approx(np.sqrt(4000 * few.var(axis=0)), rel=0.05)
    assert spread[1] == pytest.approx(spread[0], rel=0.1)
    singly = resampled(many[:1000], resamples=3000, seed=0)
    assert singly.std(axis=0) == pytest.approx(np.sqrt(1000 * many[:1000].var(axis=0)), rel=0.05)
    assert singly.mean(axis=0) == pytest.approx(many[:1000].sum(axis=0), rel=0.01)


def test_pools_are_equal_in_size():
    sizes = np.bincount(pooled(np.arange(5000), seed=3))
    assert len(sizes) == GROUPS and set(sizes) <= {2, 3}
    assert pooled(np.asarray([0, 2, 1]), seed=3).tolist() == [0, 2, 1]


def test_a_proportion_without_exceptions_is_not_certain():
    """Ten of ten right: Wilson's lower bound is 10 / (10 + 1.96²) = .722."""
    found = proportion([[1, 1]] * 10)
    assert (found.value, found.high) == (1, 1) and found.low == pytest.approx(0.7225, abs=1e-4)
    none = proportion([[0, 1]] * 10)
    assert (none.value, none.low) == (0, 0) and none.high == pytest.approx(0.2775, abs=1e-4)
    part = proportion([[1, 2], [2, 2]])
    assert (part.value, part.n) == (0.75, 2) and 0 < part.low < 0.75 < part.high <= 1
    assert math.isnan(proportion([[1, 2], [2, 2]], resamples=0).low)
    assert math.isnan(proportion(np.zeros((0, 2))).value)


def test_what_is_undefined_is_nan():
    for found in (
        pairwise_agreement([[1, 0, 0]]),
        fleiss_kappa([[2, 0]]),
        krippendorff_alpha([[3, 0, 0]]),
        cohen_kappa([1, NAN], [NAN, 1]),
    ):
        assert math.isnan(found.value) and math.isnan(found.low)
    assert pairwise_agreement([[1, 0, 0]]).n == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rating_counts([1, 2]), r"\[raters, units\]"),
        (lambda: fleiss_kappa([[-1, 2]]), "not negative"),
        (lambda: fleiss_kappa([[1, 2]], weights=[1, 2]), "1 units, but 2 weights"),
        (lambda: krippendorff_alpha([[1, 2]], level="interval"), "needs the values"),
        (lambda: krippendorff_alpha([[1, 2]], level="odd", values=(1, 2)), "level must be"),
        (lambda: krippendorff_alpha([[1, 2]], level="ratio", values=(-1, 2)), "not negative"),
        (lambda: cohen_kappa([1, 2], [1]), "one length"),
        (lambda: cohen_kappa([1, 2], [1, 3], values=(1, 2)), "not among the values"),
    ],
)
def test_errors_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
