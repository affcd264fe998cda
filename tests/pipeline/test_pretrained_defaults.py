"""One table decides what is not stated of a pretrained model: one-liners, `plaudit advise`, shipped recipes, Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plaudit.advice import Situation, advise
from plaudit.config import load_recipe, validate
from plaudit.config.pretrained import LARGE, LORA, TINY, defaults_of, vetted
from plaudit.errors import UserError
from plaudit.pipeline.defaults import with_defaults
from plaudit.pipeline.single_method import method_config, name_of_run
from plaudit.registry import METHODS
from plaudit.runs.sizes import counted, size_in_name, size_of

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
SMALL = {
    "model_type": "llama",
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}


@pytest.fixture
def small(tmp_path):
    """A folder with the config of a model of 135 M parameters, and no weights: nothing here may need them."""
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    return tmp_path


def one_liner(method, model, *overrides):
    reward = "some/reward" if METHODS[method].rewarded else None
    config = method_config(method, "data.jsonl", model, overrides, reward=reward)
    return with_defaults(config)[0].steps[method].settings


TRAINED = [name for name in METHODS if name != "pretrain"]


@pytest.mark.parametrize("method", TRAINED)
def test_a_command_and_advise_take_the_same_numbers_from_the_table(method, small):
    settings = one_liner(method, small)
    wanted = vetted(method, size_of(small))
    assert (wanted["lr"] <= 2e-5 and "batch_size" in wanted) or "iterations" in wanted
    assert {key: getattr(settings, key) for key in wanted} == wanted
    have = {"pairs", "demonstrations", "thumbs", "prompts"}
    for advice in advise(Situation(have, parameters=size_of(small))).advice:
        for step, section in advice.recipe["steps"].items():
            known = vetted(step, size_of(small))
            assert {key: section[key] for key in known} == known, (advice.method, step)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_shipped_recipes_state_no_rate_that_departs_from_the_table(recipe):
    before = load_recipe(recipe)
    config = with_defaults(before)[0]
    for name, step in config.steps.items():
        source = step.policy or config.policy
        if source.source == "scratch":
            assert step == before.steps[name], "a model from scratch keeps what its recipe and section say"
            continue
        adapters = getattr(step.settings, "lora", None) if step.kind == "reward" else source.lora
        known = vetted(step.kind, size_of(source.path), adapters=adapters is not None)
        for rate in {"lr", "value_lr"} & set(known):
            assert getattr(step.settings, rate) == known[rate], (recipe.stem, name)


def test_every_method_that_trains_has_a_row_with_a_source_and_keys_that_exist():
    from plaudit.registry import resolve

    for name, method in METHODS.items():
        found = defaults_of(name)
        assert found is not None and len(found.source) > 10, name
        assert set(found.settings) | set(found.large) <= set(resolve(method.settings).model_fields), name
    for name in ("rank", "evaluate", "data"):
        assert defaults_of(name).settings
    assert defaults_of("base") is None and vetted("base", 1e8) == {}


def test_what_is_stated_stays_and_what_is_not_is_told_with_its_source(small):
    config = method_config("dpo", "d.jsonl", small, ["dpo.lr=0.5"])
    made, filled = with_defaults(config)
    assert made.steps["dpo"].settings.lr == 0.5 and made.steps["dpo"].settings.batch_size == 32
    (told,) = [f for f in filled if f.step == "dpo"]
    assert "lr" not in told.settings and "SmolLM2" in str(told)
    again, nothing = with_defaults(validate(json.loads(made.model_dump_json()), "run.json"))
    assert again == made and not nothing, "a recorded run keeps its numbers"


def test_adapters_take_ten_times_the_rate_and_large_models_smaller_steps(small):
    whole, adapted = vetted("ppo", 1e8), vetted("ppo", 1e8, adapters=True)
    assert adapted["lr"] == pytest.approx(LORA * whole["lr"]) and adapted["value_lr"] == pytest.approx(9e-5)
    assert vetted("dpo", LARGE)["lr"] < vetted("dpo", LARGE - 1)["lr"]
    assert vetted("dpo", None) == vetted("dpo", LARGE), "an unknown size has the smaller step"
    assert vetted("dpo", TINY - 1) == {}
    assert one_liner("dpo", small, "policy.lora.rank=4").lr == pytest.approx(1e-5)


def test_the_models_of_two_sources_in_one_graph_have_each_their_own(small):
    raw = {"name": "two", "data": {"preferences": "p.jsonl"}, "policy": {"hidden": 32}, "evaluate": None}
    raw["steps"] = {
        "dpo": {},
        "base-2": {"policy": {"path": str(small)}},
        "dpo-2": {},
        "dpo-3": {"from": "dpo"},
    }
    steps = with_defaults(validate(raw, "here"))[0].steps
    assert [steps[n].settings.lr for n in ("dpo", "dpo-2", "dpo-3")] == [1e-4, 1e-6, 1e-4]


def test_python_functions_take_the_table_for_a_model_in_memory():
    import torch

    from plaudit.config import Dpo
    from plaudit.methods.defaults import default_settings

    with torch.device("meta"):
        large, tiny = torch.nn.Linear(10_000, 10_000), torch.nn.Linear(10, 10)
    assert default_settings(Dpo, "dpo", large).lr == 1e-6
    assert default_settings(Dpo, "dpo", tiny).lr == Dpo().lr


@pytest.mark.parametrize(
    ("changes", "millions"),
    [
        ({}, 134.5),  # SmolLM2-135M
        ({"tie_word_embeddings": False, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
          "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256}, 8030),  # Llama 3 8B
    ],
)  # fmt: skip
def test_parameters_are_counted_from_the_config(changes, millions):
    assert counted({**SMALL, **changes}) / 1e6 == pytest.approx(millions, rel=0.002)


def test_gpt2_is_counted_with_two_matrices_a_layer():
    config = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}
    assert counted(config) / 1e6 == pytest.approx(124, rel=0.01)


def test_a_name_tells_the_size_where_nothing_else_does():
    assert size_in_name("Qwen/Qwen2.5-0.5B-Instruct") == 5e8 and size_in_name("SmolLM2_135M") == 1.35e8
    assert size_in_name("Mixtral-8x7B") is None and size_in_name("my-model") is None
    assert size_of("owner/Llama-3.1-8B@main") == 8e9


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("my data.jsonl", "sft-my-data"),
        ("дані.jsonl", "sft-дані"),
        ("owner/name:train_sft", "sft-name-train_sft"),
        ("owner/name@v1:train", "sft-name-v1-train"),
        ("project://projects/ask#first", "sft-first"),
        (r"C:\data\set one.jsonl.gz", "sft-set-one"),
        ("...", "sft"),
    ],
)
def test_any_file_and_any_hub_name_gives_a_run_a_name(source, name):
    assert name_of_run("sft", source) == name
    assert validate({"name": name}, "here").name == name


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b", "-x", "", " x", "a:b"])
def test_a_name_that_no_folder_can_have_is_refused(name):
    with pytest.raises(UserError, match="a name of a run"):
        validate({"name": name}, "here")
