"""The settings of the methods that learn from records, with vetted defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from plaudit.config.base import Fraction, OwnCode, Positive, Section, Training
from plaudit.config.scoring import Scoring


class Sft(Training):
    """Supervised fine-tuning on demonstrations: loss on assistant tokens only."""

    epochs: float = Field(2.0, gt=0)


class Rejection(Scoring, Training):
    """Rejection-sampling fine-tuning (Touvron et al. 2023; RAFT, Dong et al. 2023): imitate the best of n."""

    prompts: Positive = 2500
    n: Annotated[int, Field(ge=2)] = 8
    temperature: float = Field(1.0, gt=0)
    max_new_tokens: Positive = 48

    @model_validator(mode="after")
    def _nothing_apart(self) -> Rejection:
        if self.eval_every is not None:
            raise ValueError(
                "rejection trains on all that it chose and holds nothing out: leave out eval_every, keep_best"
            )
        return self


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
