"""The fused layers compute what the model's own modules compute, forward and backward, and step aside elsewhere."""

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
from plaudit.kernels import (
    elementwise,
    elementwise_numba,
    fused_attention,
    fused_mlp,
    fused_qkv,
    linear,
    optional,
)
from plaudit.kernels.attention_blocks import cut_into_blocks
from plaudit.kernels.blockwise_attention import (
    BlockwisePlan,
    aligned_blocks,
    attention_backward,
    attention_forward,
)
from plaudit.models import fused_decoder
from plaudit.models.adapters import add_lora
from plaudit.models.encoder import encode
from plaudit.models.heads import scores, values
from plaudit.models.logprobs import log_probs
from plaudit.models.policy import load_policy
from plaudit.models.reward_model import RewardModel
from plaudit.runtime import use_compute

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
rng = np.random.default_rng(11)
# Answers of one prompt, equal neighbours, single tokens, longer than a chunk of queries and than every window.
ITEMS = [
    TokenItem(rng.integers(5, 250, p), tuple(Segment.of(rng.integers(5, 250, r)) for r in rs))
    for p, rs in (
        (9, (5, 7, 3)),
        (60, (40, 90)),
        (30, (4,)),
        (30, (4,)),
        (1, (1, 1)),
        (190, (40,)),
        (2, (33,)),
    )
]


def policy_of(family, folder, **over):
    """A model with weights in its norms, and biases, that are not what they start as."""
    over |= {"attention_dropout": 0.0} if family == "qwen2" else {}
    made = load_policy(write_model(folder, family, plain_tokenizer(), **over))
    torch.manual_seed(3)
    for name, p in made.model.named_parameters():
        if p.ndim == 1:
            nn.init.normal_(p, 1.0 if "norm" in name else 0.0, 0.3)
    return made


WITH = ("varlen", "numba", "torch")
# Every architecture and every kind of kernels once; `make test-slow` runs all pairs.
FEW = {("llama", "varlen"), ("mistral", "varlen"), ("qwen2", "torch"), ("qwen3", "numba")}
PAIRS = [
    pytest.param(pair, marks=() if pair in FEW else pytest.mark.slow, id="-".join(pair))
    for pair in ((family, kernels) for family in FAMILIES for kernels in WITH)
]


def policy_with(pair, monkeypatch, folder):
    """A policy, computed with numba on a processor with or without the GEMM kernel's vectors, or without numba."""
    family, kernels = pair
    allowed = {"varlen": FAST, "numba": FAST[1:], "torch": ()}[kernels]

    def load(name):
        return optional.load_compiled(name) if name.rpartition(".")[2] in allowed else None

    for module in (
        "plaudit.kernels.packed_attention.load_compiled",
        "plaudit.kernels.elementwise.load_compiled",
    ):
        monkeypatch.setattr(module, load)
    # Heads of 16 numbers are for the varlen kernel, of 8 for blocks.
    over = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16} if kernels == "varlen" else {}
    return policy_of(family, folder, num_hidden_layers=3, **over)


FAST = ("varlen_attention", "elementwise_numba")


@pytest.fixture(params=PAIRS)
def policy(request, tmp_path, monkeypatch):
    return policy_with(request.param, monkeypatch, tmp_path / "m")


@pytest.mark.parametrize("kernels", WITH)
def test_the_kernels_are_those_that_are_asked_for(kernels, tmp_path, monkeypatch):
    policy = policy_with(("llama", kernels), monkeypatch, tmp_path / "m")
    found = optional.load_compiled("plaudit.kernels.varlen_attention")
    used = set()
    for kind in (BlockwisePlan, *([found.VarlenPlan] if found else [])):
        plain = kind.forward
        note = lambda *given, kind=kind, plain=plain: (used.add(kind), plain(*given))[1]  # noqa: E731
        monkeypatch.setattr(kind, "forward", note)
    plain_swiglu = elementwise_numba.swiglu
    note = lambda *given: (used.add("swiglu"), plain_swiglu(*given))[1]  # noqa: E731
    monkeypatch.setattr(elementwise_numba, "swiglu", note)
    log_probs(policy.model, collate(ITEMS, 0))
    plan = found.VarlenPlan if kernels == "varlen" and found else BlockwisePlan
    assert used == {plan, *([] if kernels == "torch" else ["swiglu"])}


