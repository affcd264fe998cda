"""What a column's name says and what it does not: capitals, models and ids beside answers, comments on an answer."""

from __future__ import annotations

import pytest

from plaudit.data.readers.read import read
from plaudit.errors import UserError

ASK, GOOD, BAD = "What is two plus two?", "The sum is four.", "No idea."


@pytest.mark.parametrize(
    "asked, said", [("Prompt", "Completion"), ("PROMPT", "completion "), ("prompt", "COMPLETION")]
)
def test_capitals_in_names_change_nothing(jsonl, asked, said):
    rows = [{asked: f"Ask {i}?", said: GOOD} for i in range(3)]
    found = read(jsonl(*rows, {said: GOOD}), max_dropped=0.5)
    assert [(r.prompt.text, r.response.text) for r in found.records] == [
        (f"Ask {i}?", GOOD) for i in range(3)
    ]
    assert dict(found.report.dropped) == {"missing field": 1}


SIDES = [("chosen_model", "rejected_model", "chosen_response", "rejected_response"),
         ("chosen_id", "rejected_id", "chosen_text", "rejected_text"),
         ("winner_name", "loser_name", "winner_response", "loser_response"),
         ("good_source", "bad_source", "good_answer", "bad_answer"),
         ("id_chosen", "id_rejected", "answer_chosen", "answer_rejected"),
         ("better_score", "worse_score", "better_essay", "worse_essay"),
         ("chosen_reason", "rejected_reason", "chosen_code", "rejected_code")]  # fmt: skip


@pytest.mark.parametrize("names", SIDES)
@pytest.mark.parametrize("order", [1, -1])
def test_models_ids_and_remarks_beside_two_answers_are_not_the_answers(jsonl, names, order):
    row = dict(zip(names, ("gpt-4 0.5", "llama 0.1", GOOD, BAD)))
    (pair,) = read(jsonl({"prompt": ASK, **dict([*row.items()][::order])})).records
    assert ([r.text for r in pair.responses], pair.groups) == ([GOOD, BAD], ((0,), (1,)))


@pytest.mark.parametrize("names", [("good_points", "bad_points"), ("good_remark", "bad_remark"),
                                   ("best_comment", "worst_comment"), ("winner_model", "loser_model")])  # fmt: skip
@pytest.mark.parametrize("kind", [None, "demonstrations"])
def test_remarks_on_an_answer_are_no_pair(jsonl, names, kind):
    result = read(jsonl({"prompt": ASK, "response": GOOD, **dict.fromkeys(names, "It is short.")}), kind=kind)
    assert [r.response.text for r in result.records] == [GOOD]
    assert result.report.notes == [] and set(result.report.unused) == set(names)


UNSURE = {
    "two pairs of answers": {"best_text": GOOD, "worst_text": BAD, "good_answer": GOOD, "bad_answer": BAD},
    "two pairs of unknown texts": {"good_poem": GOOD, "bad_poem": BAD, "good_tale": GOOD, "bad_tale": BAD},
    "examples beside an answer": {"response": "Four.", "good_example": GOOD, "bad_example": BAD},
}


@pytest.mark.parametrize("case", UNSURE)
def test_which_two_columns_are_the_answers_is_asked_and_can_be_said(jsonl, case):
    path, names = jsonl({"prompt": ASK, **UNSURE[case]}), [c for c in UNSURE[case] if c != "response"]
    with pytest.raises(UserError) as caught:
        read(path)
    (problem,) = caught.value.problems
    assert (
        f"--fields chosen={names[0]},rejected={names[1]}" in problem.remedy
        and f"ignore={'+'.join(names)}" in problem.remedy
    )
    (pair,) = read(path, fields={"chosen": names[0], "rejected": names[1]}).records
    assert [r.text for r in pair.responses] == [GOOD, BAD]
    if "response" in UNSURE[case]:
        assert [r.response.text for r in read(path, fields={"ignore": "+".join(names)}).records] == ["Four."]
        assert [r.response.text for r in read(path, kind="demonstrations").records] == ["Four."]
