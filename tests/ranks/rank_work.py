"""What the two ranks are asked to do; each function gets the mesh, or a mesh of one for the expected result."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from toy import CASES, demonstrations, labels, rankings, toy_policy

import plaudit
from plaudit.config import KL, Cpo, Dpo, Grpo, Kto, Orpo, Ppo, RewardSettings, Sft, Simpo
from plaudit.data.tokens import batching
from plaudit.generation.labels import LabelReply
from plaudit.judges.judge_reward import JudgeReward
from plaudit.judges.language import LanguageJudge, Manner
from plaudit.models.reward_model import RewardModel
from plaudit.runs import Stage
from plaudit.runtime import ComputeConfig, Mesh, Runtime
from plaudit.training import engine as engine_module, sweep as sweep_module
from plaudit.training.engine import Engine, ParameterGroup, trainable
from plaudit.training.held_out import evaluate
from plaudit.training.method import LossOutput
from plaudit.training.rank_report import Reports, report

DEFAULT, TINY = 8192, 80
LITTLE = 9e5  # bytes that leave room for a small part of a batch


def vector(modules: dict[str, Any]) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for m in modules.values() for p in m.parameters()])


def engine_of(modules: dict[str, Any], budget: int, runtime: Runtime) -> Engine:
    groups = [ParameterGroup(name, trainable(module), 1e-3) for name, module in modules.items()]
    return Engine(groups, schedule=lambda step: 1.0, token_budget=budget, runtime=runtime)


def updates(mesh: Mesh, cases: list[str]) -> dict[tuple[str, int], tuple[float, np.ndarray, int]]:
    """Loss and weights after one update of each method on fixed items, and how many micro-batches this rank had."""
    found = {}
    for case in cases:
        for budget in (DEFAULT, TINY):
            method, items, modules = CASES[case]()
            calls = []
            loss = method.loss
            method.loss = lambda batch, loss=loss, calls=calls: calls.append(1) or loss(batch)
            metrics = engine_of(modules, budget, Runtime(mesh=mesh)).step([(method, items)])
            found[case, budget] = metrics["loss"], vector(modules), len(calls)
    return found


def fitted(name: str, path: str, runtime: Runtime) -> tuple[Any, Any]:
    """The result and the module of a short run of an offline method."""
    shared: dict[str, Any] = {"max_steps": 5, "batch_size": 4, "lr": 1e-3}
    policy = toy_policy()
    if name == "reward":
        model = RewardModel.from_policy(policy, pooling="last", seed=0)
        settings = RewardSettings(**shared)
        held = rankings(6)
        return plaudit.reward_model(
            model, rankings(16), settings, out=path, held_out=held, runtime=runtime
        ), model
    if name == "sft":
        return plaudit.sft(policy, demonstrations(24), Sft(**shared), out=path, runtime=runtime), policy.model
    if name == "kto":
        return plaudit.kto(policy, labels(24), Kto(**shared), out=path, runtime=runtime), policy.model
    run, section = getattr(plaudit, name), {"dpo": Dpo, "simpo": Simpo, "cpo": Cpo, "orpo": Orpo}[name]
    result = run(policy, rankings(16), section(**shared), out=path, held_out=rankings(6), runtime=runtime)
    return result, policy.model


def offline(mesh: Mesh, methods: list[str], path: str) -> dict[str, tuple[dict[str, float], np.ndarray]]:
    """Held-out numbers and weights after a whole run of each offline method."""
    found = {}
    for name in methods:
        result, module = fitted(name, f"{path}/{name}", Runtime(mesh=mesh, seed=2))
        found[name] = result.evaluation, vector({"m": module})
    return found


def one_update(mesh: Mesh, case: str, different: str) -> tuple[float, np.ndarray]:
    """A step where the ranks differ in one thing."""
    method, items, modules = CASES[case]()
    other = mesh.rank == 1
    budget, compute = TINY, ComputeConfig()
    if different == "budget" and other:
        budget = 200
    if different == "precision" and other:
        compute = replace(compute, precision="bf16")
    if different == "items" and other:
        items = [*items[1:], items[0]]
    if different == "threads":
        torch.set_num_threads(2 if other else 1)
    try:
        metrics = engine_of(modules, budget, Runtime(mesh=mesh, compute=compute)).step([(method, items)])
    finally:
        torch.set_num_threads(1)
    return metrics["loss"], vector(modules)


def without_agreement(mesh: Mesh, case: str) -> tuple[float, np.ndarray]:
    """The planted fault: different budgets, and nobody compares the plans."""
    agree = Mesh.agree
    Mesh.agree = lambda self, digest, what: None
    try:
        return one_update(mesh, case, "budget")
    finally:
        Mesh.agree = agree


def reported(mesh: Mesh, failed: list[bool], sums: list[Any]) -> Reports:
    """What this rank hears where each reports its part of the lists."""
    used = [mesh.rank == 0, mesh.rank == 1, False]
    return report(mesh, failed=failed[mesh.rank], used=used, sums=sums[mesh.rank])


def least_memory(mesh: Mesh, path: str) -> tuple[np.ndarray, int]:
    """A fit whose ranks have different amounts of memory: weights, and the largest micro-batch of this rank."""
    seen = []
    lay_out = sweep_module.collate

    policy = toy_policy()
    memory = 2.0**30 if mesh.rank == 0 else LITTLE
    runtime = Runtime(mesh=mesh, compute=ComputeConfig(memory=memory), seed=2)

    def counted(items: Any, pad_id: int) -> Any:
        seen.append(batching.slots_in(items, "shared"))
        return lay_out(items, pad_id)

    engine_module.collate = counted
    try:
        plaudit.sft(
            policy, demonstrations(48), Sft(max_steps=2, batch_size=48, lr=1e-3), out=path, runtime=runtime
        )
    finally:
        engine_module.collate = lay_out
    return vector({"m": policy.model}), max(seen)


class Collective:
    """A method whose every forward pass waits for the other ranks, as that of a sharded model does."""

    def __init__(self, method: Any) -> None:
        self.method, self.pad_id, self.layout, self.passes = method, method.pad_id, method.layout, 0

    def normalizers(self, items: Any) -> dict[str, float]:
        return self.method.normalizers(items)

    def loss(self, batch: Any) -> LossOutput:
        self.passes += 1
        if dist.is_initialized():
            dist.all_reduce(torch.ones(1))
        return self.method.loss(batch)


def collective(mesh: Mesh, counts: list[int]) -> list[tuple[float, int]]:
    """Losses and passes of steps on so few items that a rank may have none."""
    found = []
    for count in counts:
        method, items, modules = CASES["sft"]()
        wrapped = Collective(method)
        runtime = Runtime(mesh=mesh)
        loss = engine_of(modules, TINY, runtime).step([(wrapped, items[:count])])["loss"]
        evaluate(wrapped, items[:count], token_budget=TINY, runtime=runtime)
        found.append((loss, wrapped.passes))
    return found


def out_of_memory(mesh: Mesh, rank: int) -> tuple[float, int]:
    """A pass without gradient whose memory runs out on one rank."""
    method, items, _ = CASES["sft"]()
    calls = []

    def f(batch: Any) -> float:
        calls.append(1)
        if mesh.rank == rank and len(calls) == 1:
            raise MemoryError
        return float(batch.lengths.sum())

    parts = sweep_module.sweep(
        items, f, pad_id=method.pad_id, layout="shared", token_budget=200, runtime=Runtime(mesh=mesh)
    )
    return sum(total for _, total in parts), sum(len(indices) for indices, _ in parts)


class Grader:
    """A model that grades an answer by the length of its question, and is not understood now and then."""

    name = "local:grader"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def read(self, questions: Any) -> list[LabelReply]:
        self.asked += questions
        return [self._one(question) for question in questions]

    def _one(self, question: Any) -> LabelReply:
        length = len(question.messages[-1].content)
        if length % 5 == 0:
            return LabelReply(text="hm")
        grade = question.labels[length % len(question.labels)]
        return LabelReply({label: 0.0 if label == grade else -9.0 for label in question.labels}, 1.0, grade)


def rl(
    mesh: Mesh,
    method: str,
    path: str,
    stop: int | None = None,
    killed: int | None = None,
    judged: bool = False,
) -> dict[str, Any]:
    """Four iterations of an RL method; counts what the reward was asked on this rank.

    ``dapo`` is GRPO with dynamic sampling and cut answers left out, on a reward that tells half of the prompts nothing.
    After iteration ``stop``, before it is saved, they end: by SIGKILL on the rank ``killed``, else with an interrupt.
    ``judged``: a model's grades are the reward.
    """
    asked: list[str] = []
    grader = Grader()

    def reward(sample: Any) -> float:
        asked.append(sample.text)
        if method == "dapo" and len(sample.prompt.text) % 2:
            return 0.0
        return float(sample.answer.count("c")) - 0.1 * len(sample.ids)

    def watch(iteration: int) -> dict[str, float]:
        if iteration == stop and killed is None:
            raise KeyboardInterrupt
        if iteration == stop and killed == mesh.rank:
            os.kill(os.getpid(), signal.SIGKILL)
        return {}

    shared = {"iterations": 4, "prompts_per_iteration": 6, "minibatch": 12, "max_new_tokens": 6, "lr": 1e-3}
    shared |= {"checkpoint_every": 1, "evaluate_every": 1, "kl": KL(coefficient=0.05), "epochs": 2}
    policy = toy_policy()
    prompts = [d.prompt for d in demonstrations(12)]
    settings = Ppo(**shared, critic_warmup=0) if method == "ppo" else Grpo(**shared, samples_per_prompt=4)
    if method == "dapo":
        rules = {"dynamic_sampling": 3, "mask_unfinished": True, "overlong_cache": 2}
        settings = settings.model_copy(update=rules)
    stopped = False
    try:
        getattr(plaudit, "grpo" if method == "dapo" else method)(
            policy,
            JudgeReward(LanguageJudge(grader, Manner(form="pointwise")))
            if judged
            else plaudit.FunctionReward(reward),
            prompts,
            settings,
            out=path,
            watch=watch,
            runtime=Runtime(mesh=mesh, seed=1),
        )
    except KeyboardInterrupt:
        stopped = True
    mesh.barrier()
    log = [{k: v for k, v in row.items() if not k.startswith("time/")} for row in Stage(path).metrics()]
    return {
        "weights": vector({"m": policy.model}),
        "asked": len(asked) + len(grader.asked),
        "log": log,
        "stopped": stopped,
    }
