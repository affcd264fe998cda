"""What can be known before any weight is loaded is said then, in one message: by run and --dry-run alike."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from toy import toy_policy

from plaudit.config import validate
from plaudit.errors import UserError
from plaudit.models import files
from plaudit.models.policy import save_policy
from plaudit.pipeline.run import execute_config as execute
from plaudit.pipeline.single_method import run_method
from plaudit.runs import RunFolder
from plaudit.runs.sizes import size_of

PAIRS = [{"prompt": f"the cat {i}", "chosen": "sat on a mat", "rejected": "dogs"} for i in range(20)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A toy policy on disk."""
    folder = tmp_path_factory.mktemp("toy") / "model"
    save_policy(toy_policy(), folder, card="# A toy")
    return folder


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch, tmp_path):
    """Whoever reads weights fails the test; the current folder holds data and a module of the user's own."""
    monkeypatch.setattr(files, "read_weights", lambda *a, **k: pytest.fail("weights were read"))
    for place in ("plaudit.models.policy", "plaudit.models.reward_model"):
        monkeypatch.setattr(f"{place}.read_weights", lambda *a, **k: pytest.fail("weights were read"))
    monkeypatch.chdir(tmp_path)
    write("pairs.jsonl", PAIRS)
    write("ask.jsonl", [{"prompt": row["prompt"]} for row in PAIRS])
    (tmp_path / "own.py").write_text(
        "def score(sample):\n    return 1.0\n\n\ndef two(a, b):\n    return 1.0\n"
    )


def write(name, rows):
    with open(name, "w") as file:  # noqa: PTH123
        file.writelines(json.dumps(row) + "\n" for row in rows)


def refused(method, data, model, *overrides, reward=None):
    """What a command says that is refused: the same with and without --dry-run."""
    said = []
    for dry_run in (True, False):
        with pytest.raises(UserError) as error:
            run_method(method, data, model, overrides, reward=reward, dry_run=dry_run, out="run")
        said.append(str(error.value))
    assert said[0] == said[1]
    return said[0]


def changed(model, tmp_path, **config):
    """The model with other lines in its config."""
    folder = tmp_path / "changed"
    shutil.copytree(model, folder)
    facts = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(facts | config))
    return folder


