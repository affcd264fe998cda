"""The hub's layouts of demonstrations, labels, ratings, trees and prompts give what they say, with no configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from plaudit.data.readers.read import read, scan
from plaudit.data.records import Demonstration, Labeled, Message, Prompt, Ranking, Rated
from plaudit.errors import UserError

LAYOUTS = Path(__file__).parent / "layouts"


def raw(name):
    """The rows of a layout, read by another program."""
    path = LAYOUTS / name
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = path.read_text()
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def sums(i):
    return Message("user", f"What is {i} plus {i}?")


LABELED = {
    "beavertails.jsonl": "is_safe",
    "llamafactory_kto.json": "label",
    "thumbs_feedback.jsonl": "feedback",
    "kto_mix_14k.parquet": "label",
    "d02_lf_kto_messages.jsonl": "label",
    "d02b_lf_kto_tag.jsonl": "kto_tag",
    "d02c_lf_kto_alpaca.jsonl": "kto_tag",
}


@pytest.mark.parametrize("name", LABELED)
def test_a_label_beside_an_answer_is_its_label(name):
    marks = [row[LABELED[name]] for row in raw(name)]
    good = [m is True or m in ("thumbs_up", "up") for m in marks]
    assert 0 < sum(good) < len(good)
    for kind in (None, "labelled", "labels"):
        records = read(LAYOUTS / name, kind=kind).records
        assert all(isinstance(r, Labeled) for r in records)
        assert [r.good for r in records] == good


@pytest.mark.parametrize("name", LABELED)
def test_the_bad_answers_are_never_imitated_and_that_is_said(name):
    result = read(LAYOUTS / name, kind="demonstrations")
    labels = read(LAYOUTS / name).records
    assert [(r.prompt.id, r.response) for r in result.records] == [
        (r.prompt.id, r.response) for r in labels if r.good
    ]
    bad = sum(not r.good for r in labels)
    assert dict(result.report.left_out) == {f"answers that {LABELED[name]!r} calls bad": bad}
    assert any(f"{bad} " in line and "calls bad" in line for line in result.report.lines())


def test_ratings_of_several_answers_to_a_prompt_rank_them():
    rows = raw("helpsteer2.parquet")
    result = read(LAYOUTS / "helpsteer2.parquet")
    assert len(result.records) == len(rows) // 2
    for i, ranking in enumerate(result.records):
        assert isinstance(ranking, Ranking)
        pair = rows[2 * i : 2 * i + 2]
        assert [r.text for r in ranking.responses] == [p["response"] for p in pair]
        means = [(p["helpfulness"] + p["correctness"] + p["coherence"]) / 3 for p in pair]
        assert ranking.groups == (((0,), (1,)) if means[0] > means[1] else ((1,), (0,)))
    assert any("the mean of 'helpfulness', 'correctness' and 'coherence'" in n for n in result.report.notes)


def test_one_rating_can_be_named_and_ratings_can_be_had_one_by_one():
    path, rows = LAYOUTS / "helpsteer2.parquet", raw("helpsteer2.parquet")
    rated = read(path, kind="rated", fields={"rating": "verbosity"}).records
    assert [r.score for r in rated] == [row["verbosity"] for row in rows]
    assert all(isinstance(r, Rated) for r in read(path, kind="labels").records)
    (first, *_) = read(path, fields={"rating": "-helpfulness"}).records
    assert first.groups == ((1,), (0,))


def test_rated_answers_are_demonstrations_on_request_alone():
    path = LAYOUTS / "helpsteer2.parquet"
    with pytest.raises(
        UserError, match=r"ignore=helpfulness\+correctness\+coherence learns from every answer"
    ):
        read(path, kind="demonstrations")
    asked = {"ignore": "helpfulness+correctness+coherence"}
    records = read(path, kind="demonstrations", fields=asked).records
    assert [r.response.text for r in records] == [row["response"] for row in raw("helpsteer2.parquet")]


def test_the_passage_of_a_question_stands_in_its_prompt():
    for row, record in zip(raw("dolly.jsonl"), read(LAYOUTS / "dolly.jsonl").records, strict=True):
        assert record.prompt.text == f"{row['instruction']}\n\n{row['context']}"
        assert record.prompt.metadata == {"category": "open_qa"}


def test_a_tree_of_messages_gives_rankings_of_siblings_and_the_best_as_demonstrations():
    path = LAYOUTS / "oasst1_flat.parquet"
    rankings, best = (read(path, kind=k).records for k in ("preferences", "demonstrations"))
    for i, (ranking, demonstration) in enumerate(zip(rankings, best, strict=True)):
        assert ranking.prompt.messages == demonstration.prompt.messages == (sums(i),)
        assert [r.text for r in ranking.responses] == [
            f"The sum is {2 * i}.",
            f"I think it is {2 * i + 1}, maybe.",
        ]
        assert ranking.groups == ((0,), (1,))
        assert demonstration.response.text == f"The sum is {2 * i}."
    assert len(read(path).records) == 24
    assert [p.messages for p in read(path, kind="prompts").records] == [(sums(i),) for i in range(12)]


def test_marked_texts_are_conversations():
    result = read(LAYOUTS / "guanaco_text.parquet")
    for i, record in enumerate(result.records):
        assert (record.prompt.messages, record.response.text) == ((sums(i),), f"The sum is {2 * i}.")
    assert result.report.notes == ["'text' is read as conversations, by its markers ### Human:"]
    texts = read(LAYOUTS / "guanaco_text.parquet", kind="text").records
    assert texts == [row["text"] for row in raw("guanaco_text.parquet")]


def test_the_right_answer_of_a_prompt_travels_with_it():
    result = read(LAYOUTS / "grpo_math_verl.parquet")
    assert result.report.notes == ["metadata of each prompt: data_source, ability, reward_model, extra_info"]
    for i, prompt in enumerate(result.records):
        assert isinstance(prompt, Prompt)
        assert prompt.messages == (sums(i),)
        assert prompt.metadata == {
            "data_source": "openai/gsm8k",
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": str(2 * i)},
            "extra_info": {"split": "train", "index": i},
            "ground_truth": str(2 * i),
        }


DEMONSTRATIONS = {
    "alpaca.json": (),
    "sharegpt.json": (),
    "openmathinstruct_gsm.parquet": (),
    "trl_prompt_completion.jsonl": (),
    "openai_messages_system.jsonl": (Message("system", "Be brief."),),
    "openai_developer_role.jsonl": (Message("system", "Be brief"),),
    "openai_content_list_text_only.jsonl": (),
}


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_demonstrations_are_read_as_they_are(name):
    records = read(LAYOUTS / name).records
    assert len(records) == 12
    for i, record in enumerate(records):
        assert isinstance(record, Demonstration)
        assert record.prompt.messages == (*DEMONSTRATIONS[name], sums(i))
        assert record.response.text.splitlines()[0] == f"The sum is {2 * i}."


def test_a_long_chat_is_answered_by_its_last_turn():
    first = read(LAYOUTS / "ultrachat_200k.parquet").records[0]
    assert [m.role for m in first.prompt.messages] == ["user", "assistant", "user"]
    assert first.response.text == "because"


def test_pictures_are_refused():
    report = scan(LAYOUTS / "openai_multimodal.jsonl").report
    assert report.error(0.05) is not None
    assert "image_url" in str(report.error(0.05))