def measured(model, call, **settings):
    """What a call gives and the gradient of a weighted sum of it, by parameter."""
    model.zero_grad()
    with use_compute(**settings):
        found = call()
        (found * torch.linspace(-1, 1, len(found))).sum().backward()
    return found.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def apart(one, other):
    """The distance of two gradients in parts of the second's norm."""
    assert one.keys() == other.keys()
    difference = torch.cat([(one[n] - other[n]).flatten() for n in other])
    return float(difference.norm() / torch.cat([g.flatten() for g in other.values()]).norm())


@pytest.fixture
def uses(monkeypatch):
    """How often fused layers were computed."""
    seen = []
    plain = fused_decoder._feed_forward
    monkeypatch.setattr(fused_decoder, "_feed_forward", lambda *given: (seen.append(1), plain(*given))[1])
    return seen


@pytest.mark.parametrize("pair", [(f, k) for f in FAMILIES for k in WITH], ids="-".join)
@pytest.mark.parametrize("layout", ["shared", pytest.param("packed", marks=pytest.mark.slow)])
def test_log_probs_and_gradients_are_the_modules_own(pair, layout, uses, tmp_path, monkeypatch):
    policy = policy_with(pair, monkeypatch, tmp_path / "m")

    def call():
        return log_probs(policy.model, collate(ITEMS, 0), temperature=0.8).log_prob

    own, own_grad = measured(policy.model, call, layout=layout, fused=False)
    assert not uses
    got, grad = measured(policy.model, call, layout=layout)
    assert uses
    torch.testing.assert_close(got, own, atol=5e-5, rtol=5e-5)
    assert apart(grad, own_grad) < 1e-5


def test_many_chunks_give_what_one_gives(policy, monkeypatch):
    call = lambda: log_probs(policy.model, collate(ITEMS, 0)).log_prob  # noqa: E731
    one, one_grad = measured(policy.model, call)
    monkeypatch.setattr(elementwise, "ROW_CHUNK", 7)
    many, many_grad = measured(policy.model, call)
    torch.testing.assert_close(many, one, atol=5e-5, rtol=5e-5)
    assert apart(many_grad, one_grad) < 1e-5


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_scores_are_the_modules_own(policy, pooling):
    model = RewardModel.from_policy(policy, pooling=pooling, seed=1)
    own, own_grad = measured(model, lambda: scores(model, collate(ITEMS, 0)), fused=False)
    got, grad = measured(model, lambda: scores(model, collate(ITEMS, 0)))
    torch.testing.assert_close(got, own, atol=5e-5, rtol=5e-5)
    assert apart(grad, own_grad) < 1e-5


def test_what_nobody_reads_is_not_computed(policy, monkeypatch):
    rows = []
    plain = fused_mlp.FusedMLP.forward
    monkeypatch.setattr(
        fused_mlp.FusedMLP,
        "forward",
        staticmethod(lambda ctx, x, *more: (rows.append(len(x)), plain(ctx, x, *more))[1]),
    )
    batch = collate(ITEMS, 0)
    whole = encode(policy.model, batch)
    rows.clear()
    some = encode(policy.model, batch, at="last")
    last = batch.layout("shared").last
    assert rows[-1] == linear.ROW_MULTIPLE < rows[0]
    torch.testing.assert_close(some.hidden[last], whole.hidden[last], atol=5e-5, rtol=5e-5)


def test_bf16_is_as_close_to_fp32_as_the_modules_own(policy):
    call = lambda: log_probs(policy.model, collate(ITEMS, 0)).log_prob  # noqa: E731
    exact, exact_grad = measured(policy.model, call)
    own, own_grad = measured(policy.model, call, precision="bf16", fused=False)
    got, grad = measured(policy.model, call, precision="bf16")
    assert 1e-5 < float((got - exact).norm()) < 1.3 * float((own - exact).norm())
    assert apart(grad, exact_grad) < 1.3 * apart(own_grad, exact_grad)
    assert all(g.dtype == torch.float32 for g in grad.values())