def test_a_model_of_pickles_an_empty_one_and_a_quantized_one(model, tmp_path):
    folder = changed(model, tmp_path, quantization_config={"quant_method": "gptq"})
    assert "quantized (gptq)" in refused("dpo", "pairs.jsonl", folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "convert them to safetensors" in refused("dpo", "pairs.jsonl", folder)
    (folder / "pytorch_model.bin").unlink()
    (tmp_path / "nothing").mkdir()
    assert "no run.json and no config.json" in refused("dpo", "pairs.jsonl", tmp_path / "nothing")


def test_a_model_that_was_cut_off_in_copying_and_one_without_a_tokenizer(model, tmp_path):
    torn = shutil.copytree(model, tmp_path / "torn")
    weights = next(torn.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "is no whole safetensors file" in (said := refused("dpo", "pairs.jsonl", torn))
    assert "copy or download the model again" in said
    bare = shutil.copytree(model, tmp_path / "bare")
    for file in bare.glob("tokenizer*"):
        file.unlink()
    assert "bare holds no tokenizer: tokenizer.json or tokenizer_config.json is missing" in refused(
        "dpo", "pairs.jsonl", bare
    )


def test_a_rewards_module_that_is_no_python_or_imports_what_is_not_there(model, tmp_path):
    (tmp_path / "broken_syntax.py").write_text("def score(:\n")
    (tmp_path / "broken_import.py").write_text("import nothing_like_this\n")
    said = refused("grpo", "ask.jsonl", model, reward="python:broken_syntax:score")
    assert "importing broken_syntax failed: SyntaxError" in said and "fix it until" in said
    said = refused("grpo", "ask.jsonl", model, reward="python:broken_import:score")
    assert "broken_import imports nothing_like_this, which is not installed" in said


@pytest.mark.parametrize("lr", [".nan", ".inf", "fast"])
def test_a_learning_rate_that_is_no_finite_number(model, lr):
    assert "[steps.dpo.lr]" in refused("dpo", "pairs.jsonl", model, f"dpo.lr={lr}")


def test_a_tokenizer_with_more_tokens_than_the_model_has(model, tmp_path):
    said = refused("dpo", "pairs.jsonl", changed(model, tmp_path, vocab_size=100))
    assert "embeddings for 100" in said and "the tokenizer that the model was trained with" in said


def test_rewards_that_cannot_be_imported_or_called(model):
    for function, words in {
        "own:nothing": "has no 'nothing'",
        "owm:score": "No module named 'owm'",
        "own:two": "is called with one sample",
        "score": "not of the form module:name",
    }.items():
        assert words in refused("grpo", "ask.jsonl", model, f"grpo.reward_function={function}")


def test_a_language_model_in_the_place_of_a_reward_model(model):
    said = refused("ppo", "ask.jsonl", model, reward=model)
    assert "is a language model, not a reward model" in said and "plaudit reward PREFERENCES --model" in said


def test_a_reward_model_that_is_not_there_and_a_run_that_has_none(model, tmp_path):
    assert "there is no model folder" in refused("ppo", "ask.jsonl", model, reward="not-there")
    (tmp_path / "a-run").mkdir()
    (tmp_path / "a-run/run.json").write_text('{"steps": {"reward": {"gives": ["reward model"]}}}')
    assert "no trained reward model yet" in refused("ppo", "ask.jsonl", model, reward="a-run")


def test_data_that_is_empty_of_another_kind_or_all_held_out(model):
    write("empty.jsonl", [])
    assert "there are no rows in it" in refused("dpo", "empty.jsonl", model)
    assert "it holds prompts" in refused("dpo", "ask.jsonl", model)
    said = refused("dpo", "pairs.jsonl", model, "data.preference_validation=1")
    assert (
        "dpo has nothing to learn from; all 20 records are held out" in said
        and "preference_validation" in said
    )


def test_answers_that_are_longer_than_the_model_has_positions(model):
    said = refused("grpo", "ask.jsonl", model, "grpo.reward_function=own:score", "grpo.max_new_tokens=128")
    assert "128 new tokens; the model has 128 positions" in said and "at most 64" in said


def test_answers_that_are_longer_than_a_model_from_scratch_has_positions():
    raw = {
        "policy": {"max_positions": 40},
        "data": {"prompts": "ask.jsonl"},
        "evaluate": {"max_new_tokens": 41},
    }
    raw["steps"] = {"grpo": {"reward_function": "own:score"}}
    with pytest.raises(UserError) as caught:
        execute(validate(raw, "own"), RunFolder("run"), dry_run=True)
    said = str(caught.value)
    assert "grpo asks for 48 new tokens; the model has 40 positions" in said
    assert "[evaluate.max_new_tokens]" in said and "at most 20" in said


def test_all_that_is_wrong_is_said_at_once(model):
    said = refused("grpo", "ask.jsonl", model, "grpo.reward_function=own:no", "grpo.max_new_tokens=500")
    assert "has no 'no'" in said and "500 new tokens" in said


def test_what_different_looks_find_wrong_is_said_at_once(model):
    raw = {
        "policy": {"path": str(model)},
        "data": {"prompts": "ask.jsonl", "validation": 0},
        "steps": {"grpo": {}},
    }
    raw["steps"]["grpo"] = {"reward_function": "own:no", "max_new_tokens": 500}

    def told(**data):
        with pytest.raises(UserError, match="cannot run") as error:
            execute(validate(raw | {"data": raw["data"] | data}, "own"), RunFolder("run"))
        assert not Path("run").exists()
        return str(error.value)

    assert (
        "has no 'no'" in (missing := told(preferences="nowhere.jsonl")) and "no file nowhere.jsonl" in missing
    )
    assert "has no 'no'" in (held := told()) and "no prompt is held out" in held and "500 new tokens" in held


def test_memory_that_cannot_hold_the_weights_is_an_error(model):
    said = refused("dpo", "pairs.jsonl", model, "memory=0.00001")
    assert "memory is 1e-05 GiB" in said and "raise memory, train adapters" in said


def test_a_disk_that_cannot_hold_the_models(model, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1000))
    said = refused("dpo", "pairs.jsonl", model)
    assert "are free at run" in said and "--out DIR" in said


def test_a_template_without_an_end_of_turn_blocks_before_work(model, tmp_path):
    folder = tmp_path / "endless"
    shutil.copytree(model, folder)
    template = "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}{% endfor %}"
    template += "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    (folder / "chat_template.jinja").write_text(template)
    said = refused("dpo", "pairs.jsonl", folder)
    assert "template" in said or "end" in said


def test_what_is_right_comes_to_the_weights(model):
    with pytest.raises(pytest.fail.Exception, match="weights were read"):
        run_method("dpo", "pairs.jsonl", model, out="run")
    run_method("dpo", "pairs.jsonl", model, out="other", dry_run=True)


def told(method, data, model, *overrides):
    """What a dry run prints of lengths."""
    import contextlib
    import io

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        run_method(method, data, model, overrides, dry_run=True, out="run")
    return [line for line in printed.getvalue().splitlines() if "will be used" in line]


def test_what_is_too_long_is_counted_before_weights_are_read(model):
    long = {"prompt": "the cat sat on the mat and the dog ran " * 4, "chosen": "a mat", "rejected": "dogs"}
    write("mixed.jsonl", [*PAIRS, *({**long, "prompt": f"{i} {long['prompt']}"} for i in range(4))])
    none_held = ("data.preference_validation=0", "data.validation=0")
    limits = ("data.max_prompt_length=25", "data.max_length=60")
    assert told("dpo", "pairs.jsonl", model, *none_held, *limits) == []
    (line,) = told("dpo", "mixed.jsonl", model, *none_held, *limits)
    lost = "4 dropped: too long (max_length 60 tokens; max_prompt_length 25)"
    assert line == f"dpo: 20 of 24 records will be used; {lost}"
    said = refused("dpo", "pairs.jsonl", model, *none_held, "data.max_length=4")
    assert "dpo: all 20 records are too long" in said
    assert "the limit is 4 tokens, and the shortest needs" in said


def test_prompts_need_room_for_an_answer(model):
    own = ("grpo.reward_function=own:score", "data.validation=0", "data.max_length=64")
    assert told("grpo", "ask.jsonl", model, *own, "grpo.max_new_tokens=16") == []
    said = refused("grpo", "ask.jsonl", model, *own, "grpo.max_new_tokens=62")
    assert "grpo: all 20 prompts are too long" in said and "62 of max_new_tokens" in said


@pytest.fixture
def other_run(model, tmp_path):
    """A run that has trained one step, with more to come."""

    def made(key="one", **steps):
        folder = tmp_path / "other-run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(model, folder / "stages/sft/model")
        (folder / "stages/sft/stage.json").write_text(json.dumps({"key": key, "status": "done"}))
        gives = {n: {"gives": [g]} for n, g in {"sft": "policy", **steps}.items()}
        record = {"steps": gives, "places": {"end": list(gives)[-1]}}
        (folder / "run.json").write_text(json.dumps(record))
        return folder

    return made


def test_a_run_that_has_not_come_to_its_end_is_not_taken_for_it(other_run, capsys):
    run = other_run(dpo="policy")
    said = refused("simpo", "pairs.jsonl", run)
    assert f"{run} is not finished: its step dpo is not trained yet" in said
    assert f"plaudit resume {run}, or name {run}@sft" in said
    capsys.readouterr()
    run_method("simpo", "pairs.jsonl", f"{run}@sft", dry_run=True)
    assert "is other-run@sft" not in capsys.readouterr().out
    run_method("simpo", "pairs.jsonl", other_run(), dry_run=True)
    assert f"base: {run} is other-run@sft" in capsys.readouterr().out


def test_a_run_of_another_kind_of_model_is_not_to_be_resumed_for_it(model, other_run):
    said = refused("ppo", "ask.jsonl", model, reward=other_run())
    assert "none of its steps trains one" in said and "plaudit reward PREFERENCES --model" in said
    assert "plaudit resume" in refused("ppo", "ask.jsonl", model, reward=other_run(reward="reward model"))


def test_a_model_that_another_run_has_trained_anew_is_another_input(model, other_run, monkeypatch):
    from plaudit.pipeline import run as running

    seen = []
    monkeypatch.setattr(running, "execute", lambda plan, folder, **_: seen.append(plan.keys()))

    def keys(source):
        run_method("dpo", "pairs.jsonl", source, out="run")
        return seen.pop()

    first, folder = keys(other_run("one")), keys(model)
    assert first == keys(other_run("one")) and keys(model) == folder
    again = keys(other_run("two"))
    assert first["base"] != again["base"] and first["dpo"] != again["dpo"]


def test_adapters_that_are_kept_may_be_of_a_step_that_is_done(model, monkeypatch):
    from plaudit.pipeline import run as running

    monkeypatch.setattr(running, "execute", lambda *_, **__: None)
    monkeypatch.setattr(running, "is_done", lambda folder, name, key: name == "dpo")
    run_method("dpo", "pairs.jsonl", model, ("save=both", "policy.lora.rank=2"), out="run")
    assert "no step trains any" in refused("dpo", "pairs.jsonl", model, "save=both")


@pytest.mark.parametrize("method, field", [("dpo", "policy.lora"), ("reward", "reward.lora")])
def test_targets_of_adapters_that_the_model_does_not_have(model, method, field):
    said = refused(method, "pairs.jsonl", model, f"{field}.targets=[q_prj, v_proj]")
    assert "no layer is called q_prj" in said and "q_proj" in said and f"{field}.targets" in said
    assert "no layer takes a LoRA adapter" in refused(method, "pairs.jsonl", model, f"{field}.targets=[]")
    run_method(method, "pairs.jsonl", model, (f"{field}.targets=[q_proj]",), dry_run=True, out="run")


def test_adapters_of_a_policy_that_no_step_trains_are_told(model, capsys):
    run_method("reward", "pairs.jsonl", model, ("policy.lora.rank=2",), dry_run=True, out="run")
    assert "reward trains all weights; for adapters set steps.reward.lora" in capsys.readouterr().out
    run_method("reward", "pairs.jsonl", model, ("reward.lora.rank=2",), dry_run=True, out="run")
    assert "trains all weights" not in capsys.readouterr().out
    said = refused("reward", "pairs.jsonl", model, "policy.lora.rank=2", "save=both")
    assert "save: both keeps adapters, and no step trains any" in said


def test_a_recipe_without_prompts_to_evaluate_on(model):
    write("told.jsonl", [{"prompt": r["prompt"], "response": r["chosen"]} for r in PAIRS])
    recipe = {"policy": {"path": str(model)}, "data": {"demonstrations": "told.jsonl"}, "steps": {"sft": {}}}
    for dry_run in (True, False):
        with pytest.raises(
            UserError, match=r"no prompts to evaluate on.*\n.*name data.prompts, or set evaluate"
        ):
            execute(validate(recipe, "own"), RunFolder("run"), dry_run=dry_run)
    execute(validate(recipe | {"evaluate": None}, "own"), RunFolder("run"), dry_run=True)


@pytest.mark.parametrize(
    "text, said",
    [
        ("{", "cannot be loaded"),
        ("[]", "config.json holds no JSON object"),
        ('{"model_type": "nothing-like-it"}', "a model of family 'nothing-like-it'"),
        ('{"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}', "needs the code in its own folder"),
    ],
)
def test_a_config_that_cannot_be_read(model, tmp_path, text, said):
    folder = shutil.copytree(model, tmp_path / "strange")
    (folder / "config.json").write_text(text)
    assert said in (told := refused("dpo", "pairs.jsonl", folder)) and "→" in told
    assert size_of(folder) is None


def test_weights_of_which_a_file_is_missing_or_a_link_to_nothing(model, tmp_path, monkeypatch):
    folder = shutil.copytree(model, tmp_path / "parts")
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    said = refused("dpo", "pairs.jsonl", folder)
    assert "lacks 1 of 2 files of weights: model-2.safetensors" in said and "download the model again" in said
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: str(folder / "config.json"))
    assert files.fetched("owner/name") is None, "what a download left unfinished is fetched anew"
    (folder / "model-2.safetensors").symlink_to("gone.safetensors")
    assert "is a link to gone.safetensors, which is not there" in refused("dpo", "pairs.jsonl", folder)
    (folder / "model-2.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text("{}")
    assert "is no index of weights" in refused("dpo", "pairs.jsonl", folder)


def test_weights_that_may_not_be_read(model, monkeypatch):
    from plaudit.models import weight_files

    def locked(self, *args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(weight_files.Path, "open", locked)
    with pytest.raises(UserError, match=r"cannot be read: Permission denied\n.*chmod u\+r"):
        weight_files.check_weights(model)


TOOL = [
    {"role": "user", "content": "how many cats"},
    {"role": "tool", "content": "three"},
]


def test_records_of_which_the_template_leaves_none(model):
    none_held = ("data.validation=0",)
    write("tools.jsonl", [{"prompt": [*TOOL, {"role": "user", "content": f"and {i}"}]} for i in range(4)])
    said = refused("grpo", "tools.jsonl", model, "grpo.reward_function=own:score", *none_held)
    assert "grpo: none of 4 prompts can be used" in said and "does not write turns of tools" in said
    write("calls.jsonl", [{"prompt": TOOL, "response": f"cats {i}"} for i in range(4)])
    assert "does not write turns of tools" in refused("sft", "calls.jsonl", model, *none_held)


def test_labels_from_which_nothing_can_be_learned(model):
    all_used = ("data.preference_validation=0",)
    rated = [{"prompt": f"the cat {i}", "response": "sat", "score": i} for i in range(8)]
    write("rated.jsonl", rated)
    assert "nothing says which are good" in refused("kto", "rated.jsonl", model, *all_used)
    run_method("kto", "rated.jsonl", model, ("kto.threshold=4", *all_used), dry_run=True)
    write("one.jsonl", [{"prompt": "the cat", "completion": f"sat {i}", "label": i < 4} for i in range(8)])
    assert "all 8 labels are of one prompt" in refused("kto", "one.jsonl", model, *all_used)
    labels = [{"prompt": f"the cat {i}", "completion": "sat on a mat", "label": i < 4} for i in range(8)]
    write("labels.jsonl", labels)
    said = refused("kto", "labels.jsonl", model, "data.max_length=4", *all_used)
    assert "kto: all 8 labels are too long" in said and "the shortest needs" in said


def test_data_that_cannot_be_read_hides_nothing_else(model):
    (Path("broken.jsonl")).write_text("{not json\n" * 4)
    said = refused("grpo", "broken.jsonl", model, "grpo.reward_function=own:no")
    assert "has no 'no'" in said and "broken.jsonl" in said


def test_a_reward_folder_is_looked_at_as_closely_as_it_will_be_read(model, tmp_path):
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=400,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=1,
    )
    folder = tmp_path / "scorer"
    BertForSequenceClassification(config).save_pretrained(folder)
    plain = ("ppo.normalisation=none",)
    assert "holds no tokenizer" in refused("ppo", "ask.jsonl", model, *plain, reward=folder)
    for file in model.glob("tokenizer*"):
        shutil.copy(file, folder)
    said = refused("ppo", "ask.jsonl", model, *plain, reward=folder)
    assert "the head of a BertForSequenceClassification is not one linear layer" in said


def test_an_encoder_is_no_policy_and_may_be_a_backbone(model, tmp_path):
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    folder = tmp_path / "encoder"
    BertForMaskedLM(config).save_pretrained(folder)
    for file in model.glob("tokenizer*"):
        shutil.copy(file, folder)
    write("empty.jsonl", [])
    said = refused("sft", "pairs.jsonl", folder)
    assert "a bert model cannot be a policy: it is an encoder" in said
    assert f"plaudit reward PREFERENCES --model {folder}" in said and "steps.reward.backbone" in said
    run_method("reward", "pairs.jsonl", model, (f"reward.backbone.path={folder}",), dry_run=True, out="run")
    run_method("reward", "pairs.jsonl", folder, dry_run=True, out="run")
    assert "empty.jsonl" in refused("reward", "empty.jsonl", folder)


def test_a_revision_of_a_folder_would_act_on_nothing(model):
    said = refused("dpo", "pairs.jsonl", model, "policy.revision=v2")
    assert "revision 'v2' is of a model on the hub" in said and "leave revision out" in said


def test_a_local_judge_is_looked_at_before_work(model, tmp_path):
    folder = changed(model, tmp_path, quantization_config={"quant_method": "gptq"})
    recipe = {
        "policy": {"path": str(model)},
        "data": {"prompts": "ask.jsonl", "preferences": "pairs.jsonl", "preference_validation": 0.5},
        "steps": {"dpo": {}},
        "evaluate": {"judge": f"local:{folder}?gate=off"},
    }
    with pytest.raises(UserError, match=r"quantized \(gptq\)"):
        execute(validate(recipe, "own"), RunFolder("run"), dry_run=True)


def test_a_best_model_that_nothing_is_held_out_for_and_a_role_that_no_step_reads(model, capsys):
    best = ("dpo.keep_best=true", "dpo.eval_every=5", "data.preference_validation=0")
    said = refused("dpo", "pairs.jsonl", model, *best)
    assert "dpo.keep_best chooses by records that are held out, and none are" in said
    run_method("dpo", "pairs.jsonl", model, ("data.votes=pairs.jsonl",), dry_run=True, out="run")
    assert "data.votes: no step reads it" in capsys.readouterr().out


def test_an_estimator_that_is_none_is_known_before_work(model):
    said = refused("grpo", "ask.jsonl", model, "grpo.reward_function=own:score", "grpo.algorithm=own:score")
    assert "algorithm 'own:score' is no advantage estimator" in said and "[steps.grpo.algorithm]" in said


def test_an_audit_without_validation_prompts_is_refused_before_rl(model):
    steps = {"grpo": {"reward_function": "own:score"}, "audit": {}}
    files = {"prompts": "ask.jsonl", "validation": 0}
    raw = {"policy": {"path": str(model)}, "data": files, "steps": steps, "evaluate": None}
    with pytest.raises(
        UserError, match=r"audit has no validation prompts to audit on(.|\n)*raise data.validation"
    ):
        execute(validate(raw, "own"), RunFolder("run"), dry_run=True)


def test_settings_of_rl_that_would_train_nothing(model):
    own = ("ppo.reward_function=own:score",)
    said = refused("ppo", "ask.jsonl", model, *own, "ppo.iterations=3", "ppo.critic_warmup=3")
    assert "critic_warmup 3 of 3 iterations: only the critic would learn" in said
    said = refused(
        "reinforce", "ask.jsonl", model, "reinforce.reward_function=own:score", "reinforce.baseline=group"
    )
    assert "set samples_per_prompt to 2 or more" in said


def judged_by_proxy(model, **data):
    """A recipe whose run is judged by a proxy."""
    files = {"prompts": "ask.jsonl", "preferences": "pairs.jsonl", "preference_validation": 0.5}
    return {
        "policy": {"path": str(model)},
        "data": {**files, **data},
        "steps": {"dpo": {}},
        "evaluate": {"proxy": {}},
    }


def test_a_proxy_judge_for_which_no_pair_is_left(model):
    with pytest.raises(
        UserError, match=r"no preference is left for the proxy judge(.|\n)*raise data.judge_share"
    ):
        execute(validate(judged_by_proxy(model, judge_share=0), "own"), RunFolder("run"), dry_run=True)
    execute(validate(judged_by_proxy(model), "own"), RunFolder("run"), dry_run=True)


def test_a_policy_that_is_to_be_judged_on_prompts_that_are_not_there(model):
    judged = ("grpo.reward_function=own:score", "grpo.keep_best=python:own:score")
    said = refused("grpo", "ask.jsonl", model, *judged, "data.validation=0")
    assert "grpo.keep_best has no validation prompts" in said and "raise data.validation" in said


def test_what_a_recipe_names_itself_is_not_named_beside_it(model):
    recipe = {"policy": {"path": str(model)}, "data": {"preferences": "pairs.jsonl"}, "steps": {"dpo": {}}}
    Path("own.yaml").write_text(json.dumps(recipe))
    run_method("dpo", "own.yaml", dry_run=True)
    assert "--set policy.path=MODEL" in refused("dpo", "own.yaml", model)
    for steps, said in (("[sft, dpo]", "steps is a mapping"), ("{sft: yes}", "a step is a mapping")):
        Path("own.yaml").write_text(f"steps: {steps}\n")
        assert said in refused("dpo", "own.yaml", None)


def test_a_function_that_is_named_as_a_reward_model(model):
    said = refused("grpo", "ask.jsonl", model, reward="own:score")
    assert "for a function of your own write python:own:score" in said


def test_a_rewards_module_that_exits_when_it_is_imported(model):
    Path("script.py").write_text("import sys\n\nsys.exit(3)\n")
    said = refused("grpo", "ask.jsonl", model, reward="python:script:score")
    assert "importing script failed: SystemExit(3)" in said


def test_what_is_filled_in_later_is_not_held_against_what_is_stated(model, monkeypatch):
    from plaudit.pipeline import defaults

    own = ("grpo.reward_function=own:score",)
    said = refused("grpo", "ask.jsonl", model, *own, "grpo.overlong_cache=49")
    assert "overlong_cache 49 is longer than the longest answer, max_new_tokens 48" in said
    monkeypatch.setattr(defaults, "size_of", lambda path: None)
    said = refused("grpo", "ask.jsonl", model, *own, "grpo.overlong_cache=64")
    assert "overlong_cache" not in said and "256 new tokens" in said
    assert "longest answer" in refused("grpo", "ask.jsonl", model, *own, "grpo.overlong_cache=300")


def test_a_cache_for_gguf_files_that_cannot_be_written(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from plaudit.models import gguf

    (tmp_path / "taken").write_text("")
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path / "taken"))
    monkeypatch.setattr(gguf, "_require_gguf", lambda: None)
    for auto in ("AutoConfig", "AutoTokenizer"):
        monkeypatch.setattr(gguf, auto, SimpleNamespace(from_pretrained=lambda *a, **k: SimpleNamespace()))
    with pytest.raises(UserError, match=r"cannot write .*taken(.|\n)*set PLAUDIT_CACHE to a folder"):
        gguf.converted(tmp_path / "m.gguf")


