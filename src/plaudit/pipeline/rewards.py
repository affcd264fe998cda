"""The reward of the RL stage and the critic that starts from it."""

from __future__ import annotations

from pathlib import Path

from plaudit.errors import UserError
from plaudit.models.critic import Critic
from plaudit.models.families import is_causal
from plaudit.models.policy import Policy
from plaudit.models.reward_model import load_reward_model
from plaudit.models.tokenizers import same_tokenizer
from plaudit.pipeline.context import Context
from plaudit.pipeline.reward_stages import members
from plaudit.rewards import EnsembleReward, FunctionReward, ModelReward
from plaudit.rewards import Reward as RewardDoor
from plaudit.training.memory import ENOUGH


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