def test_frozen_weights_get_no_gradient_and_change_no_other(policy):
    call = lambda: log_probs(policy.model, collate(ITEMS, 0)).log_prob  # noqa: E731
    _, whole = measured(policy.model, call)
    frozen = [n for i, n in enumerate(whole) if i % 2]
    for name, p in policy.model.named_parameters():
        p.requires_grad_(name not in frozen)
    _, some = measured(policy.model, call)
    assert not set(some) & set(frozen)
    assert apart(some, {n: whole[n] for n in some}) < 1e-6


def test_without_gradients_nothing_is_kept_and_the_numbers_are_the_same(policy):
    with torch.no_grad():
        bare = log_probs(policy.model, collate(ITEMS, 0)).log_prob
    torch.testing.assert_close(
        bare, log_probs(policy.model, collate(ITEMS, 0)).log_prob, atol=1e-6, rtol=1e-6
    )


def stepped_aside(model, uses, **settings):
    uses.clear()
    with use_compute(**settings):
        log_probs(model, collate(ITEMS, 0))
    return not uses


def test_the_fused_layers_step_aside(tmp_path, uses, monkeypatch):
    """For whoever watches a module, has changed one, trains adapters, or asks for less memory."""
    whole = load_policy(write_model(tmp_path / "m", "llama", plain_tokenizer()))

    def fresh():
        return copy.deepcopy(whole.model)

    assert not stepped_aside(whole.model, uses)
    assert stepped_aside(whole.model, uses, fused=False)
    assert stepped_aside(whole.model, uses, layout="padded")
    watched = fresh()
    hook = watched.model.layers[1].mlp.register_forward_hook(lambda *_: None)
    assert stepped_aside(watched, uses)
    hook.remove()
    assert not stepped_aside(watched, uses)
    hook = watched.model.layers[1].mlp.register_full_backward_hook(lambda *_: None)
    assert stepped_aside(watched, uses)
    hook.remove()
    watched.model.layers[0].mlp.forward = watched.model.layers[0].mlp.forward
    assert stepped_aside(watched, uses)
    changed = fresh()
    changed.model.layers[0].self_attn.q_proj = type("Other", (nn.Linear,), {})(32, 32)
    assert stepped_aside(changed, uses)
    checkpointed = fresh()
    checkpointed.activation_checkpointing_enable({"use_reentrant": False})
    assert stepped_aside(checkpointed.train(), uses)
    adapted = load_policy(tmp_path / "m")
    add_lora(adapted.model, 4, 8, seed=1)
    assert stepped_aside(adapted.model, uses)
    assert stepped_aside(fresh().bfloat16(), uses)
    monkeypatch.setattr(fused_decoder, "LONGEST", 100)
    assert stepped_aside(whole.model, uses)


