"""A list of labels beside a list of answers labels each of them; ratings on several scales are not compared."""

from __future__ import annotations

import pytest

from plaudit.data.readers.read import read, scan
from plaudit.data.records import Comparisons, Labeled, Ranking


def rows(column, given, **more):
    return [{"prompt": f"Ask {i}?", column: [f"Yes {i}.", f"No {i}."], **given, **more} for i in range(4)]


@pytest.mark.parametrize(
    ("column", "given"),
    [
        ("responses", {"labels": [True, False]}),
        ("answers", {"label": [1, 0]}),
        ("outputs", {"is_correct": ["true", "false"]}),
        ("completions", {"thumbs": ["up", "down"]}),
        ("responses", {"labels": "[true, false]"}),
    ],
)
def test_a_label_for_each_answer(jsonl, column, given):
    path = jsonl(*rows(column, given))
    assert [(r.response.text, r.good) for r in read(path).records[:2]] == [("Yes 0.", True), ("No 0.", False)]
    assert all(isinstance(r, Labeled) for r in read(path).records)
    ranked = read(path, kind="preferences").records
    assert [r.groups for r in ranked] == [((0,), (1,))] * 4
    assert len(read(path, kind="prompts").records) == 4
    assert [r.response.text for r in read(path, kind="demonstrations").records][:2] == ["Yes 0.", "Yes 1."]


def test_other_lists_beside_answers_are_read_as_before(jsonl):
    for given in ({"scores": [1, 0]}, {"ranks": [1, 2]}, {"ranking": [0, 1]}, {"choice": 0}):
        (record, *_) = read(jsonl(*rows("responses", given, tags=["a", "b"]))).records
        assert isinstance(record, Ranking | Comparisons)
    (record, *_) = read(jsonl(*rows("responses", {"scores": [0.2, 0.1], "labels": [False, True]}))).records
    assert isinstance(record, Ranking) and record.groups == ((0,), (1,))
    steps = scan(jsonl(*rows("completions", {"labels": [True, False]}))).report
    assert "steps of a solution" in steps.unreadable[0].message


def test_more_or_fewer_labels_than_answers_are_an_error_at_their_row(jsonl):
    made = rows("responses", {"labels": [True, False]})
    made[2]["labels"] = [True]
    (problem,) = scan(jsonl(*made)).report.unreadable
    assert (problem.line, problem.field) == (3, "labels") and problem.message == "1 labels of 2 answers"


def rated(jsonl, *ratings, **more):
    cells = [{"prompt": f"Ask {i}?", "response": "Yes.", "rating": r, **more} for i, r in enumerate(ratings)]
    return scan(jsonl(*cells))


def test_ratings_written_with_several_scales_are_put_on_one(jsonl):
    result = rated(jsonl, "4/5", "6/10", "80%", "3 out of 4")
    assert [r.score for r in result.records] == [0.8, 0.6, 0.8, 0.75]
    assert any("as a share of the scale" in note for note in result.report.notes)


def test_aspects_on_several_scales_are_put_on_one(jsonl):
    cells = [
        {"prompt": f"Ask {i}?", "response": "Yes.", "helpfulness": "4/5", "honesty": "6/10"} for i in range(4)
    ]
    assert [r.score for r in read(jsonl(*cells)).records] == [pytest.approx(0.7)] * 4


@pytest.mark.parametrize(
    ("ratings", "lines"),
    [
        (("80 %", ".9", ".5"), [1]),
        (("4/5", "3/5", "4"), [3]),
        (("4", "8/10", "3", "9/10", "2"), [2, 4]),
        (("4/5", "80%", "3/5", "4"), [2, 4]),
    ],
)
def test_a_rating_on_another_scale_is_an_error_at_its_row(jsonl, ratings, lines):
    problems = rated(jsonl, *ratings).report.unreadable
    assert [p.line for p in problems] == lines
    assert all("on another scale than the others" in p.message and p.remedy for p in problems)


def test_a_late_rating_on_another_scale_is_an_error_too(jsonl):
    (problem,) = rated(jsonl, *["4/5"] * 150, "8/10").report.unreadable
    assert problem.line == 151


@pytest.mark.parametrize(
    ("ratings", "scores"),
    [
        (("4/5", "5/5"), [4, 5]),
        (("80%", "70 %"), [80, 70]),
        (("4", "5 stars", "★★★☆☆", 2), [4, 5, 3, 2]),
        ((".9", "0.5"), [0.9, 0.5]),
        (("4/5", None), [4]),
    ],
)
def test_ratings_on_one_scale_are_read_as_they_are(jsonl, ratings, scores):
    result = rated(jsonl, *ratings)
    assert [r.score for r in result.records] == scores
    assert not result.report.unreadable
