"""What a run leaves on disk: the end in its source's type, adapters where asked for, cards that tell the truth."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from toy import demonstrations, rankings, toy_policy
from transformers import AutoModelForCausalLM, AutoTokenizer

from plaudit.config import validate
from plaudit.data.records import Prompt, Ranking, Response
from plaudit.data.records.writers import write_jsonl
from plaudit.data.rendering.renderer import Renderer
from plaudit.methods.train import render_preferences
from plaudit.models.cards import card_of_reward
from plaudit.models.policy import build_policy, load_policy, save_policy
from plaudit.models.reward_model import RewardModel, save_reward_model
from plaudit.pipeline.run import execute_config
from plaudit.rewards import score_items
from plaudit.runs import RunFolder
from plaudit.runs.locate import locate

CHATML = Path(__file__).parents[1] / "data_rendering/inputs/chatml"


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A policy in bf16, and demonstrations."""
    root = tmp_path_factory.mktemp("half")
    policy = toy_policy()
    policy.model.to(torch.bfloat16)
    save_policy(policy, root / "model", card="# In half precision")
    write_jsonl(demonstrations(), root / "demos.jsonl")
    return root


def ran(half, out, **changes):
    """A run of one short SFT."""
    policy = {"path": str(half / "model"), **changes.pop("policy", {})}
    recipe = {
        "name": "half",
        "policy": policy,
        "data": {"demonstrations": str(half / "demos.jsonl")},
        "steps": {"sft": {"max_steps": 3, "lr": 0.01}},
        "evaluate": None,
        **changes,
    }
    return execute_config(validate(recipe, "here"), RunFolder(out))


def test_the_end_is_written_in_the_type_of_its_source_and_the_cost_is_measured(half, tmp_path, capsys):
    run = ran(half, tmp_path / "run")
    assert f"({run.path / 'model'})" in capsys.readouterr().out
    exact = load_file(run.stage("sft").model / "model.safetensors")
    written = load_file(run.path / "model/model.safetensors")
    assert all(t.dtype == torch.float32 for t in exact.values()), "steps are float32"
    assert all(torch.equal(written[n], t.to(torch.bfloat16)) for n, t in exact.items())
    record = run.read_json("export.json")
    assert record["dtype"] == "bfloat16" and record["tokens"] > 50
    # An independent count: plain transformers, one text.
    one, two = (
        AutoModelForCausalLM.from_pretrained(f, dtype=torch.float32)
        for f in (run.stage("sft").model, run.path / "model")
    )
    ids = torch.tensor(
        [AutoTokenizer.from_pretrained(run.path / "model")("the cat sat on a mat")["input_ids"]]
    )
    with torch.no_grad():
        change = (one(ids).logits.log_softmax(-1) - two(ids).logits.log_softmax(-1)).abs().max()
    assert 0 < record["mean_change"] < record["largest_change"] and record["largest_change"] < 10 * change
    before = (run.path / "model/model.safetensors").stat().st_mtime_ns
    ran(half, tmp_path / "run")
    assert (run.path / "model/model.safetensors").stat().st_mtime_ns == before, (
        "a second run writes nothing anew"
    )


def test_a_type_may_be_asked_for_and_float32_is_what_the_step_saved(half, tmp_path):
    assert not (ran(half, tmp_path / "same", save_dtype="float32").path / "model").exists()
    assert ran(half, tmp_path / "f16", save_dtype="float16").read_json("export.json")["dtype"] == "float16"


def test_adapters_are_kept_and_give_the_merged_model_on_the_model_that_they_name(half, tmp_path):
    run = ran(half, tmp_path / "run", policy={"lora": {"rank": 4}}, save="both")
    adapter = run.stage("sft").path / "adapter"
    named = json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == str(half / "model")
    base = AutoModelForCausalLM.from_pretrained(named, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, adapter)
    merged = load_policy(run.stage("sft").model).model
    ids = torch.arange(10, 30)[None]
    with torch.no_grad():
        assert torch.allclose(adapted(ids).logits, merged(ids).logits, atol=1e-4)
        with adapted.disable_adapter():
            assert not torch.allclose(adapted(ids).logits, merged(ids).logits, atol=1e-3)
    alone = ran(half, tmp_path / "alone", policy={"lora": {"rank": 4}}, save="adapter")
    assert not (alone.path / "model").exists() and (alone.stage("sft").path / "adapter").is_dir()
    assert locate(alone.path).step == "sft"


