"""Strengths of models against other libraries, against the likelihood itself, and by hand."""

from __future__ import annotations

import math

import choix
import evalica
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import minimize

from plaudit.feedback.quality.pairs import coded_judgements
from plaudit.feedback.quality.records import JudgementRecord, RatedAnswer
from plaudit.feedback.quality.strengths import bradley_terry, expected_win_rate, strengths


def random_wins(seed, size=5, top=12):
    """Everybody has beaten everybody."""
    wins = np.random.default_rng(seed).integers(1, top, (size, size)).astype(float)
    np.fill_diagonal(wins, 0)
    return wins


def pairs_file(wins, ties=None):
    """The same counts as evalica's three columns, a tie as its own outcome."""
    rows = [(i, j, evalica.Winner.X, n) for (i, j), n in np.ndenumerate(wins) if n]
    if ties is not None:
        rows += [(i, j, evalica.Winner.Draw, n) for (i, j), n in np.ndenumerate(np.triu(ties)) if n]
    first, second, winner, n = zip(*rows)
    return [str(i) for i in first], [str(j) for j in second], list(winner), [float(x) for x in n]


@pytest.mark.parametrize("seed", range(4))
def test_without_prior_it_is_evalica_and_choix(seed):
    wins = random_wins(seed)
    ours = bradley_terry(wins)
    first, second, winner, n = pairs_file(wins)
    scores = evalica.bradley_terry(first, second, winner, weights=n, tolerance=1e-12, limit=10_000).scores
    theirs = np.log([scores[str(i)] for i in range(5)])
    assert ours == pytest.approx(theirs - theirs.mean(), abs=1e-5)
    data = [(i, j) for (i, j), n in np.ndenumerate(wins) for _ in range(int(n))]
    theirs = choix.opt_pairwise(5, data, alpha=1e-12)
    assert ours == pytest.approx(theirs - theirs.mean(), abs=1e-4)


def test_ties_as_half_wins_are_evalicas():
    wins, ties = random_wins(7), random_wins(8)
    ties = ties + ties.T
    first, second, winner, n = pairs_file(wins, ties)
    scores = evalica.bradley_terry(
        first, second, winner, weights=n, win_weight=1.0, tie_weight=0.5, tolerance=1e-12, limit=10_000
    ).scores
    theirs = np.log([scores[str(i)] for i in range(5)])
    assert bradley_terry(wins, ties) == pytest.approx(theirs - theirs.mean(), abs=1e-5)


@pytest.mark.parametrize("prior", [0.0, 0.5])
@pytest.mark.parametrize("tie_model", ["half", "davidson"])
def test_it_maximises_the_likelihood(prior, tie_model):
    """By a general optimiser that knows nothing of the gradient."""
    wins, ties = random_wins(1, size=4), random_wins(2, size=4, top=5)
    ties = ties + ties.T
    davidson = tie_model == "davidson"

    def loss(x):
        theta = x[:4]
        gap = theta[:, None] - theta[None, :]
        tie = np.exp(x[4]) if davidson else 0.0
        whole = np.log(np.exp(gap / 2) + np.exp(-gap / 2) + tie)
        log_win = gap / 2 - whole
        log_tie = x[4] - whole if davidson else (log_win + log_win.T) / 2
        fit = (wins * log_win).sum() + (ties * log_tie).sum() / 2
        pull = -np.logaddexp(0, theta).sum() - np.logaddexp(0, -theta).sum()
        return -fit - prior * pull

    best = minimize(loss, np.zeros(5), tol=1e-12).x[:4]
    ours = bradley_terry(wins, ties, prior=prior, tie_model=tie_model)
    assert ours == pytest.approx(best - best.mean(), abs=1e-4)


@given(st.lists(st.integers(0, 6), min_size=16, max_size=16), st.permutations(range(4)))
@settings(max_examples=50, deadline=None)
def test_a_prior_makes_any_counts_finite_and_names_do_not_matter(cells, names):
    wins = np.asarray(cells, float).reshape(4, 4)
    np.fill_diagonal(wins, 0)
    found = bradley_terry(wins, prior=0.5)
    assert np.isfinite(found).all() and found.mean() == pytest.approx(0, abs=1e-9)
    assert bradley_terry(wins[np.ix_(names, names)], prior=0.5) == pytest.approx(found[list(names)], abs=1e-6)
    assert bradley_terry(wins.T, prior=0.5) == pytest.approx(-found, abs=1e-6)
    assert bradley_terry(np.stack([wins, wins.T]), prior=0.5)[1] == pytest.approx(-found, abs=1e-6)


def test_a_long_winning_streak_converges():
    wins = np.zeros((3, 3))
    wins[0, 1] = wins[1, 2] = 100_000
    found = bradley_terry(wins, prior=0.5)
    own = 1 / (1 + np.exp(-(found - 0)))
    assert found[0] > found[1] > found[2] and np.isfinite(own).all()
    # Two models, n wins to none: the gap d solves n σ(−d) = prior · (2 σ(d / 2) − 1).
    gap = np.subtract(*bradley_terry(np.asarray([[0.0, 1000.0], [0.0, 0.0]]), prior=0.5))
    assert 1000 / (1 + math.exp(gap)) == pytest.approx(0.5 * (2 / (1 + math.exp(-gap / 2)) - 1), rel=1e-6)


