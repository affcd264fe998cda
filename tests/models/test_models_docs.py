"""The snippets of docs/models.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "models.md"


def test_the_snippets_of_the_models_page_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    assert len(snippets) == 4
    exec("\n".join(snippets), {})
    assert (tmp_path / "my-adapter" / "adapter_model.safetensors").is_file()
