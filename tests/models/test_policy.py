"""Policies: the loading path of every family, saving, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_models import TEXTS, plain_tokenizer, write_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from plaudit.data.records import Demonstration, Prompt, Response
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.batching import collate
from plaudit.errors import UserError
from plaudit.models.logprobs import log_probs
from plaudit.models.policy import build_policy, freeze_copy, load_policy, save_policy
from plaudit.models.tokenizers import train_bpe

DEMONSTRATIONS = [
    Demonstration(Prompt.user("Where does an owl live?"), Response("In a tree.")),
    Demonstration(Prompt.user("What is 12 plus 30?"), Response("It is 42, as far as I know.")),
]


def small_policy(seed: int = 0):
    tokenizer = train_bpe(TEXTS, 300)
    return build_policy(tokenizer, hidden=32, layers=2, heads=4, max_positions=64, seed=seed)


def logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits


def test_every_family_loads_renders_and_saves_with_equal_logits(decoder_folder, tmp_path):
    policy = load_policy(decoder_folder)
    renderer = Renderer(policy.tokenizer)
    items = [renderer.demonstration(d) for d in DEMONSTRATIONS]
    renderer.lint(items)
    ids = [*items[0].prompt, *items[0].responses[0].ids]
    before = logits(policy.model, ids)
    save_policy(policy, tmp_path / "saved", card="# A tiny model")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert torch.equal(logits(plain, ids), before)
    assert torch.equal(logits(load_policy(tmp_path / "saved").model, ids), before)
    conversation = [{"role": "user", "content": DEMONSTRATIONS[0].prompt.text}]
    text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == items[0].prompt.tolist()
    assert (tmp_path / "saved" / "README.md").read_text() == "# A tiny model"


def test_every_family_gives_the_log_probs_that_its_own_logits_say(decoder_folder):
    policy = load_policy(decoder_folder)
    renderer = Renderer(policy.tokenizer)
    items = [renderer.demonstration(d) for d in DEMONSTRATIONS]
    with torch.no_grad():
        ours = log_probs(policy.model, collate(items, policy.pad_id)).log_prob
        direct = []
        for item in items:
            ids = [*item.prompt, *item.responses[0].ids]
            rows = policy.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
            direct += [rows[t - 1, ids[t]] for t in range(len(item.prompt), len(ids))]
    torch.testing.assert_close(ours, torch.stack(direct), atol=2e-5, rtol=1e-5)


def test_dropout_is_off_in_the_config_and_in_training_mode(decoder_folder):
    policy = load_policy(decoder_folder)
    policy.model.train()
    ids = list(range(5, 25))
    assert torch.equal(logits(policy.model, ids), logits(policy.model, ids))
    rates = {k: v for k, v in vars(policy.model.config).items() if "drop" in k and isinstance(v, float)}
    assert not any(rates.values())


def test_the_same_seed_builds_the_same_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one = small_policy(1)
    assert torch.equal(torch.rand(1), expected)
    two, other = small_policy(1), small_policy(2)
    for (name, a), b in zip(one.model.state_dict().items(), two.model.state_dict().values()):
        assert torch.equal(a, b), name
    assert not torch.equal(one.model.lm_head.weight, other.model.lm_head.weight)


def test_end_tokens_are_the_templates_and_all_of_the_configs(tmp_path):
    folder = write_model(tmp_path / "m", "llama", plain_tokenizer())
    generation = folder / "generation_config.json"
    generation.write_text(json.dumps({"eos_token_id": [2, 77]}))
    policy = load_policy(folder)
    end = policy.tokenizer.convert_tokens_to_ids("</s>")
    assert policy.end_ids[0] == end
    assert set(policy.end_ids) == {end, 2, 77}
    save_policy(policy, tmp_path / "saved", card="")
    assert set(AutoModelForCausalLM.from_pretrained(tmp_path / "saved").generation_config.eos_token_id) == {
        end,
        2,
        77,
    }


def test_pad_falls_back_to_an_end_token_where_the_tokenizer_has_none(tmp_path):
    policy = load_policy(write_model(tmp_path / "m", "gpt2", plain_tokenizer(pad=None, end="<|endoftext|>")))
    assert policy.pad_id == policy.tokenizer.eos_token_id


def test_a_sampling_config_that_transformers_would_not_write_is_saved_all_the_same(tmp_path):
    folder = write_model(tmp_path / "m", "llama", plain_tokenizer())
    (folder / "generation_config.json").write_text(json.dumps({"temperature": 0.6, "top_p": 0.9}))
    save_policy(load_policy(folder), tmp_path / "saved", card="")
    assert load_policy(tmp_path / "saved").end_ids


def test_a_frozen_copy_is_of_the_model_in_memory_and_stays(tmp_path):
    policy = small_policy()
    with torch.no_grad():
        policy.model.lm_head.weight.mul_(3)
    reference = freeze_copy(policy)
    ids = list(range(6, 20))
    before = logits(policy.model, ids)
    assert torch.equal(logits(reference.model, ids), before)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(0.1)
    assert torch.equal(logits(reference.model, ids), before)
    assert not any(p.requires_grad for p in reference.model.parameters())
    assert all(p.requires_grad for p in policy.model.parameters())


def test_a_save_that_fails_leaves_the_older_model_whole(tmp_path, monkeypatch):
    policy = small_policy()
    save_policy(policy, tmp_path / "m", card="first")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(policy.tokenizer), "save_pretrained", full)
    with pytest.raises(UserError, match="No space left"):
        save_policy(policy, tmp_path / "m", card="second")
    assert (tmp_path / "m" / "README.md").read_text() == "first"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


def test_no_saved_file_names_the_folder_it_came_from(tmp_path):
    folder = write_model(tmp_path / "origin-of-weights", "llama", plain_tokenizer())
    save_policy(load_policy(folder), tmp_path / "saved", card="")
    for file in (tmp_path / "saved").iterdir():
        assert b"origin-of-weights" not in file.read_bytes(), file.name


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("good") / "m", "llama", plain_tokenizer())


def copy_of(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "m"))


def test_what_is_no_model_folder_is_told_apart(good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "file.txt").write_text("x")
    for path in (tmp_path / "nowhere", "runs/nowhere", "./nowhere", "a/b/c", "/nowhere/model", "~no/model"):
        with pytest.raises(UserError, match="no model folder"):
            load_policy(path)
    with pytest.raises(UserError, match="no model folder"):
        load_policy("owner/name", local_only=True)
    with pytest.raises(UserError, match="is a file"):
        load_policy(tmp_path / "file.txt")


def test_missing_parts_of_a_folder_are_named(good, tmp_path):
    folder = copy_of(good, tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="cannot be loaded"):
        load_policy(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no weights"):
        load_policy(folder)
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"no config\.json"):
        load_policy(folder)


def test_pickled_weights_are_refused_unread(good, tmp_path):
    folder = copy_of(good, tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    with pytest.raises(UserError, match="pickles"):
        load_policy(folder)


def test_code_in_a_model_folder_is_not_run(good, tmp_path):
    folder = copy_of(good, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "homemade", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UserError):
        load_policy(folder)
    assert not (tmp_path / "ran").exists()


def test_broken_files_are_user_errors(good, tmp_path):
    folder = copy_of(good, tmp_path)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:1000])
    with pytest.raises(UserError, match="is no whole safetensors file"):
        load_policy(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError):
        load_policy(folder)


def test_weights_that_would_be_random_are_an_error(good, tmp_path):
    folder = copy_of(good, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["num_hidden_layers"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="lacks"):
        load_policy(folder)


def test_a_tokenizer_larger_than_the_embedding_is_an_error(good, tmp_path):
    folder = write_model(tmp_path / "m", "llama", plain_tokenizer(), rows=200)
    with pytest.raises(UserError, match="embeddings for 200"):
        load_policy(folder)


def test_a_local_folder_never_touches_the_network(good, monkeypatch):
    import socket

    def refuse(*_, **__):
        raise AssertionError("network used")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    load_policy(good)
