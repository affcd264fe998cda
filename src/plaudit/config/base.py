"""Base types of all sections of a recipe: strict models, a policy's source, and the optimizer settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]  # of a running mean: AdamW takes no other
# A user's function or class, as module:name.
OwnCode = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]


LEAST_VOCABULARY = 262  # of a byte-level BPE of ours, before any merge


class Lora(Section):
    """Low-rank adapters (Hu et al. 2021); the reference is then the same model, adapter off.

    ``base_dtype``: what the frozen matrices below them are kept in while they are trained; bfloat16 takes half the
    memory, and rounds what has more digits.
    """

    rank: Positive = 16
    alpha: float = Field(32, gt=0)
    targets: str | tuple[str, ...] = "all-linear"
    base_dtype: Literal["float32", "bfloat16"] = "float32"

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without ``base_dtype`` where it is float32: keys of steps from before the setting do not have it."""
        found: dict[str, Any] = dump(self)
        return {k: v for k, v in found.items() if (k, v) != ("base_dtype", "float32")}


class Scratch(Section):
    """A Llama-architecture model built from a few numbers, with a byte-level BPE of its own."""

    source: Literal["scratch"] = "scratch"
    hidden: Positive = 128
    layers: Positive = 4
    heads: Positive = 4
    kv_heads: Positive | None = None
    intermediate: Positive | None = None
    vocabulary: Positive = 1500
    max_positions: Positive = 512

    @model_validator(mode="after")
    def _possible(self) -> Scratch:
        wrong = []
        if self.hidden % self.heads:
            wrong.append(f"hidden {self.hidden} is not a multiple of heads {self.heads}")
        elif self.hidden // self.heads % 2:
            # Rotary positions turn its numbers by twos.
            wrong.append(f"hidden {self.hidden} / heads {self.heads} is odd: the size of a head must be even")
        if self.kv_heads is not None and self.heads % self.kv_heads:
            wrong.append(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if self.vocabulary < LEAST_VOCABULARY:
            wrong.append(
                f"vocabulary {self.vocabulary} cannot hold the 256 bytes and special tokens: "
                f"set it to {LEAST_VOCABULARY} or more"
            )
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def shape(self) -> dict[str, Any]:
        """What ``build_policy`` is called with."""
        return self.model_dump(exclude={"source", "vocabulary"})


class Pretrained(Section):
    """A Hugging Face model: a local folder, or a hub name (the only thing that uses the network).

    ``chat_template`` names one of its chat templates where it has several; the trained model keeps that one.
    """

    source: Literal["pretrained"] = "pretrained"
    path: str
    revision: str | None = None
    chat_template: str | None = None
    lora: Lora | None = None


def _source(value: Any) -> Any:
    """A policy that names a path is pretrained; any other is built from scratch."""
    if isinstance(value, Mapping) and "source" not in value:
        return {**value, "source": "pretrained" if "path" in value else "scratch"}
    return value


PolicySource = Annotated[Scratch | Pretrained, Field(discriminator="source"), BeforeValidator(_source)]


class Training(Section):
    """One optimization: AdamW (Loshchilov & Hutter 2017) over batches of whole items."""

    epochs: float = Field(1.0, gt=0)
    max_steps: Positive | None = None
    batch_size: Positive = 32
    lr: float = Field(1e-3, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup: Fraction = 0.03
    final_lr: Fraction = 0.1
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    max_grad_norm: float | None = Field(1.0, gt=0)
    token_budget: Positive | None = None
    log_every: Positive = 10
    eval_every: Positive | None = None
    checkpoint_every: Positive = 200
    keep_last: Positive = 1
    keep_best: bool = False

    @model_validator(mode="after")
    def _acts(self) -> Training:
        wrong = []
        if self.keep_best and self.eval_every is None:
            wrong.append("keep_best chooses among what eval_every measures: set eval_every, or leave it out")
        if self.schedule == "constant" and self.final_lr != 0.1:
            wrong.append("schedule: constant keeps the rate: leave out final_lr, or take linear or cosine")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self
