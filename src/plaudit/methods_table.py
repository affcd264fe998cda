"""`METHODS`: what each training method is and needs. Free of torch, so that help stays quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Need = Literal["text", "demonstrations", "preferences", "prompts", "reward", "reference"]


@dataclass(frozen=True)
class Method:
    """Facts of one method.

    ``function`` is the dotted path of what trains it; ``models`` are those in memory while it does.
    """

    name: str
    summary: str
    needs: tuple[Need, ...]
    online: bool
    models: tuple[str, ...]
    function: str
    paper: str

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
            summary="Next-token prediction on raw text.",
            needs=("text",),
            online=False,
            models=("policy",),
            function="plaudit.methods.train.pretrain",
            paper="Radford et al. 2018",
        ),
        Method(
            name="sft",
            summary="Supervised fine-tuning: imitate demonstrations.",
            needs=("demonstrations",),
            online=False,
            models=("policy",),
            function="plaudit.methods.train.sft",
            paper="Ouyang et al. 2022",
        ),
        Method(
            name="reward",
            summary="A reward model from human pairs or K-way rankings.",
            needs=("preferences",),
            online=False,
            models=("reward model",),
            function="plaudit.methods.train.reward_model",
            paper="Stiennon et al. 2020; Ouyang et al. 2022",
        ),
        Method(
            name="ppo",
            summary="PPO: more reward, with a KL leash to where the policy started.",
            needs=("prompts", "reward", "reference"),
            online=True,
            models=("policy", "critic", "reference", "reward model"),
            function="plaudit.methods.train.ppo",
            paper="Schulman et al. 2017; Ziegler et al. 2019; Ouyang et al. 2022",
        ),
    )
}
