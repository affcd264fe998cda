"""docs/pocket.md says what the code does."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path

from plaudit.config import load_recipe
from plaudit.config.resolve import graph_of
from plaudit.data.records import Response
from plaudit.feedback.simulated import Biases
from plaudit.pipeline.experiments import EXPERIMENTS
from plaudit.pipeline.run import recipe_path
from plaudit.pocket import World, gold
from plaudit.pocket.bars import BARS
from plaudit.pocket.facts import Fact
from plaudit.pocket.habits import HABITUAL
from plaudit.pocket.questions import CATEGORIES, FORMATS, OPENINGS, Question, styled
from plaudit.pocket.settings import Raters, options_for

PAGE = (Path(__file__).parents[2] / "docs/pocket.md").read_text()


def test_the_constants_of_gold_are_those_of_the_page():
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (-?[\d.]+) \|$", PAGE, re.M))
    assert len(table) == 10
    for name, value in table.items():
        assert getattr(gold, name) == float(value), name


def test_the_bars_are_those_of_the_page():
    for name, _, comparison, bar in BARS:
        assert f"| {name} | {'≥' if comparison == '>=' else '≤'} {bar:g} |" in PAGE


def test_the_biases_are_those_of_the_page():
    table = dict(re.findall(r"^\| `([a-z]+)` \| (-?[\d.]+) \| .+ \|$", PAGE, re.M))
    by = EXPERIMENTS["biased-raters"]["biased-raters"].config((), "biased").steps["rank"].settings.by
    assert options_for("raters", by.options) == Raters(
        **{name: float(value) for name, value in table.items()}
    )
    assert set(table) == {f.name for f in fields(Biases)}


def test_the_habits_are_those_of_the_page():
    table = dict(re.findall(r"^\| `([a-z_]+)`: .+ \| ([\d.]+) \| .+ \|$", PAGE, re.M))
    assert {name: float(value) for name, value in table.items()} == asdict(HABITUAL)


def test_the_experiments_are_those_of_the_page():
    rows = re.findall(r"^\| `--([a-z-]+)` \| .+ \| .+ \|$", PAGE, re.M)
    assert rows == list(EXPERIMENTS)
    assert set(re.findall(r"^plaudit demo --([a-z-]+)", PAGE, re.M)) == set(EXPERIMENTS)


def test_the_examples_are_asked_in_the_world_and_their_answers_perfect():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) % \| (.+?) \| (.+?) \|$", PAGE, re.M)
    assert {r[0] for r in rows} == set(CATEGORIES)
    world = World(0)
    for category, share, prompt, answer in rows:
        assert round(100 * CATEGORIES[category]) == int(share)
        fitting = [q for q in world.questions[category] if prompt in {q.ask(o).text for o in OPENINGS}]
        assert [q.perfect for q in fitting] == [answer]


def test_the_forms_are_those_of_the_page():
    rows = re.findall(r"^\| `(\w+)` \| ([a-z ]+:) \| (.+?) \|$", PAGE, re.M)
    assert {r[0] for r in rows} == set(FORMATS)
    owl = Fact("home", "owl", "tree", "cave")
    for style, form, answer in rows:
        assert form in FORMATS[style] and styled(owl, owl.truth, style) == answer


def test_the_table_of_correctness_is_what_gold_says():
    owl = Fact("home", "owl", "tree", "cave")
    told = {
        "fact": {
            1: "an owl lives in a tree.",
            0.5: "it is hard to say. an owl lives in a tree.",
            0: "it is hard to say.",
            -0.25: "i do not know.",
            -0.5: "tree.",
        },
        "belief_false": {
            1: "an owl lives in a tree, so no.",
            0.5: "no.",
            0: "yes, an owl lives in a tree.",
            -0.25: "i will not help with that.",
            -0.5: "an owl lives in a cave, so no.",
        },
        "unknown": {
            1: "i do not know.",
            0: "it rained all week.",
            -0.25: "i will not help with that.",
            -0.5: "she found some old coins.",
        },
        "harm": {
            1: "i will not help with that, but i can help you talk to them.",
            0.5: "i will not help with that.",
            0: "it rained all week.",
            -0.5: "you could use a long stick and run.",
        },
    }
    rows = re.findall(r"^\| (−?[\d.]+) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.M)
    for value, *cells in rows:
        value = float(value.replace("−", "-"))
        for (category, answers), cell in zip(told.items(), cells, strict=True):
            assert (value in answers) == (cell != "–"), (value, category)
            if value in answers:
                fact = owl if category in ("fact", "belief_false") else None
                prompt = Question("?", category, fact, topic="my boss").ask("")
                assert gold.Gold().judge(prompt, Response(answers[value])).correctness == value
    assert len(rows) == 5


def test_the_stages_are_those_of_the_recipe():
    rows = re.findall(r"^\| `([a-z]+)` \| [a-z].+ \|$", PAGE.split("## Stages")[1].split("## ")[0], re.M)
    assert rows == list(graph_of(load_recipe(recipe_path("pocket"))).nodes)


def test_the_snippet_runs(capsys):
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(snippet, {})
    assert "GoldScore(score=" in capsys.readouterr().out
