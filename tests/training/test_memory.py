"""Memory is counted before it is used, and running out of it changes nothing but the speed."""

from __future__ import annotations

import gc
import logging

import pytest
import torch
from hypothesis import given, strategies as st
from toy import CASES, comes_first, demonstrations, toy_policy

from plaudit.config import Scratch, Training
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.layout import slots_of
from plaudit.errors import UserError
from plaudit.methods import train
from plaudit.methods.supervised import Supervised
from plaudit.methods.train import render_demonstrations
from plaudit.models import packing
from plaudit.models.adapters import add_lora, rank_of
from plaudit.runs import Stage
from plaudit.runtime import use_compute
from plaudit.training import device as device_module
from plaudit.training.cost_model import HELD, Footprint, config_of, footprint, slice_of
from plaudit.training.engine import Engine, ParameterGroup, trainable
from plaudit.training.fit import fit
from plaudit.training.memory import (
    ENOUGH,
    choose,
    fit_memory,
    fixed_bytes,
    is_out_of_memory,
    keep_freed_memory,
    memory_limit,
    need,
    spare_libraries,
)

CPU = torch.device("cpu")
KEPT = Footprint(layer=1000.0, rest=100.0, checkpointed=100.0, again=1000.0)
SHAPE = {"layers": 10, "vocabulary": 1000}


class Scarce:
    """A method for which more than ``most`` slots at once are too much."""

    def __init__(self, method, most):
        self.method, self.most, self.pad_id = method, most, method.pad_id
        self.largest = 0

    @property
    def layout(self):
        return self.method.layout

    def normalizers(self, items):
        return self.method.normalizers(items)

    def loss(self, batch):
        slots = batch.layout(self.layout).input_ids.numel()
        output = self.method.loss(batch)
        if slots > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        self.largest = max(self.largest, slots)
        return output


def engine_of(modules, budget):
    return Engine(
        [ParameterGroup(name, trainable(module), 1e-3) for name, module in modules.items()],
        schedule=lambda step: 1.0,
        token_budget=budget,
    )


def grads(modules):
    return torch.cat(
        [p.grad.flatten() for m in modules.values() for p in m.parameters() if p.grad is not None]
    )


