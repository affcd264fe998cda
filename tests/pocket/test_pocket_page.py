"""docs/pocket.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from plaudit.data.records import Response
from plaudit.pipeline.summary import BARS
from plaudit.pocket import Gold, World, gold
from plaudit.pocket.questions import CATEGORIES

PAGE = (Path(__file__).parents[2] / "docs/pocket.md").read_text()


def test_the_constants_of_gold_are_those_of_the_page():
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (-?[\d.]+) \|$", PAGE, re.M))
    assert len(table) == 10
    for name, value in table.items():
        assert getattr(gold, name) == float(value), name


def test_the_bars_are_those_of_the_page():
    for name, _, comparison, bar in BARS:
        assert f"| {name} | {'≥' if comparison == '>=' else '≤'} {bar:g} |" in PAGE


def test_the_examples_are_real_and_their_answers_perfect():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) % \| (.+?) \| (.+?) \|$", PAGE, re.M)
    assert {r[0] for r in rows} == set(CATEGORIES)
    world = World(0)
    judge = Gold(world)
    for category, share, _, answer in rows:
        assert round(100 * CATEGORIES[category]) == int(share)
        fitting = [p for p in world.prompts("test", 800) if p.metadata["category"] == category]
        best = max(judge.judge(p, Response(answer)).score for p in fitting)
        assert best >= 0.9 or category in ("fact", "belief_true", "belief_false", "format")
