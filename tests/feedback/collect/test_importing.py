"""Items from files: every usual shape, all problems at once, nothing dropped in silence."""

from __future__ import annotations

import json

import pytest

from plaudit.data.records import Prompt, Ranking, Response
from plaudit.data.records.writers import write_jsonl
from plaudit.errors import UserError
from plaudit.feedback.importing import items_of_rows, read_items

ASK = "What is a quark?"
PROMPT = ({"role": "user", "content": ASK},)


def written(tmp_path, *rows, name="answers.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def told(item):
    return [(a.text, a.model, a.finished) for a in item.answers]


@pytest.mark.parametrize(
    "row, expected",
    [
        ({"responses": ["a", "b", "c"]}, [("a", None, True), ("b", None, True), ("c", None, True)]),
        (
            {"responses": [{"text": "a", "model": "m"}, {"text": "b", "finished": False}]},
            [("a", "m", True), ("b", None, False)],
        ),
        ({"responses": ["a", "b"], "models": ["m", "n"]}, [("a", "m", True), ("b", "n", True)]),
        (
            {"response_a": "a", "response_b": "b", "model_a": "m", "model_b": "n"},
            [("a", "m", True), ("b", "n", True)],
        ),
        ({"completions": ["a", "b"]}, [("a", None, True), ("b", None, True)]),
        ({"chosen": "a", "rejected": "b"}, [("a", None, True), ("b", None, True)]),
    ],
)
def test_a_row_of_every_shape_is_an_item(tmp_path, row, expected):
    (item,) = read_items(written(tmp_path, {"prompt": ASK, **row})).items
    assert item.prompt == PROMPT
    assert told(item) == expected
    assert item.purpose == "work" and item.accepted == () and item.source == "answers"


def test_a_row_per_answer_becomes_an_item_per_prompt(tmp_path):
    rows = [{"prompt": p, "response": f"{p} {m}", "model": m} for m in "xyz" for p in ("one", "two")]
    items = read_items(written(tmp_path, *rows)).items
    assert [told(i) for i in items] == [
        [("one x", "x", True), ("one y", "y", True), ("one z", "z", True)],
        [("two x", "x", True), ("two y", "y", True), ("two z", "z", True)],
    ]


def test_plaudits_own_records_are_items_with_their_conversation_and_models(tmp_path):
    path = tmp_path / "own.jsonl"
    ranking = Ranking(
        Prompt.user(ASK, source="set", category="physics"),
        (Response("a", metadata={"model": "m"}), Response("b", finished=False)),
        ((1,), (0,)),
    )
    write_jsonl([ranking], path)
    (item,) = read_items(path, purpose="gold").items
    assert told(item) == [("a", "m", True), ("b", None, False)]
    assert item.accepted == (((1,), (0,)),) and item.purpose == "gold"
    assert item.source == "set" and item.info == {"category": "physics"}


def test_rankings_in_a_file_of_work_are_not_used_and_that_is_said(tmp_path):
    rows = [{"prompt": f"{i}", "chosen": "a", "rejected": "b"} for i in range(3)]
    made = read_items(written(tmp_path, *rows))
    assert all(item.accepted == () for item in made.items)
    assert made.notes == ["3 rows say which answer is better: not shown to anyone and not used"]


@pytest.mark.parametrize(
    "row, accepted",
    [
        ({"responses": ["a", "b", "c"], "ranking": [2, [0, 1]]}, (((2,), (0, 1)),)),
        ({"responses": ["a", "b"], "accepted": [[1, 0], [[0, 1]]]}, (((1,), (0,)), ((0, 1),))),
        ({"response_a": "a", "response_b": "b", "preferred": "b"}, (((1,), (0,)),)),
        ({"response_a": "a", "response_b": "b", "preferred": "tie"}, (((0, 1),),)),
        ({"chosen": "a", "rejected": "b"}, (((0,), (1,)),)),
    ],
)
def test_gold_takes_the_rankings_that_count_as_right(tmp_path, row, accepted):
    row = {"prompt": ASK, "rationale": "because", **row}
    (item,) = read_items(written(tmp_path, row), purpose="gold").items
    assert item.accepted == accepted and item.rationale == "because"


@pytest.mark.parametrize("code", [0, 1, "2", "1.0"])
def test_a_code_that_may_mean_either_answer_is_no_gold_and_does_not_stop_work(tmp_path, code):
    path = written(tmp_path, {"prompt": ASK, "response_a": "a", "response_b": "b", "preferred": code})
    with pytest.raises(UserError, match="does not say which answer is better"):
        read_items(path, purpose="gold")
    assert len(read_items(path).items) == 1


def test_whole_conversations_keep_the_white_space_of_their_last_turn(tmp_path):
    def said(text):
        return [{"role": "user", "content": ASK}, {"role": "assistant", "content": text}]

    (item,) = read_items(written(tmp_path, {"chosen": said("\n a "), "rejected": said("b\n")})).items
    assert item.prompt == PROMPT and [a.text for a in item.answers] == ["\n a ", "b\n"]


def test_rows_that_repeat_others_are_counted_apart(tmp_path):
    made = read_items(written(tmp_path, *[{"prompt": ASK, "responses": ["a", "b"]}] * 3))
    assert (len(made.items), made.distinct) == (3, 1)
    assert made.notes == ["2 rows say what another row of this file says: taken once"]


def test_answers_of_the_same_text_are_shown_once_and_keep_their_models(tmp_path):
    responses = [{"text": t, "model": m} for t, m in (("a", "x"), ("b", "y"), ("a", "z"))]
    (item,) = read_items(written(tmp_path, {"prompt": ASK, "responses": responses})).items
    assert told(item) == [("a", "x", True), ("b", "y", True)]
    assert item.answers[0].info == {"also": ["z"]}


def test_all_problems_of_a_file_are_told_with_their_lines(tmp_path):
    path = written(
        tmp_path,
        {"prompt": ASK, "responses": ["a", "b"]},
        {"prompt": ASK},
        {"prompt": ASK, "responses": ["same", "same"]},
        {"prompt": ASK, "responses": ["a", "b"], "sensitivity": 4},
        {"prompt": ASK, "responses": ["a", "b"], "models": ["m"]},
        {"prompt": "", "responses": ["a", "b"]},
        {"prompt": ASK, "responses": [str(i) for i in range(10)]},
        {"prompt": "alone", "response": "a"},
        ["a list"],
    )
    with pytest.raises(UserError) as error:
        read_items(path)
    assert [p.line for p in error.value.problems] == [2, 3, 4, 5, 6, 7, 8, 9]
    text = str(error.value)
    for words in (
        "no answers",
        "all answers are the same",
        "4 is no level of sensitivity",
        "'models' must name the model of each of the 2 answers",
        "the prompt is empty",
        "there are 10 answers",
        "only one answer",
        "a list, not an object",
    ):
        assert words in text
    assert len(read_items(path, max_dropped=1.0).items) == 1


def test_gold_without_a_ranking_is_refused(tmp_path):
    with pytest.raises(UserError, match="needs a ranking that counts as right"):
        read_items(written(tmp_path, {"prompt": ASK, "responses": ["a", "b"]}), purpose="calibration")


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "none.jsonl"
    path.write_text("\n")
    with pytest.raises(UserError, match="no rows"):
        read_items(path)


def test_rows_at_hand_are_read_alike():
    made = items_of_rows([{"prompt": ASK, "responses": ["a", "b"]}], purpose="work", source="api")
    assert told(made.items[0]) == [("a", None, True), ("b", None, True)]
    with pytest.raises(UserError, match="api:2"):
        items_of_rows([{"prompt": ASK, "responses": ["a", "b"]}, {}], purpose="work", source="api")


def test_the_key_hangs_on_prompt_and_answers_not_on_order_or_model(tmp_path):
    one, two, other = read_items(
        written(
            tmp_path,
            {"prompt": ASK, "responses": ["a", "b"], "models": ["m", "n"]},
            {"prompt": ASK, "responses": ["b", "a"]},
            {"prompt": ASK, "responses": ["a", "c"]},
        )
    ).items
    assert one.key == two.key != other.key
