"""The settings of the methods that learn from their own samples, with vetted defaults."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from plaudit.config.base import Decay, Fraction, OwnCode, Positive
from plaudit.config.kl import KL, KL_STEP, KlPlace
from plaudit.config.scoring import RewardPart, Scoring


class Online(Scoring):
    """The settings of all methods that learn from their own samples (the RL loop).

    ``reward_clip`` bounds scores before the penalty for unfinished answers is taken off: ``auto`` is ±5 for scores
    that a reward model's stored mean and std normalize, and no bound for any other reward; a number bounds whatever
    the reward is, null nothing. What is cut is logged as ``reward/clipped``. ``forecast``: in a recipe, say before the
    first iteration what the reward allows, where that takes at most a tenth of the step (docs/audit.md).
    ``shaping: par`` pays how surely an answer beats ``reference_answers`` answers of the starting policy to the same
    prompt, σ(r − r_ref) on average: bounded by 0 and 1 (Fu et al. 2025). ``length_power`` p divides the reward of an
    answer of n tokens by n^p. ``overlong_cache``: the last so many tokens before ``max_new_tokens`` cost a penalty that
    grows linearly to ``overlong_penalty`` (Yu et al. 2025, eq. 13). ``keep_best``: gold, or another reward (as in the
    step's ``reward``), scores the policy on validation prompts every ``evaluate_every`` iterations, and the step ends
    with the policy that it scores highest.
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
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    eps: float = Field(1e-5, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float | None = Field(1.0, gt=0)
    kl: KL = KL()
    temperature: float = Field(1.0, gt=0)
    max_new_tokens: Positive = 48
    reward_clip: float | Literal["auto"] | None = "auto"
    unfinished_penalty: float | None = Field(None, ge=0)
    shaping: Literal["none", "par"] = "none"
    reference_answers: Positive = 4
    length_power: Fraction = 0.0
    overlong_cache: Positive | None = None
    overlong_penalty: float = Field(1.0, gt=0)
    ptx_coefficient: float = Field(0.0, ge=0)
    ptx_batch_size: Positive = 32
    token_budget: Positive | None = None
    checkpoint_every: Positive = 2
    keep_last: Positive = 1
    evaluate_every: Positive = 2
    show_samples: Positive = 4
    forecast: bool = True
    keep_best: str | None = None

    @property
    def best_by(self) -> RewardPart | None:
        """What ``keep_best`` names."""
        return None if self.keep_best is None else RewardPart.of_spec(self.keep_best)

    @field_validator("keep_best")
    @classmethod
    def _spec(cls, spec: str | None) -> str | None:
        if spec is not None:
            RewardPart.of_spec(spec)
        return spec

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

    @model_validator(mode="after")
    def _references(self) -> Online:
        if self.shaping == "none" and self.reference_answers != 4:
            raise ValueError("reference_answers needs shaping: par, which compares with them")
        return self

    def faults(self) -> list[tuple[str, str, str]]:
        """Field, message and remedy of what does not go together once all that was not stated is filled in."""
        wrong = self.too_long_cache()
        return [] if wrong is None else [("overlong_cache", wrong, "lower it, or raise max_new_tokens")]

    def too_long_cache(self) -> str | None:
        """What is wrong with an ``overlong_cache`` that no answer can reach; None where all is well."""
        if self.overlong_cache is None or self.overlong_cache <= self.max_new_tokens:
            return None
        return (
            f"overlong_cache {self.overlong_cache} is longer than the longest answer, "
            f"max_new_tokens {self.max_new_tokens}"
        )

    @model_validator(mode="after")
    def _overlong(self) -> Online:
        if self.overlong_cache is None and self.overlong_penalty != 1.0:
            raise ValueError("overlong_penalty needs overlong_cache: over how many tokens it grows")
        # What is not stated may be filled in for a pretrained model: it is looked at when all is known.
        if "max_new_tokens" in self.model_fields_set and (wrong := self.too_long_cache()) is not None:
            raise ValueError(wrong)
        return self

    @property
    def kl_horizon(self) -> float:
        """Samples over which the adaptive controller acts: as given, or a tenth of the run (one iteration at least)."""
        each = self.prompts_per_iteration * self.samples_per_prompt
        return self.kl.horizon or max(each, self.iterations * each / 10)


class Clipped(Online):
    """Surrogates with a clipped ratio.

    ``mask_unfinished`` leaves answers that the length limit cut out of every loss (overlong filtering, Yu et al. 2025
    §3.4).
    """

    clip: float = Field(0.2, gt=0, lt=1)
    entropy_coefficient: float = Field(0.0, ge=0)
    mask_unfinished: bool = False

    @model_validator(mode="after")
    def _masked(self) -> Clipped:
        if self.mask_unfinished and self.unfinished_penalty:
            raise ValueError(
                "mask_unfinished leaves the answers out that unfinished_penalty is for: keep one of them"
            )
        return self


class Ppo(Clipped):
    """PPO (Schulman et al. 2017) as used for RLHF (Ziegler et al. 2019; Ouyang et al. 2022).

    ``value_lam`` is a λ of its own for the critic's returns, by default ``lam`` (decoupled GAE, Yuan et al. 2025).
    """

    value_lr: float = Field(1e-3, gt=0)
    value_clip: float | None = Field(0.2, gt=0)
    value_coefficient: float = Field(1.0, gt=0)
    gamma: Fraction = 1.0
    lam: Fraction = 0.95
    value_lam: Fraction | None = None
    critic: Literal["auto", "reward", "policy"] = "auto"
    critic_warmup: Annotated[int, Field(ge=0)] = 1

    def faults(self) -> list[tuple[str, str, str]]:
        found = super().faults()
        if self.critic_warmup >= self.iterations:
            message = f"critic_warmup {self.critic_warmup} of {self.iterations} iterations: only the critic would learn"
            found.append(("critic_warmup", message, "raise iterations, or lower critic_warmup"))
        return found

    @model_validator(mode="after")
    def _own_unit(self) -> Ppo:
        if self.critic == "reward" and (self.shaping != "none" or self.length_power):
            raise ValueError(
                "critic: reward foresees the reward model's own scores, not what shaping or length_power make of "
                "them: use critic: policy"
            )
        return self


class Group(Clipped):
    """Methods whose baseline is the other samples of the prompt.

    ``algorithm`` is one's own advantage estimator, ``module:Class``, in the place of the method's.
    ``dynamic_sampling``: prompts whose samples all score the same are replaced by further prompts, in at most so many
    further rounds of sampling an iteration (Yu et al. 2025 §3.2).
    """

    algorithm: OwnCode | None = None
    prompts_per_iteration: Positive = 32
    samples_per_prompt: Annotated[int, Field(ge=2)] = 8
    dynamic_sampling: Annotated[int, Field(ge=0)] = 0


class Grpo(Group):
    """GRPO (Shao et al. 2024) and its variants.

    ``advantage_scale: none`` with ``aggregation: fixed`` is Dr. GRPO (Liu et al. 2025); ``aggregation: token`` with
    ``clip_high``, ``dynamic_sampling`` and ``overlong_cache`` DAPO (Yu et al. 2025); ``ratio: sequence`` GSPO (Zheng et
    al. 2025); ``surrogate: cispo`` MiniMax 2025. The KL is a term of the loss (``kl.place: loss``), as published.
    """

    kl_place: ClassVar[KlPlace] = "loss"

    advantage_scale: Literal["group", "batch", "none"] = "group"
    aggregation: Literal["token", "sequence", "fixed"] = "token"
    ratio: Literal["token", "sequence"] = "token"
    surrogate: Literal["clip", "cispo"] = "clip"
    clip_high: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _by_sequence(self) -> Grpo:
        if self.ratio != "sequence":
            return self
        if self.surrogate == "cispo":
            raise ValueError(
                "surrogate: cispo weighs tokens, ratio: sequence whole responses: keep one of them"
            )
        loss_pays_kl = self.kl.place == "loss" and self.kl.coefficient != 0
        if self.aggregation != "token" and not (loss_pays_kl or self.entropy_coefficient):
            raise ValueError(
                "with ratio: sequence, aggregation sums the KL and entropy terms alone, and none is there: leave it out"
            )
        return self


class Rloo(Group):
    """RLOO (Ahmadian et al. 2024): REINFORCE with the mean of the other samples as baseline."""

    ratio: Literal["token", "sequence"] = "sequence"


class Reinforce(Clipped):
    """REINFORCE++ (Hu 2025): rewards to go with per-token KL, whitened over the batch, and no critic.

    With several samples a prompt, ``baseline: group`` takes off their mean first.
    """

    gamma: Fraction = 1.0
    baseline: Literal["none", "group"] = "none"

    @model_validator(mode="after")
    def _several(self) -> Reinforce:
        if self.baseline == "group" and self.samples_per_prompt == 1:
            raise ValueError(
                "baseline: group takes the mean of a prompt's samples off each of them, and of 1 sample it leaves 0: "
                "set samples_per_prompt to 2 or more"
            )
        return self


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
        if kl.epoch_target is not None:
            raise ValueError(
                "kl.epoch_target: online DPO does not measure how far an epoch moves the policy; leave it out"
            )
        return kl