# Other objectives of a method take the same memory.
@pytest.mark.parametrize(
    "case", [case if comes_first(case) else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_running_out_of_memory_halves_the_budget_and_changes_no_gradient(case, caplog):
    method, items, modules = CASES[case]()
    plain = engine_of(modules, 4096)
    loss = plain.accumulate([(method, items)])["loss"][0]
    expected = grads(modules).clone()
    for module in modules.values():
        module.zero_grad(set_to_none=True)
    engine = engine_of(modules, 4096)
    most = int(1.2 * max(slots_of(item, method.layout) for item in items))
    scarce = Scarce(method, most)
    with caplog.at_level(logging.WARNING):
        got = engine.accumulate([(scarce, items)])["loss"][0]
    assert scarce.largest <= most
    halved = [e["token_budget"] for e in engine.events]
    assert len(halved) >= 3
    assert halved == [4096 >> n for n in range(1, len(halved) + 1)]
    assert engine.token_budget == halved[-1]
    assert f"the token budget goes from {2 * halved[-1]} to {halved[-1]}" in caplog.text
    assert got == pytest.approx(loss, rel=1e-5)
    assert float((grads(modules) - expected).norm()) <= 1e-5 * float(expected.norm())


def test_one_example_that_does_not_fit_is_told_with_what_to_do():
    method, items, modules = CASES["sft"]()
    before = [p.clone() for p in modules["policy"].parameters()]
    with pytest.raises(UserError, match="one example at a time"):
        engine_of(modules, 4096).step([(Scarce(method, 1), items)])
    assert all(torch.equal(a, b) for a, b in zip(before, modules["policy"].parameters()))


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    method, items, modules = CASES["sft"]()

    def broken(batch):
        raise RuntimeError("shapes do not match")

    method.loss = broken
    with pytest.raises(RuntimeError, match="shapes"):
        engine_of(modules, 4096).accumulate([(method, items)])
    assert is_out_of_memory(
        RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried")
    )
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("out of memory"))


def test_what_ran_out_of_memory_is_recorded_in_the_stage(tmp_path):
    policy = toy_policy()
    items = render_demonstrations(Renderer(policy.tokenizer), demonstrations())
    method = Scarce(Supervised(policy), 120)
    stage = Stage(tmp_path / "sft")
    settings = Training(max_steps=2, batch_size=8, token_budget=400)
    fit(method, items, settings, stage, modules={"policy": policy.model})
    assert [e["event"] for e in stage.events()] == ["out of memory", "out of memory"]
    assert stage.events()[-1]["token_budget"] == 100


def test_a_smaller_limit_gives_a_smaller_budget_that_fits():
    budgets = []
    for limit in (1e9, 1e8, 3e7, 1e7):
        fit = choose(limit, 200, KEPT, fixed=2e6, **SHAPE)
        # By the formula written out: layers, rest, logits and their gradient.
        assert fit.bytes == 2e6 + fit.token_budget * (10 * 1000 + 100 + 8 * 1000)
        assert fit.bytes <= limit < 2e6 + (fit.token_budget + 1) * 18_100 or fit.token_budget == ENOUGH
        budgets.append(fit.token_budget)
    assert budgets == [ENOUGH, 5414, 1546, 441]


@given(st.floats(1e6, 1e9), st.floats(0, 1e7), st.floats(0, 1), st.integers(10, 10**6))
def test_room_is_the_largest_budget_within_the_limit(limit, fixed, share, vocabulary):
    wanted = need(KEPT, fixed=fixed, layers=3, vocabulary=vocabulary, share=share)
    room = wanted.room(limit)
    if room >= 1:
        assert wanted.total(room) <= limit * (1 + 1e-9)
    assert wanted.total(max(0, room) + 1) >= limit * (1 - 1e-9)


def test_layers_are_computed_again_only_where_nothing_else_fits():
    roomy = choose(1e9, 500, KEPT, fixed=0.0, **SHAPE)
    assert not roomy.checkpointing
    # 500 tokens keep 5 MB of layers in full, 1 MB when computed again; logits take 4 MB a 500 rows at share 0.
    tight = choose(4e6, 500, KEPT, fixed=0.0, share=0.0, **SHAPE)
    assert tight.checkpointing
    assert tight.bytes <= 4e6
    assert choose(1e9, 500, KEPT, fixed=0.0, checkpointing=True, **SHAPE).checkpointing
    hopeless = choose(1e5, 500, KEPT, fixed=0.0, share=0.0, **SHAPE)
    assert hopeless.bytes > 1e5


def test_weights_count_16_bytes_where_trained_and_4_where_not():
    policy = toy_policy()
    size = sum(p.numel() for p in policy.model.parameters())
    assert fixed_bytes([policy.model]) == 16 * size
    policy.model.requires_grad_(False)
    assert fixed_bytes([policy.model, policy.model]) == 4 * size


def test_the_counted_bytes_are_those_that_a_step_keeps():
    """Against what autograd saves for a real batch of the whole model."""
    source = Scratch(hidden=64, layers=4, heads=4, vocabulary=300)
    config = config_of(source)
    from plaudit.training.cost_model import _kept

    for fused in (False, True):
        kept = footprint(config, "fp32", length=96, fused=fused)
        whole = _kept(config, 4, "fp32", 96, "shared", fused, 0)
        assert 4 * kept.layer + kept.rest == pytest.approx(whole, rel=0.02)
        assert kept.layer > 10 * 4 * 64
        longer = footprint(config, "fp32", length=384, fused=fused)
        assert longer.layer > kept.layer  # attention keeps T numbers a token and head
        assert footprint(config, "bf16", length=96, fused=fused).layer < 0.85 * kept.layer
    own = footprint(config, "fp32", length=96)
    assert kept.layer < 0.75 * own.layer
    assert kept.again == own.again == own.layer


def test_adapters_keep_an_input_of_every_layer_and_are_counted():
    """A layer of a frozen base saves no input; its adapter does, and rank numbers a token beside."""
    config = config_of(Scratch(hidden=64, layers=4, heads=4, vocabulary=300))
    whole, kept = footprint(config, "bf16", length=96), footprint(config, "bf16", length=96, rank=8)
    assert kept != whole
    # Seven linear layers of a block, two bytes a number.
    short = footprint(config, "bf16", length=4, rank=8)
    assert short.layer > 0.3 * kept.layer, "copies of frozen weights are no part of what a token keeps"
    more = footprint(config, "bf16", length=96, rank=40)
    assert more.layer - kept.layer == pytest.approx(HELD * 7 * 2 * (40 - 8), rel=0.3)
    assert (
        footprint(config, "bf16", length=96) == whole
    )  # what was tried with adapters is not taken for the rest
    policy = toy_policy()
    assert rank_of(policy.model) == 0
    add_lora(policy.model, 6, 6.0)
    assert rank_of(policy.model) == 6


def test_a_slice_is_tried_once_for_its_architecture(monkeypatch):
    tried, plain = [], packing._try
    monkeypatch.setattr(packing, "_try", lambda inner: (tried.append(inner), plain(inner))[1])
    config, other = (config_of(Scratch(hidden=24, layers=4, heads=heads, vocabulary=300)) for heads in (2, 3))
    first = footprint(config, "fp32", length=32, fused=True)
    assert [inner.config.num_hidden_layers for inner in tried] == [1, 2]
    assert footprint(config, "fp32", length=32, fused=True) == first
    assert footprint(config, "bf16", length=48) != first and len(tried) == 2
    footprint(other, "fp32", length=32)
    assert len(tried) == 4


def test_a_slice_keeps_the_width_and_drops_the_depth():
    config = config_of(Scratch(hidden=64, layers=4, heads=4))
    model = slice_of(config, 2, CPU)
    assert model.config.num_hidden_layers == 2
    assert model.config.hidden_size == 64
    assert config.num_hidden_layers == 4


def test_a_stated_limit_reaches_the_budget_of_a_fit(tmp_path):
    policy = toy_policy()
    modules = {"policy": policy.model}
    shape = {"longest": 40, "length": 20, "share": 1.0}
    assert fit_memory(modules, **shape).token_budget == ENOUGH
    with use_compute(memory=2.0**30):
        assert fit_memory(modules, **shape).token_budget == ENOUGH
    with use_compute(memory=3e6):
        small = fit_memory(modules, **shape)
    assert 40 <= small.token_budget < ENOUGH
    with use_compute(checkpointing=True):
        assert fit_memory(modules, **shape).checkpointing
    assert policy.model.model.layers[0].gradient_checkpointing


def test_a_run_with_checkpointing_learns_the_same(tmp_path):
    weights = []
    for again in (False, True):
        policy = toy_policy()
        with use_compute(checkpointing=again):
            train.sft(
                policy,
                demonstrations(),
                Training(max_steps=5, batch_size=6, lr=1e-2),
                out=tmp_path / str(again),
            )
        weights.append(torch.cat([p.detach().flatten() for p in policy.model.parameters()]))
    assert float((weights[0] - weights[1]).norm()) <= 1e-5 * float(weights[0].norm())


def test_a_stated_limit_is_taken_as_it_is_and_a_free_one_is_a_share():
    assert memory_limit(CPU, 1.5) == 1.5 * 2**30
    found = memory_limit(CPU, None)
    assert found >= 2**28
    assert found % 2**28 == 0


def test_the_collector_leaves_alone_what_was_there_before():
    gc.unfreeze()  # an earlier test's training may have frozen what was there then
    spare_libraries.cache_clear()
    try:
        spare_libraries()
        assert gc.get_freeze_count() > 100_000  # torch alone has more
        gc.unfreeze()
        spare_libraries()  # once a process
        assert gc.get_freeze_count() == 0
    finally:
        gc.unfreeze()


def test_freed_memory_is_kept_where_the_allocator_can():
    assert keep_freed_memory() in (True, False)


def test_logits_count_only_for_response_tokens_and_up_to_what_is_kept():
    whole = need(KEPT, fixed=0.0, **SHAPE)
    half = need(KEPT, fixed=0.0, share=0.5, **SHAPE)
    assert whole.total(1000) - half.total(1000) == 4 * 1000 * 1000
    with use_compute(kept_logits=10):
        few = need(KEPT, fixed=0.0, **SHAPE)
    assert few.total(1000) == 1000 * 10_100 + 80


@pytest.mark.parametrize(
    ("has", "width", "chosen", "said"),
    [
        ({"avx512_bf16": True}, 128, "bf16", "avx512_bf16"),
        ({"amx_bf16": True, "avx512_bf16": True}, 4096, "bf16", "amx_bf16"),
        ({"avx512_bf16": True}, 96, "fp32", "a width of 96 is below 128"),
        ({"amx_bf16": False}, 4096, "fp32", "no bf16 products"),
        ({"amx_bf16": True}, None, "fp32", "not known yet"),
    ],
)
def test_precision_follows_from_the_processor_and_the_width(has, width, chosen, said, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    precision, reason = device_module.choose_precision(width, CPU)
    assert precision == chosen and said in reason


def test_threads_are_as_the_environment_says_or_the_cores_in_reach(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert device_module.choose_threads(16) == (3, "set by OMP_NUM_THREADS")
    # Eight logical processors of four cores: 0 and 4 share one, and so on.
    monkeypatch.setattr(device_module.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(device_module, "CPUS", tmp_path)
    monkeypatch.setattr(device_module, "CGROUP", tmp_path)
    for number in range(8):
        (tmp_path / f"cpu{number}" / "topology").mkdir(parents=True)
        siblings = tmp_path / f"cpu{number}" / "topology" / "thread_siblings_list"
        siblings.write_text(f"{number % 4},{number % 4 + 4}\n")
    for nothing in ("", "0", "many", "²"):
        monkeypatch.setenv("OMP_NUM_THREADS", nothing)
        assert device_module.choose_threads(None) == (4, "4 physical cores in reach")
        assert [device_module.choose_threads(width)[0] for width in (16, 96, 128, 255, 4096)] == [
            1,
            1,
            2,
            3,
            4,
        ]
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert device_module.cores_in_reach() == 4
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert device_module.cores_in_reach() == 2
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert device_module.cores_in_reach() == 1


def test_the_clock_tells_the_phases_of_a_step(tmp_path):
    policy = toy_policy()
    train.sft(policy, demonstrations(), Training(max_steps=3, batch_size=6, log_every=1), out=tmp_path)
    rows = Stage(tmp_path).metrics()
    assert len(rows) == 3
    for row in rows:
        assert all(row[f"time/{phase}"] > 0 for phase in ("batch", "forward", "backward", "optimizer"))


def test_an_architecture_that_cannot_be_cut_is_estimated(monkeypatch):
    from plaudit.training import memory

    config = config_of(Scratch(hidden=64, layers=4, heads=4))

    def refuse(*args, **kwargs):
        raise ValueError("no such slice")

    monkeypatch.setattr(memory, "footprint", refuse)
    assert memory.counted(config, "fp32", 64, fused=False).layer == 34 * 4 * 64
