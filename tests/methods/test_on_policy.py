"""One update per rollout: the old log-probs come from the training pass, and nothing else changes."""

from __future__ import annotations

import os
import socket
from functools import cache

import pytest
import torch
from torch import multiprocessing
from toy import WORDS, demonstrations, toy_policy

from plaudit.config import KL, Grpo, OnlineDpo, Ppo, Reinforce, Rloo
from plaudit.data.records import Prompt
from plaudit.methods import rl, train_online
from plaudit.methods.on_policy import is_on_policy
from plaudit.methods.policy_gradient import GRPO, REINFORCE, RLOO
from plaudit.methods.ppo import PPO
from plaudit.models import logprobs
from plaudit.models.critic import Critic
from plaudit.rewards import FunctionReward
from plaudit.runs import Stage
from plaudit.runtime import Mesh, Runtime

PROMPTS = [Prompt.user(f"{a} {b}") for a in WORDS for b in WORDS[:3]]
ONE = {
    "iterations": 5,
    "prompts_per_iteration": 6,
    "samples_per_prompt": 4,
    "minibatch": 24,
    "epochs": 1,
    "max_new_tokens": 6,
    "checkpoint_every": 1,
    "lr": 3e-3,
    # Of about three prompts with their samples: an update is of several micro-batches.
    "token_budget": 100,
}
FREE = {"kl": KL(coefficient=0.0)}
CASES = {
    "grpo": (train_online.grpo, Grpo(**ONE)),
    "grpo adaptive": (
        train_online.grpo,
        Grpo(**ONE, kl=KL(controller="adaptive", coefficient=0.1, horizon=50, target=0.01)),
    ),
    "grpo entropy": (train_online.grpo, Grpo(**ONE, entropy_coefficient=0.02, aggregation="sequence")),
    "grpo cispo": (train_online.grpo, Grpo(**ONE, surrogate="cispo", temperature=0.8)),
    "gspo": (train_online.grpo, Grpo(**ONE, ratio="sequence")),
    "grpo free": (train_online.grpo, Grpo(**ONE, kl=KL(coefficient=0.0, place="reward"))),
    "grpo ptx": (train_online.grpo, Grpo(**ONE, ptx_coefficient=0.5, ptx_batch_size=4)),
    "rloo": (train_online.rloo, Rloo(**ONE, **FREE)),
    "reinforce": (train_online.reinforce, Reinforce(**ONE, **FREE, baseline="group")),
}


def likes_cats(sample) -> float:
    return float(sample.answer.count("c")) - 0.1 * len(sample.ids)


