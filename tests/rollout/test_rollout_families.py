"""Decoding over the row cache gives the logits of a plain forward pass, family by family."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
import transformers
from rollout_models import COMMON, FAMILIES, FUSED, GROUPED, VOCABULARY, build, plain_logits, policy

from plaudit.rollout.cache import RowCache
from plaudit.rollout.choose_forward import check, choose_forward
from plaudit.rollout.forward import CannotDecode, ModelForward
from plaudit.rollout.llama import LlamaForward
from plaudit.rollout.native import NativeSampler
from plaudit.rollout.protocol import Request, SamplingSettings
from plaudit.rollout.transformers_backend import TransformersSampler


class Uncompiled(LlamaForward):
    """As it is where numba is not installed."""

    def __init__(self, model):
        super().__init__(model)
        assert self.decode_kernel is not None
        self.decode_kernel = None


PATHS = [(family, ModelForward) for family in FAMILIES]
PATHS += [(family, way) for family in FUSED for way in (LlamaForward, Uncompiled)]


@torch.no_grad()
def teacher_forced_error(model, forward) -> tuple[float, float]:
    """The largest logit error, and the scale, of a run in which rows are dropped, join late and are moved."""
    rng = np.random.default_rng(3)
    sequences = torch.from_numpy(rng.integers(3, VOCABULARY, size=(6, 24)))
    columns = 20
    cache = RowCache(forward.windows, 4, columns, torch.float32, torch.device("cpu"))
    cache.end = 9
    worst = scale = 0.0

    def admit(slots, rows, prompts):
        ids = torch.stack([sequences[row] for row in rows])[:, : max(prompts)]
        slot, length = torch.tensor(slots), torch.tensor(prompts)
        cache.open(slot, length)
        for layer, (k, v) in enumerate(forward.prefill(ids)):
            cache.fill(layer, slot, torch.arange(len(rows)), length, k, v)
        for s, row, prompt in zip(slots, rows, prompts):
            held[s], seen[s] = row, prompt

    def steps(count):
        nonlocal worst, scale
        for _ in range(count):
            cache.advance()
            live = cache.live
            ids = torch.stack([sequences[held[s], seen[s]] for s in range(live)])
            logits = forward.step(ids, cache)
            for s in range(live):
                seen[s] += 1
                expected = plain_logits(model, sequences[held[s], : seen[s]])[-1]
                worst = max(worst, float((logits[s] - expected).abs().max()))
                scale = max(scale, float(expected.abs().max()))

    held, seen = [0] * 4, [0] * 4
    admit([0, 1, 2], [0, 1, 2], [9, 6, 1])
    cache.settle(3)
    steps(4)
    # Row 0 finishes; row 2 takes its slot; two more rows join later.
    cache.move(torch.tensor([2]), torch.tensor([0]))
    held[0], seen[0] = held[2], seen[2]
    cache.settle(2)
    steps(2)
    admit([2, 3], [3, 4], [7, 2])
    cache.settle(4)
    # The oldest row goes, which frees columns at the front, and the next steps run past the end.
    cache.move(torch.tensor([3]), torch.tensor([1]))
    held[1], seen[1] = held[3], seen[3]
    cache.settle(3)
    ends = []
    for _ in range(8):
        steps(1)
        ends.append(cache.end)
    assert min(ends) < 15, "the cache was never moved to the front"
    return worst, scale


@pytest.mark.parametrize(("family", "way"), PATHS, ids=[f"{f}-{w.__name__}" for f, w in PATHS])
def test_teacher_forced_logits_equal_a_plain_forward(family, way):
    model = build(family)
    with torch.no_grad():
        worst, scale = teacher_forced_error(model, way(model))
    assert scale > 1
    assert worst < 1e-5 * scale, f"logits differ by {worst:.2g} at a scale of {scale:.2g}"


@pytest.mark.parametrize("family", ["mistral window", "qwen3 mixed windows", "gemma2"])
def test_the_comparison_notices_a_lost_window(family):
    model = build(family)
    forward = ModelForward(model)
    forward.windows = [None] * 3
    if family == "gemma2" or "mixed" in family:
        # The model asks for a mask by kind; give both kinds the full one.
        forward.windows = [96 if kind.startswith("sliding") else None for kind in model.config.layer_types]
    worst, scale = teacher_forced_error(model, forward)
    assert worst > 1e-2 * scale


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi"])
def test_the_comparison_notices_a_wrong_position(family):
    model = build(family)
    forward = ModelForward(model)
    right = forward.model.forward

    def shifted(**arguments):
        return right(**{**arguments, "position_ids": arguments["position_ids"] + 1})

    forward.model.forward = shifted
    cache = RowCache(forward.windows, 4, 20, torch.float32, torch.device("cpu"))
    assert cache.live == 0
    with pytest.raises(CannotDecode, match="logits differ"), torch.no_grad():
        check(build(family), forward)


@torch.no_grad()
def test_a_forward_that_yields_nan_is_refused():
    forward = ModelForward(build("llama"))
    right = forward.step
    forward.step = lambda ids, cache: right(ids, cache) * torch.nan
    with pytest.raises(CannotDecode, match="logits differ"):
        check(build("llama"), forward)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_decoded_natively(family):
    with torch.inference_mode():
        way = choose_forward(build(family))
    assert way is (LlamaForward if family in FUSED else ModelForward)


def test_rotary_frequencies_that_change_with_the_length_are_not_decoded_natively():
    parameters = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    config = transformers.LlamaConfig(**COMMON, **GROUPED, rope_parameters=parameters)
    with torch.inference_mode():
        assert choose_forward(transformers.LlamaForCausalLM(config).eval()) is None


def test_an_adapter_is_decoded_by_its_own_modules():
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(
        task_type="CAUSAL_LM", target_modules=["q_proj", "down_proj"], init_lora_weights=False
    )
    model = peft.get_peft_model(build("llama"), config).eval()
    with torch.inference_mode():
        assert choose_forward(model) is ModelForward
    [sampled] = NativeSampler(policy(model)).sample(
        [Request(np.array([5, 6, 7]), "p")], SamplingSettings(12), seed=0, step=0
    )
    ids = np.concatenate([sampled.prompt_ids, sampled.ids])
    with_adapter = (
        plain_logits(model, ids).log_softmax(-1)[2:-1].gather(1, torch.from_numpy(sampled.ids)[:, None])
    )
    np.testing.assert_allclose(sampled.log_probs, with_adapter[:, 0].numpy(), atol=2e-5)
    with model.disable_adapter():
        without = (
            plain_logits(model, ids).log_softmax(-1)[2:-1].gather(1, torch.from_numpy(sampled.ids)[:, None])
        )
    assert np.abs(sampled.log_probs - without[:, 0].numpy()).max() > 0.1


def test_a_model_without_a_key_value_cache_falls_back_and_says_so(caplog):
    torch.manual_seed(0)
    config = transformers.MambaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        state_size=4,
        pad_token_id=0,
        bos_token_id=1,
    )
    mamba = policy(transformers.MambaForCausalLM(config).eval())
    requests = [Request(np.array([5, 6, 7]), "a", 2), Request(np.array([9, 8, 11]), "b")]
    settings = SamplingSettings(6)
    with caplog.at_level(logging.INFO, logger="plaudit.rollout"):
        native = NativeSampler(mamba).sample(requests, settings, seed=0, step=0)
    assert any("generate" in record.getMessage() for record in caplog.records)
    assert any("is not used" in record.getMessage() for record in caplog.records)
    reference = TransformersSampler(mamba).sample(requests, settings, seed=0, step=0)
    for a, b in zip(native, reference):
        np.testing.assert_array_equal(a.ids, b.ids)
