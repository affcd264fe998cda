"""Every shape that people's files have is read with no configuration."""

from __future__ import annotations

import csv
import gzip
import json

import pytest

from plaudit.data.readers.columns import misspelled
from plaudit.data.readers.read import read
from plaudit.data.readers.record_kinds import join_pairs
from plaudit.data.records import (
    Comparisons,
    Demonstration,
    Labeled,
    Message,
    Outcome,
    Prompt,
    Ranking,
    Rated,
    Response,
)
from plaudit.errors import UserError

ASK = Prompt((Message("user", "Ask?"),), "rows")
TALK = (Message("user", "Ask?"), Message("assistant", "Well."), Message("user", "More?"))
TURNS = [
    {"role": "user", "content": "Ask?"},
    {"role": "assistant", "content": "Well."},
    {"role": "user", "content": "More?"},
]
SAY = {"role": "assistant", "content": "Yes."}
NOT = {"role": "assistant", "content": "No."}
HH = "\n\nHuman: Ask?\n\nAssistant: Well.\n\nHuman: More?\n\nAssistant: "

DEMONSTRATION = Demonstration(ASK, Response("Yes."))
LONG = Demonstration(Prompt(TALK, "rows"), Response("Yes."))
PAIR = Ranking.pair(ASK, "Yes.", "No.")
LONG_PAIR = Ranking.pair(Prompt(TALK, "rows"), "Yes.", "No.")


def ranking(texts: list[str], groups: tuple[tuple[int, ...], ...]) -> Ranking:
    return Ranking(ASK, tuple(map(Response, texts)), groups)


