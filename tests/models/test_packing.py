"""Packed rows and shared prompts compute what single sequences compute, forward and backward."""

from __future__ import annotations

import copy
import logging

import numpy as np
import pytest
import torch
from tiny_models import plain_tokenizer, write_model
from torch import nn

from plaudit.data.tokens.batching import collate
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.errors import UserError
from plaudit.kernels import packed_attention
from plaudit.models import attention, packing
from plaudit.models.adapters import adapter_off, add_lora
from plaudit.models.architectures import backbone
from plaudit.models.encoder import encode
from plaudit.models.heads import scores
from plaudit.models.logprobs import log_probs
from plaudit.models.packing import capability, layout_for
from plaudit.models.policy import load_policy
from plaudit.models.reward_model import RewardModel
from plaudit.runtime import use_compute


def made(*shapes):
    """Items of (prompt length, response lengths), tokens drawn at random."""
    rng = np.random.default_rng(3)
    return [
        TokenItem(rng.integers(5, 250, p), tuple(Segment.of(rng.integers(5, 250, r)) for r in rs))
        for p, rs in shapes
    ]


# Longer than every window and chunk; equal neighbours; one token; answers that join a block and that do not.
ITEMS = made(
    (9, (5, 7, 3)), (60, (40, 90)), (30, (4,)), (30, (4,)), (30, (4,)), (1, (1, 1)), (190, (40,)), (2, (33,))
)


def direct(model, items, temperature=1.0):
    """Log-probs of every response token by plain forwards of single sequences."""
    rows = []
    for item in items:
        for segment in item.responses:
            ids = torch.tensor([[*item.prompt, *segment.ids]])
            table = (model(input_ids=ids).logits[0].float() / temperature).log_softmax(-1)
            rows += [table[t - 1, ids[0, t]] for t in range(len(item.prompt), ids.shape[1])]
    return torch.stack(rows)


def gradient_of(model, values):
    model.zero_grad()
    (values * torch.linspace(-1, 1, len(values))).sum().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).clone()


def close(a, b, scale):
    assert float((a - b).norm()) <= 2e-6 * max(float(scale.norm()), 1e-3)


def test_every_family_packs_and_shares_prompts_exactly(decoder_folder):
    policy = load_policy(decoder_folder)
    expected = direct(policy.model, ITEMS)
    grad = gradient_of(policy.model, expected)
    assert capability(policy.model) == "shared"
    for kind in ("packed", "shared"):
        with use_compute(layout=kind):
            batch = collate(ITEMS, 0)
            got = log_probs(policy.model, batch).log_prob
        assert list(batch._layouts) == [kind]
        torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-5)
        close(gradient_of(policy.model, got), grad, grad)


def test_every_family_packs_for_the_kernel_of_other_devices(decoder_folder, monkeypatch):
    policy = load_policy(decoder_folder)
    expected = direct(policy.model, ITEMS)
    grad = gradient_of(policy.model, expected)
    monkeypatch.setattr(packed_attention, "LONGEST", 0)
    with use_compute(layout="shared"):
        got = log_probs(policy.model, collate(ITEMS, 0)).log_prob
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-5)
    close(gradient_of(policy.model, got), grad, grad)


def test_encoders_pack_whole_texts_exactly(encoder_folder):
    model = RewardModel.from_pretrained_backbone(encoder_folder, pooling="mean", seed=1)
    assert capability(model.backbone) == "packed"
    with use_compute(layout="padded"):
        expected = scores(model, collate(ITEMS, 0))
        grad = gradient_of(model, expected)
    got = scores(model, collate(ITEMS, 0))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    close(gradient_of(model, got), grad, grad)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_shared_prompt_counts_for_each_of_its_answers(pooling, tmp_path):
    policy = load_policy(write_model(tmp_path / "m", "llama", plain_tokenizer()))
    model = RewardModel.from_policy(policy, pooling=pooling, seed=1)
    got = scores(model, collate(ITEMS, 0))
    singles = [TokenItem(item.prompt, (r,)) for item in ITEMS for r in item.responses]
    alone = torch.cat([scores(model, collate([item], 0)) for item in singles])
    torch.testing.assert_close(got, alone, atol=1e-5, rtol=1e-5)


