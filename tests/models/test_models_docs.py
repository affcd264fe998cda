"""The snippets of docs/models.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs"
DOCS = PAGES / "models.md"


def test_the_snippets_of_the_models_page_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    assert len(snippets) == 4
    exec("\n".join(snippets), {})
    assert (tmp_path / "my-adapter" / "adapter_model.safetensors").is_file()


def test_the_snippet_of_the_core_page_shows_fewer_slots_and_the_same_numbers(capsys):
    (snippet,) = re.findall(r"```python\n(.*?)```", (PAGES / "core.md").read_text(encoding="utf-8"), re.S)
    exec(snippet, {})
    slots, difference = capsys.readouterr().out.splitlines()
    shared, padded = (int(word) for word in slots.split() if word.isdigit())
    assert shared < padded / 1.5
    assert float(difference) < 1e-5