SHAPES = {
    "prompt and response": ({"prompt": "Ask?", "response": "Yes."}, DEMONSTRATION),
    "prompt and completion": ({"prompt": "Ask?", "completion": " Yes.\n"}, DEMONSTRATION),
    "question and answer": ({"question": "Ask?", "answer": "Yes."}, DEMONSTRATION),
    "instruction alone": ({"instruction": "Ask?", "input": "", "output": "Yes."}, DEMONSTRATION),
    "instruction with input": (
        {"instruction": "Ask", "input": "it?", "response": "Yes."},
        Demonstration(Prompt((Message("user", "Ask\n\nit?"),), "rows"), Response("Yes.")),
    ),
    "input and output": ({"input": "Ask?", "output": "Yes."}, DEMONSTRATION),
    "columns with capitals and spaces": ({"Prompt": "Ask?", "Response ": "Yes."}, DEMONSTRATION),
    "a weight": (
        {"prompt": "Ask?", "response": "Yes.", "weight": 0.5},
        Demonstration(ASK, Response("Yes."), 0.5),
    ),
    "a system prompt": (
        {"system": "Be kind.", "prompt": "Ask?", "response": "Yes."},
        Demonstration(
            Prompt((Message("system", "Be kind."), Message("user", "Ask?")), "rows"), Response("Yes.")
        ),
    ),
    "an answer that is a list in text": (
        {"prompt": "Ask?", "response": "[1, 2]"},
        Demonstration(ASK, Response("[1, 2]")),
    ),
    "messages": ({"messages": [*TURNS, SAY]}, LONG),
    "messages by from and value": (
        {
            "conversations": [
                {"from": "system", "value": ""},
                {"from": "human", "value": "Ask?"},
                {"from": "gpt", "value": "Well."},
                {"from": "human", "value": "More?"},
                {"from": "gpt", "value": "Yes."},
            ]
        },
        LONG,
    ),
    "messages in parts": (
        {"messages": [TURNS[0], {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]}]},
        DEMONSTRATION,
    ),
    "prompt as messages": ({"prompt": TURNS, "completion": [SAY]}, LONG),
    "prompt as a transcript": ({"prompt": HH, "response": "Yes."}, LONG),
    "prompt as a transcript by lines": (
        {"prompt": "Human: Ask?\nAssistant: Well.\nHuman: More?\n", "response": "Yes."},
        LONG,
    ),
    "prompt, chosen, rejected": ({"prompt": "Ask?", "chosen": "Yes.", "rejected": "No."}, PAIR),
    "chosen and rejected as one message each": (
        {"prompt": TURNS, "chosen": [SAY], "rejected": [NOT]},
        LONG_PAIR,
    ),
    "chosen and rejected as whole conversations": (
        {"prompt": "Ask?", "chosen": [*TURNS, SAY], "rejected": [*TURNS, NOT]},
        LONG_PAIR,
    ),
    "chosen and rejected transcripts": ({"chosen": HH + "Yes.", "rejected": HH + "No."}, LONG_PAIR),
    "chosen and rejected conversations, no prompt": (
        {"chosen": [*TURNS, SAY], "rejected": [*TURNS, NOT]},
        LONG_PAIR,
    ),
    "transcripts beside their prompt": (
        {"prompt": HH, "chosen": HH + "Yes.", "rejected": HH + "No."},
        LONG_PAIR,
    ),
    "messages, chosen, rejected": ({"messages": TURNS, "chosen": "Yes.", "rejected": "No."}, LONG_PAIR),
    "a rater and a strength": (
        {"prompt": "Ask?", "chosen": "Yes.", "rejected": "No.", "rater": "ann", "margin": 2},
        Ranking.pair(ASK, "Yes.", "No.", rater="ann", strength=2.0),
    ),
    "responses A and B, first": (
        {"prompt": "Ask?", "response_A": "Yes.", "response_B": "No.", "preferred": "A"},
        ranking(["Yes.", "No."], ((0,), (1,))),
    ),
    "responses a and b, second": (
        {"prompt": "Ask?", "response_a": "Yes.", "response_b": "No.", "preferred": "response_b"},
        ranking(["Yes.", "No."], ((1,), (0,))),
    ),
    "outputs 1 and 2, counted": (
        {"instruction": "Ask?", "output_1": "Yes.", "output_2": "No.", "preference": 2},
        ranking(["Yes.", "No."], ((1,), (0,))),
    ),
    "outputs 1 and 2, a tie between them": (
        {"instruction": "Ask?", "output_1": "Yes.", "output_2": "No.", "preference": 1.5},
        ranking(["Yes.", "No."], ((0, 1),)),
    ),
    "responses 0 and 1, counted from 0": (
        {"prompt": "Ask?", "response_0": "Yes.", "response_1": "No.", "preferred": 0},
        ranking(["Yes.", "No."], ((0,), (1,))),
    ),
    "winner model_b": (
        {"prompt": "Ask?", "answer_a": "Yes.", "answer_b": "No.", "winner": "model_b"},
        ranking(["Yes.", "No."], ((1,), (0,))),
    ),
    "winner tie": (
        {"prompt": "Ask?", "answer_a": "Yes.", "answer_b": "No.", "winner": "tie (bothbad)"},
        ranking(["Yes.", "No."], ((0, 1),)),
    ),
    "a ranking": (
        {"prompt": "Ask?", "responses": ["a", "b", "c"], "ranking": [2, 0, 1]},
        ranking(["a", "b", "c"], ((2,), (0,), (1,))),
    ),
    "a ranking with ties": (
        {"prompt": "Ask?", "responses": ["a", "b", "c"], "ranking": [2, [0, 1]]},
        ranking(["a", "b", "c"], ((2,), (0, 1))),
    ),
    "ranks": (
        {"prompt": "Ask?", "responses": ["a", "b", "c"], "ranks": [2, 1, 2]},
        ranking(["a", "b", "c"], ((1,), (0, 2))),
    ),
    "scores": (
        {"prompt": "Ask?", "responses": [{"text": "a"}, {"text": "b"}], "scores": [0.5, 7]},
        ranking(["a", "b"], ((1,), (0,))),
    ),
    "a label": (
        {"prompt": "Ask?", "completion": "Yes.", "label": True},
        Labeled(ASK, Response("Yes."), True),
    ),
    "a label in words": (
        {"prompt": "Ask?", "completion": "No.", "label": "thumbs down"},
        Labeled(ASK, Response("No."), False),
    ),
    "a rating": (
        {"prompt": "Ask?", "response": "Yes.", "rating": 4, "annotator": "ann"},
        Rated(ASK, Response("Yes."), 4.0, "ann"),
    ),
    "a prompt": ({"prompt": "Ask?"}, ASK),
    "messages of a prompt": ({"messages": TURNS}, Prompt(TALK, "rows")),
    "plain text": ({"text": "Once upon a time.\n"}, "Once upon a time."),
    "a string": (json.dumps("Once upon a time."), "Once upon a time."),
}