def test_adapters_and_their_absence_pack_exactly(tmp_path):
    policy = load_policy(write_model(tmp_path / "m", "llama", plain_tokenizer()))
    before = direct(policy.model, ITEMS).detach()
    add_lora(policy.model, 4, 8, seed=1)
    for name, p in policy.model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(p, std=0.2)
    adapted = direct(policy.model, ITEMS)
    assert float((adapted.detach() - before).abs().max()) > 0.1
    torch.testing.assert_close(
        log_probs(policy.model, collate(ITEMS, 0)).log_prob, adapted, atol=2e-5, rtol=1e-5
    )
    with adapter_off(policy.model):
        got = log_probs(policy.model, collate(ITEMS, 0)).log_prob
    torch.testing.assert_close(got, before, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_layers_computed_again_in_the_backward_pass_are_exact(family, tmp_path):
    policy = load_policy(write_model(tmp_path / "m", family, plain_tokenizer()))
    expected = gradient_of(policy.model, log_probs(policy.model, collate(ITEMS, 0)).log_prob)
    policy.model.activation_checkpointing_enable()
    policy.model.train()
    seen = attention.witnesses = []
    got = gradient_of(policy.model, log_probs(policy.model, collate(ITEMS, 0)).log_prob)
    attention.witnesses = None
    assert len(seen) == 4  # two layers, each twice
    close(got, expected, expected)


def test_a_family_that_cannot_pack_is_padded_with_a_reason(tmp_path, caplog):
    from transformers import BloomConfig, BloomForCausalLM

    model = BloomForCausalLM(BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=256)).eval()
    with caplog.at_level(logging.WARNING):
        assert layout_for(model) == "padded"
    assert "BloomModel is computed in padded batches" in caplog.text
    torch.testing.assert_close(
        log_probs(model, collate(ITEMS, 0)).log_prob, direct(model, ITEMS), atol=2e-5, rtol=1e-5
    )


def test_a_window_that_only_the_mask_knows_is_found_however_long_it_is(caplog):
    """PhiMoE's attention is not told of it: a packed row, which has no mask, would see beyond."""
    from transformers import PhimoeConfig, PhimoeForCausalLM

    torch.manual_seed(1)
    config = PhimoeConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=2,
        vocab_size=256,
        sliding_window=50,
    )
    model = PhimoeForCausalLM(config).eval()
    assert layout_for(model) == "padded" and config.sliding_window == 50
    torch.testing.assert_close(
        log_probs(model, collate(ITEMS, 0)).log_prob, direct(model, ITEMS), atol=2e-5, rtol=1e-5
    )


