"""The stages that train: load what came before, call one method, save the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.config import Config, Pretrained, Reward, Scratch
from plaudit.data.rendering import Renderer
from plaudit.errors import UserError
from plaudit.methods import train
from plaudit.models.adapters import add_lora, has_adapter, merge
from plaudit.models.critic import Critic
from plaudit.models.families import is_causal
from plaudit.models.policy import Policy, build_policy, load_policy, save_policy
from plaudit.models.reward_model import RewardModel, load_reward_model, save_reward_model
from plaudit.models.tokenizers import same_tokenizer, train_bpe
from plaudit.pipeline.materials import FileMaterials, Materials, PocketMaterials
from plaudit.rewards import EnsembleReward, FunctionReward, ModelReward
from plaudit.rewards import Reward as RewardDoor
from plaudit.runs import RunFolder, Stage
from plaudit.training import Ranks
from plaudit.training.memory import ENOUGH


@dataclass
class Context:
    """What every stage knows."""

    config: Config
    folder: RunFolder
    materials: Materials
    device: Any
    ranks: Ranks

    @property
    def seed(self) -> int:
        return self.config.seed

    def renderer(self, tokenizer: Any) -> Renderer:
        data = self.config.data
        return Renderer(
            tokenizer,
            max_length=data.max_length,
            max_prompt_length=data.max_prompt_length,
            train_on=data.train_on,
        )

    def load(self, stage: str) -> Policy:
        """The policy that a stage saved, on the run's device."""
        policy = load_policy(self.folder.stage(stage).model)
        policy.model.to(self.device)
        return policy

    def base_stage(self) -> str:
        return "pretrain" if isinstance(self.config.policy, Scratch) else "base"

    def start_of_sft(self) -> str:
        return "verdict" if self.config.verdict else self.base_stage()

    def sft_stage(self) -> str:
        return "sft" if self.config.sft else self.start_of_sft()

    def save(self, policy: Policy, stage: Stage, summary: str) -> None:
        """Save a policy, adapters merged in, with its card."""
        if self.ranks.is_main:
            if has_adapter(policy.model):
                merge(policy.model)
            save_policy(policy, stage.model, card=f"{summary}, run {self.config.name!r}, seed {self.seed}.")
        self.ranks.barrier()


def base(context: Context, stage: Stage) -> Mapping[str, Any]:
    """Load the pretrained policy once and keep the run's own copy of it."""
    source = context.config.policy
    assert isinstance(source, Pretrained)
    policy = load_policy(source.path, revision=source.revision)
    context.save(policy, stage, f"Base model from {source.path}")
    return {"parameters": _parameters(policy.model)}


