"""One table of bad inputs: each gives an error that names file, line, field and remedy, and leaves nothing behind."""

from __future__ import annotations

import errno
import gzip
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from plaudit.data.checks.check import check
from plaudit.data.readers.convert import convert_to_file
from plaudit.data.readers.read import read
from plaudit.data.records import Demonstration, Prompt, Response
from plaudit.data.records.writers import write_jsonl
from plaudit.errors import UserError

GOOD = [{"prompt": f"Ask {i}?", "chosen": "Yes.", "rejected": "No."} for i in range(9)]
DEMOS = [{"prompt": f"Ask {i}?", "response": "Yes."} for i in range(9)]


def jsonl(*rows) -> bytes:
    return "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows).encode()


def altered(**change) -> bytes:
    """Nine good pairs, the seventh changed; a field set to None is left out."""
    row = {k: v for k, v in {**GOOD[6], **change}.items() if v is not None}
    return jsonl(*GOOD[:6], row, *GOOD[7:])


def pairs(*rows) -> bytes:
    return jsonl(*GOOD[:6], *rows)


def ranked(ranking) -> bytes:
    return jsonl({"prompt": "Ask?", "responses": ["a", "b", "c"], "ranking": ranking})


OWN = {"record": "ranking", "prompt": "A?", "responses": ["a", "b"], "groups": [[0], [1]]}


def objects(*ranks):
    return {"prompt": "A?", "responses": [{"text": t, "rank": r, "score": 1} for t, r in zip("ab", ranks)]}


@dataclass
class Bad:
    """A file's bytes and the parts that its error must have."""

    data: bytes
    message: str
    line: int | None = None
    field: str | None = None
    remedy: str = ""
    name: str = "rows.jsonl"
    kind: str | None = None


