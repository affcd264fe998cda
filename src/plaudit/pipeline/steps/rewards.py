"""The steps that train a reward model: on rankings or votes, and the proxy judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plaudit.config import Pretrained, RewardSettings, Scratch
from plaudit.config.graph import Node
from plaudit.data.records import Demonstration
from plaudit.methods import train
from plaudit.methods.preference_batch import preferred_answers
from plaudit.models.adapters import add_lora, has_adapter
from plaudit.models.cards import card_of_reward
from plaudit.models.half_base import is_halved
from plaudit.models.policy import build_policy
from plaudit.models.reward_model import RewardModel, load_reward_model, save_reward_model
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.training_scores import keep, training_scores
from plaudit.runs import Stage

PROXY_SEED = 777_000
REFERENCES = 500  # answers whose scores set the mean and spread of a reward model


def new_reward_model(
    context: Context, step: Node, settings: RewardSettings, seed: int, member: int = 0
) -> RewardModel:
    """A reward model: that of another step, or a fresh head on a policy of the run or on a backbone of its own."""
    backbone = settings.backbone
    if step.start is not None and context.graph[step.start].gives("reward model"):
        folders = context.reward_folders(step.start)
        model = load_reward_model(folders[member % len(folders)])
    elif isinstance(backbone, Pretrained):
        model = RewardModel.from_pretrained_backbone(
            backbone.path,
            revision=backbone.revision,
            chat_template=backbone.chat_template,
            pooling=settings.pooling,
            seed=seed,
        )
    elif isinstance(backbone, Scratch):
        tokenizer = context.load(context.graph.policies[-1]).tokenizer
        own = build_policy(tokenizer, **backbone.shape, seed=seed)
        model = RewardModel.from_policy(own, pooling=settings.pooling, seed=seed)
    else:
        assert step.start is not None
        model = RewardModel.from_policy(context.load(step.start), pooling=settings.pooling, seed=seed)
    if settings.adapters:
        add_lora(model.backbone, **settings.adapters.model_dump(), seed=seed)
    return model.to(context.device)


def members(stage: Stage, count: int) -> list[Stage]:
    """The folders of an ensemble's members; a single model lies in the stage itself."""
    return [stage] if count == 1 else [Stage(stage.path / f"member-{i}") for i in range(count)]


def own_records(records: Sequence[Any], settings: RewardSettings, seed: int) -> Sequence[Any]:
    """A member's rankings: all of them, or with ``bagging`` as many drawn with replacement by its seed."""
    if not settings.bagging:
        return records
    return [records[i] for i in np.random.default_rng(seed).integers(0, len(records), len(records))]


def _starts_from_one_model(context: Context, step: Node) -> bool:
    return (
        step.start is not None
        and context.graph[step.start].gives("reward model")
        and len(context.reward_folders(step.start)) == 1
    )


def reward(context: Context, step: Node, stage: Stage) -> Mapping[str, Any]:
    """Learn to predict the rankings."""
    settings: RewardSettings = step.settings
    records, held = context.records(step, stage)
    if settings.members > 1 and _starts_from_one_model(context, step):
        context.say(
            f"{step.name}: its {settings.members} members start from the one model of {step.start}, so they share what "
            f"that got wrong; set steps.{step.start}.members for starts of their own"
        )
    accuracies, scores = [], []
    for i, member in enumerate(members(stage, settings.members)):
        seed = context.step_seed(step) + 1000 * i
        model = new_reward_model(context, step, settings, seed, member=i)
        renderer = context.renderer(model.tokenizer)
        result = train.reward_model(
            model,
            own_records(records, settings, seed),
            settings,
            out=member,
            seed=seed,
            held_out=held,
            renderer=renderer,
            label=step.name if settings.members == 1 else f"{step.name} {i + 1}/{settings.members}",
            runtime=context.runtime,
        )
        accuracies.append(result.evaluation.get("accuracy"))
        answers = reference_answers(context, records)
        train.store_normalization(model, answers, renderer=renderer, runtime=context.runtime)
        scores.append(training_scores(model, records, renderer, context.runtime))
        _save(context, model, member, "Reward model trained on rankings")
    if context.mesh.is_main:
        keep(stage, scores)
    pairs = sum(len(r.comparisons().outcomes) for r in records)
    return {"rankings": len(records), "pairs": pairs, "accuracy": accuracies}


def proxy(context: Context, step: Node, stage: Stage) -> Mapping[str, Any]:
    """A reward model on preferences and a seed of its own, to judge what was made of the other one."""
    settings, schedule = step.settings
    records = context.materials.proxy_preferences
    seed = context.seed + PROXY_SEED
    model = new_reward_model(context, step, settings, seed)
    result = train.reward_model(
        model,
        records,
        settings,
        schedule=schedule,
        out=stage,
        seed=seed,
        held_out=context.materials.records("preferences")[1],
        renderer=context.renderer(model.tokenizer),
        label=step.name,
        runtime=context.runtime,
    )
    _save(context, model, stage, "Proxy judge trained on a disjoint split")
    pairs = sum(len(r.comparisons().outcomes) for r in records)
    return {"rankings": len(records), "pairs": pairs, "accuracy": result.evaluation.get("accuracy")}


def _save(context: Context, model: RewardModel, stage: Stage, summary: str) -> None:
    if context.mesh.is_main:
        name = stage.name if stage.name in context.graph.nodes else f"{stage.path.parent.name}-{stage.name}"
        if has_adapter(model.backbone) and stage.name in context.graph.nodes:
            context.keep_adapter(model.backbone, stage)
        if is_halved(model.backbone):
            model.to("cpu")  # merged it is float32, for which the device may have no room
        words = f"{summary}, run {context.config.name!r}. Weights are float32."
        save_reward_model(model, stage.model, card_of_reward(model, f"{context.config.name}@{name}", words))
    context.mesh.barrier()


def reference_answers(context: Context, records: Sequence[Any]) -> Sequence[Demonstration]:
    """Demonstrations where there are any, else the best answer of each prompt: what scores 0 once normalized."""
    demonstrations = context.materials.records("demonstrations")[0][:REFERENCES]
    if demonstrations:
        return list(demonstrations)
    return preferred_answers(records[:REFERENCES])
