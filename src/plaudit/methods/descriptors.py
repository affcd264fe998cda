"""Descriptors of plaudit's own methods, free of torch."""

from __future__ import annotations

from typing import Any

from plaudit.methods import pretrained_defaults as pretrained
from plaudit.registry import Method, Need, Variant, method

SETTINGS = "plaudit.config.methods"
ONLINE_SETTINGS = "plaudit.config.online"
SECTIONS = "plaudit.config.sections"
STEPS = "plaudit.pipeline.steps"
COST = "plaudit.pipeline.steps.cost"
FIT = "plaudit.advice.fits"
ONLINE: tuple[Need, ...] = ("prompts", "reward", "reference")
ROLLOUT = ("policy", "reference", "reward model")

OWN: list[Method] = []  # plaudit's own methods


def _own(*described: Method) -> None:
    OWN.extend(described)
    method(*described)


_own(
    Method(
        "pretrain",
        "Pretraining",
        "Next-token prediction on raw text.",
        f"{SECTIONS}:Pretrain",
        f"{STEPS}.policies:pretrain",
        gives=("policy",),
        data="text",
        tone="base",
        code=("plaudit.methods.train:pretrain",),
        cost=f"{COST}:fitted",
        needs=("text",),
        function="plaudit.methods.train:pretrain",
        paper="Radford et al. 2018",
        when="there is no model yet",
        pretrained=pretrained.PRETRAIN,
    ),
    Method(
        "sft",
        "SFT",
        "Supervised fine-tuning: imitate demonstrations.",
        f"{SETTINGS}:Sft",
        f"{STEPS}.policies:sft",
        gives=("policy",),
        data="demonstrations",
        starts="policy",
        tone="sft",
        code=("plaudit.methods.train:sft",),
        cost=f"{COST}:fitted",
        needs=("demonstrations",),
        function="plaudit.methods.train:sft",
        paper="Ouyang et al. 2022",
        when="good answers have been written; the starting point of every other method",
        pretrained=pretrained.SFT,
        fit=f"{FIT}:sft",
        page="sft",
    ),
    Method(
        "reward",
        "Reward model",
        "A reward model from human pairs or K-way rankings.",
        f"{SECTIONS}:RewardSettings",
        f"{STEPS}.rewards:reward",
        gives=("reward model",),
        data="preferences",
        starts="reward model",
        tone="reward",
        code=("plaudit.methods.train:reward_model", "plaudit.methods.train:store_normalization"),
        cost=f"{COST}:fitted",
        needs=("preferences",),
        models=("reward model",),
        function="plaudit.methods.train:reward_model",
        paper="Stiennon et al. 2020; Ouyang et al. 2022",
        when="answers have been ranked and new answers are to be scored",
        pretrained=pretrained.REWARD,
        page="reward",
    ),
)


def _trained(kind: str, name: str, title: str, summary: str, settings: Any, **facts: object) -> Method:
    """A method that trains a policy on feedback, with its function in ``train_online`` or ``train_direct``."""
    function = f"plaudit.methods.train_{kind}:{name}"
    shared: dict[str, object] = {
        "gives": ("policy",),
        "starts": "policy",
        "preference": True,
        "tone": "trained",
        "function": function,
        "code": (function,),
        "page": name.replace("_", "-"),
    }
    return Method(name, title, summary, settings, f"{STEPS}.policies:{kind}", **{**shared, **facts})  # type: ignore[arg-type]


def online(name: str, title: str, summary: str, settings: Any, **facts: object) -> Method:
    """A method on the RL loop: prompts and a reward in, a policy out."""
    shared: dict[str, object] = {
        "data": "prompts",
        "rewarded": True,
        "cost": f"{COST}:online",
        "needs": ONLINE,
        "online": True,
        "models": ROLLOUT,
    }
    return _trained("online", name, title, summary, settings, **{**shared, **facts})