def test_pretraining_and_a_reward_model_that_goes_on_train_the_adapters_that_are_asked_for(half, tmp_path):
    write_jsonl(rankings(16), tmp_path / "pairs.jsonl")
    (tmp_path / "texts.jsonl").write_text('{"text": "the cat sat on a mat and the dog ran"}\n' * 8)
    short = {"max_steps": 2, "lr": 0.01}
    steps = {"pretrain": short, "reward": short, "reward-2": {"from": "reward", "lora": {"rank": 2}, **short}}
    data = {"corpus": str(tmp_path / "texts.jsonl"), "preferences": str(tmp_path / "pairs.jsonl")}
    policy = {"lora": {"rank": 2}}
    run = ran(half, tmp_path / "run", policy=policy, data=data, steps=steps, save="both")
    before = {"pretrain": half / "model", "reward-2": run.stage("reward").model}
    for step, folder in before.items():
        told = json.loads((run.stage(step).path / "adapter/adapter_config.json").read_text())
        assert told["base_model_name_or_path"] == str(folder)
        (old, new) = (load_file(f / "model.safetensors") for f in (folder, run.stage(step).model))
        name = next(n for n in new if n.endswith("layers.0.self_attn.q_proj.weight"))
        change = new[name] - old[name].float()
        assert change.abs().max() > 0 and torch.linalg.svdvals(change)[2] < 1e-5
        assert all(torch.equal(t, old[n].float()) for n, t in new.items() if "embed_tokens" in n)


def snippet(folder):
    """What the code of a model's card prints as its score."""
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)[1]
    assert 'folder = "."' in code
    names = {}
    exec(code.replace('folder = "."', f"folder = {str(folder)!r}"), names)
    return names["score"]


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("template", ["own", "chatml"])
def test_the_code_on_a_reward_models_card_gives_our_score(pooling, template, tmp_path):
    policy = toy_policy()
    if template == "chatml":  # which writes a line break behind the token that ends a turn
        tokenizer = AutoTokenizer.from_pretrained(CHATML)
        policy = build_policy(tokenizer, hidden=16, layers=2, heads=2, max_positions=256, seed=0)
    model = RewardModel.from_policy(policy, pooling=pooling, seed=0)
    model.mean, model.std = 0.25, 2.0
    save_reward_model(model, tmp_path / "rm", card_of_reward(model, "a", "A judge."))
    pair = Ranking(
        Prompt.user("What is the capital of France?"), (Response("Paris."), Response("No.")), ((0,), (1,))
    )
    items = render_preferences(Renderer(policy.tokenizer), [pair])
    ours = score_items(model, items, pad_id=policy.pad_id)[0]
    assert snippet(tmp_path / "rm") == pytest.approx(float(ours), abs=1e-5)
    assert "(score − 0.25) / 2" in (tmp_path / "rm/README.md").read_text()


def test_the_code_on_a_policys_card_answers(half, tmp_path, capsys):
    run = ran(half, tmp_path / "run")
    code = re.search(r"```python\n(.*?)```", (run.path / "model/README.md").read_text(), re.S)[1]
    exec(code.replace('folder = "."', f"folder = {str(run.path / 'model')!r}"), {})
    head = (run.path / "model/README.md").read_text().splitlines()
    assert head[0] == "---" and "library_name: transformers" in head


def test_the_reward_step_writes_that_card(tmp_path):
    save_policy(toy_policy(), tmp_path / "model", card="# A toy")
    write_jsonl(rankings(), tmp_path / "pairs.jsonl")
    recipe = {
        "name": "rm",
        "policy": {"path": str(tmp_path / "model")},
        "data": {"preferences": str(tmp_path / "pairs.jsonl")},
        "steps": {"reward": {"max_steps": 2}},
        "evaluate": None,
    }
    run = execute_config(validate(recipe, "here"), RunFolder(tmp_path / "run"))
    assert isinstance(snippet(run.stage("reward").model), float)


def chain(half, out, base_dtype):
    """SFT, a reward model and PPO, all by adapters."""
    lora = {"rank": 4, "base_dtype": base_dtype}
    few = {"max_steps": 2, "lr": 0.01}
    rl = {
        "iterations": 2,
        "critic_warmup": 0,
        "prompts_per_iteration": 8,
        "max_new_tokens": 8,
        "forecast": False,
        "lr": 0.01,
    }
    write_jsonl(rankings(), half / "pairs.jsonl")
    recipe = {
        "name": "chain",
        "policy": {"path": str(half / "model"), "lora": lora},
        "data": {"demonstrations": str(half / "demos.jsonl"), "preferences": str(half / "pairs.jsonl")},
        "steps": {"sft": few, "reward": {"lora": lora, "from": "base", **few}, "ppo": {"from": "base", **rl}},
        "evaluate": None,
    }
    return execute_config(validate(recipe, "here"), RunFolder(out))


def test_on_a_base_in_bfloat16_every_step_makes_the_same_model_and_saves_it_in_float32(half, tmp_path):
    runs = [chain(half, tmp_path / name, name) for name in ("float32", "bfloat16")]
    for step in ("sft", "reward", "ppo"):
        one, two = (load_file(run.stage(step).model / "model.safetensors") for run in runs)
        assert all(t.dtype == torch.float32 for t in two.values())
        # The reward model that RL reads was trained: bfloat16 rounds it there, and with it PPO's scores.
        same = all(torch.equal(two[name], tensor) for name, tensor in one.items())
        assert same == (step != "ppo")
    untrained = load_file(half / "model/model.safetensors")
    assert not all(torch.equal(two[name], tensor.float()) for name, tensor in untrained.items())
    assert runs[0].read_json("run.json")["config"]["policy"]["lora"].keys() == {"rank", "alpha", "targets"}
