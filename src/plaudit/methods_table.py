"""`METHODS`: what each training method is and needs. Free of torch, so that help stays quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Need = Literal["text", "demonstrations", "preferences", "labels", "prompts", "reward", "reference"]


@dataclass(frozen=True)
class Method:
    """Facts of one method.

    ``name`` is its section in a recipe, ``function`` the dotted path of what trains it, ``models`` those in
    memory while it does, ``family`` the page of docs/methods that tells of it, ``when`` its use in a phrase.
    """

    name: str
    summary: str
    needs: tuple[Need, ...]
    online: bool
    models: tuple[str, ...]
    function: str
    paper: str
    when: str
    family: str = ""

    @property
    def verb(self) -> str:
        """The command that runs it."""
        return self.name.replace("_", "-")

    @property
    def page(self) -> str:
        return self.family or self.verb

    @property
    def trains_policy(self) -> bool:
        """Whether it makes a run's last policy."""
        return self.name not in ("pretrain", "sft", "reward")

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


ONLINE: tuple[Need, ...] = ("prompts", "reward", "reference")
_ROLLOUT = ("policy", "reference", "reward model")

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "pretrain",
            "Next-token prediction on raw text.",
            ("text",),
            False,
            ("policy",),
            "plaudit.methods.train.pretrain",
            "Radford et al. 2018",
            "there is no model yet",
        ),
        Method(
            "sft",
            "Supervised fine-tuning: imitate demonstrations.",
            ("demonstrations",),
            False,
            ("policy",),
            "plaudit.methods.train.sft",
            "Ouyang et al. 2022",
            "good answers have been written down; what every other method starts from",
        ),
        Method(
            "reward",
            "A reward model from human pairs or K-way rankings.",
            ("preferences",),
            False,
            ("reward model",),
            "plaudit.methods.train.reward_model",
            "Stiennon et al. 2020; Ouyang et al. 2022",
            "answers have been ranked and fresh ones are to be scored",
        ),
        Method(
            "ppo",
            "PPO: more reward, with a KL leash to where the policy started.",
            ONLINE,
            True,
            ("policy", "critic", "reference", "reward model"),
            "plaudit.methods.train_online.ppo",
            "Schulman et al. 2017; Ziegler et al. 2019; Ouyang et al. 2022",
            "a reward model is good and the last bit of quality counts; credit is due token by token",
        ),
        Method(
            "grpo",
            "GRPO: beat the prompt's other samples; no critic.",
            ONLINE,
            True,
            _ROLLOUT,
            "plaudit.methods.train_online.grpo",
            "Shao et al. 2024; Liu et al. 2025; Yu et al. 2025",
            "answers can be checked by a function, or memory has no room for a critic",
        ),
        Method(
            "rloo",
            "RLOO: REINFORCE with the other samples' mean as baseline.",
            ONLINE,
            True,
            _ROLLOUT,
            "plaudit.methods.train_online.rloo",
            "Ahmadian et al. 2024",
            "as GRPO, where an unbiased gradient and the KL in the reward are wanted",
        ),
        Method(
            "reinforce",
            "REINFORCE++: whitened rewards to go, no critic.",
            ONLINE,
            True,
            _ROLLOUT,
            "plaudit.methods.train_online.reinforce",
            "Hu 2025",
            "prompts are many and samples dear: one sample a prompt and no critic",
        ),
        Method(
            "online_dpo",
            "Online DPO: the reward ranks own samples, DPO learns from them.",
            ONLINE,
            True,
            _ROLLOUT,
            "plaudit.methods.train_online.online_dpo",
            "Guo et al. 2024",
            "DPO's steadiness is wanted on fresh samples",
        ),
        Method(
            "rejection",
            "Rejection sampling: imitate the best of n own samples.",
            ("prompts", "reward"),
            False,
            ("policy", "reward model"),
            "plaudit.methods.train_online.rejection",
            "Touvron et al. 2023; Dong et al. 2023",
            "a reward is at hand and nothing may go wrong: it is SFT on chosen samples",
            family="best-of-n",
        ),
        Method(
            "dpo",
            "DPO and its variants: learn from rankings without a reward model.",
            ("preferences", "reference"),
            False,
            ("policy",),
            "plaudit.methods.train_direct.dpo",
            "Rafailov et al. 2023; Azar et al. 2023",
            "rankings or pairs are at hand and nothing is to be sampled",
        ),
        Method(
            "simpo",
            "SimPO: the mean log-prob as reward, a margin, no reference.",
            ("preferences",),
            False,
            ("policy",),
            "plaudit.methods.train_direct.simpo",
            "Meng et al. 2024",
            "as DPO, where no reference fits or DPO grows the length",
        ),
        Method(
            "cpo",
            "CPO: DPO with a uniform reference and an NLL term.",
            ("preferences",),
            False,
            ("policy",),
            "plaudit.methods.train_direct.cpo",
            "Xu et al. 2024",
            "as DPO without a reference, where the preferred answers are themselves good",
        ),
        Method(
            "orpo",
            "ORPO: SFT and preference in one loss, no reference.",
            ("preferences",),
            False,
            ("policy",),
            "plaudit.methods.train_direct.orpo",
            "Hong et al. 2024",
            "there are no demonstrations beside the preferred answers: SFT and preference in one stage",
        ),
        Method(
            "kto",
            "KTO: learn from thumbs up and down.",
            ("labels", "reference"),
            False,
            ("policy",),
            "plaudit.methods.train_direct.kto",
            "Ethayarajh et al. 2024",
            "single answers carry thumbs, or one side is rare",
        ),
    )
}