def test_weights_of_a_gguf_file_are_dequantized_when_nothing_is_wrong(tmp_path, monkeypatch):
    pytest.importorskip("gguf")
    from tiny_gguf import write_gguf

    from plaudit.models import gguf

    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path / "cache"))
    file = write_gguf(tmp_path / "toy.gguf")
    dequantized = []
    own = gguf._dequantized
    monkeypatch.setattr(gguf, "_dequantized", lambda *given: dequantized.append(file) or own(*given))
    write("empty.jsonl", [])
    write("long.jsonl", [{"prompt": "the cat " * 200}])
    assert "no rows in it" in refused("dpo", "empty.jsonl", file)
    assert "there is no file not-there" in refused("sft", "not-there.jsonl", file)
    said = refused("ppo", "long.jsonl", file, "ppo.max_new_tokens=128", reward="python:own:nothing")
    assert "has no 'nothing'" in said and "the model has 128 positions" in said
    assert "holds no tokenizer" not in said
    run_method("dpo", "pairs.jsonl", file, dry_run=True, out="run")
    assert not dequantized and not list((tmp_path / "cache").rglob("*.safetensors"))
    assert not Path("run").exists()
    folder = gguf.converted(file)
    assert dequantized == [file] and gguf.converted(file) == folder and len(dequantized) == 1
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {p.name for p in folder.iterdir()}
    assert len(list((tmp_path / "cache/gguf").iterdir())) == 1
    config = files.read_config(folder)
    assert config.architectures == ["LlamaForCausalLM"] and not hasattr(config, "quantization_config")


