"""What plans are made of: parameters that compute, bytes beside the models, the adapters that a step trains."""

from __future__ import annotations

import json

import pytest
from transformers import LlamaConfig

from plaudit.advice import costs
from plaudit.advice.costs import Amount
from plaudit.config import Lora, Scratch, load_recipe, validate
from plaudit.config.base import LEAST_VOCABULARY
from plaudit.config.resolve import graph_of
from plaudit.errors import UserError
from plaudit.models.policy import build_policy
from plaudit.models.tokenizers import train_bpe
from plaudit.pipeline.context import Context
from plaudit.pipeline.datasets import materials_of
from plaudit.pipeline.dry_run import planned
from plaudit.pipeline.sizes import DECODER, KL_BLOCK, LIBRARIES, computed_in, other_bytes_of, parameters_in
from plaudit.pipeline.steps.cost import online
from plaudit.pipeline.work import Work
from plaudit.runs import RunFolder
from plaudit.runtime import Runtime
from plaudit.training.cost_model import config_of, parameters_of

TABLE = 1000 * 64


def config(tied: bool) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=1000, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=128, tie_word_embeddings=tied,
    )  # fmt: skip


@pytest.mark.parametrize("tied", [True, False])
def test_an_embedding_computes_nothing_and_an_output_head_where_there_are_answers(tied):
    whole = parameters_of(config(tied))
    body = whole - TABLE * (1 if tied else 2)
    assert computed_in(config(tied), whole, 0.0) == body
    assert computed_in(config(tied), whole, 0.25) == body + TABLE / 4


def test_a_sampler_holds_a_copy_of_the_weights_and_the_keys_and_values_of_its_sequences():
    assert other_bytes_of(config(True), Work("trained")) == LIBRARIES
    drawn = Work("answers", Amount(sampled=100, at_once=10), usual=20)
    # Two layers of two groups of 16 numbers, keys and values, four bytes each.
    cache = 4 * 2 * 2 * 2 * 16 * 20 * 10
    own = 4 * parameters_in(config(True)) + cache
    assert other_bytes_of(config(True), drawn) == LIBRARIES + DECODER + own
    # Of an evaluation every policy has its own, and the exact KL compares two.
    compared = Work("answers", drawn.amount, usual=20, frozen=3)
    assert other_bytes_of(config(True), compared) == LIBRARIES + DECODER + 3 * own + 4 * KL_BLOCK


def test_a_processor_that_multiplies_pairs_of_bf16_is_planned_twice_as_fast_in_bf16(monkeypatch):
    facts = {"flags": "avx2 avx512f avx512_bf16", "cpu family": "25", "model name": "x @ 2.5GHz"}
    monkeypatch.setattr(costs, "_cpuinfo", lambda: facts)
    assert costs.cpu(2, "bf16").peak == 2 * costs.cpu(2, "fp32").peak == 2 * costs.cpu(2).peak
    facts["flags"] = "avx2 avx512f"
    assert costs.cpu(2, "bf16").peak == costs.cpu(2).peak


def test_a_built_model_is_counted_as_it_is_built():
    shape = Scratch(hidden=32, layers=2, heads=2, vocabulary=300, max_positions=64)
    policy = build_policy(train_bpe(["a b c"], 300), hidden=32, layers=2, heads=2, max_positions=64, seed=0)
    counted, words = parameters_of(config_of(shape)), len(policy.tokenizer)
    assert counted - (300 - words) * 32 == sum(p.numel() for p in policy.model.parameters())


def test_every_step_is_planned_with_the_adapters_that_it_trains(tmp_path, monkeypatch):
    """The policy's are not a reward model's: that has its own, or all of its weights are trained."""
    folder = tmp_path / "model"
    policy = build_policy(train_bpe(["a b c"], 300), hidden=256, layers=2, heads=2, max_positions=128, seed=0)
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    pairs = [{"prompt": f"a {i}", "chosen": "b", "rejected": "c"} for i in range(40)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))

    def bytes_of(reward: dict, path: str) -> dict[str, float]:
        recipe = tmp_path / f"{path}.yaml"
        recipe.write_text(
            json.dumps(
                {
                    "name": path,
                    "policy": {"path": str(folder), "lora": {"rank": 2}},
                    "data": {"preferences": str(tmp_path / "pairs.jsonl")},
                    "steps": {"reward": reward, "dpo": {"from": "base"}},
                    "evaluate": None,
                }
            )
        )
        found = planned(load_recipe(recipe), RunFolder(tmp_path / path))
        return {name: step.bytes for name, step in found.items()}

    whole, adapted = bytes_of({}, "whole"), bytes_of({"lora": Lora(rank=2).model_dump()}, "adapted")
    assert whole["dpo"] == adapted["dpo"]
    # Gradient and moments of all weights, less what takes less with adapters only.
    assert whole["reward"] > adapted["reward"]


def test_answers_are_planned_as_long_as_the_demonstrations_and_at_most_as_long_as_they_may_be(tmp_path):
    """A policy learns from them when to end; where there are none it goes on to the limit."""

    def sampled(answer: str | None) -> float:
        rows = [{"prompt": f"a {i}", "completion": answer or "b"} for i in range(40)]
        pairs = [{"prompt": f"a {i}", "chosen": "b", "rejected": "c"} for i in range(40)]
        for name, lines in (("demos", rows), ("pairs", pairs)):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        role = {"demonstrations": "demos.jsonl"} if answer else {"preferences": "pairs.jsonl"}
        recipe = {
            "name": "x",
            "policy": {"hidden": 32, "layers": 2, "heads": 2, "vocabulary": 300, "max_positions": 256},
            "data": {**role, "prompts": "pairs.jsonl"},
            "steps": {"pretrain": None, "ppo": {"reward": "python:len:len", "max_new_tokens": 100}},
            "evaluate": None,
        }
        config = validate({**recipe, "data": {**recipe["data"], "root": str(tmp_path)}}, "x")
        context = Context(
            config, graph_of(config), RunFolder(tmp_path / "x"), materials_of(config), Runtime()
        )
        return online(context.graph["ppo"], context).amount.sampled

    assert sampled("b" * 39) == sampled("b" * 3) * 11 / 2
    assert sampled("b" * 4000) == sampled(None) == sampled("b" * 39) * 100 / 11


def test_the_least_vocabulary_of_a_recipe_is_that_of_a_tokenizer():
    """The settings cannot import tokenizers, which bring torch."""
    assert len(train_bpe(["a"], LEAST_VOCABULARY)) == LEAST_VOCABULARY
    with pytest.raises(UserError, match="cannot hold"):
        train_bpe(["a"], LEAST_VOCABULARY - 1)