@pytest.mark.parametrize("case", SHAPES)
def test_a_shape_is_read_with_no_configuration(jsonl, case):
    row, expected = SHAPES[case]
    result = read(jsonl(row, row))
    assert result.records == [expected, expected]
    assert result.report.kept == 2
    assert result.report.dropped_rows == 0


def test_what_is_known_of_a_prompt_travels_in_its_metadata_and_leaves_its_id_alone(jsonl):
    row = {
        "prompt": "Ask?",
        "response": "Yes.",
        "category": "facts",
        "metadata": {"answer": 7},
        "source": "us",
    }
    prompt = read(jsonl(row)).records[0].prompt
    assert prompt.metadata == {"category": "facts", "answer": 7}
    assert prompt.source == "us"
    assert prompt.id == ASK.id


def test_columns_that_no_record_carries_are_reported(jsonl):
    path = jsonl({"prompt": "Ask?", "response": "Yes.", "note": "x", "weight": 1})
    assert read(path).report.unused == ("note",)


def test_a_column_called_record_is_no_row_of_plaudits_own(jsonl):
    row = {"record": ["x"], "prompt": "Ask?", "response": "Yes."}
    records = read(jsonl(row, {**row, "record": "x"})).records
    assert [(type(r), r.prompt.id, r.response.text) for r in records] == [(Demonstration, ASK.id, "Yes.")] * 2


def test_a_field_map_names_columns_of_ones_own(jsonl):
    path = jsonl({"ask": "Ask?", "good one": "Yes.", "bad one": "No."})
    fields = {"prompt": "ask", "chosen": "good one", "rejected": "bad one"}
    assert read(path, fields=fields).records == [PAIR]


def test_kind_chooses_among_the_shapes_a_row_has(jsonl):
    path = jsonl({"prompt": "Ask?", "messages": [*TURNS, SAY], "chosen": "Yes.", "rejected": "No."})
    assert read(path).records == [PAIR]
    (demonstration,) = read(path, kind="demonstrations").records
    assert (demonstration.prompt.messages, demonstration.response) == (TALK, LONG.response)
    (prompt,) = read(path, kind="prompts").records
    assert (prompt.id, set(prompt.metadata)) == (ASK.id, {"messages", "chosen", "rejected"})


def test_demonstrations_can_be_read_as_text(jsonl):
    path = jsonl({"messages": [*TURNS, SAY]})
    assert read(path, kind="corpus").records == ["Ask?\n\nWell.\n\nMore?\n\nYes."]


def test_a_limit_stops_after_so_many_records_and_reads_no_further(jsonl):
    rows = [{"prompt": f"Ask {i}?", "response": "Yes."} for i in range(150)]
    path = jsonl(*rows, "this is no JSON")
    assert [r.prompt.text for r in read(path, limit=3).records] == ["Ask 0?", "Ask 1?", "Ask 2?"]
    with pytest.raises(UserError):
        read(path)


def test_a_few_faulty_first_rows_do_not_hide_the_shape(jsonl):
    good = [{"prompt": f"Ask {i}?", "chosen": "Yes.", "rejected": "No."} for i in range(30)]
    result = read(jsonl({"prompt": "Ask?"}, *good))
    assert result.report.kept == 30
    assert result.report.dropped == {"missing field": 1}


def test_the_shape_is_that_of_most_rows_even_where_a_few_have_more_columns(jsonl):
    rows = [{"prompt": f"Ask {i}?", "response": "Yes."} for i in range(30)]
    result = read(jsonl({**rows[0], "chosen": "Yes.", "rejected": "No."}, *rows))
    assert result.report.kept == 31
    assert {type(r) for r in result.records} == {Demonstration}