def test_a_hub_name_with_its_revision_is_what_a_judge_and_a_voice_load(monkeypatch):
    from types import SimpleNamespace

    from plaudit.feedback.sampling import voices_of
    from plaudit.generation import chat, local_labels
    from plaudit.judges.language_options import local_reviser, make_local

    loaded = []

    def load(name, source, **options):
        loaded.append(source)
        return SimpleNamespace(name=name)

    for module, name in ((chat, "LocalChatModel"), (local_labels, "LocalLabels")):
        monkeypatch.setattr(module, name, load)
    context = SimpleNamespace(runtime=SimpleNamespace(alone=lambda: None))
    make_local("owner/name@v1", {}, context)
    make_local("owner/name@v1", {"reason": True}, context)
    settings = SimpleNamespace(constitution="plaudit", temperature=1.0, max_new_tokens=4)
    local_reviser("owner/name@v1", {}, context, settings)
    assert loaded == ["owner/name@v1"] * 3
    assert voices_of(["owner/name@v1"])[0].model == "owner/name@v1"


def test_a_folder_without_weights_is_planned_for_and_not_run(model, tmp_path, capsys):
    folder = shutil.copytree(model, tmp_path / "bare")
    (folder / "model.safetensors").unlink()
    run_method("dpo", "pairs.jsonl", folder, out="run", dry_run=True)
    said = capsys.readouterr().out
    assert "bare holds no weights: this is the plan for its config" in said and "time: about" in said
    with pytest.raises(UserError, match=r"holds no weights(.|\n)*copy or download the model's weights"):
        run_method("dpo", "pairs.jsonl", folder, out="run")