TABLE = {
    # Rows of another form than the first ones.
    "a plain row among plaudit's own": Bad(
        jsonl(*[OWN] * 3, {"prompt": "A?"}),
        "the row has no 'record'",
        4,
        "record",
        "ranking",
    ),
    "a misspelled kind among plaudit's own": Bad(
        jsonl(*[OWN] * 3, {"record": "labeled", "prompt": "A?", "response": "a", "good": False}),
        "'labeled' is not a kind of record",
        4,
        "record",
        "labelled",
    ),
    "a rank in words": Bad(
        jsonl(*[objects(1, 2)] * 3, objects("first", "second")),
        "ranked by their 'rank', which is not a number",
        4,
        "responses",
        "write 1 for the best",
    ),
    "ranks in words": Bad(jsonl(objects("1st", "2nd")), "which is not a number", 1, "responses", "write 1"),
    "a blank system turn alone": Bad(
        jsonl({"prompt": [{"role": "system", "content": " "}], "response": "a"}),
        "'prompt' holds no message with a text",
        1,
        "prompt",
        "remove the row",
    ),
    "a blank system turn alone beside a system column": Bad(
        jsonl({"messages": [{"role": "system", "content": ""}], "system": "Be brief."}),
        "'messages' holds no message with a text",
        1,
        "messages",
    ),
    "a passage beside a prompt in a list": Bad(
        jsonl({"prompt": ["Which?"], "context": "The car is red.", "response": "a"}),
        "'context' belongs to the prompt",
        1,
        "context",
        "ignore=context",
    ),
    # Files that are broken.
    "a key with two values": Bad(
        b'{"prompt": "A?", "chosen": "x", "rejected": "y", "chosen": "z"}\n',
        "the key 'chosen' has two values",
        1,
    ),
    "tabs in a .csv": Bad(
        b"prompt\tresponse\nA?\tx\n", "separated by tabs", 1, remedy=".tsv", name="rows.csv"
    ),
    "bars in a .csv": Bad(
        b"prompt|response\nA?|x\n", "separated by '|'", 1, remedy="commas", name="rows.csv"
    ),
    "a row with fewer cells": Bad(
        b"prompt,response,note\nA?,x\n",
        "2 cells under a header of 3",
        2,
        remedy="a cell for each column",
        name="rows.csv",
    ),
    "lines that end in CR": Bad(
        b"prompt,response\rA?,x\rB?,y", "new-line", 1, remedy="tr '", name="rows.csv"
    ),
    "bad JSON at line 4": Bad(
        jsonl(*GOOD[:3], '{"prompt": "Ask?", "chosen": ', *GOOD[3:]),
        "not valid JSON: Expecting value (column 29)",
        4,
        remedy="one JSON object per line",
    ),
    "a last line cut short": Bad(
        jsonl(*GOOD) + b'{"prompt": "As', "not valid JSON: Unterminated string", 10, remedy="one JSON object"
    ),
    "bad JSON inside an array": Bad(
        json.dumps(GOOD, indent=1)
        .encode()
        .replace(
            b'"Ask 3?"',
            b'"Ask 3?',
        ),
        "not valid JSON",
        18,
        remedy="fix it at this place",
        name="rows.json",
    ),
    "an array that does not end": Bad(
        json.dumps(GOOD).encode()[:-1], "not valid JSON: Expecting ',' or ']'", 1, name="rows.json"
    ),
    "two records on a line": Bad(jsonl(json.dumps(GOOD[0]) * 2), "not valid JSON: Extra data", 1),
    "a truncated archive": Bad(
        gzip.compress(jsonl(*GOOD), 0)[:-60],
        "the .gz archive is damaged or cut short after this line",
        8,
        remedy="copy or download the file again",
        name="rows.jsonl.gz",
    ),
    "a damaged archive": Bad(
        gzip.compress(jsonl(*GOOD))[:30] + b"\xff" * 40,
        "the .gz archive is damaged or cut short",
        name="rows.jsonl.gz",
    ),
    "Latin-1": Bad(
        jsonl(*GOOD[:3]) + '{"prompt": "né?", "chosen": "a", "rejected": "b"}\n'.encode("latin-1"),
        "not UTF-8 (byte 0xe9 at column 14)",
        4,
        remedy="iconv -f WINDOWS-1252 -t UTF-8",
    ),
    "UTF-16": Bad(
        jsonl(*GOOD).decode().encode("utf-16"),
        "not UTF-8 (byte 0xff at column 1)",
        1,
        remedy="iconv -f UTF-16",
    ),
    "a line of 10 MB": Bad(
        jsonl(*GOOD[:4], {"prompt": "a" * 10_000_000, "chosen": "b", "rejected": "c"}, *GOOD[4:]),
        "the line is longer than 8 MB",
        5,
        remedy="one record per line",
    ),
    "an empty file": Bad(b"", "there are no rows in it", remedy="right file"),
    "an empty array": Bad(b"[]", "there are no rows in it", name="rows.json"),
    "a header alone": Bad(b"prompt,response\n", "there are no rows in it", name="rows.csv"),
    "rows that are lists": Bad(
        jsonl(["Ask?", "Yes."], ["And?", "No."]),
        "the rows are a list, not objects",
        1,
        remedy='{"prompt": "…", "response": "…"}',
    ),
    "no Parquet": Bad(b"PAR1 and nothing more", "not a complete Parquet file", name="rows.parquet"),
    "a CSV quote that is not closed": Bad(
        b'prompt,response\nAsk?,Yes.\nAnd?,"No\n',
        "not valid CSV: unexpected end of data",
        3,
        remedy="close every double quote",
        name="rows.csv",
    ),
    "a CSV row with a cell too many": Bad(
        b"prompt,response\nAsk?,Yes.\nAnd?,No, not that\n",
        "3 cells under a header of 2",
        3,
        remedy='"double quotes"',
        name="rows.csv",
    ),
    "CSV with semicolons": Bad(
        b"prompt;response\nAsk?;Yes.\n", "separated by ';'", 1, remedy="save it with commas", name="rows.csv"
    ),
    "a CSV header that names a column twice": Bad(
        b"prompt,response,prompt\na,b,c\n", "the header names 'prompt' twice", 1, name="rows.csv"
    ),
    "two lists in one object": Bad(
        json.dumps({"train": GOOD, "test": GOOD}).encode(),
        "the object holds several lists ('train', 'test')",
        remedy="a file of its own",
        name="rows.json",
    ),
    # Columns.
    "a misspelled column": Bad(
        jsonl(*({"prompt": r["prompt"], "chosen": "a", "rejcted": "b"} for r in GOOD)),
        "no column 'rejected', which {prompt, chosen, rejected} needs",
        1,
        "rejected",
        "did you mean: rename 'rejcted' to 'rejected'",
    ),
    "a misspelled column that leaves prompts": Bad(
        jsonl(*({"prompt": r["prompt"], "respones": "a"} for r in GOOD)),
        "no column 'response'",
        1,
        "response",
        "did you mean: rename 'respones' to 'response'",
    ),
    "two misspelled columns": Bad(
        jsonl({"promt": "Ask?", "anwser": "Yes."}),
        "no column 'prompt'",
        1,
        "prompt",
        "did you mean: rename 'promt' to 'prompt'",
    ),
    "a column missing": Bad(
        jsonl({"prompt": "Ask?", "chosen": "Yes."}),
        "no column 'rejected'",
        1,
        "rejected",
        "add a column 'rejected'",
    ),
    "answers without a preference": Bad(
        jsonl({"prompt": "Ask?", "response_a": "Yes.", "response_b": "No."}),
        "says whether 'response_a' or 'response_b' is better",
        1,
        "preferred",
        "--fields preferred=COLUMN",
    ),
    "columns that nobody knows": Bad(
        jsonl({"x": "Ask?", "y": "Yes."}),
        "no shape that plaudit knows: the columns are 'x', 'y'",
        1,
        remedy="prompt, chosen, rejected",
    ),
    "another kind than is asked for": Bad(
        jsonl(*DEMOS),
        "it holds demonstrations ({prompt, response}), but preferences are requested",
        1,
        remedy="name it where demonstrations belong",
        kind="preferences",
    ),
    "two shapes in one file": Bad(
        jsonl(*GOOD[:5], *DEMOS[:2]),
        "the row has the shape {prompt, response}, the file began with {prompt, chosen, rejected}",
        6,
        remedy="keep one shape per file",
    ),
    # Rows.
    "a field missing in a row": Bad(
        altered(chosen=None), "the row has no 'chosen'", 7, "chosen", "give every row a 'chosen'"
    ),
    "an empty answer": Bad(
        altered(chosen=" \n"), "the answer is empty", 7, "chosen", "remove the row, or fill"
    ),
    "an empty answer in an array": Bad(
        json.dumps([*GOOD[:4], {**GOOD[4], "chosen": ""}], indent=1).encode(),
        "the answer is empty",
        22,
        "chosen",
        name="rows.json",
    ),
    "an empty prompt": Bad(altered(prompt=""), "the prompt is empty", 7, "prompt", "remove the row, or fill"),
    "an answer that is a number": Bad(
        altered(chosen=42), "'chosen' is a number, not text", 7, "chosen", 'write it in quotes: "…"'
    ),
    "an answer that is a list": Bad(
        altered(rejected=[5]),
        "'rejected[0]' is a number, not text",
        7,
        "rejected[0]",
        'write it in quotes: "…"',
    ),
    "two equal answers": Bad(
        altered(rejected="Yes. "), "the two answers are the same", 7, "rejected", "it states no preference"
    ),
    "two prompts in a pair": Bad(
        jsonl(
            {
                "chosen": "\n\nHuman: Ask?\n\nAssistant: Yes.",
                "rejected": "\n\nHuman: Else?\n\nAssistant: No.",
            }
        ),
        "chosen and rejected answer different prompts",
        1,
        "rejected",
        "differ only in the last assistant turn",
    ),
    "a transcript that answers nothing": Bad(
        jsonl({"chosen": "Human: Ask?", "rejected": "Human: Ask?"}),
        "'chosen' has no assistant turn",
        1,
        "chosen",
    ),
    "an answer to nobody": Bad(
        jsonl({"messages": [{"role": "assistant", "content": "Yes."}]}),
        "nothing precedes the answer",
        1,
        "messages",
        "remove the row",
    ),
    "half a character": Bad(
        altered(chosen="Yes \ud83d"),
        "half of a character pair",
        7,
        "chosen",
        "export the text again as UTF-8",
    ),
    "no messages": Bad(
        jsonl({"messages": []}), "'messages' holds no message", 1, "messages", "remove the row"
    ),
    "a message without content": Bad(
        jsonl({"messages": [{"role": "user", "content": "Ask?"}, {"role": "assistant"}]}),
        "a message has no content",
        1,
        "messages[1]",
    ),
    "a role that nobody has": Bad(
        jsonl({"messages": [{"role": "usr", "content": "Ask?"}, {"role": "assistant", "content": "Yes."}]}),
        "'usr' is not a known role",
        1,
        "messages[0]",
        "roles are system, user, assistant and tool",
    ),
    "a picture": Bad(
        jsonl(
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url"}]},
                    {"role": "assistant", "content": "Yes."},
                ]
            }
        ),
        "a message holds a part of type 'image_url'",
        1,
        "messages[0]",
    ),
    "a ranking that names an unknown answer": Bad(
        ranked([3, 1, 2]),
        "'ranking' names answer 3, but there are only 3 (0 to 2)",
        1,
        "ranking",
        "counted from 0, the best one first",
    ),
    "a ranking that names an answer twice": Bad(
        ranked([0, 1, 1]), "'ranking' names an answer twice", 1, "ranking", "write ranks into 'ranks'"
    ),
    "a ranking that leaves one out": Bad(ranked([0, 1]), "'ranking' names 2 of 3 answers", 1, "ranking"),
    "a ranking in words": Bad(
        ranked(["a", "b", "c"]), "must hold the indices of the answers", 1, "ranking", "write [2, 0, 1]"
    ),
    "one answer to rank": Bad(
        jsonl({"prompt": "Ask?", "responses": ["a"], "ranking": [0]}),
        "must be a list of two or more answers",
        1,
        "responses",
    ),
    "scores for fewer answers": Bad(
        jsonl({"prompt": "Ask?", "responses": ["a", "b"], "scores": [1]}), "has 1 for 2 answers", 1, "scores"
    ),
    "a preference for nobody": Bad(
        jsonl({"prompt": "Ask?", "response_a": "Yes.", "response_b": "No.", "preferred": "c"}),
        "'c' names neither answer",
        1,
        "preferred",
        "write 'a', 'b' or 'tie'",
    ),
    "a preference that could be either": Bad(
        jsonl({"prompt": "Ask?", "response_a": "Yes.", "response_b": "No.", "preferred": 0}),
        "'preferred' says 0 (1×), which can be read in 3 ways",
        None,
        "preferred",
        "--labels",
    ),
    "a label that is a scale": Bad(
        jsonl({"prompt": "Ask?", "completion": "Yes.", "label": 0.7}),
        "0.7 is neither good nor bad",
        1,
        "label",
        "a scale: --fields rating=label",
    ),
    "a rating that is not a number": Bad(
        jsonl('{"prompt": "Ask?", "response": "Yes.", "rating": NaN}'), "nan is not a number", 1, "rating"
    ),
    "a result outside 0 to 1 in plaudit's own rows": Bad(
        jsonl(
            {
                "record": "comparisons",
                "prompt": "Ask?",
                "responses": ["a", "b"],
                "outcomes": [{"left": 0, "right": 1, "result": 2}],
            }
        ),
        "a result of 2 is not between 0 and 1",
        1,
        "outcomes[0]",
    ),
    "an outcome of an unknown response in plaudit's own rows": Bad(
        jsonl(
            {
                "record": "comparisons",
                "prompt": "Ask?",
                "responses": ["a", "b"],
                "outcomes": [{"left": 0, "right": 2, "result": 1}],
            }
        ),
        "names a response that is not among 2",
        1,
        "outcomes",
        "responses are counted from 0",
    ),
    "a .json file that was encoded twice": Bad(
        json.dumps(json.dumps(GOOD)).encode(),
        "the file holds text, not rows",
        1,
        None,
        "encoded as JSON twice",
        "rows.json",
    ),
    "a .json file of nothing": Bad(
        b"null", "the file holds nothing, not rows", 1, None, "write [", "rows.json"
    ),
    "a .json file that is nested too deeply": Bad(
        b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "the JSON is nested too deeply",
        1,
        None,
        "",
        "rows.json",
    ),
    "columns that are equal but for case": Bad(
        jsonl({"Prompt": "Ask 0?", **GOOD[1]}),
        "the columns 'Prompt' and 'prompt' are equal but for case or space",
        1,
        "prompt",
        "--fields FIELD=prompt",
    ),
    "a system column beside another system turn": Bad(
        jsonl(
            {
                "system": "Be brief.",
                "messages": [
                    {"role": "system", "content": "Be long."},
                    {"role": "user", "content": "Ask?"},
                    {"role": "assistant", "content": "Yes."},
                ],
            }
        ),
        "a system turn and another text in its system column",
        1,
        "system",
        "keep one of them",
    ),
    "groups that are no lists in plaudit's own rows": Bad(
        jsonl({"record": "ranking", "prompt": "Ask?", "responses": ["a", "b"], "groups": [0, 1]}),
        "'int' object is not iterable",
        1,
        "groups",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_a_malformed_file_gives_an_error_with_its_place_and_remedy(tmp_path, case):
    bad = TABLE[case]
    path = tmp_path / bad.name
    path.write_bytes(bad.data)
    with pytest.raises(UserError) as caught:
        read(path, kind=bad.kind)
    assert str(path) in caught.value.message
    found = [p for p in caught.value.problems if bad.message in p.message]
    assert found, str(caught.value)
    (problem,) = found[:1]
    assert (problem.file, problem.line, problem.field) == (str(path), bad.line, bad.field)
    assert bad.remedy in (problem.remedy or "")
    assert "Traceback" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [bad.name]


def test_a_long_archive_that_is_cut_short_says_up_to_where_it_could_be_read(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(jsonl(*GOOD * 1500), 0)[:-60])
    with pytest.raises(UserError) as caught:
        read(path)
    (problem,) = caught.value.problems
    assert problem.message == "the .gz archive is damaged or cut short after this line"
    assert 10_000 < (problem.line or 0) < 13_500


def test_all_problems_of_a_file_are_told_at_once(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(GOOD[0], "{", {**GOOD[1], "chosen": ""}, "[", {**GOOD[2], "rejected": 3}))
    with pytest.raises(UserError) as caught:
        read(path)
    places = [(p.line, p.field) for p in caught.value.problems]
    assert places == [(2, None), (4, None), (3, "chosen"), (5, "rejected")]


def test_faulty_rows_are_dropped_and_counted_and_block_above_the_limit(tmp_path):
    path = tmp_path / "rows.jsonl"
    faulty = {**GOOD[0], "chosen": ""}
    path.write_bytes(jsonl(faulty, *GOOD, *GOOD, GOOD[0]))
    report = read(path).report
    assert (report.rows, report.kept, dict(report.dropped)) == (20, 19, {"empty answer": 1})
    assert [(p.line, p.field) for p in report.problems] == [(1, "chosen")]
    path.write_bytes(jsonl(faulty, *GOOD, *GOOD))
    message = r"1 of 19 rows cannot be used \(empty answer 1\); at most 5% may be dropped"
    with pytest.raises(UserError, match=message) as caught:
        read(path)
    assert "max_dropped" in (caught.value.remedy or "")
    assert read(path, max_dropped=0.1).report.kept == 18


def test_a_thousand_equal_problems_are_told_as_twenty_and_a_count(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(*[{**GOOD[0], "chosen": ""}] * 1000))
    with pytest.raises(UserError) as caught:
        read(path)
    assert len(caught.value.problems) == 21
    assert "980 more" in caught.value.problems[-1].message
    path.write_bytes(jsonl(*["{"] * 1000))
    with pytest.raises(UserError) as caught:
        read(path)
    assert len(caught.value.problems) == 21
    assert "980 more" in caught.value.problems[-1].message


def test_a_path_that_is_not_there_suggests_one_that_is(tmp_path):
    (tmp_path / "pairs.jsonl").write_bytes(jsonl(*GOOD))
    with pytest.raises(UserError, match=r"there is no file .*pears\.jsonl") as caught:
        read(tmp_path / "pears.jsonl")
    assert caught.value.remedy == "did you mean 'pairs.jsonl'?"
    with pytest.raises(UserError, match="there is no file") as caught:
        read(tmp_path / "no" / "where.jsonl")
    assert str(tmp_path / "no") in (caught.value.remedy or "")


def test_a_folder_is_not_a_file(tmp_path):
    (tmp_path / "pairs.jsonl").write_bytes(jsonl(*GOOD))
    with pytest.raises(UserError, match="is a folder, not a file") as caught:
        read(tmp_path)
    assert "pairs.jsonl" in (caught.value.remedy or "")


@pytest.mark.parametrize("name, remedy", [("a.xlsx", "save it as one of"), ("a.jsonl.zip", "unzip")])
def test_a_format_that_is_not_read_says_what_to_do(tmp_path, name, remedy):
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError) as caught:
        read(tmp_path / name)
    assert remedy in (caught.value.remedy or "")


