"""docs/data.md: its Python runs, its rows are read, its tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plaudit.data.readers.convert import CONVERTERS
from plaudit.data.readers.read import read
from plaudit.data.readers.sources import FORMATS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_the_python_of_the_page_runs(snippet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "docs/data.md", "exec"), {})


def test_the_rows_of_the_page_are_plaudits_own(tmp_path):
    (rows,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    result = read(tmp_path / "rows.jsonl", max_dropped=0)
    assert [type(r).__name__ for r in result.records] == ["Ranking", "Comparisons", "Demonstration"]
    assert result.report.shape == "plaudit's own"


def test_the_page_names_every_converter_and_format():
    table = PAGE[PAGE.index("## Public sets") :]
    assert set(CONVERTERS) <= set(re.findall(r"`(\w+)`", table))
    assert all(f"`{ending}`" in PAGE for ending in FORMATS if ending != ".text")
