"""`METHODS`: what each training method is and needs. Free of torch, so that help stays quick."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Need = Literal["text", "demonstrations", "preferences", "prompts", "reward", "reference"]


@dataclass(frozen=True)
class Method:
    """Facts of one method. ``models`` are those in memory while it trains, the trained ones first."""

    name: str
    title: str
    summary: str
    needs: tuple[Need, ...]
    online: bool
    models: tuple[str, ...]
    trained: int
    function: str
    paper: str

    def load(self) -> Callable[..., Any]:
        """The function behind it; imports torch."""
        module, _, name = self.function.rpartition(".")
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return found

    @property
    def facts(self) -> str:
        """Needs, models in memory and paper, one sentence each."""
        answers = "the policy's own, sampled while it trains" if self.online else "those of the data"
        return (
            f"Needs {_listed(self.needs)}. Answers: {answers}. "
            f"In memory: {_listed(self.models)}. {self.paper}."
        )


def _listed(words: tuple[str, ...]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="pretrain",
            title="Pretraining",
            summary="Next-token prediction on raw text.",
            needs=("text",),
            online=False,
            models=("policy",),
            trained=1,
            function="plaudit.methods.train.pretrain",
            paper="Radford et al. 2018",
        ),
        Method(
            name="sft",
            title="Supervised fine-tuning",
            summary="Supervised fine-tuning: imitate demonstrations.",
            needs=("demonstrations",),
            online=False,
            models=("policy",),
            trained=1,
            function="plaudit.methods.train.sft",
            paper="Ouyang et al. 2022",
        ),
        Method(
            name="reward",
            title="Reward model",
            summary="A reward model from human pairs or K-way rankings.",
            needs=("preferences",),
            online=False,
            models=("reward model",),
            trained=1,
            function="plaudit.methods.train.reward_model",
            paper="Stiennon et al. 2020; Ouyang et al. 2022",
        ),
        Method(
            name="ppo",
            title="PPO",
            summary="PPO: more reward, with a KL leash to where the policy started.",
            needs=("prompts", "reward", "reference"),
            online=True,
            models=("policy", "critic", "reference", "reward model"),
            trained=2,
            function="plaudit.methods.train.ppo",
            paper="Schulman et al. 2017; Ziegler et al. 2019; Ouyang et al. 2022",
        ),
    )
}
