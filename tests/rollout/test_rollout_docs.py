"""The snippets of docs/rollout.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "rollout.md"


def test_the_snippets_of_the_rollout_page_run_in_order(capsys):
    snippets = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    assert len(snippets) == 2
    exec("\n".join(snippets), {})
    assert "length" in capsys.readouterr().out
