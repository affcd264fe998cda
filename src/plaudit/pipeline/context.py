"""What every stage knows, and how a policy is loaded and saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plaudit.config import Config, Scratch
from plaudit.data.rendering import Renderer
from plaudit.models.adapters import has_adapter, merge
from plaudit.models.policy import Policy, load_policy, save_policy
from plaudit.pipeline.materials import Materials
from plaudit.runs import RunFolder, Stage
from plaudit.training import Ranks


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
