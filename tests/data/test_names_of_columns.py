"""What a column's name says and what it does not: capitals, models and ids beside answers, comments on an answer."""

from __future__ import annotations

import pytest

from plaudit.data.readers.read import read
from plaudit.errors import UserError

ASK, GOOD, BAD = "What is two plus two?", "The sum is four.", "No idea."


@pytest.mark.parametrize("asked, said", [("Prompt", "Completion"), ("PROMPT", "completion "), ("prompt", "COMPLETION")])
def test_capitals_in_names_change_nothing(jsonl, asked, said):
    rows = [{asked: f"Ask {i}?", said: GOOD} for i in range(3)]
    found = read(jsonl(*rows, {said: GOOD}), max_dropped=0.5)
    assert [(r.prompt.text, r.response.text) for r in found.records] == [(f"Ask {i}?", GOOD) for i in range(3)]
    assert dict(found.report.dropped) == {"missing field": 1}