def test_an_unknown_kind_or_field_suggests_the_known_one(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(*GOOD))
    with pytest.raises(UserError, match="did you mean 'preferences'"):
        read(path, kind="preference")
    with pytest.raises(UserError, match="did you mean 'chosen'"):
        read(path, fields={"choosen": "chosen"})
    with pytest.raises(UserError, match="did you mean 'rejected'"):
        read(path, fields={"chosen": "rejectd"})


def test_a_prompt_in_training_and_evaluation_is_a_problem(tmp_path):
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    train.write_bytes(jsonl(*DEMOS))
    test.write_bytes(jsonl({"prompt": "Never asked?"}, {"prompt": "ask  3"}))
    report = check(train, against=test)
    (problem,) = report.files[0].problems
    assert problem.file == str(test)
    assert problem.message == f"the prompt 'ask 3' is also in {train}"
    assert problem.field == "prompt"
    assert "remove it" in (problem.remedy or "")
    assert not report.ok
    with pytest.raises(UserError, match="ask 3"):
        report.require()


RECORDS = [Demonstration(Prompt.user(f"Ask {i}?"), Response("Yes.")) for i in range(50)]


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
@pytest.mark.parametrize("old", [None, b"what was there"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, name, old):
    out = tmp_path / name
    if old is not None:
        out.write_bytes(old)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=f"cannot write .*{name}: No space left on device") as caught:
        write_jsonl(RECORDS, out)
    assert "free some space" in (caught.value.remedy or "")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == ([] if old is None else [(name, old)])


