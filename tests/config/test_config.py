"""Recipes: typed, strict, all errors at once, and no key that nothing reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from plaudit.config import Config, Data, apply_override, load_recipe, validate
from plaudit.config.steps import section_class
from plaudit.errors import UserError
from plaudit.registry import JUDGES, STEPS, WORLDS, resolve

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("section", "per_token"),
    [
        ({"loss": "ipo"}, True),
        ({"loss": "ipo", "length_normalised": False}, False),
        ({}, False),
        ({"length_normalised": True}, True),
        ({"loss": "sppo_hard"}, False),
    ],
    ids=str,
)
def test_ipo_alone_is_per_token_unless_said_otherwise(section, per_token):
    config = validate({"steps": {"dpo": section}}, "r.yaml")
    assert config.steps["dpo"].settings.length_normalised is per_token


def test_all_problems_of_a_recipe_are_told_at_once_with_suggestions():
    raw = {
        "polcy": {},
        "steps": {"ppo": {"iteratons": 3, "lr": -1}},
        "policy": {"hiden": 3},
        "data": {"corpus": ["a", {"path": "b", "wieght": 1}]},
    }
    with pytest.raises(UserError) as caught:
        validate(raw, "r.yaml")
    text = str(caught.value)
    for place, suggestion in (
        ("polcy", "policy"),
        ("steps.ppo.iteratons", "iterations"),
        ("policy.hiden", "hidden"),
        ("data.corpus.1.wieght", "weight"),
    ):
        assert f"[{place}]" in text and f"did you mean '{suggestion}'?" in text
    assert "[steps.ppo.lr]" in text and "greater than 0" in text
    assert len(caught.value.problems) == 5


def test_overrides_reach_any_depth_and_read_numbers():
    raw = {"steps": {"sft": None, "ppo": {"lr": 0.1}, "loop": {"rounds": 2, "steps": {"dpo": {}}}}}
    for override in ("ppo.kl.coefficient=0", "ppo.lr=1e-4", "sft.epochs=3", "dpo.beta=0.3", "loop.rounds=3"):
        apply_override(raw, f"steps.{override}")
    apply_override(raw, "data.validation=0.2")
    config = validate(raw, "x")
    ppo, sft = config.steps["ppo"].settings, config.steps["sft"].settings
    assert (ppo.kl.coefficient, ppo.lr, sft.epochs) == (0, 1e-4, 3)
    assert [config.steps[f"dpo-{i}"].settings.beta for i in (1, 2, 3)] == [0.3] * 3
    assert config.data.validation == 0.2


@pytest.mark.parametrize(
    "bad",
    [
        *("steps.ppo.lr", "=3", "steps.ppo.lr.x=3", "steps.kto.beta=1", "steps.ppo=null", "steps.pp.lr=1"),
        *("steps={sft: {}}", "steps.loop={}", "steps.loop.steps={}", "steps.loop.steps.sft.lr=1"),
    ],
)
def test_an_override_that_is_malformed_or_would_create_a_step_is_refused(bad):
    with pytest.raises(UserError, match="--set"):
        apply_override({"steps": {"ppo": {"lr": 0.1}, "loop": {"rounds": 2, "steps": {"dpo": {}}}}}, bad)


def test_a_recipe_that_is_no_yaml_names_the_line(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("seed: 1\nsteps: [1, 2\nname: x\n")
    with pytest.raises(UserError, match=r"r\.yaml:3"):
        load_recipe(path)
    with pytest.raises(UserError, match="there is no recipe"):
        load_recipe(tmp_path / "absent.yaml")
    path.write_text("- a\n- b\n")
    with pytest.raises(UserError, match="a recipe is a mapping"):
        load_recipe(path)


def test_plain_paths_are_sources():
    data = Data.model_validate({"preferences": "a.jsonl", "corpus": ["b", {"path": "c", "weight": 2}]})
    assert [s.path for s in data.preferences] == ["a.jsonl"]
    assert [(s.path, s.weight) for s in data.corpus] == [("b", 1.0), ("c", 2.0)]


def inner_sections(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from inner_sections(argument)


def sections(model: type[BaseModel], seen=None):
    seen = seen if seen is not None else set()
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            for inner in inner_sections(field.annotation):
                sections(inner, seen)
    return seen


def every_section():
    roots = [Config, *map(section_class, STEPS.values())]
    roots += [resolve(found.settings) for found in WORLDS.values()]
    roots += [resolve(judge.options) for judge in JUDGES.values() if judge.options]
    return {section for root in roots for section in sections(root)}


def test_every_key_of_the_config_is_read_by_something():
    """Rule 8: a key that no code outside the config names is a key that does nothing."""
    code = "\n".join(p.read_text() for p in (ROOT / "src/plaudit").rglob("*.py") if p.parent.name != "config")
    unread = [
        f"{section.__name__}.{name}"
        for section in every_section()
        for name in section.model_fields
        if not re.search(rf"\.{name}\b|\"{name}\"", code)
    ]
    # LoRA keys are handed over as a whole; `source` tells pydantic which section it reads.
    assert [u for u in unread if not u.startswith("Lora.") and not u.endswith(".source")] == []


def test_a_shipped_recipe_is_valid_and_says_what_it_is():
    recipes = [*(ROOT / "recipes").glob("*.yaml"), *(ROOT / "src/plaudit/pipeline/recipes").glob("*.yaml")]
    assert recipes
    for path in recipes:
        load_recipe(path)
        assert path.read_text().startswith("# ")


def test_a_placeholder_that_was_left_in_a_recipe_names_its_line(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("seed: 1\npolicy: {path: {{MODEL}}}\n")
    with pytest.raises(UserError, match=r"own\.yaml:2: a key is itself a mapping(.|\n)*fix the YAML"):
        load_recipe(path)
    with pytest.raises(UserError, match="the value is not valid YAML"):
        apply_override({"policy": {}}, "policy.path={{x}}")


def test_the_home_folder_may_be_written_short(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "d").mkdir()
    (tmp_path / "d/pairs.jsonl").write_text("")
    there = str(tmp_path / "d/pairs.jsonl")
    for data in ({"root": "~/d", "preferences": "pairs.jsonl"}, {"preferences": "~/d/pairs.jsonl"}):
        assert validate({"data": data}, "own").data_sources() == {"preferences": [there]}
    kept = {"preferences": "project://talk"}
    assert validate({"data": kept}, "own").data_sources() == {"preferences": ["project://talk"]}
