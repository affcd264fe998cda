"""Exports of annotation tools: what was shown and what each person said of it."""

from __future__ import annotations

import pytest

from plaudit.data.readers.read import read, scan
from plaudit.data.records import Ranking, Rated

SHOWN = {"prompt": "Ask?", "answer1": "Yes.", "answer2": "No."}
TWO = {"prompt": "Ask?", "response_a": "Yes.", "response_b": "No."}


def studio(*annotations, **shown):
    return {"id": 1, "data": {**SHOWN, **shown}, "annotations": list(annotations)}


def annotation(kind, value, by=None, **more):
    return {"result": [{"type": kind, "value": value, "from_name": "q"}], "completed_by": by, **more}


def judged(records):
    return [(o.result, o.rater) for r in records for o in r.comparisons().outcomes]


def test_label_studio_pairwise_choices_and_several_annotators(jsonl):
    rows = [
        studio(annotation("pairwise", {"selected": "left"}, 7)),
        studio(annotation("pairwise", {"selected": "right"}, {"email": "ann@x.org"})),
        studio(annotation("pairwise", {}, 7)),
        studio(
            annotation("choices", {"choices": ["answer2"]}, 7), annotation("choices", {"choices": ["tie"]}, 8)
        ),
    ]
    assert judged(read(jsonl(*rows), max_dropped=0).records) == [
        (1.0, "7"),
        (0.0, "ann@x.org"),
        (0.5, "7"),
        (0.0, "7"),
        (0.5, "8"),
    ]


def test_what_label_studio_cancelled_or_nobody_judged_is_dropped(jsonl):
    left = annotation("pairwise", {"selected": "left"}, 7)
    report = scan(jsonl(studio(left), studio({**left, "was_cancelled": True}), studio(left, left))).report
    assert (report.kept, dict(report.dropped)) == (2, {"missing field": 1})


def test_label_studio_ratings_are_ratings(jsonl):
    row = {"id": 1, "data": {"prompt": "Ask?", "response": "Yes."}, "annotations": []}
    rows = [
        {
            **row,
            "annotations": [annotation("rating", {"rating": 4}, 1), annotation("rating", {"rating": 2}, 2)],
        },
        {**row, "annotations": [annotation("rating", {"rating": 5}, 1)]},
    ]
    records = read(jsonl(*rows), kind="rated", max_dropped=0).records
    assert [(type(r), r.score) for r in records] == [(Rated, 3.0), (Rated, 5.0)]


def test_argilla_columns_keep_their_users_and_what_was_discarded_is_left_out(jsonl):
    row = {
        **TWO,
        "preference.responses": ["response_a", "response_b", "tie"],
        "preference.responses.users": ["u1", "u2", "u3"],
        "preference.responses.status": ["submitted", "discarded", "submitted"],
    }
    assert judged(read(jsonl(row), max_dropped=0).records) == [(1.0, "u1"), (0.5, "u3")]


def test_argilla_2_records(jsonl):
    row = {
        "id": "1",
        "fields": TWO,
        "responses": {"preference": [{"value": "response_b", "user_id": "u", "status": "submitted"}]},
    }
    assert judged(read(jsonl(row), max_dropped=0).records) == [(0.0, "u")]


@pytest.mark.parametrize("ranks", [[1, 2, 3], [2, 1, 1], [3, 2, 1]])
def test_argilla_rankings_name_their_answers(jsonl, ranks):
    shown = {**TWO, "response_c": "Maybe."}
    names = ["response_a", "response_b", "response_c"]
    value = [{"value": n, "rank": r} for n, r in zip(names, ranks)]
    back = [{"value": n, "rank": 4 - r} for n, r in zip(names, ranks)]
    row = {**shown, "order.responses": [value, back], "order.responses.users": ["u", "v"]}
    record, other = read(jsonl(row), max_dropped=0).records
    assert isinstance(record, Ranking)
    assert (record.rater, other.rater, other.groups) == ("u", "v", record.groups[::-1])
    place = {record.responses[i].text: at for at, group in enumerate(record.groups) for i in group}
    dense = sorted(set(ranks))
    assert place == {shown[n]: dense.index(r) for n, r in zip(names, ranks)}
