"""What is written is read back as exactly the same records."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from plaudit.data.readers.read import read
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
from plaudit.data.records.native_format import from_row, to_row
from plaudit.data.records.writers import write_jsonl

texts = st.text(max_size=40)
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
metadata = st.dictionaries(texts, values, max_size=3)
messages = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts), max_size=4
).map(tuple)
prompts = st.builds(Prompt, messages, texts, metadata)
responses = st.builds(Response, texts, st.booleans(), metadata)
several = st.lists(responses, min_size=2, max_size=5).map(tuple)
raters = st.none() | texts


@st.composite
def comparisons(draw):
    answers = draw(several)
    index = st.integers(0, len(answers) - 1)
    outcome = st.builds(
        Outcome,
        index,
        index,
        st.floats(0, 1),
        strength=st.none() | numbers,
        weight=numbers,
        rater=raters,
    ).filter(lambda o: o.left != o.right)
    return Comparisons(draw(prompts), answers, tuple(draw(st.lists(outcome, max_size=4))), draw(metadata))


@st.composite
def rankings(draw):
    answers = draw(several)
    order = draw(st.permutations(range(len(answers))))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1))))
    groups = tuple(tuple(order[a:b]) for a, b in zip([0, *cuts], [*cuts, len(order)]))
    return Ranking(
        draw(prompts),
        answers,
        groups,
        rater=draw(raters),
        weight=draw(numbers),
        strength=draw(st.none() | numbers),
        metadata=draw(metadata),
    )


records = st.one_of(
    texts,
    prompts,
    st.builds(Demonstration, prompts, responses, numbers),
    comparisons(),
    rankings(),
    st.builds(Labeled, prompts, responses, st.booleans(), numbers),
    st.builds(Rated, prompts, responses, numbers, raters),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(records, min_size=1, max_size=6))
@pytest.mark.parametrize("name", ["records.jsonl", "records.jsonl.gz"])
def test_every_record_is_read_back_as_it_was_written(tmp_path, name, wanted):
    path = tmp_path / name
    assert write_jsonl(wanted, path) == len(wanted)
    result = read(path)
    assert result.records == wanted
    assert [getattr(r, "metadata", None) for r in result.records] == [
        getattr(r, "metadata", None) for r in wanted
    ]
    assert result.report.kept == len(wanted)
    assert list(tmp_path.iterdir()) == [path]


@given(records)
def test_a_row_says_no_more_than_differs_from_the_defaults(record):
    row = to_row(record)
    assert from_row(json.loads(json.dumps(row))) == record
    assert "weight" not in row or record.weight != 1.0
    assert "rater" not in row or record.rater is not None


def test_a_prompt_that_looks_like_a_transcript_stays_one_user_turn(tmp_path):
    wanted = Demonstration(Prompt.user("Human: hi\n\nAssistant: "), Response("\n  indented"))
    write_jsonl([wanted], tmp_path / "a.jsonl")
    assert read(tmp_path / "a.jsonl").records == [wanted]


def test_empty_and_equal_answers_of_a_policy_are_kept(tmp_path):
    answers = (Response(""), Response("a", finished=False), Response("a", finished=False))
    wanted = Ranking(Prompt.user("Ask?"), answers, ((1, 2), (0,)))
    write_jsonl([wanted], tmp_path / "a.jsonl")
    assert read(tmp_path / "a.jsonl").records == [wanted]


def test_the_same_records_give_the_same_bytes(tmp_path):
    wanted = [Prompt.user("Ask?", "here", a=1), "text"]
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_jsonl(wanted, tmp_path / name)
    one, two = ((tmp_path / n).read_bytes() for n in ("a.jsonl.gz", "b.jsonl.gz"))
    assert one == two
    assert one[4:8] == bytes(4)  # no time of writing in the archive
    assert gzip.decompress(one).count(b"\n") == 2


def test_a_common_record_is_a_short_row():
    pair = Ranking.pair(Prompt.user("Ask?"), "Yes.", "No.")
    assert to_row(pair) == {
        "record": "ranking",
        "prompt": "Ask?",
        "responses": ["Yes.", "No."],
        "groups": [[0], [1]],
    }


def test_own_rows_of_another_kind_than_is_asked_for_are_dropped_and_counted(tmp_path):
    rows = [Demonstration(Prompt.user(f"Ask {i}?"), Response("Yes.")) for i in range(3)]
    write_jsonl([*rows, Prompt.user("Else?")], tmp_path / "a.jsonl")
    result = read(tmp_path / "a.jsonl", kind="demonstrations", max_dropped=0.5)
    assert result.records == rows
    assert result.report.dropped == {"other kind": 1}