@pytest.mark.parametrize("prior", [0.0, 0.5])
def test_where_all_or_none_tie_davidson_has_its_limits(prior):
    """Only ties say that all are equal; without ties it is Bradley–Terry. Both in one batch."""
    ties, wins = np.ones((3, 3)) - np.eye(3), random_wins(3, size=3)
    none = np.zeros((3, 3))
    found = bradley_terry(np.stack([none, wins]), np.stack([ties, none]), prior=prior, tie_model="davidson")
    assert found[0] == pytest.approx(np.zeros(3), abs=1e-6)
    assert found[1] == pytest.approx(bradley_terry(wins, prior=prior), abs=1e-8)


def test_without_prior_an_undefeated_model_has_no_strength():
    wins = np.asarray([[0.0, 3.0, 2.0], [0.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
    assert np.isnan(bradley_terry(wins)).all()
    ties = np.zeros((3, 3))
    ties[0, 1] = ties[1, 0] = 1
    assert np.isfinite(bradley_terry(wins, ties)).all()  # a tie is half a defeat


def test_expected_win_rates_average_to_a_half():
    rate = expected_win_rate(np.asarray([1.0, 0.0, -1.0]))
    assert rate.mean() == pytest.approx(0.5)
    assert rate[0] == pytest.approx((1 / (1 + math.exp(-1)) + 1 / (1 + math.exp(-2))) / 2)


@pytest.mark.parametrize(
    ("wins", "ties", "prior", "message"),
    [
        (np.zeros((2, 3)), None, 0, "models, models"),
        (np.zeros((2, 2)), np.zeros((3, 3)), 0, "models, models"),
        (np.zeros((2, 2)), None, -1, "negative"),
    ],
)
def test_errors_are_named(wins, ties, prior, message):
    with pytest.raises(ValueError, match=message):
        bradley_terry(wins, ties, prior=prior)


ANSWERS = {a: RatedAnswer(a, m, 10) for a, m in zip("abcdu", ("x", "y", "z", "x", None))}


def judge(item, groups, shown=None):
    shown = shown or tuple(a for g in groups for a in g)
    return JudgementRecord(f"{item}-{groups}", item, "l", groups, shown)


def found_of(judged, **options):
    data = coded_judgements(judged, ANSWERS)
    return strengths(data.pairs, data.answers, **options)


def test_counts_by_hand():
    """A ranking x > y = z weighs one over its three pairs; an unknown model and x against x say nothing."""
    judged = [
        judge("1", (("a",), ("b", "c"))),
        judge("2", (("b",), ("a",))),
        judge("3", (("u",), ("a",))),
        judge("4", (("d",), ("a",))),
    ]
    found = found_of(judged)
    x, y, z = (found.models.index(m) for m in "xyz")
    assert found.wins[x, y] == pytest.approx(1 / 3) and found.wins[y, x] == 1
    assert found.ties[y, z] == found.ties[z, y] == pytest.approx(1 / 3)
    assert found.compared[x, y] == 2 and found.compared[x, x] == 0
    assert found.observed()[x, y] == pytest.approx(0.25)
    assert math.isnan(found.observed()[x, x])
    assert [found.log_odds[i].n for i in (x, y, z)] == [2, 2, 1]


def test_nothing_to_compare():
    assert found_of([judge("3", (("u",), ("a",)))]) is None
    assert found_of([]) is None


def test_groups_tell_whose_distance_is_known():
    """x has always beaten y; y and z have beaten each other."""
    judged = [judge(str(i), (("a",), ("b",))) for i in range(5)]
    judged += [judge("p", (("b",), ("c",))), judge("q", (("c",), ("b",)))]
    found = found_of(judged)
    assert found.models[0] == "x" and found.group == (0, 1, 1)
    assert all(math.isfinite(e.low) for e in found.log_odds)
    assert all(math.isnan(e.value) for e in found_of(judged, prior=0.0).log_odds)


def test_intervals_are_over_items():
    """Ten judgements of each item that all say the same are no more evidence on items than one."""
    rng = np.random.default_rng(0)
    verdicts = [(("a",), ("b",)) if r < 0.7 else (("b",), ("a",)) for r in rng.random(100)]
    once = found_of([judge(str(i), v) for i, v in enumerate(verdicts)], prior=1e-9)
    often = found_of(
        [
            JudgementRecord(f"{i}-{k}", str(i), f"l{k}", v, ("a", "b"))
            for i, v in enumerate(verdicts)
            for k in range(10)
        ],
        prior=1e-9,
    )
    assert often.log_odds[0].value == pytest.approx(once.log_odds[0].value)
    assert often.log_odds[0].high == pytest.approx(once.log_odds[0].high, rel=1e-6)


def test_rankings_and_plackett_luce_agree():
    """Rankings of four by Plackett–Luce: the pairs' strengths are choix's, up to noise, and both are the truth."""
    rng = np.random.default_rng(4)
    truth = np.asarray([0.9, 0.2, -0.3, -0.8])
    orders = [np.argsort(-(truth + rng.gumbel(size=4))) for _ in range(1500)]
    answers = {str(k): RatedAnswer(str(k), f"m{k}", 5) for k in range(4)}
    shown = tuple("0123")
    judged = [
        JudgementRecord(f"j{i}", f"i{i}", "l", tuple((str(k),) for k in o), shown)
        for i, o in enumerate(orders)
    ]
    data = coded_judgements(judged, answers)
    found = strengths(data.pairs, data.answers, resamples=300)
    ours = np.asarray([found.log_odds[found.models.index(f"m{k}")].value for k in range(4)])
    theirs = choix.ilsr_rankings(4, [list(o) for o in orders])
    assert ours == pytest.approx(theirs - theirs.mean(), abs=0.06)
    for k in range(4):
        e = found.log_odds[found.models.index(f"m{k}")]
        assert e.low - 0.02 <= truth[k] <= e.high + 0.02