def test_a_line_of_an_answer_that_begins_like_a_turn_is_no_turn_where_blank_lines_part_them(jsonl):
    spoken = "He wrote:\nHuman: hello\nAssistant: hi"
    (pair,) = read(jsonl({"chosen": HH + spoken, "rejected": HH + "No."})).records
    assert pair.prompt.messages == TALK
    assert pair.responses[0].text == spoken


def test_plurals_and_ids_are_columns_of_their_own_and_no_misspellings(jsonl):
    row = {"prompt": "Ask?", "response": "Yes.", "prompts": "x", "rankings": [1], "rating_id": 3, "label2": 0}
    result = read(jsonl(row))
    assert [r.response for r in result.records] == [DEMONSTRATION.response]
    assert result.report.unused == ("prompts", "rankings", "rating_id", "label2")


@pytest.mark.parametrize(
    "field, column, found",
    [
        ("rejected", "rejcted", True),
        ("prompt", "promt", True),
        ("response", "anwser", True),
        ("responses", "response", False),
        ("responses", "responses_all", False),
        ("label", "labels", False),
        ("response", "response1", False),
        ("messages", "conversation_id", False),
        ("text", "title", False),
    ],
)
def test_a_misspelling_is_close_and_has_no_meaning_of_its_own(field, column, found):
    assert misspelled(field, ["other", column]) == (column if found else None)


ROWS = [{"prompt": f"Frage {i}: „naïve“?", "response": f"Ja,\nund {i}."} for i in range(5)]
WANTED = [
    Demonstration(Prompt((Message("user", r["prompt"]),), "rows"), Response(r["response"])) for r in ROWS
]


def as_csv(path, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["prompt", "response"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)


def as_parquet(path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), path)


def lines(end="\n"):
    return "".join(json.dumps(r, ensure_ascii=False) + end for r in ROWS)


def test_a_null_where_a_field_belongs_is_a_faulty_row_and_no_second_shape(jsonl):
    good = [{"prompt": f"Ask {i}?", "chosen": "Yes.", "rejected": "No."} for i in range(19)]
    report = read(jsonl({**good[0], "rejected": None}, *good)).report
    assert (report.kept, dict(report.dropped)) == (19, {"missing field": 1})


