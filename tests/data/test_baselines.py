"""Longer wins, and how far people agree: against counting by hand."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, strategies as st

from plaudit.data.baselines import agreement, human_agreement, longer_wins, pair_verdicts
from plaudit.data.records import Comparisons, Outcome, Prompt, Ranking, Response

ASK = Prompt.user("Ask?")


def judged(texts, *outcomes):
    return Comparisons(ASK, tuple(map(Response, texts)), tuple(Outcome(*o) for o in outcomes))


def test_longer_wins_counts_decided_pairs_of_unequal_length():
    records = [
        Ranking.pair(ASK, "long one", "short"),
        Ranking.pair(ASK, "a", "bb"),
        Ranking.pair(ASK, "aa", "bb"),
        Ranking(ASK, (Response("a"), Response("bb")), ((0, 1),)),
        Ranking(ASK, (Response("a"), Response("bb"), Response("ccc")), ((2,), (1,), (0,))),
    ]
    assert longer_wins(records) == pytest.approx(4 / 5)
    assert longer_wins([]) is None
    assert longer_wins(records[2:4]) is None


def test_the_majority_of_the_raters_decides_a_pair():
    two_of_three = judged(["a", "bb"], (0, 1, 0.0), (1, 0, 1.0), (0, 1, 1.0))
    assert pair_verdicts(two_of_three) == {(0, 1): 0.0}
    one_each = judged(["a", "bb"], (0, 1, 1.0), (0, 1, 0.0))
    assert pair_verdicts(one_each) == {(0, 1): 0.5}
    mostly_ties = judged(["a", "bb"], (0, 1, 0.5), (0, 1, 0.5), (0, 1, 1.0))
    assert pair_verdicts(mostly_ties) == {(0, 1): 0.5}
    assert longer_wins([two_of_three, one_each, mostly_ties]) == 1.0


def test_agreement_counts_every_pair_of_raters():
    record = judged(
        ["a", "b"], (0, 1, 1.0, None, 1.0, "x"), (1, 0, 0.0, None, 1.0, "y"), (0, 1, 0.5, None, 1.0, "z")
    )
    found = agreement([record])
    assert (found.agreeing, found.pairs) == (1, 3)
    assert human_agreement([record]) == pytest.approx(1 / 3)


def test_one_person_twice_is_no_agreement_between_people():
    record = judged(["a", "b"], (0, 1, 1.0, None, 1.0, "x"), (0, 1, 1.0, None, 1.0, "x"))
    assert human_agreement([record]) is None


def test_the_same_two_answers_are_found_in_different_records_and_orders():
    records = [Ranking.pair(ASK, "a", "b", rater="x"), Ranking.pair(ASK, "b", "a", rater="y")]
    assert (agreement(records).agreeing, agreement(records).pairs) == (0, 1)
    other = Ranking.pair(Prompt.user("Else?"), "a", "b", rater="y")
    assert human_agreement([records[0], other]) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from([0.0, 0.5, 1.0]),
        ).filter(lambda o: o[0] != o[1]),
        max_size=12,
    )
)
def test_agreement_is_what_comparing_all_judgements_two_by_two_gives(judgements):
    records = [
        Comparisons(ASK, (Response(a), Response(b)), (Outcome(0, 1, result, rater=str(n)),))
        for n, (a, b, result) in enumerate(judgements)
    ]
    best = [a if result == 1 else b if result == 0 else "" for a, b, result in judgements]
    same = [
        best[i] == best[j]
        for i, j in combinations(range(len(judgements)), 2)
        if set(judgements[i][:2]) == set(judgements[j][:2])
    ]
    found = agreement(records)
    assert (found.agreeing, found.pairs) == (sum(same), len(same))
