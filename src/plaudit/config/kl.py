"""The section of the KL penalty: its place, its estimator, and the controller of its coefficient."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from plaudit.config.base import Positive, Section
from plaudit.errors import UserError

# The largest relative change of β that one horizon's samples can make (Ziegler et al. 2019).
KL_STEP = 0.2

KlPlace = Literal["reward", "loss"]
KlEstimator = Literal["k1", "k2", "k3", "k3_ratio"]


class KL(Section):
    """The penalty β · KL(policy ‖ reference), and what moves β: the same section for every online method.

    ``place`` is where it is paid: taken off the reward, or a term of the loss (by default the method's own).
    ``estimator`` is the number per token: k1 by default in the reward, k3_ratio in the loss; both have the gradient
    of the reverse KL that ``objective/kl`` reports. ``controller: adaptive`` moves β towards ``target`` nats per
    response over ``horizon`` samples, by default a tenth of the run's (Ziegler et al. 2019). ``coefficient: auto`` is
    the β at which a forecast of the reward finds the truth highest; a recipe whose truth is not known refuses it.
    """

    controller: Literal["fixed", "adaptive"] = "fixed"
    coefficient: Annotated[float, Field(ge=0)] | Literal["auto"] = 0.05
    place: KlPlace | None = None
    estimator: KlEstimator | None = None
    target: float = Field(6.0, gt=0)
    horizon: Positive | None = None
    kl_max: float | None = Field(None, gt=0)
    epoch_target: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _adaptive(self) -> KL:
        if self.controller == "adaptive" and self.coefficient == 0:
            raise ValueError(
                "kl.controller: adaptive multiplies the coefficient, which must therefore be above 0"
            )
        return self

    @model_validator(mode="after")
    def _steered(self) -> KL:
        if self.controller == "fixed" and (self.target != 6.0 or self.horizon is not None):
            raise ValueError(
                "kl.target and kl.horizon steer the coefficient: set controller: adaptive, or leave them out"
            )
        return self

    @property
    def beta(self) -> float:
        """The coefficient as a number; UserError for ``auto``, which only a recipe's step turns into one."""
        if self.coefficient == "auto":
            raise UserError(
                "kl.coefficient: auto is found by the steps of a recipe",
                remedy="give a number here; plaudit.forecast(rewards, truths) suggests one",
            )
        return self.coefficient

    def resolved(self, place: KlPlace) -> KL:
        """With place and estimator filled in, ``place`` being the method's own; ValueError for a pair that is none."""
        place = self.place or place
        estimator = self.estimator or ("k1" if place == "reward" else "k3_ratio")
        if place == "loss" and estimator == "k1":
            raise ValueError(
                "kl.estimator k1 does nothing in the loss, where its expected gradient is 0: take k3_ratio or k2 "
                "there, or set kl.place: reward"
            )
        if place == "reward" and estimator == "k3_ratio":
            raise ValueError(
                "kl.estimator k3_ratio weighs a gradient, and the reward has none: take k1 there (or k2, k3), "
                "or set kl.place: loss"
            )
        return self.model_copy(update={"place": place, "estimator": estimator})