FORMATS = {
    "rows.jsonl": lambda p: p.write_text(lines(), encoding="utf-8"),
    "rows.ndjson": lambda p: p.write_text(lines(), encoding="utf-8"),
    "rows.jsonl.gz": lambda p: p.write_bytes(gzip.compress(lines().encode())),
    "rows.json": lambda p: p.write_text(json.dumps(ROWS, indent=2), encoding="utf-8"),
    "rows.json.gz": lambda p: p.write_bytes(gzip.compress(json.dumps(ROWS).encode())),
    "rows.csv": as_csv,
    "rows.tsv": lambda p: as_csv(p, "\t"),
    "rows.parquet": as_parquet,
    "rows": lambda p: p.write_text(lines(), encoding="utf-8"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_records(tmp_path, name):
    path = tmp_path / name
    FORMATS[name](path)
    assert read(path).records == WANTED


VARIANTS = {
    "a byte order mark": lambda: b"\xef\xbb\xbf" + lines().encode(),
    "CRLF line ends": lambda: lines("\r\n").encode(),
    "both": lambda: b"\xef\xbb\xbf" + lines("\r\n").encode(),
    "blank lines": lambda: b"\n\n" + lines("\n\n").encode(),
    "no last line end": lambda: lines().rstrip().encode(),
    "an array under a .jsonl name": lambda: json.dumps(ROWS).encode(),
    "gzip under a .jsonl name": lambda: gzip.compress(lines().encode()),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_harmless_variants_of_jsonl_are_read(tmp_path, variant):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(VARIANTS[variant]())
    assert read(path).records == WANTED


def test_jsonl_under_a_json_name_and_rows_under_a_key_are_read(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(lines(), encoding="utf-8")
    assert read(path).records == WANTED
    path.write_text(json.dumps({"version": 1, "data": ROWS}, indent=1), encoding="utf-8")
    assert read(path).records == WANTED


def test_csv_cells_may_hold_lists_and_labels(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('prompt,responses,ranking\r\nAsk?,"[""a"", ""b""]","[1, 0]"\r\n')
    assert read(path).records == [ranking(["a", "b"], ((1,), (0,)))]
    path.write_text("prompt,completion,label\nAsk?,Yes.,True\nAsk?,No.,0\n")
    assert [r.good for r in read(path).records] == [True, False]


def test_a_text_file_is_cut_into_documents_where_a_thought_ends(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("One.\n<|endoftext|>\nTwo.\n\nStill two.<|endoftext|>Three.\r\n", encoding="utf-8")
    assert read(path).records == ["One.", "Two.\n\nStill two.", "Three."]
    paragraph = "word " * 500
    path.write_text("\n\n".join([paragraph] * 4), encoding="utf-8")
    texts = read(path).records
    assert len(texts) == 2
    assert "".join("".join(texts).split()) == "word" * 2000


def test_a_document_never_ends_within_a_paragraph(tmp_path):
    path = tmp_path / "book.txt"
    paragraph = "\n".join(["a line of the book"] * 100)
    path.write_text("\n\n".join([paragraph] * 9), encoding="utf-8")
    assert read(path).records == ["\n\n".join([paragraph] * 3)] * 3


def test_each_line_of_a_text_file_can_be_a_prompt(tmp_path):
    path = tmp_path / "asks.txt"
    path.write_text("Ask?\n\nAnd?\n", encoding="utf-8")
    assert [p.text for p in read(path, kind="prompts").records] == ["Ask?", "And?"]


def test_a_hub_name_is_loaded_by_datasets_as_a_stream(monkeypatch, tmp_path):
    import datasets

    asked = {}

    def load(name, split, revision, streaming):
        asked.update(name=name, split=split, revision=revision, streaming=streaming)
        return iter(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.chdir(tmp_path)
    texts = [r.response.text for r in read("owner/name:test").records]
    assert texts == [r["response"] for r in ROWS]
    assert asked == {"name": "owner/name", "split": "test", "revision": None, "streaming": True}
    read("owner/name@v1.0:test")
    assert asked["name"] == "owner/name" and asked["revision"] == "v1.0" and asked["split"] == "test"
    read("owner/name")
    assert asked["split"] == "train"


def test_a_path_that_could_be_a_file_never_asks_the_hub(monkeypatch, tmp_path):
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: pytest.fail("asked the hub"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for path in ("owner/rows.jsonl", "data/rows", "rows", "./owner/name"):
        with pytest.raises(UserError, match="there is no file"):
            read(path)


def test_pairs_of_one_prompt_are_joined_into_one_record():
    other = Prompt.user("Else?")
    records = [
        Ranking.pair(ASK, "a", "b", rater="x"),
        Ranking.pair(other, "p", "q"),
        Ranking.pair(ASK, "c", "a"),
        Comparisons(ASK, (Response("b"), Response("c")), (Outcome(0, 1, 0.5, rater="y"),), {"k": 1}),
    ]
    joined = join_pairs(records)
    assert [c.prompt.id for c in joined] == [ASK.id, other.id]
    assert [r.text for r in joined[0].responses] == ["a", "b", "c"]
    assert joined[0].outcomes == (
        Outcome(0, 1, 1.0, rater="x"),
        Outcome(2, 0, 1.0),
        Outcome(1, 2, 0.5, rater="y"),
    )
    assert joined[0].metadata == {"k": 1}


def test_joining_drops_what_compares_an_answer_with_itself():
    twice = Ranking(ASK, (Response("a"), Response("a"), Response("b")), ((0,), (1,), (2,)))
    (joined,) = join_pairs([twice])
    assert [r.text for r in joined.responses] == ["a", "b"]
    assert joined.outcomes == (Outcome(0, 1, 1.0), Outcome(0, 1, 1.0))
    assert join_pairs([Ranking.pair(ASK, "a", "a")]) == []


def test_a_turn_of_chatgpt_is_the_assistant_s(jsonl):
    turns = [{"from": "human", "value": "Ask?"}, {"from": "chatgpt", "value": "Yes."}]
    (record,) = read(jsonl({"conversations": turns})).records
    assert record.response.text == "Yes."