def test_a_record_that_cannot_be_written_leaves_the_older_file(tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_bytes(b"what was there")
    bad = Demonstration(Prompt.user("Ask?"), Response("Yes."), weight=float("nan"))
    with pytest.raises(ValueError, match="JSON"):
        write_jsonl([*RECORDS, bad], out)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("out.jsonl", b"what was there")]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_jsonl(RECORDS, tmp_path / "file" / "out.jsonl")


def test_a_conversion_of_the_wrong_file_writes_nothing(tmp_path):
    source, out = tmp_path / "rows.jsonl", tmp_path / "out" / "out.jsonl"
    source.write_bytes(jsonl(*GOOD))
    with pytest.raises(UserError, match="holds no records of the data set pandalm") as caught:
        convert_to_file("pandalm", source, out)
    assert caught.value.problems[0].line == 1
    assert "has no 'response1'" in caught.value.problems[0].message
    source.write_bytes(jsonl(*GOOD, "{"))
    with pytest.raises(UserError, match="cannot be read") as caught:
        convert_to_file("oasst", source, out)
    assert caught.value.problems[0].line == 10
    with pytest.raises(UserError, match="did you mean 'pandalm'"):
        convert_to_file("pandlm", source, out)
    assert not list((tmp_path / "out").iterdir())


