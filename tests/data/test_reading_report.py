"""What reading came to is told wherever a file is read; how it is to be read may be said anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy import toy_policy

from plaudit.cli.options import pairs_of
from plaudit.config import validate
from plaudit.config.resolve import graph_of
from plaudit.data.readers.label_codes import code, known_labels
from plaudit.data.readers.read import read
from plaudit.errors import UserError
from plaudit.models.policy import save_policy
from plaudit.pipeline.context import Context
from plaudit.pipeline.datasets import materials_of
from plaudit.pipeline.planning import make_plan

ROWS = [
    {"ask": f"Ask {i}?", "chosen": "Yes.", "rejected": "No." if i else "Yes.", "id": i, "model": "m"}
    for i in range(6)
]


def recipe(path, **source):
    raw = {
        "policy": {"path": str(path.parent / "model")},
        "data": {"preferences": [{"path": str(path), **source}], "max_dropped": 0.5},
        "steps": {"dpo": {}},
        "evaluate": None,
    }
    return validate(raw, "recipe")


def test_what_is_left_out_is_listed(jsonl):
    report = read(jsonl(*ROWS), fields={"prompt": "ask"}, max_dropped=0.5).report
    head, *rest = report.lines()
    assert head.endswith("rows.jsonl: 5 of 6 rows, read as {prompt, chosen, rejected}")
    assert [line.strip() for line in rest] == [
        "dropped 1: identical answers",
        "columns not used: id, model",
    ]


def test_a_run_tells_what_its_files_left_out_once(jsonl):
    told: list[str] = []
    materials = materials_of(recipe(jsonl(*ROWS), fields={"prompt": "ask"}), told.append)
    assert sum(map(len, materials.records("preferences"))) == 5
    assert materials.proxy_preferences == []
    assert told == [*told[:1], "  dropped 1: identical answers", "  columns not used: id, model"]


def test_a_conversion_tells_what_it_left_out_too(jsonl, tmp_path):
    rows = [{"input": "Ask?", "output_1": "a", "output_2": b, "label": 1} for b in ("b", "")]
    told: list[str] = []
    materials_of(recipe(jsonl(*rows), convert="llmbar"), told.append).records("preferences")
    assert told[0].endswith("1 of 2 rows, read as {converted by llmbar}")
    assert told[1:] == ["  dropped 1: empty answer"]


def test_the_codes_of_a_source_are_part_of_what_a_stage_depends_on(jsonl, tmp_path):
    """Else a run whose codes were turned would skip its stages as unchanged."""

    save_policy(toy_policy(), tmp_path / "model", card="toy")
    keys = []
    for source in ({}, {"labels": {0: "first"}}, {"labels": {0: "second"}}, {"limit": 3}):
        config = recipe(jsonl(*ROWS), **source)
        context = Context(config, graph_of(config), None, materials_of(config), None)
        keys.append(make_plan(context, {}).keys()["dpo"])
    assert len(set(keys)) == 4


def test_codes_are_compared_as_text_however_they_were_written():
    assert {code(v) for v in (1, 1.0, "1", "1.0", " 1 ")} == {"1"}
    assert {code(v) for v in (True, "True", "yes", "true")} == {"true"}
    assert code(1.5) == code("1.50") == "1.5"
    source = recipe(Path("x"), labels={0: "first", 2.0: "second", True: "tie"})
    assert known_labels(source.data.preferences[0].labels) == {"0": "first", "2": "second", "true": "tie"}


def test_an_option_of_the_command_line_says_the_same():
    assert pairs_of(["0=first,1=second", "A=B=tie"], "--labels") == {
        "0": "first",
        "1": "second",
        "A=B": "tie",
    }
    assert pairs_of(None, "--labels") is None
    with pytest.raises(UserError, match="'first' is not of the form A=B"):
        pairs_of(["0=first,first"], "--labels")


def test_a_meaning_that_there_is_not_is_refused(jsonl):
    with pytest.raises(UserError, match="did you mean 'first'"):
        read(jsonl(*ROWS), labels={0: "frist"})
    with pytest.raises(UserError, match=r"labels\.0"):
        recipe(jsonl(*ROWS), labels={0: "frist"})
    with pytest.raises(UserError, match="leave one of the two"):
        recipe(jsonl(*ROWS), labels={0: "first"}, convert="llmbar")
