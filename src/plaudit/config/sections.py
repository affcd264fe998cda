"""Sections of the steps that are no method: pretraining, reward models, rankings, evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from plaudit.config.base import Fraction, Lora, PolicySource, Positive, Pretrained, Section, Training
from plaudit.config.text import Loader, home


class Base(Section):
    """A policy as it comes: a pretrained model, or one built from scratch that has not been trained."""


class Pretrain(Training):
    """Next-token prediction on raw text; without text the model stays as it was built."""

    batch_size: Positive = 16
    lr: float = Field(3e-3, gt=0)


class JudgeSpec(Section):
    """Who ranks: ``people``, or ``scheme:rest`` of a registered judge with its options."""

    judge: str
    options: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """Text, with options behind ``?`` as in an address, or a mapping with the options beside ``judge``."""
        if isinstance(value, str):
            spec, _, query = value.partition("?")
            return {"judge": spec, "options": dict(_option(part) for part in query.split("&") if part)}
        if isinstance(value, Mapping) and "options" not in value:
            return {"judge": value.get("judge"), "options": {k: v for k, v in value.items() if k != "judge"}}
        return value

    @property
    def scheme(self) -> str:
        return self.judge.partition(":")[0]

    @property
    def rest(self) -> str:
        return self.judge.partition(":")[2]

    @property
    def people(self) -> bool:
        return self.judge == "people"

    @property
    def ungated(self) -> bool:
        """Whether ``gate: off`` lets it work without being held against people's rankings."""
        return self.options.get("gate", "on") in ("off", False)


def _option(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"an option of a judge is written key=value, this is {text!r}")
    try:
        return key, yaml.load(value, Loader)
    except yaml.YAMLError:
        # A file's name may begin with a sign that YAML reserves, such as @ or *.
        return key, value


class Enough(Section):
    """When people have judged enough: so many items, each by so many people."""

    items: Positive | None = None
    overlap: Positive = 1


class Rank(Section):
    """Answers of the newest policy to training prompts, ranked by people or a judge.

    ``answers`` is how many a prompt has, or the least and the most; ``scripted_share`` of them are the world's own,
    where it has any. Each rank step takes fresh prompts, ``prompts: same`` those of the rank step before. ``beside``
    names further policies whose answers are ranked among those of ``from``. ``favourites``: that share of a prompt's
    answers are those that the newest reward model (or ``reward``) likes most of ``pool`` that were drawn, by default
    four times as many as are shown; the others are chosen at random (Bai et al. 2022). ``recheck`` draws no answers: it
    names an earlier rank step, ``prompts`` of whose items are ranked again, ``disagreement`` of them those on which its
    ranking and the newest reward model (or ``reward``) are furthest apart, the others at random.
    """

    by: JudgeSpec | None = None
    prompts: Positive | Literal["same"] = 2500
    answers: Annotated[int, Field(ge=2)] | tuple[Annotated[int, Field(ge=2)], Annotated[int, Field(ge=2)]] = 4
    scripted_share: Fraction = 0.0
    beside: tuple[str, ...] = ()
    favourites: Fraction = 0.0
    pool: Positive | None = None
    recheck: str | None = None
    disagreement: Fraction = 0.0
    temperature: float = Field(1.0, gt=0)
    max_new_tokens: Positive = 40
    validation: Fraction = 0.1
    enough: Enough | None = None
    project: str | None = None

    @model_validator(mode="after")
    def _order(self) -> Rank:
        if self.low > self.high:
            raise ValueError(f"answers from {self.low} to {self.high}: the least is above the most")
        if self.by is not None and not self.by.people and (self.enough or self.project):
            raise ValueError("enough and project are for `by: people`")
        if self.pool is not None and not self.favourites:
            raise ValueError("pool needs favourites: the share of answers that a reward chooses from it")
        if self.pool is not None and self.pool < self.high:
            raise ValueError(f"pool {self.pool} is smaller than the {self.high} answers that are shown")
        if self.disagreement and self.recheck is None:
            raise ValueError("disagreement needs recheck: the rank step whose items are ranked again")
        if self.recheck is not None and (self.favourites or self.scripted_share or self.beside):
            raise ValueError(
                "recheck shows the answers of an earlier step: leave out favourites, scripted_share, beside"
            )
        if self.recheck is not None and (self.answers != 4 or self.temperature != 1):
            raise ValueError("recheck draws no answers: leave out answers and temperature")
        if self.recheck is not None and self.prompts == "same":
            raise ValueError("with recheck, prompts is how many items are ranked again: name a number")
        if self.favourites and self.scripted_share:
            raise ValueError("favourites are the model's own answers: set scripted_share to 0")
        return self

    @property
    def asks_reward(self) -> bool:
        """Whether a reward has a say in what is shown."""
        return bool(self.favourites or self.disagreement)

    @property
    def low(self) -> int:
        return self.answers if isinstance(self.answers, int) else self.answers[0]

    @property
    def high(self) -> int:
        return self.answers if isinstance(self.answers, int) else self.answers[1]


