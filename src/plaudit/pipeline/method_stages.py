"""The stage that trains the run's last policy, by whichever method the recipe names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from plaudit.config import Kto, Online, Ppo, Pretrained, Rejection
from plaudit.methods import train_direct, train_online
from plaudit.models.adapters import add_lora
from plaudit.models.policy import Policy
from plaudit.pipeline.context import Context
from plaudit.pipeline.materials import FileMaterials
from plaudit.pipeline.reward_stages import preferences
from plaudit.pipeline.rewards import load_reward, new_critic
from plaudit.report.formatting import stage_name
from plaudit.runs import Stage


def method(context: Context, stage: Stage) -> Mapping[str, Any]:
    """Load where training starts, run the method, save what it made."""
    name = context.config.final
    assert name is not None
    section = getattr(context.config, name)
    policy = context.load(context.sft_stage())
    lora = context.config.policy.lora if isinstance(context.config.policy, Pretrained) else None
    if lora:
        add_lora(policy.model, **lora.model_dump(), seed=context.seed)
    shared = {
        "out": stage,
        "seed": context.seed,
        "renderer": context.renderer(policy.tokenizer),
        "device": context.device,
        "ranks": context.ranks,
    }
    if isinstance(section, Online):
        outcome = _online(context, name, section, policy, lora, shared)
    elif isinstance(section, Rejection):
        reward = load_reward(context, policy)
        fitted = train_online.rejection(policy, reward, context.materials.prompts, section, **shared)
        outcome = {"steps": fitted.steps}
    else:
        records, held = labels(context) if isinstance(section, Kto) else preferences(context)
        run = getattr(train_direct, name)
        fitted = run(policy, records, section, held_out=held, **shared)
        outcome = {"records": len(records), "steps": fitted.steps, "held_out": fitted.evaluation}
    context.save(policy, stage, f"Trained by {stage_name(name)}")
    return outcome


def _online(
    context: Context, name: str, section: Online, policy: Policy, lora: Any, shared: dict[str, Any]
) -> dict[str, Any]:
    if isinstance(section, Ppo):
        critic = new_critic(context, policy)
        if lora:
            add_lora(critic.backbone, **lora.model_dump(), seed=context.seed)
        shared = {**shared, "critic": critic}
    result = getattr(train_online, name)(
        policy,
        load_reward(context, policy),
        context.materials.prompts,
        section,
        demonstrations=context.materials.demonstrations[0] if section.ptx_coefficient else (),
        watch=_gold_watch(context, policy, section),
        **shared,
    )
    return {"iterations": result.iterations, "stopped": result.stopped}


def labels(context: Context) -> tuple[Sequence[Any], Sequence[Any]]:
    """Single labels for training and held out: those of the data, else what the preferences say."""
    materials = context.materials
    if isinstance(materials, FileMaterials) and context.config.data.labels:
        return materials.labels
    return preferences(context)


def _gold_watch(
    context: Context, policy: Policy, settings: Online
) -> Callable[[int], Mapping[str, float]] | None:
    """Gold on validation prompts, which neither training nor the test ever sees; None without a gold."""
    if context.materials.gold is None:
        return None
    from plaudit.pipeline.answers import answer

    def watch(iteration: int) -> Mapping[str, float]:
        samples = answer(
            context,
            policy,
            context.materials.validation_prompts,
            temperature=settings.temperature,
            max_new_tokens=settings.max_new_tokens,
        )
        gold = [context.materials.gold.judge(s.prompt, s.response).score for s in samples]
        return {"gold": float(np.mean(gold))}

    return watch
