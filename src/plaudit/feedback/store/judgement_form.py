"""A labeler's judgement of one item, validated against the project's settings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from plaudit.errors import Problem
from plaudit.feedback.store.settings import Settings

LETTERS = "ABCDEFGHI"
LONGEST = 5000


def plain(text: str) -> str:
    """Text without control characters, which no database need hold. ValueError for half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a character pair (a lone surrogate)") from None
    return "".join(c for c in text if c in "\n\t" or (c >= " " and c != "\x7f"))


Plain = Annotated[str, AfterValidator(plain)]
Letter = Annotated[str, Field(min_length=1, max_length=1)]


class JudgementForm(BaseModel):
    """A judgement as the page sends it: answers by the letters under which they were shown.

    ``groups``: best first, ties together; all letters once, or none where ``not_rankable``.
    ``attributes``: name → letter → value; an attribute of the whole item has the letter "*".
    """

    model_config = ConfigDict(extra="forbid")

    groups: list[list[Letter]] = Field(default_factory=list, max_length=9)
    strength: int | None = Field(None, ge=1, le=4)
    all_bad: bool = False
    not_rankable: bool = False
    untouched: bool = False
    confidence: int | None = Field(None, ge=1, le=5)
    rationale: Plain = Field("", max_length=LONGEST)
    attributes: dict[Plain, dict[Plain, int]] = Field(default_factory=dict, max_length=12)
    active_ms: int = Field(0, ge=0, le=10**9)
    guideline_version: int = Field(0, ge=0)
    client: dict[Plain, Plain | int | bool] = Field(default_factory=dict, max_length=12)


def problems_of(verdict: JudgementForm, count: int, settings: Settings) -> list[Problem]:
    """Everything that is wrong with a verdict on ``count`` answers."""
    found: list[Problem] = []

    def wrong(field: str, message: str) -> None:
        found.append(Problem(message, field=field))

    letters = list(LETTERS[:count])
    named = sorted(letter for group in verdict.groups for letter in group)
    if verdict.not_rankable:
        if not settings.not_rankable:
            wrong("not_rankable", "this project asks for a ranking of every item")
        if verdict.groups:
            wrong("groups", "an item that cannot be ranked has no ranking")
        if verdict.strength is not None:
            wrong("strength", "an item that cannot be ranked has no strength")
    elif named != letters or not all(verdict.groups):
        wrong("groups", f"name each of {', '.join(letters)} once")
    tied = any(len(group) > 1 for group in verdict.groups)
    if tied and not settings.ties:
        wrong("groups", "this project asks for a choice: no ties")
    if verdict.all_bad and not settings.all_bad:
        wrong("all_bad", "this project does not ask whether all answers are bad")
    if count == 2 and settings.strength and not verdict.not_rankable:
        if tied and verdict.strength is not None:
            wrong("strength", "a tie has no strength")
        if not tied and verdict.strength is None:
            wrong("strength", "say how much better, from 1 to 4")
    elif verdict.strength is not None and not verdict.not_rankable:
        wrong("strength", "strength is asked of pairs only, where the project asks for it")
    if verdict.confidence is not None and not settings.confidence:
        wrong("confidence", "this project does not ask for confidence")
    if verdict.rationale.strip() and settings.rationale == "off":
        wrong("rationale", "this project does not ask for a rationale")
    if settings.rationale == "required" and not verdict.rationale.strip():
        wrong("rationale", "say why, in a few words")
    found += _attribute_problems(verdict, letters, settings)
    return found


def _attribute_problems(verdict: JudgementForm, letters: list[str], settings: Settings) -> list[Problem]:
    found = []
    known = {a.name: a for a in settings.attributes}
    for name in verdict.attributes.keys() - known.keys():
        found.append(Problem(f"there is no attribute {name!r}", field="attributes"))
    for name, attribute in known.items():
        given = verdict.attributes.get(name, {})
        expected = letters if attribute.per == "answer" else ["*"]
        for letter in given.keys() - set(expected):
            found.append(Problem(f"{letter!r} is not rated on {name}", field=f"attributes.{name}"))
        for letter, value in given.items():
            if not attribute.low <= value <= attribute.high:
                scale = f"{attribute.low} to {attribute.high}"
                found.append(
                    Problem(f"{value} is not on the scale {scale}", field=f"attributes.{name}.{letter}")
                )
        if attribute.required and not verdict.not_rankable:
            for letter in sorted(set(expected) - given.keys()):
                found.append(Problem("is required", field=f"attributes.{name}.{letter}"))
    return found


def to_positions(verdict: JudgementForm, order: list[int]) -> dict[str, Any]:
    """The verdict's columns, with letters turned into positions within the item."""
    place = dict(zip(LETTERS, order))
    return {
        "groups": [sorted(place[letter] for letter in group) for group in verdict.groups],
        "strength": verdict.strength,
        "all_bad": verdict.all_bad,
        "not_rankable": verdict.not_rankable,
        "untouched": verdict.untouched,
        "confidence": verdict.confidence,
        "rationale": verdict.rationale.strip(),
        "attributes": {
            name: {("*" if key == "*" else str(place[key])): value for key, value in values.items()}
            for name, values in verdict.attributes.items()
        },
        "guideline_version": verdict.guideline_version,
        "client": verdict.client,
    }


def to_letters(groups: list[list[int]], order: list[int]) -> list[list[str]]:
    """A ranking of positions, in the letters of the order in which they were shown."""
    letter = {position: LETTERS[i] for i, position in enumerate(order)}
    return [sorted(letter[position] for position in group) for group in groups]
