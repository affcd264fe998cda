"""The reward of the methods that ask for one, and the critic that starts from it."""

from __future__ import annotations

from pathlib import Path

from plaudit.config import RewardPart, Scoring
from plaudit.errors import UserError
from plaudit.models.critic import Critic, fits_critic
from plaudit.models.policy import Policy
from plaudit.models.reward_model import load_reward_model
from plaudit.models.tokenizers import same_tokenizer
from plaudit.pipeline.context import Context
from plaudit.pipeline.reward_stages import members
from plaudit.rewards import EnsembleReward, FunctionReward, ModelReward, SumReward
from plaudit.rewards import Reward as RewardDoor
from plaudit.training.memory import ENOUGH


def parts_of(settings: Scoring) -> list[RewardPart]:
    """What a section asks to be scored by; its short forms are lists of one."""
    if settings.rewards:
        return list(settings.rewards)
    if settings.reward_model:
        return [RewardPart(source="model", path=settings.reward_model)]
    if settings.reward_function:
        return [RewardPart(source="function", path=settings.reward_function)]
    return [RewardPart()]


def load_reward(context: Context, policy: Policy) -> RewardDoor:
    """The reward that the recipe asks for; without such a section, the run's own reward model."""
    settings = context.config.scoring or Scoring()
    parts = parts_of(settings)
    if len(parts) == 1 and parts[0].weight == 1:
        return _load(context, policy, parts[0], settings)
    named: dict[str, tuple[RewardDoor, float]] = {}
    for part in parts:
        name = part.source if part.path is None else Path(part.path).name
        while name in named:
            name += "+"
        named[name] = _load(context, policy, part, settings), part.weight
    return SumReward(named)


def _load(context: Context, policy: Policy, part: RewardPart, settings: Scoring) -> RewardDoor:
    if part.source == "gold":
        return _gold(context)
    if part.source == "function":
        return FunctionReward.by_path(str(part.path))
    doors = [_model(context, policy, path, settings) for path in model_paths(context, part)]
    own = context.config.reward
    if len(doors) == 1 or own is None:
        return doors[0]
    return EnsembleReward(doors, aggregate=own.aggregate, std_penalty=own.std_penalty)


def _gold(context: Context) -> RewardDoor:
    gold = context.materials.gold
    if gold is None:
        raise UserError("a reward from gold needs the pocket world", remedy="name a reward model instead")
    return FunctionReward(lambda sample: float(gold.judge(sample.prompt, sample.response).score))


def model_paths(context: Context, part: RewardPart) -> list[Path]:
    """Folders of the reward model(s) of one part: a saved one, or the run's own."""
    if part.source == "model":
        return [Path(str(part.path))]
    own = context.config.reward
    if own is None:
        raise UserError(
            f"{context.config.final} needs a reward",
            remedy="add a `reward:` section, or name reward_model, reward_function or rewards",
        )
    return [m.model for m in members(context.folder.stage("reward"), own.members)]


def _model(context: Context, policy: Policy, path: Path, settings: Scoring) -> RewardDoor:
    model = load_reward_model(path).to(context.device)
    return ModelReward(
        model,
        same_tokenizer=same_tokenizer(model.tokenizer, policy.tokenizer),
        normalisation=settings.normalisation,
        token_budget=getattr(settings, "token_budget", None) or ENOUGH,
        device=context.device,
    )


def new_critic(context: Context, policy: Policy) -> Critic:
    """From the first reward model that is causal with the policy's tokenizer, else a head on the policy."""
    rl = context.config.ppo
    assert rl
    models = [part for part in parts_of(rl) if part.source in ("own", "model")]
    if rl.critic != "policy" and models:
        model = load_reward_model(model_paths(context, models[0])[0]).to(context.device)
        if fits_critic(model) and same_tokenizer(model.tokenizer, policy.tokenizer):
            normalized = rl.normalisation == "stored"
            critic = Critic.from_reward_model(model, normalized=normalized, weight=models[0].weight)
            return critic.to(context.device)
        if rl.critic == "reward":
            raise UserError(
                "ppo.critic: reward needs a causal reward model (pooling last, not length-normalized) with the "
                "policy's tokenizer",
                remedy="use ppo.critic: policy",
            )
    return Critic.from_policy(policy).to(context.device)
