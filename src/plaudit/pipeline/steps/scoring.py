"""The reward of the steps that ask for one, and the critic that starts from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plaudit.config import RewardPart
from plaudit.config.graph import Node
from plaudit.config.sections import JudgeSpec
from plaudit.errors import UserError
from plaudit.judges.judge_reward import JudgeReward
from plaudit.judges.language import LanguageJudge
from plaudit.methods.shaping import is_shaped
from plaudit.models.adapters import add_lora
from plaudit.models.critic import Critic, fits_critic
from plaudit.models.half_base import halve, is_halved
from plaudit.models.policy import Policy
from plaudit.models.reward_model import load_reward_model
from plaudit.models.tokenizers import same_tokenizer
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.judged import checked_judge
from plaudit.pipeline.steps.training_scores import watched
from plaudit.rewards import EnsembleReward, FunctionReward, ModelReward, Reward, SumReward
from plaudit.runs import RunFolder
from plaudit.runs.locate import locate, model_folders
from plaudit.runtime import Runtime
from plaudit.training.memory import ENOUGH


def load_reward(context: Context, step: Node, policy: Policy) -> Reward:
    """The reward that a step asks for: one part, or the weighted sum of several."""
    return joined(context, step, step.rewards, policy)


def joined(context: Context, step: Node, parts: Sequence[RewardPart], policy: Policy) -> Reward:
    """One part of a reward, or the weighted sum of several."""
    if len(parts) == 1 and parts[0].weight == 1:
        return _load(context, policy, parts[0], step)
    named: dict[str, tuple[Reward, float]] = {}
    for part in parts:
        name = part.source if part.path is None else Path(part.path).name
        while name in named:
            name += "+"
        named[name] = _load(context, policy, part, step), part.weight
    return SumReward(named)


def run_reward(context: Context, policy: Policy) -> Reward | None:
    """The reward of the run (``Graph.rewarded_by``); None where it has none."""
    source = context.graph.rewarded_by
    if source is None:
        return None
    step = context.graph[source]
    return load_reward(context, step, policy) if step.rewards else step_reward(context, source, policy)


def asked_reward(context: Context, step: Node, policy: Policy) -> Reward | None:
    """What scores answers that the step does not train on; None where nothing but gold does."""
    if not step.asked or [part.source for part in step.asked] == ["gold"]:
        return None
    return joined(context, step, step.asked, policy)


def step_reward(context: Context, step: str, policy: Policy, *, normalisation: str = "stored") -> Reward:
    """The reward model of a step, its members joined as its section says."""
    own = context.graph[step].settings
    rewards = [_model(context.runtime, policy, path, normalisation) for path in context.reward_folders(step)]
    return watched(_joined(rewards, own.aggregate, own.std_penalty), context.folder.stage(step))


def _joined(rewards: Sequence[ModelReward], aggregate: Any, penalty: float) -> ModelReward | EnsembleReward:
    if len(rewards) == 1:
        return rewards[0]
    return EnsembleReward(rewards, aggregate=aggregate, std_penalty=penalty)


def _load(context: Context, policy: Policy, part: RewardPart, step: Node) -> Reward:
    settings = step.settings
    normalisation = getattr(settings, "normalisation", "stored")
    if part.source == "gold":
        gold = context.gold
        return FunctionReward(lambda sample: float(gold.judge(sample.prompt, sample.response).score))
    if part.source == "function":
        return FunctionReward.by_path(str(part.path))
    if part.source == "judge":
        spec = JudgeSpec.model_validate(part.path)
        judge, _ = checked_judge(context, step, context.folder.stage(step.name), spec)
        if not isinstance(judge, LanguageJudge):
            raise UserError(
                f"{spec.judge} gives no grades", remedy="name local:MODEL or http(s)://host/v1#model"
            )
        return JudgeReward(judge)
    if part.source == "step":
        return step_reward(context, str(part.path), policy, normalisation=normalisation)
    budget = getattr(settings, "token_budget", None)
    return saved_reward(context.runtime, policy, str(part.path), normalisation, budget)


def saved_reward(
    runtime: Runtime,
    policy: Policy,
    spec: str,
    normalisation: Any = "stored",
    token_budget: int | None = None,
) -> Reward:
    """A saved reward model; the members of a run's ensemble are joined as that run's section says."""
    found = locate(spec, kind="reward model")
    run = RunFolder(found.run) if found.run else None
    folders = model_folders(run, str(found.step)) if run else [spec]
    rewards = [_model(runtime, policy, folder, normalisation, token_budget) for folder in folders]
    if run is None:
        return rewards[0]
    stage = run.stage(str(found.step))
    if len(rewards) == 1:
        return watched(rewards[0], stage)
    section = run.read_json("run.json")["config"]["steps"][found.step]
    return watched(_joined(rewards, section["aggregate"], section["std_penalty"]), stage)


def _model(
    runtime: Runtime, policy: Policy, path: str | Path, normalisation: Any, token_budget: int | None = None
) -> ModelReward:
    model = load_reward_model(path)
    if is_halved(policy.model):
        model.requires_grad_(False)
        halve(model.backbone)
    return ModelReward(
        model.to(runtime.device),
        same_tokenizer=same_tokenizer(model.tokenizer, policy.tokenizer),
        normalisation=normalisation,
        token_budget=token_budget or ENOUGH,
        runtime=runtime,
    )


def new_critic(context: Context, step: Node, policy: Policy) -> Critic:
    """From the first reward model that is causal with the policy's tokenizer, else a head on the policy; with the
    adapters that the recipe asks for."""
    critic = _whole_critic(context, step, policy)
    if lora := context.lora(step.name):
        add_lora(critic.backbone, **lora.model_dump(), seed=context.seed)
    return critic.to(context.device)


def _whole_critic(context: Context, step: Node, policy: Policy) -> Critic:
    settings = step.settings
    models = [part for part in step.rewards if part.source in ("step", "model")]
    # What shaping makes of a score has a unit that no reward model foresees.
    if settings.critic != "policy" and models and not is_shaped(settings):
        first = models[0]
        path = context.reward_folders(str(first.path))[0] if first.source == "step" else str(first.path)
        model = load_reward_model(path)
        if fits_critic(model) and same_tokenizer(model.tokenizer, policy.tokenizer):
            normalized = settings.normalisation == "stored"
            return Critic.from_reward_model(model, normalized=normalized, weight=first.weight)
        if settings.critic == "reward":
            raise UserError(
                f"{step.name}.critic: reward needs a causal reward model (pooling last, not length-normalized) with "
                "the policy's tokenizer",
                remedy=f"use {step.name}.critic: policy",
            )
    return Critic.from_policy(policy)
