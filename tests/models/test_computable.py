"""Families that cannot be computed are refused in one sentence that names them, before anything is trained."""

from __future__ import annotations

import json

import pytest
import torch
from tiny_models import COMMON, plain_tokenizer
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from plaudit.data.tokens.batching import collate
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.errors import UserError
from plaudit.models.architectures import backbone
from plaudit.models.logprobs import log_probs
from plaudit.models.policy import load_policy
from plaudit.models.reward_model import RewardModel

T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
FAMILIES = {
    "rwkv": ({"attention_hidden_size": 32, "hidden_size": 32, "num_hidden_layers": 2}, AutoModelForCausalLM),
    "llama4_text": (COMMON | {"num_local_experts": 2, "head_dim": 8}, AutoModelForCausalLM),
    "bert": (COMMON, AutoModelForCausalLM),
    "bert-generation": (COMMON, AutoModelForCausalLM),
    "t5": (T5, AutoModelForSeq2SeqLM),
    "clip_text_model": (COMMON, AutoModel),
}
ITEM = TokenItem([5, 6, 7], (Segment.of([8, 9]),))


def written(folder, family):
    options, auto = FAMILIES[family]
    tokenizer = plain_tokenizer()
    auto.from_config(AutoConfig.for_model(family, vocab_size=len(tokenizer), **options)).save_pretrained(
        folder
    )
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_that_cannot_be_a_policy_is_named(family, tmp_path):
    with pytest.raises(UserError, match=f"{family}.* cannot be a policy: .*"):
        load_policy(written(tmp_path / "m", family))


@pytest.mark.parametrize("family", ["rwkv", "t5"])
def test_a_family_that_cannot_carry_a_reward_head_is_named(family, tmp_path):
    with pytest.raises(UserError, match=f"{family}.* cannot be the backbone of a reward model"):
        RewardModel.from_pretrained_backbone(written(tmp_path / "m", family))


def test_a_model_made_in_memory_is_refused_where_it_is_first_called():
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("bert-generation", vocab_size=64, **COMMON))
    with pytest.raises(UserError, match="tokens after it"):
        log_probs(model, collate([ITEM], 0))


def test_what_autograd_refuses_is_told_before_training():
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", vocab_size=64, **COMMON))
    norm = backbone(model).norm
    plain = norm.forward
    norm.forward = lambda x: torch.from_numpy(plain(x).detach().numpy())  # a kernel without a backward
    with pytest.raises(UserError, match="cannot be a policy: it fails on plain tokens"):
        log_probs(model, collate([ITEM], 0))
    model.requires_grad_(False)  # frozen, nothing asks for one
    assert log_probs(model, collate([ITEM], 0)).log_prob.isfinite().all()


@pytest.mark.parametrize(
    "facts, why",
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantized .gptq."),
        ({"model_type": "homemade", "auto_map": {"AutoConfig": "code.Config"}}, "homemade needs the code"),
        ({"is_encoder_decoder": True}, "encoder-decoder"),
    ],
)
def test_what_the_config_alone_shows_is_refused_before_weights_are_read(facts, why, tmp_path):
    tokenizer = plain_tokenizer()
    AutoConfig.for_model("llama", vocab_size=64, **COMMON).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    # Whole, and without a single weight.
    (tmp_path / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    config = json.loads((tmp_path / "config.json").read_text()) | facts
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=why):
        load_policy(tmp_path)