def pretrain(context: Context, stage: Stage) -> Mapping[str, Any]:
    """Tokenizer and base model from the run's own text."""
    source, materials, settings = context.config.policy, context.materials, context.config.pretrain
    assert isinstance(source, Scratch)
    texts = list(materials.corpus)
    spoken = [m.content for d in materials.demonstrations[0] for m in d.prompt.messages]
    spoken += [d.response.text for d in materials.demonstrations[0]]
    tokenizer = train_bpe(texts + spoken, vocabulary=source.vocabulary)
    policy = build_policy(
        tokenizer,
        hidden=source.hidden,
        layers=source.layers,
        heads=source.heads,
        kv_heads=source.kv_heads,
        intermediate=source.intermediate,
        max_positions=source.max_positions,
        seed=context.seed,
    )
    policy.model.to(context.device)
    outcome: dict[str, Any] = {"parameters": _parameters(policy.model), "vocabulary": len(tokenizer)}
    if settings is not None and texts:
        renderer = context.renderer(tokenizer)
        items = renderer.documents(texts)
        held = items[: max(1, len(items) // 100)]
        result = train.pretrain(
            policy,
            items[len(held) :],
            settings,
            out=stage,
            seed=context.seed,
            held_out=held,
            label="pretrain",
            device=context.device,
            ranks=context.ranks,
        )
        tokens = sum(item.trained_tokens for item in items)
        outcome |= {"documents": len(items), "tokens": tokens, "held_out": result.evaluation}
    context.save(policy, stage, "Next-token predictor trained from scratch")
    return outcome


def verdict(context: Context, stage: Stage) -> Mapping[str, Any]:
    """Only the yes or no of an answer is trained: with the whole answer its one token is diluted."""
    assert isinstance(context.materials, PocketMaterials) and context.config.verdict
    policy = context.load(context.base_stage())
    records = context.materials.verdicts
    train.sft(
        policy,
        records,
        context.config.verdict,
        out=stage,
        seed=context.seed,
        renderer=context.renderer(policy.tokenizer),
        label="verdict",
        device=context.device,
        ranks=context.ranks,
    )
    context.save(policy, stage, "Base model after the verdict stage")
    return {"demonstrations": len(records)}


def sft(context: Context, stage: Stage) -> Mapping[str, Any]:
    """Imitate demonstrations."""
    assert context.config.sft
    policy = context.load(context.start_of_sft())
    if isinstance(context.config.policy, Pretrained) and context.config.policy.lora:
        add_lora(policy.model, **context.config.policy.lora.model_dump(), seed=context.seed)
    records, held = context.materials.demonstrations
    if isinstance(context.materials, PocketMaterials) and context.config.verdict:
        # Without them the verdict that was just learnt fades again.
        records = [*records, *context.materials.verdicts[: context.materials.settings.kept_verdicts]]
    renderer = context.renderer(policy.tokenizer)
    result = train.sft(
        policy,
        records,
        context.config.sft,
        out=stage,
        seed=context.seed,
        held_out=held,
        renderer=renderer,
        label="sft",
        device=context.device,
        ranks=context.ranks,
    )
    context.save(policy, stage, "Fine-tuned on demonstrations")
    return {
        "demonstrations": len(records),
        "held_out": result.evaluation,
        "rendering": dict(renderer.counts),
    }


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


def _save_reward(context: Context, model: RewardModel, stage: Stage, summary: str) -> None:
    if context.ranks.is_main:
        save_reward_model(model, stage.model, card=f"{summary}, run {context.config.name!r}.")
    context.ranks.barrier()


def reference_answers(context: Context) -> Sequence[Any]:
    """Demonstrations where there are any, else the preferred answers: what scores 0 once normalised."""
    from plaudit.data.records import Demonstration

    if isinstance(context.materials, FileMaterials) and not context.config.data.demonstrations:
        records = [r.comparisons() for r in context.materials.preferences[0][:500]]
        return [Demonstration(r.prompt, r.responses[r.outcomes[0].left]) for r in records if r.outcomes]
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


def reward_paths(context: Context) -> list[Path]:
    """Folders of the reward model(s) that PPO is to use: a saved one by path, or the run's own."""
    rl, settings = context.config.ppo, context.config.reward
    if rl and rl.reward_model:
        return [Path(rl.reward_model)]
    if settings is None:
        raise UserError(
            "ppo needs a reward", remedy="add a `reward:` section, ppo.reward_model or ppo.reward_function"
        )
    return [m.model for m in members(context.folder.stage("reward"), settings.members)]


def load_reward(context: Context, policy: Policy) -> RewardDoor:
    """The reward of the RL stage: a Python function, or the reward model(s) that were trained."""
    rl, settings = context.config.ppo, context.config.reward
    assert rl
    if rl.reward_function:
        return FunctionReward.by_path(rl.reward_function)
    models = [load_reward_model(path).to(context.device) for path in reward_paths(context)]
    doors = [
        ModelReward(
            model,
            same_tokenizer=same_tokenizer(model.tokenizer, policy.tokenizer),
            normalisation=rl.normalisation,
            token_budget=rl.token_budget or ENOUGH,
            device=context.device,
        )
        for model in models
    ]
    if len(doors) == 1 or settings is None:
        return doors[0]
    return EnsembleReward(doors, aggregate=settings.aggregate, std_penalty=settings.std_penalty)


def new_critic(context: Context, policy: Policy) -> Critic:
    """From the reward model where it is causal with the policy's tokenizer, else a head on the policy."""
    rl = context.config.ppo
    assert rl
    if rl.critic != "policy" and not rl.reward_function:
        model = load_reward_model(reward_paths(context)[0]).to(context.device)
        if is_causal(model.backbone) and same_tokenizer(model.tokenizer, policy.tokenizer):
            return Critic.from_reward_model(model).to(context.device)
        if rl.critic == "reward":
            raise UserError(
                "ppo.critic: reward needs a causal reward model with the policy's tokenizer",
                remedy="use ppo.critic: policy",
            )
    return Critic.from_policy(policy).to(context.device)


def ppo(context: Context, stage: Stage) -> Mapping[str, Any]:
    """Improve the SFT policy by the reward, on a leash."""
    settings = context.config.ppo
    assert settings
    policy = context.load(context.sft_stage())
    critic = new_critic(context, policy)
    lora = context.config.policy.lora if isinstance(context.config.policy, Pretrained) else None
    if lora:
        add_lora(policy.model, **lora.model_dump(), seed=context.seed)
        add_lora(critic.backbone, **lora.model_dump(), seed=context.seed)
    result = train.ppo(
        policy,
        load_reward(context, policy),
        context.materials.prompts,
        settings,
        critic=critic,
        out=stage,
        seed=context.seed,
        demonstrations=context.materials.demonstrations[0] if settings.ptx_coefficient else (),
        watch=_gold_watch(context, policy),
        renderer=context.renderer(policy.tokenizer),
        device=context.device,
        ranks=context.ranks,
    )
    context.save(policy, stage, "Trained by PPO")
    return {"iterations": result.iterations, "stopped": result.stopped}


def _gold_watch(context: Context, policy: Policy) -> Callable[[int], Mapping[str, float]] | None:
    """Gold on validation prompts, which neither training nor the test ever sees; None without a gold."""
    if context.materials.gold is None:
        return None
    from plaudit.pipeline.answers import answer

    settings = context.config.ppo
    assert settings

    def watch(iteration: int) -> Mapping[str, float]:
        samples = answer(
            context,
            policy,
            context.materials.validation_prompts,
            temperature=settings.temperature,
            max_new_tokens=settings.max_new_tokens,
        )
        gold = [context.materials.gold.judge(s.prompt, s.response).score for s in samples]
        return {"ppo/gold": float(np.mean(gold))}

    return watch


def _parameters(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


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