def run(path, method, settings, **options):
    policy = toy_policy()
    method(
        policy,
        FunctionReward(likes_cats),
        PROMPTS,
        settings,
        out=Stage(path),
        seed=1,
        demonstrations=demonstrations(),
        **options,
    )
    weights = torch.cat([p.detach().flatten() for p in policy.model.parameters()])
    return weights, [
        {k: v for k, v in row.items() if not k.startswith("time/") and k != "tokens_per_second"}
        for row in Stage(path).metrics()
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What a case ends with, trained once."""
    return cache(lambda case: run(tmp_path_factory.mktemp("run"), *CASES[case]))


# Each trains three times. Every method and form of the ratio at once; other terms of GRPO behind `make test-slow`.
OTHERS = ("grpo entropy", "grpo cispo", "grpo free", "grpo ptx")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case in OTHERS else case for case in CASES]
)
def test_the_trajectory_is_the_one_with_a_pass_of_its_own(case, trained, tmp_path, monkeypatch):
    without, log = trained(case)
    monkeypatch.setattr(rl, "is_on_policy", lambda *_: False)
    with_pass, expected = run(tmp_path / "with", *CASES[case])
    assert not torch.equal(with_pass, run(tmp_path / "short", *short(case))[0])  # it moves at every step
    torch.testing.assert_close(without, with_pass, rtol=1e-4, atol=2e-5)
    for row, other in zip(log, expected, strict=True):
        assert row.keys() == other.keys()
        for name, value in other.items():
            assert row[name] == pytest.approx(value, rel=2e-3, abs=1e-4), name


def short(case):
    method, settings = CASES[case]
    return method, settings.model_copy(update={"iterations": 4})


@pytest.mark.parametrize("case", CASES)
def test_the_ratio_is_exactly_one(case, trained):
    _, log = trained(case)
    assert {row["policy/ratio"] for row in log} == {1.0}
    assert {row["policy/approxkl"] for row in log} == {0.0} == {row["policy/clipfrac"] for row in log}
    assert max(row["rollout/log_prob_gap_max"] for row in log) < 1e-4
    assert log[0]["objective/kl"] == pytest.approx(0, abs=1e-4) and log[-1]["objective/kl_k3"] > 0


@pytest.fixture
def passes(monkeypatch):
    """How often each model was run over a rollout's tokens: (model, with gradient) of every call."""
    calls = []
    encode = logprobs.encode

    def counted(model, *args, **kwargs):
        calls.append((id(model), torch.is_grad_enabled()))
        return encode(model, *args, **kwargs)

    monkeypatch.setattr(logprobs, "encode", counted)
    return calls


@pytest.mark.parametrize(
    ("method", "settings", "own"),
    [
        (train_online.grpo, Grpo(**ONE), 0),
        (train_online.rloo, Rloo(**ONE, **FREE), 0),
        (train_online.reinforce, Reinforce(**ONE, **FREE), 0),
        (train_online.rloo, Rloo(**ONE), 1),
        (train_online.reinforce, Reinforce(**ONE), 1),
        (train_online.grpo, Grpo(**ONE, kl=KL(place="reward")), 1),
        # A run that stops above kl_max must not have trained on what it was stopped for.
        (train_online.grpo, Grpo(**ONE, kl=KL(kl_max=50.0)), 1),
        (train_online.grpo, Grpo(**(ONE | {"epochs": 2})), 1),
    ],
)
def test_the_pass_of_its_own_is_not_made(method, settings, own, tmp_path, passes):
    """One micro-batch an update: the reference runs once an iteration, the policy once an epoch, and ``own``."""
    run(tmp_path, method, settings.model_copy(update={"token_budget": 4096}))
    trained = {model for model, gradient in passes if gradient}
    assert len(trained) == 1
    reference = [call for call in passes if call[0] not in trained]
    assert len(reference) == settings.iterations
    assert passes.count((*trained, True)) == settings.iterations * settings.epochs
    assert passes.count((*trained, False)) == settings.iterations * own


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        (GRPO, Grpo(**ONE), True),
        (GRPO, Grpo(**(ONE | {"minibatch": 23})), False),
        (GRPO, Grpo(**(ONE | {"epochs": 2})), False),
        (RLOO, Rloo(**ONE), True),
        (REINFORCE, Reinforce(**ONE), True),
        (lambda p, s: PPO(p, Critic.from_policy(p), s), Ppo(**ONE), False),
        (train_online.OnlineDPO, OnlineDpo(**ONE), False),
    ],
)
def test_who_does_without_it(kind, settings, expected):
    assert is_on_policy(kind(toy_policy(), settings), settings) == expected


def test_resumed_equals_uninterrupted_bitwise(tmp_path):
    method, settings = CASES["grpo adaptive"]
    settings = settings.model_copy(update={"evaluate_every": 1})
    whole, log = run(tmp_path / "whole", method, settings, watch=lambda i: {"gold": float(i)})

    def killing(iteration):
        if iteration == 3:
            raise KeyboardInterrupt
        return {"gold": float(iteration)}

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", method, settings, watch=killing)
    resumed, again = run(tmp_path / "cut", method, settings, watch=lambda i: {"gold": float(i)})
    assert torch.equal(whole, resumed)
    assert log[-1] == again[-1] and log[-1]["objective/kl_coef"] != 0.1


def test_a_step_begun_again_after_memory_ran_out_describes_each_token_once(tmp_path, monkeypatch):
    method, settings = CASES["grpo"]
    plain, log = run(tmp_path / "plain", method, settings)
    loss, calls = GRPO.loss, []

    def failing(self, batch):
        calls.append(batch)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return loss(self, batch)

    monkeypatch.setattr(GRPO, "loss", failing)
    halved, again = run(tmp_path / "halved", method, settings)
    torch.testing.assert_close(halved, plain, rtol=1e-4, atol=2e-5)
    for row, other in zip(again, log, strict=True):
        assert row == pytest.approx(other, rel=2e-3, abs=1e-4)


def _rank(rank, port, path, queue):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    weights, log = run(path, *CASES["grpo adaptive"], runtime=Runtime(mesh=Mesh.from_environment(), seed=1))
    queue.put((weights.numpy(), log))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_follow_one(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_rank, args=(r, port, tmp_path / "two", queue)) for r in range(2)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=900) for _ in processes]
    for process in processes:
        process.join(timeout=300)
    one, log = run(tmp_path / "one", *CASES["grpo adaptive"])
    for weights, two_log in found:
        torch.testing.assert_close(torch.from_numpy(weights), one, rtol=1e-4, atol=2e-5)
        for row, other in zip(two_log, log, strict=False):
            assert row == pytest.approx(other, rel=2e-3, abs=1e-4)
