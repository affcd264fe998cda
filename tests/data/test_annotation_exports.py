"""Exports of annotation tools: what was shown and what each person said of it."""

from __future__ import annotations

import pytest

from plaudit.data.readers.read import read, scan
from plaudit.data.records import Labeled, Ranking, Rated

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


def one(said, tool="studio"):
    """A row with one answer, and what one person said of it by question."""
    shown = {"prompt": f"Ask {said}?", "response": "Yes."}
    if tool == "columns":
        return shown | {f"{name}.responses": [value] for name, value in said.items()}
    if tool == "argilla":
        return {"fields": shown, "responses": {q: [{"value": v, "user_id": "u"}] for q, v in said.items()}}
    results = [
        {"type": "choices", "from_name": q, "value": {"choices": [v]}}
        if isinstance(v, str)
        else {"type": "rating", "from_name": q, "value": {"rating": v}}
        for q, v in said.items()
    ]
    return {"data": shown, "annotations": [{"result": results, "completed_by": 1}]}


ANSWERED = {
    "a label": ([{"verdict": "Good"}, {"verdict": "Bad"}], [True, False]),
    "a label under any name": ([{"q": "Good"}, {"q": "Bad"}], "--fields label=q"),
    "yes or no under any name": ([{"q": "Yes"}, {"q": "No"}], "--fields label=q"),
    "a rating and a topic": ([{"topic": "Math", "q": 1}, {"topic": "Art", "q": 4}], [1, 4]),
    "a rating and a comment": ([{"quality": 1, "comment": "So so."}, {"quality": 2}], [1, 2]),
    "a label that is rated": ([{"feedback": 1}, {"feedback": 4}], [1, 4]),
    "a rating of which less is better": ([{"toxicity": 1}, {"toxicity": 4}], [-1, -4]),
    "two ratings": ([{"quality": 5, "toxicity": 1}, {"quality": 2, "toxicity": 3}], "rating=-toxicity"),
    "two ratings of unclear names": ([{"q1": 5, "q2": 1}, {"q1": 2, "q2": 3}], "--fields rating=rating.q1"),
    "a rating of the question": ([{"prompt-quality": 5}, {"prompt-quality": 1}], "rating.prompt-quality"),
}


@pytest.mark.parametrize("tool", ["studio", "argilla", "columns"])
@pytest.mark.parametrize("case", ANSWERED)
def test_what_is_said_of_one_answer_is_read_by_the_question_or_asked_about(jsonl, case, tool):
    said, meant = ANSWERED[case]
    result = scan(jsonl(*(one(s, tool) for s in said)))
    if isinstance(meant, str):
        assert not result.records
        assert meant in "".join(p.remedy or "" for p in result.report.unreadable)
        return
    assert [getattr(r, "good" if isinstance(r, Labeled) else "score") for r in result.records] == meant
    assert "Coded" not in str(result.records)


@pytest.mark.parametrize("tool", ["studio", "argilla"])
def test_two_people_who_call_an_answer_good_and_bad_are_two_labels(jsonl, tool):
    row, other = (one({"verdict": v}, tool) for v in ("Good", "Bad"))
    if tool == "studio":
        row["annotations"].append(other["annotations"][0] | {"completed_by": 2})
    else:
        row["responses"]["verdict"].append({"value": "Bad", "user_id": "v"})
    assert [r.good for r in read(jsonl(row)).records] == [True, False]


def test_beside_two_answers_only_the_question_that_compares_them_is_the_preference(jsonl):
    topic = {"type": "choices", "from_name": "topic", "value": {"choices": ["Math"]}}
    for compared in (
        annotation("pairwise", {"selected": "left"}),
        annotation("choices", {"choices": ["answer1"]}),
    ):
        (judged_first,) = read(jsonl(studio({"result": [topic, *compared["result"]]})), max_dropped=0).records
        assert judged_first.groups == ((0,), (1,))
        assert judged_first.prompt.metadata == {"topic": "Math"}
    both = {"safer": [{"value": "response_a"}], "nicer": [{"value": "response_b"}]}
    (problem,) = scan(jsonl({"fields": TWO, "responses": both})).report.unreadable
    assert "--fields preferred=COLUMN" in (problem.remedy or "")


def test_annotations_that_are_not_in_the_file_are_no_judgements(jsonl):
    report = scan(jsonl({"data": {"prompt": "Ask?", "response": "Yes."}, "annotations": [12]})).report
    assert report.unreadable


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