def test_the_table_holds_thirty_cases_or_more():
    assert len(TABLE) >= 30
    assert Path(__file__).name == "test_malformed_inputs.py"


def test_columns_that_are_equal_but_for_case_are_read_where_it_is_said_which_is_meant(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(*({"Prompt": "Other?", **row} for row in DEMOS)))
    found = read(path, fields={"prompt": "Prompt"}).records
    assert {r.prompt.text for r in found} == {"Other?"}
    path.write_bytes(jsonl(*({"Prompt": row["prompt"], **row} for row in DEMOS)))
    assert len(read(path).records) == len(DEMOS), "equal values lose nothing"


def test_a_parquet_file_that_was_gzipped_is_read(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(GOOD), tmp_path / "rows.parquet")
    packed = tmp_path / "packed.parquet.gz"
    packed.write_bytes(gzip.compress((tmp_path / "rows.parquet").read_bytes()))
    assert [r.prompt.text for r in read(packed).records] == [row["prompt"] for row in GOOD]


@pytest.mark.parametrize("name", ["margin", "weight", "strength"])
def test_a_number_that_a_table_left_out_is_one_that_is_not_stated(tmp_path, name):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl({**GOOD[0], name: float("nan")}, *({**row, name: 2.0} for row in GOOD[1:])))
    found = read(path).records
    assert len(found) == len(GOOD)
    stated = [r.weight if name == "weight" else r.strength for r in found]
    assert stated == [1.0 if name == "weight" else None, *[2.0] * (len(GOOD) - 1)]