FAULTS = {
    "no sequences": lambda rows: ((0, rows[-1][1], 0, 0),),
    "no shared prompt": lambda rows: tuple((a, b, a, a) for a, b, _, _ in rows),
    "another prompt": lambda rows: tuple((a, b, c, max(c, d - 1)) for a, b, c, d in rows),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_gate_notices_an_attention_that_misreads_the_table(fault, tmp_path, monkeypatch):
    policy = load_policy(write_model(tmp_path / "m", "llama", plain_tokenizer()))
    read = attention.rows_of
    monkeypatch.setattr(attention, "rows_of", lambda table: FAULTS[fault](read(table)))
    assert capability(policy.model) == "padded"


def test_the_gate_notices_positions_that_do_not_start_again(tmp_path, monkeypatch):
    policy = load_policy(write_model(tmp_path / "m", "llama", plain_tokenizer()))
    inner = backbone(policy.model)
    plain = packing.arguments

    def running(*args):
        given = plain(*args)
        slots = given["position_ids"].shape[1]
        return given | {"position_ids": torch.arange(slots)[None]}

    monkeypatch.setattr(packing, "arguments", running)
    assert capability(inner) == "padded"


def test_the_gate_notices_a_layer_that_attends_in_its_own_way(tmp_path):
    policy = load_policy(write_model(tmp_path / "m", "llama", plain_tokenizer()))
    layer = policy.model.model.layers[1].self_attn
    layer.config = copy.copy(layer.config)
    layer.config._attn_implementation = "sdpa"
    assert capability(policy.model) == "padded"


def test_a_packed_model_still_answers_ordinary_calls_as_before(decoder_folder):
    policy = load_policy(decoder_folder)
    ids = torch.tensor([[40, 41, 42, 43, 44, 45], [50, 51, 52, 0, 0, 0]])
    mask = (ids != 0).long()
    with torch.no_grad():
        before = policy.model(input_ids=ids, attention_mask=mask).logits
        assert capability(policy.model) == "shared"
        after = policy.model(input_ids=ids, attention_mask=mask).logits
        grown = policy.model.generate(ids[:1], max_new_tokens=3, do_sample=False)
    torch.testing.assert_close(after[mask.bool()], before[mask.bool()], atol=1e-4, rtol=1e-4)
    plain = load_policy(decoder_folder)
    assert grown.tolist() == plain.model.generate(ids[:1], max_new_tokens=3, do_sample=False).tolist()


@pytest.mark.parametrize("kept", [0, 2**27])
@pytest.mark.parametrize("family", ["llama", "gemma2", "phi", "cohere"])
def test_the_log_prob_primitive_has_the_gradient_of_autograd(family, kept, tmp_path, monkeypatch):
    """Factor, cap, bias, temperature, entropy: against softmax by plain operations."""
    from transformers import CohereConfig, CohereForCausalLM

    if family == "cohere":
        torch.manual_seed(0)
        model = CohereForCausalLM(
            CohereConfig(
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=2,
                vocab_size=256,
                logit_scale=0.3,
            )
        ).eval()
    else:
        model = load_policy(write_model(tmp_path / "m", family, plain_tokenizer())).model
    if family == "phi":
        nn.init.normal_(model.lm_head.bias)
    monkeypatch.setattr("plaudit.models.logprobs.CHUNK", 1)
    items = made((7, (150, 30)), (4, (9,)))
    with use_compute(kept_logits=kept):
        out = log_probs(model, collate(items, 0), temperature=0.7, details=True)
    rows = []
    for item in items:
        for segment in item.responses:
            ids = torch.tensor([[*item.prompt, *segment.ids]])
            rows.append(model(input_ids=ids).logits[0, len(item.prompt) - 1 : -1].float() / 0.7)
    logits = torch.cat(rows)
    targets = torch.from_numpy(np.concatenate([s.ids for i in items for s in i.responses]))
    table = logits.log_softmax(-1)
    log_prob = table.gather(1, targets[:, None])[:, 0]
    entropy = -(table.exp() * table).sum(1)
    torch.testing.assert_close(out.log_prob, log_prob, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(out.entropy, entropy, atol=2e-5, rtol=1e-4)
    weight = torch.linspace(-1, 1, len(targets))
    ours = gradient_of(model, out.log_prob + weight * out.entropy)
    close(ours, theirs := gradient_of(model, log_prob + weight * entropy), theirs)


def test_bf16_computes_low_and_keeps_high(tmp_path):
    policy = load_policy(write_model(tmp_path / "m", "llama", plain_tokenizer()))
    exact = log_probs(policy.model, collate(ITEMS, 0)).log_prob
    grad = gradient_of(policy.model, exact)
    with use_compute(precision="bf16"):
        low = log_probs(policy.model, collate(ITEMS, 0)).log_prob
        assert encode(policy.model, collate(ITEMS, 0)).hidden.dtype == torch.float32
    assert low.dtype == torch.float32
    assert 1e-4 < float((low - exact).detach().abs().max()) < 0.5
    got = gradient_of(policy.model, low)
    assert all(p.grad.dtype == torch.float32 for p in policy.model.parameters())
    assert float((got - grad).norm()) < 0.1 * float(grad.norm())


def test_a_head_that_does_more_than_is_known_is_refused(tmp_path):
    policy = load_policy(write_model(tmp_path / "m", "llama", plain_tokenizer()))
    plain = type(policy.model).forward

    def squared(self, *args, **kwargs):
        out = plain(self, *args, **kwargs)
        out.logits = out.logits.square()
        return out

    policy.model.forward = squared.__get__(policy.model)
    del backbone(policy.model)._plaudit_policy
    with pytest.raises(UserError, match="not its output head"):
        log_probs(policy.model, collate(ITEMS, 0))