qkv_projections, rope = fused_qkv.qkv_projections, elementwise_numba.rope
FAULTS = {
    "a rotation the other way": [
        (fused_qkv, "rope_pairs", lambda x, turn: elementwise.rope_pairs(x, turn.conj())),
        (
            elementwise_numba,
            "rope",
            lambda made, turn, *more: rope(made, turn * torch.tensor([[1.0], [-1.0]]), *more),
        ),
    ],
    "a norm without its weight": [
        (
            fused_attention,
            "qkv_projections",
            lambda spec, turn, needed, scale, *weights: qkv_projections(
                spec, turn, needed, torch.ones_like(scale), *weights
            ),
        ),
    ],
    "a norm of twice the size": [
        (fused_attention, "inverse_rms", lambda x, eps: 2 * elementwise.inverse_rms(x, eps))
    ],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fused_layer_that_differs_is_noticed(policy, fault, uses, monkeypatch, caplog):
    for room, name, wrong in FAULTS[fault]:
        monkeypatch.setattr(room, name, wrong)
    with caplog.at_level(logging.WARNING):
        got = log_probs(policy.model, collate(ITEMS, 0)).log_prob
        uses.clear()
        log_probs(policy.model, collate(ITEMS, 0))
    assert not uses
    assert "is computed by its own modules" in caplog.text
    with use_compute(fused=False):
        torch.testing.assert_close(got, log_probs(policy.model, collate(ITEMS, 0)).log_prob)


def test_a_critic_is_fused_too(policy, uses):
    from plaudit.models.critic import Critic

    critic = Critic.from_policy(policy)
    nn.init.normal_(critic.head.weight)
    own, own_grad = measured(critic, lambda: values(critic, collate(ITEMS, 0)), fused=False)
    got, grad = measured(critic, lambda: values(critic, collate(ITEMS, 0)))
    assert uses
    torch.testing.assert_close(got, own, atol=5e-5, rtol=5e-5)
    assert apart(grad, own_grad) < 1e-5


ROWS = (
    (0, 50, 0, 0),
    (50, 57, 0, 50),
    (57, 100, 0, 50),
    (100, 290, 100, 100),
    (290, 300, 290, 290),
    (300, 310, 300, 300),
)


@pytest.mark.parametrize("window", [None, 20])
@pytest.mark.parametrize("kv", [4, 2])
def test_pieces_rounded_up_or_narrowed_attend_alike(window, kv):
    blocks = cut_into_blocks(ROWS, True, 128)
    slots = 310
    torch.manual_seed(0)
    q, k, v = torch.randn(4, slots, 8), torch.randn(kv, slots, 8), torch.randn(kv, slots, 8)
    grad = torch.randn(slots, 4, 8)

    def run(pieces, q, grad):
        out = torch.empty(q.shape[1], 4, 8)
        kept = attention_forward(q, k, v, pieces, out)
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        attention_backward(grad, q, k, v, kept, pieces, dq, dk, dv)
        return out, dq, dk, dv

    plain = aligned_blocks(blocks, window=window, slots=slots)
    expected = run(plain, q, grad)
    rounded = aligned_blocks(blocks, window=window, slots=slots, align=True)
    assert any(p.rows != p.asked for p in rounded) and any(p.read != p.keys for p in rounded)
    for one, other in zip(run(rounded, q, grad), expected):
        torch.testing.assert_close(one, other, atol=5e-5, rtol=5e-5)
    # Every third slot, and all of those that are computed side by side.
    wanted = torch.arange(slots) % 3 == 0
    wanted[290:] = True
    needed = wanted.nonzero().squeeze(1)
    only = grad * wanted[:, None, None]
    expected = run(plain, q, only)
    for align in (False, True):
        narrow = aligned_blocks(blocks, window=window, slots=slots, align=align, needed=needed)
        out, dq, dk, dv = run(narrow, q[:, needed], grad[needed])
        torch.testing.assert_close(out, expected[0][needed], atol=5e-5, rtol=5e-5)
        torch.testing.assert_close(dq, expected[1][:, needed], atol=5e-5, rtol=5e-5)
        for one, other in zip((dk, dv), expected[2:]):
            torch.testing.assert_close(one, other, atol=5e-5, rtol=5e-5)


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_are_products(dtype, onednn, monkeypatch):
    if onednn and not linear.ONEDNN:
        pytest.skip("this build of torch has no oneDNN")
    monkeypatch.setattr(linear, "ONEDNN", onednn)
    torch.manual_seed(0)
    x, w, g = torch.randn(37, 24).to(dtype), torch.randn(40, 24).to(dtype), torch.randn(37, 40).to(dtype)
    near = {"atol": 1e-5, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 0.1, "rtol": 2e-2}
    torch.testing.assert_close(linear.linear(x, w).float(), x.float() @ w.float().t(), **near)
    torch.testing.assert_close(linear.linear_grad_input(g, w).float(), g.float() @ w.float(), **near)
    torch.testing.assert_close(linear.PrepackedLinear(w)(x).float(), x.float() @ w.float().t(), **near)
    total = torch.ones(40, 24)
    linear.accumulate_grad_weight(total, g, x)
    torch.testing.assert_close(total, 1 + g.float().t() @ x.float(), **near)
