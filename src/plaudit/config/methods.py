"""The settings of each method, with vetted defaults."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from plaudit.config.base import Fraction, Positive, Section, Training
from plaudit.config.kl import KL, KL_STEP, KlPlace
from plaudit.config.scoring import Scoring

# A user's function or class, as module:name.
OwnCode = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]


class Sft(Training):
    """Supervised fine-tuning on demonstrations: loss on assistant tokens only."""

    epochs: float = Field(2.0, gt=0)


class Online(Scoring):
    """The settings of all methods that learn from their own samples (the RL loop).

    ``reward_clip`` bounds scores before the penalty for unfinished answers is taken off: ``auto`` is ±5 for scores
    that a reward model's stored mean and std normalize, and no bound for any other reward; a number bounds whatever
    the reward is, null nothing. What is cut is logged as ``reward/clipped``. ``forecast``: in a recipe, say before the
    first iteration what the reward allows, where that takes at most a tenth of the step (docs/audit.md).
    """

    kl_place: ClassVar[KlPlace] = "reward"

    iterations: Positive = 14
    prompts_per_iteration: Positive = 256
    samples_per_prompt: Positive = 1
    epochs: Positive = 2
    minibatch: Positive = 64
    lr: float = Field(5e-4, gt=0)
    schedule: Literal["constant", "linear"] = "linear"
    warmup: Fraction = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(1e-5, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float | None = Field(1.0, gt=0)
    kl: KL = KL()
    temperature: float = Field(1.0, gt=0)
    max_new_tokens: Positive = 48
    reward_clip: float | Literal["auto"] | None = "auto"
    unfinished_penalty: float | None = None
    ptx_coefficient: float = Field(0.0, ge=0)
    ptx_batch_size: Positive = 32
    token_budget: Positive | None = None
    checkpoint_every: Positive = 2
    keep_last: Positive = 1
    evaluate_every: Positive = 2
    show_samples: Positive = 4
    forecast: bool = True

    @field_validator("reward_clip", mode="before")
    @classmethod
    def _clip(cls, bound: Any) -> Any:
        number = isinstance(bound, int | float) and not isinstance(bound, bool) and bound > 0
        if not (number or bound is None or bound == "auto"):
            raise ValueError("reward_clip must be auto, a number above 0, or null for no bound")
        return bound

    @field_validator("kl")
    @classmethod
    def _kl(cls, kl: KL) -> KL:
        return kl.resolved(cls.kl_place)

    @model_validator(mode="after")
    def _horizon(self) -> Online:
        least = KL_STEP * self.prompts_per_iteration * self.samples_per_prompt
        if self.kl.controller == "adaptive" and self.kl.horizon is not None and self.kl.horizon <= least:
            raise ValueError(
                f"kl.horizon {self.kl.horizon} is too short: one iteration has "
                f"{self.prompts_per_iteration * self.samples_per_prompt} samples, so it must be above {least:g}, "
                "or left out (a tenth of the run's samples)"
            )
        return self

    @property
    def kl_horizon(self) -> float:
        """Samples over which the adaptive controller acts: as given, or a tenth of the run (one iteration at least)."""
        each = self.prompts_per_iteration * self.samples_per_prompt
        return self.kl.horizon or max(each, self.iterations * each / 10)


class Clipped(Online):
    """Surrogates with a clipped ratio."""

    clip: float = Field(0.2, gt=0, lt=1)
    entropy_coefficient: float = Field(0.0, ge=0)


class Ppo(Clipped):
    """PPO (Schulman et al. 2017) as used for RLHF (Ziegler et al. 2019; Ouyang et al. 2022)."""

    value_lr: float = Field(1e-3, gt=0)
    value_clip: float | None = Field(0.2, gt=0)
    value_coefficient: float = Field(1.0, gt=0)
    gamma: Fraction = 1.0
    lam: Fraction = 0.95
    critic: Literal["auto", "reward", "policy"] = "auto"
    critic_warmup: Annotated[int, Field(ge=0)] = 1


class Group(Clipped):
    """Methods whose baseline is the other samples of the prompt.

    ``algorithm`` is one's own advantage estimator, ``module:Class``, in the place of the method's.
    """

    algorithm: OwnCode | None = None
    prompts_per_iteration: Positive = 32
    samples_per_prompt: Annotated[int, Field(ge=2)] = 8


class Grpo(Group):
    """GRPO (Shao et al. 2024) and its variants.

    ``advantage_scale: none`` with ``aggregation: fixed`` is Dr. GRPO (Liu et al. 2025); ``aggregation: token``
    with ``clip_high`` DAPO (Yu et al. 2025); ``ratio: sequence`` GSPO (Zheng et al. 2025); ``surrogate: cispo``
    MiniMax 2025. The KL is a term of the loss (``kl.place: loss``), as published.
    """

    kl_place: ClassVar[KlPlace] = "loss"

    advantage_scale: Literal["group", "batch", "none"] = "group"
    aggregation: Literal["token", "sequence", "fixed"] = "token"
    ratio: Literal["token", "sequence"] = "token"
    surrogate: Literal["clip", "cispo"] = "clip"
    clip_high: float | None = Field(None, gt=0)


class Rloo(Group):
    """RLOO (Ahmadian et al. 2024): REINFORCE with the mean of the other samples as baseline."""

    ratio: Literal["token", "sequence"] = "sequence"


class Reinforce(Clipped):
    """REINFORCE++ (Hu 2025): rewards to go with per-token KL, whitened over the batch, and no critic.

    With several samples a prompt, ``baseline: group`` takes off their mean first.
    """

    gamma: Fraction = 1.0
    baseline: Literal["none", "group"] = "none"


class OnlineDpo(Online):
    """Online DPO (Guo et al. 2024): the reward ranks own samples, DPO learns from the ranking.

    ``kl.coefficient`` is DPO's β. With ``loss: ipo`` log-ratios are means per token, as in ``dpo``.
    """

    prompts_per_iteration: Positive = 64
    samples_per_prompt: Annotated[int, Field(ge=2)] = 4
    pairs: Literal["best_worst", "all"] = "all"
    loss: Literal["sigmoid", "ipo", "hinge"] = "sigmoid"
    kl: KL = KL(coefficient=0.1)

    @field_validator("kl")
    @classmethod
    def _kl(cls, kl: KL) -> KL:
        if kl.coefficient == 0:
            raise ValueError("kl.coefficient is DPO's β here and must be above 0")
        given = [name for name in ("place", "estimator") if getattr(kl, name) is not None]
        if given:
            raise ValueError(
                f"{' and '.join(f'kl.{name}' for name in given)}: online DPO has no KL term to place or to estimate, "
                "its loss holds the KL by β = kl.coefficient; leave it out"
            )
        return kl


class Rejection(Scoring, Training):
    """Rejection-sampling fine-tuning (Touvron et al. 2023; RAFT, Dong et al. 2023): imitate the best of n."""

    prompts: Positive = 2500
    n: Annotated[int, Field(ge=2)] = 8
    temperature: float = Field(1.0, gt=0)
    max_new_tokens: Positive = 48


class Pairwise(Training):
    """The settings of all methods that learn from rankings directly.

    ``label_smoothing`` is the share of judgements taken to be wrong; ``use_strength`` makes stated strengths margins
    of the implicit rewards, ``margin_scale`` · strength / the largest in the training data (both for log-sigmoid
    losses).
    """

    lr: float = Field(1e-4, gt=0)
    warmup: Fraction = 0.1
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    use_strength: bool = False
    margin_scale: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _margin(self) -> Pairwise:
        if self.margin_scale != 1.0 and not self.use_strength:
            raise ValueError("margin_scale needs use_strength: true")
        return self


class Referenced(Section):
    """Where reference log-probs come from: computed once and kept on disk, or a frozen copy in memory (``live``).

    With adapters a live reference is the same model with its adapters switched off.
    """

    reference: Literal["precomputed", "live"] = "precomputed"


DpoLoss = Literal["sigmoid", "robust", "hinge", "ipo", "sppo_hard", "apo_zero", "apo_down", "plackett_luce"]


class Dpo(Referenced, Pairwise):
    """DPO (Rafailov et al. 2023) and its variants.

    ``length_normalised`` takes log-ratios per token: by default for ``ipo`` alone, whose target 1/(2β) is one number
    for answers of every length (as its authors confirmed and TRL does; false gives sums, eq. 17 as printed). ``nll``
    adds the NLL of the preferred answer (RPO, Pang et al. 2024); ``divergence`` replaces the reverse KL (Wang et al.
    2023), ``alpha`` being .5 unless given.
    """

    beta: float = Field(0.1, gt=0)
    loss: DpoLoss | OwnCode = "sigmoid"
    length_normalised: bool | None = None
    divergence: Literal["reverse_kl", "forward_kl", "js", "alpha"] = "reverse_kl"
    alpha: float | None = Field(None, gt=0, lt=1)
    nll: float = Field(0.0, ge=0)

    @field_validator("length_normalised")
    @classmethod
    def _per_token(cls, given: bool | None, info: ValidationInfo) -> bool:
        return info.data.get("loss") == "ipo" if given is None else given

    @model_validator(mode="after")
    def _fits(self) -> Dpo:
        if self.label_smoothing and self.loss not in ("sigmoid", "robust"):
            raise ValueError(f"label_smoothing is for loss sigmoid or robust, not {self.loss}")
        if self.use_strength and self.loss != "sigmoid":
            raise ValueError(f"use_strength is for loss sigmoid, not {self.loss}")
        if self.divergence != "alpha" and self.alpha is not None:
            raise ValueError(f"alpha is for divergence alpha, not {self.divergence}")
        return self


class Simpo(Pairwise):
    """SimPO (Meng et al. 2024): the mean log-prob as reward, a margin, no reference.

    With nothing to hold the policy near its start, the step is smaller than DPO's.
    """

    lr: float = Field(3e-5, gt=0)
    beta: float = Field(2.0, gt=0)
    gamma: float = Field(1.0, ge=0)
    nll: float = Field(0.0, ge=0)


class Cpo(Pairwise):
    """CPO (Xu et al. 2024): DPO with a uniform reference, and the NLL of the preferred answer."""

    beta: float = Field(0.1, gt=0)
    nll: float = Field(1.0, ge=0)


class Orpo(Pairwise):
    """ORPO (Hong et al. 2024): NLL of the preferred answer and a term on the odds ratio, no reference."""

    odds_weight: float = Field(0.1, gt=0)


class Kto(Referenced, Training):
    """KTO (Ethayarajh et al. 2024): single answers, each good or bad.

    Pairs and rankings become labels by their share of wins. ``threshold``: ratings from it on are good.
    """

    lr: float = Field(1e-4, gt=0)
    warmup: Fraction = 0.1
    beta: float = Field(0.1, gt=0)
    desirable_weight: float = Field(1.0, gt=0)
    undesirable_weight: float = Field(1.0, gt=0)
    threshold: float | None = None