_own(
    online(
        "ppo",
        "PPO",
        "PPO: more reward, held near its start by a KL penalty.",
        f"{ONLINE_SETTINGS}:Ppo",
        models=("policy", "critic", "reference", "reward model"),
        code=("plaudit.methods.train_online:ppo", "plaudit.pipeline.steps.scoring:new_critic"),
        paper="Schulman et al. 2017; Ziegler et al. 2019; Ouyang et al. 2022",
        when="a good reward model and enough memory for a critic; best final quality",
        pretrained=pretrained.PPO,
        grid=("kl.coefficient", (0.05, 0.2)),
        compared=True,
        fit=f"{FIT}:ppo",
    ),
    online(
        "grpo",
        "GRPO",
        "GRPO: beat the prompt's other samples; no critic.",
        f"{ONLINE_SETTINGS}:Grpo",
        paper="Shao et al. 2024; Liu et al. 2025; Yu et al. 2025",
        when="answers can be checked by a function, or there is no memory for a critic",
        pretrained=pretrained.GROUP,
        grid=("kl.coefficient", (0.1, 0.4)),
        compared=True,
        variants={
            "dr-grpo": Variant("Dr. GRPO", ("advantage_scale=none", "aggregation=fixed")),
            "gspo": Variant("GSPO", ("ratio=sequence",)),
            "dapo": Variant("DAPO", ("clip_high=0.28", "dynamic_sampling=3", "overlong_cache=8")),
            "cispo": Variant("CISPO", ("surrogate=cispo",)),
        },
        fit=f"{FIT}:grpo",
    ),
    online(
        "rloo",
        "RLOO",
        "RLOO: REINFORCE with the other samples' mean as baseline.",
        f"{ONLINE_SETTINGS}:Rloo",
        paper="Ahmadian et al. 2024",
        when="as GRPO, where an unbiased gradient and the KL in the reward are wanted",
        pretrained=pretrained.GROUP,
        grid=("kl.coefficient", (0.05, 0.2)),
        compared=True,
        fit=f"{FIT}:rloo",
    ),
    online(
        "reinforce",
        "REINFORCE++",
        "REINFORCE++: whitened rewards to go, no critic.",
        f"{ONLINE_SETTINGS}:Reinforce",
        paper="Hu 2025",
        when="there are many prompts and sampling is expensive: one sample per prompt and no critic",
        pretrained=pretrained.REINFORCE,
        grid=("kl.coefficient", (0.05, 0.2)),
        fit=f"{FIT}:reinforce",
    ),
    online(
        "online_dpo",
        "Online DPO",
        "Online DPO: the reward ranks own samples, DPO learns from them.",
        f"{ONLINE_SETTINGS}:OnlineDpo",
        paper="Guo et al. 2024",
        when="DPO's stability is wanted on fresh samples",
        pretrained=pretrained.ONLINE_DPO,
        grid=("kl.coefficient", (0.2, 1.0)),
        fit=f"{FIT}:online_dpo",
    ),
    online(
        "rejection",
        "Rejection sampling",
        "Rejection sampling: imitate the best of n own samples.",
        f"{SETTINGS}:Rejection",
        needs=("prompts", "reward"),
        online=False,
        models=("policy", "reward model"),
        cost=f"{COST}:rejection",
        paper="Touvron et al. 2023; Dong et al. 2023",
        when="a safe first step with any reward: SFT on the best samples",
        pretrained=pretrained.REJECTION,
        page="best-of-n",
        grid=("n", (4, 16)),
        compared=True,
        fit=f"{FIT}:rejection",
    ),
)


def direct(name: str, title: str, summary: str, settings: Any, **facts: object) -> Method:
    """A method that learns from rankings without a reward model."""
    shared: dict[str, object] = {
        "data": "preferences",
        "cost": f"{COST}:fitted",
        "needs": ("preferences",),
    }
    return _trained("direct", name, title, summary, settings, **{**shared, **facts})


_own(
    direct(
        "dpo",
        "DPO",
        "DPO and variants: learn from rankings without a reward model.",
        f"{SETTINGS}:Dpo",
        needs=("preferences", "reference"),
        paper="Rafailov et al. 2023; Azar et al. 2023",
        when="rankings or pairs are available and nothing should be sampled",
        pretrained=pretrained.DPO,
        grid=("beta", (0.1, 0.5)),
        compared=True,
        variants={
            "ipo": Variant("IPO", ("loss=ipo", "length_normalised=true"), ("beta", (0.2, 1.0)), compared=True)
        },
        fit=f"{FIT}:dpo",
    ),
    direct(
        "simpo",
        "SimPO",
        "SimPO: the mean log-prob as reward, a margin, no reference.",
        f"{SETTINGS}:Simpo",
        paper="Meng et al. 2024",
        when="as DPO, where no reference fits or DPO grows the length",
        pretrained=pretrained.SIMPO,
        grid=("beta", (1.0, 4.0)),
        compared=True,
        fit=f"{FIT}:simpo",
    ),
    direct(
        "cpo",
        "CPO",
        "CPO: DPO with a uniform reference and an NLL term.",
        f"{SETTINGS}:Cpo",
        paper="Xu et al. 2024",
        when="as DPO without a reference, where the preferred answers are themselves good",
        pretrained=pretrained.CPO,
        grid=("beta", (0.05, 0.1)),
        compared=True,
        fit=f"{FIT}:cpo",
    ),
    direct(
        "orpo",
        "ORPO",
        "ORPO: SFT and preference in one loss, no reference.",
        f"{SETTINGS}:Orpo",
        paper="Hong et al. 2024",
        when="there are no demonstrations except the preferred answers: SFT and preference learning in one step",
        pretrained=pretrained.ORPO,
        imitates=True,
        grid=("odds_weight", (0.2, 1.0)),
        compared=True,
        fit=f"{FIT}:orpo",
    ),
    direct(
        "kto",
        "KTO",
        "KTO: learn from thumbs up and down.",
        f"{SETTINGS}:Kto",
        data="labels",
        needs=("labels", "reference"),
        paper="Ethayarajh et al. 2024",
        when="single answers have thumbs, or one of the two labels is rare",
        pretrained=pretrained.KTO,
        grid=("beta", (0.1, 0.5)),
        compared=True,
        fit=f"{FIT}:kto",
    ),
)
