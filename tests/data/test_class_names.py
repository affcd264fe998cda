"""Numbers of classes whose names a table holds (Hugging Face's ClassLabel) are read by their names."""

from __future__ import annotations

import json

import pytest

from plaudit.data.readers.read import scan


@pytest.fixture
def table(tmp_path):
    """Write rows as Parquet, as `datasets` does, with the names of the classes of one column."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def write(rows, column, names):
        features = {c: {"dtype": "string", "_type": "Value"} for c in rows[0]}
        features[column] = {"names": names, "_type": "ClassLabel"}
        schema = {"huggingface": json.dumps({"info": {"features": features}})}
        path = tmp_path / "rows.parquet"
        pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(schema), path)
        return path

    return write


def labeled(*codes):
    return [{"prompt": f"Ask {i}?", "response": f"Yes {i}.", "label": code} for i, code in enumerate(codes)]


@pytest.mark.parametrize(
    ("names", "good"),
    [
        (["bad", "good"], [False, True]),
        (["good", "bad"], [True, False]),
        (["safe", "unsafe"], [True, False]),
        (["neg", "pos"], [False, True]),
        (["0", "1"], [False, True]),
    ],
)
def test_a_label_means_what_its_name_says(table, names, good):
    result = scan(table(labeled(0, 1, -1), "label", names))
    assert [r.good for r in result.records] == good


def test_names_that_say_neither_are_asked_about_by_name(table):
    path = table(labeled(0, 1), "label", ["formal", "casual"])
    assert "(formal, casual)" in scan(path).report.unreadable[0].message
    records = scan(path, labels={"formal": "good", "casual": "bad"}).records
    assert [r.good for r in records] == [True, False]


def test_a_rating_and_a_preference_mean_what_their_names_say(table):
    rows = [{"prompt": f"Ask {i}?", "response": "Yes.", "rating": i} for i in range(3)]
    assert [r.score for r in scan(table(rows, "rating", ["1", "2", "3"])).records] == [1, 2, 3]
    pairs = [
        {"prompt": f"Ask {i}?", "response_a": "Yes.", "response_b": "No.", "preferred": i} for i in range(3)
    ]
    records = scan(table(pairs, "preferred", ["model_b", "model_a", "tie"])).records
    assert [r.groups for r in records] == [((1,), (0,)), ((0,), (1,)), ((0, 1),)]


def test_numbers_without_names_are_read_as_before(table):
    path = table(labeled(0, 1), "prompt", None)
    assert [r.good for r in scan(path).records] == [False, True]
