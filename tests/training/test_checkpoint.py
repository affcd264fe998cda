"""A resumed fit ends bitwise where an unbroken one ends, and its log is the same."""

from __future__ import annotations

import pytest
import torch
from toy import CASES, LOOPED, comes_first, toy_policy

from plaudit.config import Training
from plaudit.runs import Stage
from plaudit.runtime import Runtime
from plaudit.training import fit
from plaudit.training.engine import Engine, NotFiniteError, ParameterGroup, schedule_factor, trainable
from plaudit.training.fit import batch_indices

SETTINGS = Training(max_steps=12, batch_size=4, checkpoint_every=5, log_every=3, eval_every=4, lr=1e-2)


class Killed(Exception):
    pass


def weights(modules):
    return torch.cat([p.detach().flatten() for m in modules.values() for p in m.parameters()])


def run(case, path, stop_after=None, settings=SETTINGS):
    method, items, modules = CASES[case]()

    def after(step):
        if step == stop_after:
            raise Killed

    result = fit(
        method,
        items,
        settings,
        Stage(path),
        modules=modules,
        runtime=Runtime(seed=3),
        held_out=items[:3],
        after_step=after,
    )
    return weights(modules), result, Stage(path).metrics()


def without_speed(rows):
    return [
        {k: v for k, v in row.items() if k != "tokens_per_second" and not k.startswith("time/")}
        for row in rows
    ]


# Before the first checkpoint, at it, some steps after it, and after the last one. The others behind `make test-slow`.
STOPS = (3, 5, 8, 11)


# The RL loop makes its own items: tests/methods/test_every_method.py resumes it.
@pytest.mark.parametrize(
    "case, stops",
    [
        pytest.param(case, stops, marks=() if comes_first(case) and quick else pytest.mark.slow)
        for case in CASES
        if case.split()[0] not in LOOPED
        for stops, quick in ((STOPS, case == "sft"), ((8,), case != "sft"))
    ],
)
def test_resumed_equals_uninterrupted_bitwise(case, stops, tmp_path):
    whole, _, log = run(case, tmp_path / "whole")
    for stop in stops:
        path = tmp_path / f"cut{stop}"
        with pytest.raises(Killed):
            run(case, path, stop_after=stop)
        resumed, _, resumed_log = run(case, path)
        assert torch.equal(whole, resumed)
        assert without_speed(log) == without_speed(resumed_log)


def test_a_fit_lowers_its_loss(tmp_path):
    settings = SETTINGS.model_copy(update={"max_steps": 60, "batch_size": 12})
    _, _, log = run("sft", tmp_path, settings=settings)
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]


def test_the_best_weights_are_kept_when_asked(tmp_path):
    settings = Training(max_steps=40, batch_size=4, eval_every=2, lr=0.3, keep_best=True, schedule="constant")
    method, items, modules = CASES["sft"]()
    result = fit(method, items, settings, Stage(tmp_path), modules=modules, held_out=items[:4])
    evaluated = [row["eval/loss"] for row in Stage(tmp_path).metrics() if "eval/loss" in row]
    from plaudit.training import evaluate

    kept = evaluate(method, items[:4], token_budget=4096)["loss"]
    assert result.steps == 40
    assert abs(kept - min(evaluated)) < 1e-5
    assert evaluated[-1] > min(evaluated)


def test_a_loss_that_is_not_finite_stops_before_any_weight_moves():
    method, items, modules = CASES["sft"]()
    before = weights(modules)
    engine = Engine(
        [ParameterGroup("policy", trainable(modules["policy"]), 1e-2)],
        schedule=lambda s: 1.0,
        token_budget=512,
    )
    broken = method.loss

    def loss(batch):
        out = broken(batch)
        out.terms["nll"].values = out.terms["nll"].values * float("nan")
        return out

    method.loss = loss
    with pytest.raises(NotFiniteError, match="step 1"):
        engine.step([(method, items)])
    assert torch.equal(before, weights(modules))


def test_every_item_is_seen_once_an_epoch_and_a_step_needs_no_cursor():
    seen = [i for step in range(5) for i in batch_indices(step, items=10, batch_size=4, seed=0)]
    assert sorted(seen[:10]) == list(range(10)) and sorted(seen[10:20]) == list(range(10))
    assert batch_indices(3, items=10, batch_size=4, seed=0) == seen[12:16]
    for step in range(4):
        assert sorted(batch_indices(step, items=3, batch_size=8, seed=0)) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
def test_schedules_rise_then_fall_to_their_end(kind):
    values = [schedule_factor(kind, s, 100, 0.1, 0.2) for s in range(101)]
    assert values[:10] == sorted(values[:10]) and 0 < values[0] < values[9] < 1
    assert values[10] == 1.0
    assert values[100] == pytest.approx(1.0 if kind == "constant" else 0.2)
    assert values[10:] == sorted(values[10:], reverse=True)


def test_policies_of_one_seed_are_equal():
    a, b = (weights({"m": toy_policy(seed=s).model}) for s in (5, 5))
    assert torch.equal(a, b)
