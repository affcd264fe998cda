"""The stages that train a reward model: on votes, on rankings, and the proxy judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.config import Pretrained, Reward, Scratch
from plaudit.methods import train
from plaudit.methods.outcomes import preferred_answers
from plaudit.models.adapters import add_lora
from plaudit.models.policy import build_policy
from plaudit.models.reward_model import RewardModel, load_reward_model, save_reward_model
from plaudit.pipeline.context import Context
from plaudit.pipeline.materials import FileMaterials
from plaudit.runs import Stage


def new_reward_model(context: Context, settings: Reward, seed: int) -> RewardModel:
    """A reward model whose head is fresh, on the backbone that the recipe asks for."""
    backbone = settings.backbone
    if isinstance(backbone, Pretrained):
        model = RewardModel.from_pretrained_backbone(backbone.path, pooling=settings.pooling, seed=seed)
    elif isinstance(backbone, Scratch):
        tokenizer = context.load(context.sft_stage()).tokenizer
        own = build_policy(
            tokenizer,
            hidden=backbone.hidden,
            layers=backbone.layers,
            heads=backbone.heads,
            kv_heads=backbone.kv_heads,
            intermediate=backbone.intermediate,
            max_positions=backbone.max_positions,
            seed=seed,
        )
        model = RewardModel.from_policy(own, pooling=settings.pooling, seed=seed)
    else:
        source = context.sft_stage() if backbone == "policy" else context.base_stage()
        model = RewardModel.from_policy(context.load(source), pooling=settings.pooling, seed=seed)
    lora = settings.lora or (backbone.lora if isinstance(backbone, Pretrained) else None)
    if lora:
        add_lora(model.backbone, **lora.model_dump(), seed=seed)
    return model.to(context.device)


def members(stage: Stage, count: int) -> list[Stage]:
    """The folders of an ensemble's members; a single model lies in the stage itself."""
    return [stage] if count == 1 else [Stage(stage.path / f"member-{i}") for i in range(count)]


def votes(context: Context, stage: Stage) -> Mapping[str, Any]:
    """Preference pretraining on weaker votes (Askell et al. 2021)."""
    settings = context.config.reward
    assert settings and settings.votes
    records, held = context.materials.votes
    for i, member in enumerate(members(stage, settings.members)):
        seed = context.seed + 1000 * i
        model = new_reward_model(context, settings, seed)
        train.reward_model(
            model,
            records,
            settings,
            schedule=settings.votes,
            out=member,
            seed=seed,
            held_out=held,
            renderer=context.renderer(model.tokenizer),
            label="votes" if settings.members == 1 else f"votes {i + 1}/{settings.members}",
            device=context.device,
            ranks=context.ranks,
        )
        _save_reward(context, model, member, "Reward model after preference pretraining on votes")
    return {"votes": len(records)}


def reward(context: Context, stage: Stage) -> Mapping[str, Any]:
    """Learn to predict the rankings."""
    settings = context.config.reward
    assert settings
    records, held = preferences(context)
    before = members(context.folder.stage("votes"), settings.members)
    accuracies = []
    for i, member in enumerate(members(stage, settings.members)):
        seed = context.seed + 1000 * i
        if settings.votes:
            model = load_reward_model(before[i].model).to(context.device)
        else:
            model = new_reward_model(context, settings, seed)
        renderer = context.renderer(model.tokenizer)
        result = train.reward_model(
            model,
            records,
            settings,
            out=member,
            seed=seed,
            held_out=held,
            renderer=renderer,
            label="reward" if settings.members == 1 else f"reward {i + 1}/{settings.members}",
            device=context.device,
            ranks=context.ranks,
        )
        accuracies.append(result.evaluation.get("accuracy"))
        train.store_normalisation(model, reference_answers(context), renderer=renderer, device=context.device)
        _save_reward(context, model, member, "Reward model trained on rankings")
    pairs = sum(len(r.comparisons().outcomes) for r in records)
    return {"rankings": len(records), "pairs": pairs, "accuracy": accuracies}


def judge(context: Context, stage: Stage) -> Mapping[str, Any]:
    """A reward model on preferences and a seed of its own, to judge what PPO made of the other one."""
    settings, evaluation = context.config.reward, context.config.evaluate
    assert settings and evaluation and evaluation.judge and isinstance(context.materials, FileMaterials)
    records = context.materials.judge_preferences
    held = context.materials.preferences[1]
    seed = context.seed + 777_000
    model = new_reward_model(context, settings, seed)
    result = train.reward_model(
        model,
        records,
        settings,
        schedule=evaluation.judge,
        out=stage,
        seed=seed,
        held_out=held,
        renderer=context.renderer(model.tokenizer),
        label="judge",
        device=context.device,
        ranks=context.ranks,
    )
    _save_reward(context, model, stage, "Proxy judge trained on a disjoint split")
    return {"rankings": len(records), "accuracy": result.evaluation.get("accuracy")}


def _save_reward(context: Context, model: RewardModel, stage: Stage, summary: str) -> None:
    if context.ranks.is_main:
        save_reward_model(model, stage.model, card=f"{summary}, run {context.config.name!r}.")
    context.ranks.barrier()


def reference_answers(context: Context) -> Sequence[Any]:
    """Demonstrations where there are any, else the best answer of each prompt: what scores 0 once normalised."""
    if isinstance(context.materials, FileMaterials) and not context.config.data.demonstrations:
        return preferred_answers(context.materials.preferences[0][:500])
    return context.materials.demonstrations[0][:500]


def preferences(context: Context) -> tuple[Sequence[Any], Sequence[Any]]:
    """Rankings for training and held out: made by the rank stage, or read from files."""
    from plaudit.data.readers import read

    if isinstance(context.materials, FileMaterials):
        return context.materials.preferences
    stage = context.folder.stage("rank")
    return (
        read(stage.path / "train.jsonl").records,
        read(stage.path / "held_out.jsonl").records,
    )
