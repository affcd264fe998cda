"""The critic: a transformers backbone and a value head, V(state) before each response token."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from plaudit.models.adapters import has_adapter, merge
from plaudit.models.architectures import backbone as backbone_of, is_causal
from plaudit.models.policy import Policy
from plaudit.models.reward_model import RewardModel, linear_head, new_head


class Critic(nn.Module):
    """value = w · h + b for a hidden state h, in units of the reward as it is paid."""

    def __init__(self, backbone: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def value(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., D] → values [...], in fp32."""
        values: Tensor = self.head(hidden).squeeze(-1).float()
        return values

    @classmethod
    def from_reward_model(cls, model: RewardModel, *, normalized: bool = True, weight: float = 1.0) -> Critic:
        """A copy of a causal reward model whose first values are what it would be paid for the tokens so far.

            V = weight·(score − mean)/std, or weight·score where the reward is not normalized

        Stiennon et al. 2020 start the value function from the reward model. ValueError where a score is not the
        head's own number at the last token so far (``fits_critic``).
        """
        if not fits_critic(model):
            raise ValueError(
                "a critic needs a causal reward model with pooling 'last', not length-normalized"
            )
        mean = model.mean if normalized and model.mean is not None else 0.0
        std = model.std if normalized and model.std is not None else 1.0
        head = linear_head(weight * model.head.weight.detach() / std, bias=-weight * mean / std)
        return cls(_plain_copy(model.backbone), head)

    @classmethod
    def from_policy(cls, policy: Policy) -> Critic:
        """A copy of the policy's backbone, and a head that is 0 everywhere at first."""
        backbone = _plain_copy(policy.model)
        weight = new_head(backbone, seed=0).weight
        return cls(backbone, linear_head(torch.zeros_like(weight), bias=0.0))


def fits_critic(model: RewardModel) -> bool:
    """Whether a reward model's head gives at every token the reward of the answer so far."""
    return model.pooling == "last" and not model.length_power and is_causal(model.backbone)


def _plain_copy(model: nn.Module) -> Any:
    """A trainable copy of the backbone, adapters merged."""
    backbone = copy.deepcopy(backbone_of(model))
    if has_adapter(backbone):
        merge(backbone)
    return backbone.requires_grad_(True)