class Revise(Section):
    """Critique and revision of a policy's answers by a constitution (Bai et al. 2022), as demonstrations or pairs.

    ``by`` writes both. Beside the revisions of all ``rounds`` stand ``helpful_samples`` unrevised answers to each of
    ``helpful`` prompts of the data role ``helpful_on``: without them a policy learns to be harmless and little else.
    """

    by: JudgeSpec
    constitution: str = "plaudit"
    prompts: Positive = 1000
    rounds: Positive = 1
    temperature: float = Field(1.0, gt=0)
    max_new_tokens: Positive = 64
    helpful: Annotated[int, Field(ge=0)] = 0
    helpful_on: str = "demonstrations"
    helpful_samples: Positive = 1
    gives: Literal["demonstrations", "pairs"] = "demonstrations"
    validation: Fraction = 0.1

    @model_validator(mode="after")
    def _fits(self) -> Revise:
        if self.by.people:
            raise ValueError("people do not revise: name a model, local:PATH or http(s)://host/v1#model")
        if self.helpful and self.gives == "pairs":
            raise ValueError("helpful answers are demonstrations: they do not go with gives: pairs")
        if not self.helpful and (self.helpful_on != "demonstrations" or self.helpful_samples != 1):
            raise ValueError(
                "helpful_on and helpful_samples need helpful: of how many prompts answers stay unrevised"
            )
        return self

    @property
    def files(self) -> tuple[Path, ...]:
        """The constitution, where it is a file of the user's own."""
        path = home(self.constitution)
        return (path,) if path.is_file() else ()

    @property
    def given(self) -> tuple[str, ...]:
        """What later steps may take."""
        return ("demonstrations",) if self.gives == "demonstrations" else ("preferences",)


class RewardSettings(Training):
    """A reward model on rankings (Stiennon et al. 2020; Ouyang et al. 2022).

    It starts from a policy of the run with a fresh head (``from``), from another reward model of the run, or from a
    ``backbone`` of its own. ``use_strength`` makes stated strengths margins, ``margin_scale`` · strength / the largest
    in the training data: 1 is the small margin of Touvron et al. 2023 (Llama 2), 3 the large one. With ``bagging`` each
    of several ``members`` learns from as many rankings drawn with replacement (Breiman 1996), so that they share fewer.
    """

    backbone: PolicySource | None = None
    pooling: Literal["last", "mean"] = "last"
    loss: Literal["pairs", "plackett_luce"] = "pairs"
    length_normalised: bool = False
    use_strength: bool = False
    margin_scale: float = Field(1.0, gt=0)
    centering: float = Field(0.0, ge=0)
    members: Positive = 1
    bagging: bool = False
    aggregate: Literal["mean", "min", "mean_minus_std", "mean_minus_variance"] = "mean"
    std_penalty: float = Field(1.0, ge=0)
    lora: Lora | None = None
    batch_size: Positive = 4

    @model_validator(mode="after")
    def _strength(self) -> RewardSettings:
        if self.use_strength and self.loss != "pairs":
            raise ValueError(f"use_strength is for loss pairs, not {self.loss}")
        if self.margin_scale != 1.0 and not self.use_strength:
            raise ValueError("margin_scale needs use_strength: true")
        if self.bagging and self.members < 2:
            raise ValueError("bagging gives members rankings of their own: it needs members of 2 or more")
        if self.aggregate != "mean" and self.members < 2:
            raise ValueError("aggregate joins the scores of several members: it needs members of 2 or more")
        if self.std_penalty != 1.0 and self.aggregate in ("mean", "min"):
            raise ValueError("std_penalty needs aggregate: mean_minus_std or mean_minus_variance")
        return self

    @property
    def adapters(self) -> Lora | None:
        """The adapters that it trains: its own, or those of its backbone."""
        return self.lora or (self.backbone.lora if isinstance(self.backbone, Pretrained) else None)


class AuditSettings(Section):
    """The detectors and the reward on answers of a policy before and after: what the step before it changed.

    Compares ``from`` (by default the newest policy) with ``against`` (by default the run's start) on ``prompts``
    validation prompts, by the newest reward model (or ``reward``) and gold where it is known.
    """

    against: str | None = None
    prompts: Positive = 200
    temperature: float = Field(1.0, gt=0)
    max_new_tokens: Positive = 48


class Evaluate(Section):
    """What the report measures, at which temperature, on how many prompts.

    Each policy is also shown at the best for it of ``temperatures`` (0 is greedy), as a known truth or the proxy judges
    on validation prompts; with neither, greedy answers stand beside those at ``temperature``. ``also`` names policies
    to answer beside the run's first, its start, and those that learned from preferences or rewards. Where no truth is
    known, ``proxy`` trains a reward model on preferences and a seed of its own, which judges, or ``judge`` names who
    compares the answers; with ``force_judge`` also one whose labels or grades the run learned from.
    """

    temperature: float = Field(1.0, gt=0)
    temperatures: tuple[float, ...] = (0.0, 0.3, 0.5, 0.7)
    prompts: Positive = 800
    max_new_tokens: Positive = 48
    show: Positive = 40
    also: tuple[str, ...] = ()
    proxy: Training | None = None
    judge: JudgeSpec | None = None
    force_judge: bool = False

    @field_validator("temperatures")
    @classmethod
    def _not_below_zero(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(t < 0 for t in values):
            raise ValueError("temperatures are 0 (greedy) or above")
        return values

    @model_validator(mode="after")
    def _one_judge(self) -> Evaluate:
        if self.judge is not None and self.proxy is not None:
            raise ValueError("proxy and judge exclude each other: name one that judges")
        if self.judge is not None and self.judge.people:
            raise ValueError(
                "people are asked in a rank step: name a judge, such as local:PATH or http(s)://host/v1#model"
            )
        if self.force_judge and self.judge is None:
            raise ValueError("force_judge needs judge: SPEC")
        return self
