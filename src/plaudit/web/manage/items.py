"""Items and their judgements, as the pages show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from plaudit.display.formatting import duration
from plaudit.feedback.store.schema import Item
from plaudit.web.api.item_models import ItemJudgement

BLANKS = {
    "empty": "The answer is empty.",
    "white space": "The answer is white space alone.",
    "nothing to see": "The answer shows nothing.",
}
STRENGTHS = ("", "slightly better", "better", "clearly better", "much better")  # as on the labeler's page


@dataclass(frozen=True, slots=True)
class Told:
    """A judgement in words. Answers are named by their number on the page, from 1."""

    said: ItemJudgement
    ranking: str
    order: str
    strength: str
    seconds: str
    marks: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]


def told(said: ItemJudgement) -> Told:
    marks = {
        "all bad": said.all_bad,
        "left as shown": said.untouched,
        "beyond the overlap": said.surplus,
        f"revision {said.revision}": said.revision > 1,
        said.purpose: said.purpose != "work",
    }
    return Told(
        said=said,
        ranking="cannot be ranked" if said.not_rankable else in_words(said.groups),
        order=", ".join(str(p + 1) for p in said.order),
        strength=STRENGTHS[said.strength or 0],
        seconds=duration(said.active_seconds) if said.active_seconds else "",
        marks=tuple(mark for mark, holds in marks.items() if holds),
        attributes=tuple((name, _ratings(given)) for name, given in said.attributes.items()),
    )


def in_words(groups: Sequence[Sequence[int]]) -> str:
    """``2 > 1 = 3``: best first, ties together, numbers from 1."""
    return " > ".join(" = ".join(str(p + 1) for p in sorted(group)) for group in groups)


def _ratings(given: Mapping[str, int]) -> str:
    if set(given) == {"*"}:
        return str(given["*"])
    return ", ".join(f"{int(p) + 1}: {given[p]}" for p in sorted(given, key=int))


def counts(db: Session, project_id: str) -> dict[str, int]:
    """How many items of each purpose there are, retired ones included."""
    rows = db.execute(
        select(Item.purpose, func.count()).where(Item.project_id == project_id).group_by(Item.purpose)
    )
    return {str(purpose): n for purpose, n in rows}


def address(chosen: Mapping[str, str], at: int) -> str:
    """The address of another page of the same filter."""
    kept: dict[str, str | int] = {name: value for name, value in chosen.items() if value}
    if at > 0:
        kept["at"] = at
    return "?" + urlencode(kept)
