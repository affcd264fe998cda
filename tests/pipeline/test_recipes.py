"""Recipes resolve, plan and estimate without training or network; what does not hold together is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import SMALL
from summary_page import documented, paths, unmatched
from toy import demonstrations, rankings, toy_policy

from plaudit.config import load_recipe
from plaudit.data.records.writers import write_jsonl
from plaudit.errors import UserError
from plaudit.models.policy import save_policy
from plaudit.pipeline.demo import demo
from plaudit.pipeline.run import resume, run
from plaudit.pipeline.single_method import run_method
from plaudit.registry import METHODS
from plaudit.runs import RunFolder

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "model"
    save_policy(toy_policy(), folder, card="toy")
    return folder


@pytest.fixture(scope="module")
def reward(model, tmp_path_factory):
    """The reward model that every online verb is rewarded by."""
    home = tmp_path_factory.mktemp("reward")
    write_jsonl(rankings(30), home / "prefs.jsonl")
    sets = ["threads=1", "data.max_length=120", "reward.batch_size=8"]
    return run_method("reward", home / "prefs.jsonl", model, sets, home / "rm").stage("reward").model


def test_the_demo_plans_without_running(tmp_path, capsys):
    demo(out=tmp_path / "x", dry_run=True)
    shown = capsys.readouterr().out
    for stage in ("pretrain", "sft", "votes", "rank", "reward", "ppo", "evaluate"):
        assert stage in shown
    assert '"coefficient"' in shown and "GiB" in shown and "iterations" in shown
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("qwen*.yaml")), ids=lambda p: p.stem)
def test_hub_recipes_plan_on_a_tiny_model_of_the_same_loading_path(recipe, model, tmp_path, capsys):
    # The toy has 128 positions.
    short = ["steps.ppo.max_new_tokens=16"] if "ppo:" in recipe.read_text() else []
    run(recipe, [f"policy.path={model}", *short], tmp_path / "x", dry_run=True)
    shown = capsys.readouterr().out
    assert "reward" in shown and "proxy" in shown and "parameters" in shown
    assert not (tmp_path / "x").exists()


# All are planned above; one runs here, and the rest in `make test-slow`.
@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem.endswith("-hh") else pytest.mark.slow)
        for path in sorted((ROOT / "recipes").glob("qwen*.yaml"))
    ],
)
def test_hub_recipes_run_to_the_report_on_tiny_files(recipe, model, tmp_path):
    write_jsonl(demonstrations(30), tmp_path / "demos.jsonl")
    write_jsonl(rankings(60), tmp_path / "prefs.jsonl")
    overrides = [
        f"policy.path={model}",
        "policy.lora.rank=2",
        "threads=1",
        f"data.demonstrations=[{tmp_path}/demos.jsonl]",
        f"data.preferences=[{tmp_path}/prefs.jsonl]",
        "data.max_length=120",
        "data.max_prompt_length=60",
        "data.validation=0.2",
        "data.preference_validation=0.3",
        "steps.reward.batch_size=8",
        "evaluate.prompts=10",
        "evaluate.max_new_tokens=8",
        "evaluate.proxy.batch_size=8",
    ]
    method = list(load_recipe(recipe).steps)[-1]
    overrides += {
        "ppo": [
            "steps.ppo.iterations=2",
            "steps.ppo.prompts_per_iteration=8",
            "steps.ppo.minibatch=4",
            "steps.ppo.critic_warmup=1",
            "steps.ppo.max_new_tokens=8",
        ],
        "dpo": ["steps.dpo.batch_size=4"],
    }[method]
    folder = run(recipe, overrides, tmp_path / "x")
    summary = folder.read_json("summary.json")
    assert summary["gold"] is None and "nobody knows" in summary["gold_reason"]
    assert summary["judge"] == "proxy" and 0 <= summary["win_rate"]["end_vs_start"]["mean"] <= 1
    assert (
        set(summary["best_temperature"]["temperature"]) >= {"start", "end"}
        and "win_rate" in summary["greedy"]
    )
    assert summary["labels"]["proxy"]["pairs"] > 0 and summary["labels"]["evaluate"]["pairs"] > 0
    assert 0 <= summary["reward_model"]["accuracy"] <= 1 and "longer_wins" in summary["reward_model"]
    unknown, _ = unmatched(set(paths(summary)), documented("summary.json"))
    assert not unknown, "keys that docs/summary.md does not describe"
    assert "proxy judge" in (folder.path / "report.html").read_text().lower()
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    AutoModelForCausalLM.from_pretrained(folder.stage(method).model)
    AutoModelForSequenceClassification.from_pretrained(folder.stage("reward").model)


@pytest.mark.parametrize(
    "verb", ["dpo", "simpo", "cpo", "orpo", "kto", "grpo", "rloo", "reinforce", "online_dpo", "rejection"]
)
def test_every_verb_runs_on_a_data_file(verb, model, reward, tmp_path):
    write_jsonl(rankings(30), tmp_path / "prefs.jsonl")
    write_jsonl([d.prompt for d in demonstrations(20)], tmp_path / "prompts.jsonl")
    fast = ["threads=1", "data.max_length=120"]
    online = METHODS[verb].online or verb == "rejection"
    if verb == "rejection":
        fast += ["rejection.prompts=10", "rejection.n=2", "rejection.max_new_tokens=30"]
    elif online:
        fast += [
            f"{verb}.{s}"
            for s in ("iterations=1", "prompts_per_iteration=4", "minibatch=8", "max_new_tokens=6")
        ]
    else:
        fast += [f"{verb}.batch_size=8"]
    reward = reward if online else None
    data = tmp_path / ("prompts.jsonl" if online else "prefs.jsonl")
    folder = run_method(verb, data, model, fast, tmp_path / "run", reward=reward)
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(folder.stage(verb).model)
    assert folder.stage(verb).metrics()
    run_method(verb, data, model, fast, tmp_path / "dry", reward=reward, dry_run=True)


def test_a_verb_takes_the_place_of_the_recipes_own_method(tmp_path, capsys):
    small = [s for s in SMALL if not s.startswith("steps.ppo.")]
    run_method("rloo", "pocket", None, [*small, "rloo.iterations=3"], tmp_path / "x", dry_run=True)
    shown = capsys.readouterr().out
    assert '"rloo": {' in shown and '"ppo": {' not in shown and "3 iterations" in shown


def test_a_function_is_reward_enough(model, tmp_path, monkeypatch):
    (tmp_path / "my_rewards.py").write_text("def score(sample):\n    return -float(len(sample.ids))\n")
    monkeypatch.chdir(tmp_path)
    write_jsonl([d.prompt for d in demonstrations(20)], tmp_path / "prompts.jsonl")
    fast = ["threads=1", "data.max_length=120", "grpo.reward_function=my_rewards:score"]
    fast += [
        f"grpo.{s}" for s in ("iterations=1", "prompts_per_iteration=4", "minibatch=8", "max_new_tokens=6")
    ]
    folder = run_method("grpo", tmp_path / "prompts.jsonl", model, fast, tmp_path / "run")
    assert folder.stage("grpo").metrics()[-1]["objective/scores"] < 0
    with pytest.raises(UserError, match="python:module:function"):
        run_method("grpo", tmp_path / "prompts.jsonl", model, fast[:2], tmp_path / "none")


def test_rewards_are_summed_by_weight(tmp_path):
    sets = [s for s in SMALL if not s.startswith("steps.ppo.")]
    sets += ["rloo.iterations=1", "rloo.prompts_per_iteration=4", "rloo.minibatch=8"]
    sets += [
        "evaluate=null",
        "rloo.max_new_tokens=12",
        "rloo.reward_clip=null",
        "rloo.reward=[reward, {gold: 0.5}]",
    ]
    folder = run_method("rloo", "pocket", None, sets, tmp_path / "run")
    row = folder.stage("rloo").metrics()[-1]
    assert {"reward/reward", "reward/gold"} <= set(row)
    assert row["objective/scores"] == pytest.approx(row["reward/reward"] + 0.5 * row["reward/gold"], abs=1e-3)


def test_single_verbs_chain_on_data(model, tmp_path):
    write_jsonl(demonstrations(20), tmp_path / "demos.jsonl")
    write_jsonl(rankings(30), tmp_path / "prefs.jsonl")
    write_jsonl([d.prompt for d in demonstrations(20)], tmp_path / "prompts.jsonl")
    fast = ["threads=1", "data.max_length=120"]
    trained = run_method("sft", tmp_path / "demos.jsonl", model, fast, tmp_path / "sft")
    sft_model = trained.stage("sft").model
    reward = run_method(
        "reward", tmp_path / "prefs.jsonl", sft_model, [*fast, "reward.batch_size=8"], tmp_path / "rm"
    )
    ppo = run_method(
        "ppo",
        tmp_path / "prompts.jsonl",
        sft_model,
        [*fast, "ppo.iterations=2", "ppo.prompts_per_iteration=8", "ppo.minibatch=4", "ppo.max_new_tokens=6"],
        tmp_path / "ppo",
        reward=reward.stage("reward").model,
    )
    assert (ppo.stage("ppo").model / "model.safetensors").exists()


def test_a_verb_says_what_it_misses(tmp_path):
    write_jsonl(demonstrations(3), tmp_path / "d.jsonl")
    with pytest.raises(UserError, match="needs a model"):
        run_method("sft", tmp_path / "d.jsonl")
    with pytest.raises(UserError, match="needs a reward"):
        run_method("ppo", tmp_path / "d.jsonl", "somewhere")


def test_a_run_without_data_or_world_is_refused(tmp_path):
    (tmp_path / "r.yaml").write_text("policy: {hidden: 32}\nevaluate: null\n")
    with pytest.raises(UserError, match="neither a world nor data"):
        run(tmp_path / "r.yaml", out=tmp_path / "out")


def test_a_recipe_that_is_not_there_is_named():
    with pytest.raises(UserError, match="there is no recipe"):
        run("nonsense.yaml")


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data sets are not here")
def test_the_real_recipe_plans_on_the_shared_sets(tmp_path, capsys):
    run(ROOT / "recipes/real-preferences.yaml", [f"data.root={SHARED}"], tmp_path / "x", dry_run=True)
    shown = capsys.readouterr().out
    assert "items" in shown and "counted when" not in shown


def test_resume_continues_from_the_runs_own_record(tmp_path):
    with pytest.raises(UserError, match=r"holds no run.json"):
        resume(tmp_path)
    assert RunFolder(tmp_path).stages() == []


def test_missing_files_are_named_before_anything_is_written(tmp_path):
    with pytest.raises(UserError) as caught:
        run_method("sft", tmp_path / "absent.jsonl", tmp_path / "no-model", out=tmp_path / "out")
    text = str(caught.value)
    assert "absent.jsonl" in text and "no-model" in text and "data.demonstrations" in text
    assert not (tmp_path / "out").exists()