@pytest.mark.parametrize(
    "content",
    [["Hi ", "there"], {"type": "text", "text": "Hi there"}, [{"type": "text", "text": "Hi there"}]],
)
def test_content_in_parts_of_text_is_text(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    turns = [{"role": "user", "content": content}, {"role": "assistant", "content": "Yes."}]
    path.write_bytes(jsonl({"messages": turns}))
    (found,) = read(path).records
    assert found.prompt.text == "Hi there"


def test_what_belongs_to_one_file_is_not_asked_of_a_recipe_nor_the_other_way_round(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(*GOOD))
    recipe = tmp_path / "own.yaml"
    recipe.write_text(f"data: {{preferences: {path}}}\n")
    for options in ({"kind": "preferences"}, {"limit": 3}, {"fields": {"prompt": "prompt"}}):
        with pytest.raises(UserError, match=f"is a recipe: {next(iter(options))} belong"):
            check(recipe, **options)
    with pytest.raises(UserError, match="is no recipe: there is nothing for --set seed=1"):
        check(path, overrides=["seed=1"])


def test_a_table_of_tabs_in_capitals_and_the_outer_list_of_an_object_are_read(tmp_path):
    table = tmp_path / "DATA.TSV"
    table.write_text("prompt\tresponse\nAsk, please?\tYes.\n")
    assert [r.prompt.text for r in read(table).records] == ["Ask, please?"]
    for about in ({"data": [DEMOS[0]]}, {"data": [1, 2]}):
        path = tmp_path / "rows.json"
        path.write_text(json.dumps({"about": about, "data": DEMOS[1:3]}))
        assert [r.prompt.text for r in read(path).records] == ["Ask 1?", "Ask 2?"]


def test_a_blank_cell_of_a_rater_is_no_judgement(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(
        "prompt,response_a,response_b,annotator_1,annotator_2\nA?,x,y,A,B\nB?,x,y,A, \nC?,x,y,,B\n"
    )
    assert [len(r.comparisons().outcomes) for r in read(path, max_dropped=0).records] == [2, 1, 1]
