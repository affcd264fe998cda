"""Settings of a project: what a labeler is asked, and how items are assigned."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Share = Annotated[float, Field(ge=0, le=1)]


class Rules(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RatedAttribute(Rules):
    """A scale on which each answer, or the item as a whole, is rated beside the ranking."""

    name: str = Field(max_length=40)
    label: str = Field("", max_length=80)
    help: str = Field("", max_length=300)
    per: Literal["answer", "item"] = "answer"
    low: int = Field(1, ge=0, le=1)
    high: int = Field(5, ge=1, le=9)
    low_label: str = Field("", max_length=40)
    high_label: str = Field("", max_length=40)
    required: bool = False

    @field_validator("name")
    @classmethod
    def _is_a_word(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", value):
            raise ValueError("an attribute's name is small letters, digits and underscores")
        return value

    @model_validator(mode="after")
    def _has_a_scale(self) -> RatedAttribute:
        if self.low >= self.high:
            raise ValueError(f"the scale from {self.low} to {self.high} has no two values")
        return self


# What most teams ask (Askell et al. 2021; Ouyang et al. 2022, table 4).
KNOWN_ATTRIBUTES = {
    "helpful": RatedAttribute(name="helpful", label="Helpful", help="Does it do what the person needs?"),
    "honest": RatedAttribute(
        name="honest", label="Honest", help="Is it true, and does it say what it does not know?"
    ),
    "harmless": RatedAttribute(name="harmless", label="Harmless", help="Could it hurt anyone?"),
    "instructions": RatedAttribute(
        name="instructions", label="Follows instructions", help="Does it do all that was asked, and no more?"
    ),
}


class Settings(Rules):
    """Defaults follow the literature (docs/collect.md gives the source of each)."""

    # What is asked.
    strength: bool = True  # pairs: how much better, 1 to 4
    ties: bool = True
    all_bad: bool = True
    not_rankable: bool = True
    attributes: tuple[RatedAttribute, ...] = Field((), max_length=12)
    rationale: Literal["off", "optional", "required"] = "optional"
    confidence: bool = False  # 1 to 5
    # How items are given out.
    overlap: int = Field(1, ge=1, le=50)
    shared: Share = 1.0  # the share of items that get the overlap; the others get one judgement
    gold_share: Share = 0.05
    repeat_share: Share = 0.03
    repeat_after: int = Field(10, ge=1, le=1000)  # judgements between an item and its repeat
    lease_seconds: int = Field(900, ge=30, le=86_400)
    edit_minutes: int = Field(60, ge=0, le=10_080)
    require_reading: bool = True  # a new guideline is read before the next item
    # Care.
    blur_from: int = Field(2, ge=1, le=4)  # items of this level and above are hidden until revealed; 4: none
    help_text: str = Field("", max_length=2000)  # where a labeler finds someone to talk to

    @field_validator("attributes", mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        """A known attribute may be given by its name alone."""
        if not isinstance(value, list | tuple):
            return value
        return [KNOWN_ATTRIBUTES.get(v, {"name": v}) if isinstance(v, str) else v for v in value]

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        names = [a.name for a in self.attributes]
        if len(set(names)) != len(names):
            raise ValueError("two attributes have the same name")
        if self.gold_share + self.repeat_share > 0.5:
            raise ValueError("gold and repeats together take more than half of a labeler's time")
        return self
