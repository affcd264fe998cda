"""The shapes that people's rows have: one table, by the fields that a row needs to have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.data import builders, listed_answers, pairs
from plaudit.data.fields import View
from plaudit.data.judged import Judged
from plaudit.data.records import Record, native_format
from plaudit.data.values import ROLE_NAMES, listed


@dataclass(frozen=True)
class Shape:
    """Fields a row needs to have this shape, and what its values must be besides (``only``).

    ``uses`` are fields it takes where they are there, ``marks`` those that no other shape has, ``about`` says how
    a row is understood where that is not plain, ``near`` whether columns may be a misspelling of it.
    """

    name: str
    kind: str
    needs: tuple[str, ...]
    build: Callable[[View], Record | Judged | str]
    uses: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    only: Callable[[View], bool] = lambda view: True
    about: Callable[[View], str] | None = None
    near: bool = True

    def missing(self, view: View) -> list[str]:
        return [field for field in self.needs if view.column(field) is None]

    def fits(self, view: View) -> bool:
        return not self.missing(view) and self.only(view)


def _is_own(view: View) -> bool:
    kind = view.values["record"]
    return isinstance(kind, str) and kind in native_format.KINDS


def _awaits_answer(view: View) -> bool:
    turns = listed(view.get("messages"))
    last = turns[-1] if isinstance(turns, list) and turns else None
    if not isinstance(last, dict):
        return False
    return ROLE_NAMES.get(str(last.get("role", last.get("from"))).lower()) != "assistant"


def _is_answered(view: View) -> bool:
    return not _awaits_answer(view)


RATED_BY = ("rater", "strength")
# The first shape that a row fits is the one it has.
SHAPES: tuple[Shape, ...] = (
    Shape("plaudit's own", "own", ("record",), builders.own_record, only=_is_own),
    Shape(
        "prompt, responses, ranking",
        "preferences",
        ("prompt", "responses", "ranking"),
        builders.ranked,
        ("input", *RATED_BY),
        ("responses",),
    ),
    Shape(
        "prompt, responses, ranks",
        "preferences",
        ("prompt", "responses", "ranks"),
        builders.scored("ranks", 1),
        ("input", *RATED_BY),
    ),
    Shape(
        "prompt, responses, scores",
        "preferences",
        ("prompt", "responses", "scores"),
        builders.scored("scores", -1),
        ("input", *RATED_BY),
    ),
    Shape(
        "prompt, chosen, rejected",
        "preferences",
        ("chosen", "rejected"),
        pairs.better_worse,
        ("asked", "messages", "input", *RATED_BY),
        ("chosen", "rejected"),
    ),
    Shape(
        "prompt, two responses, preferred",
        "preferences",
        ("asked", "pair", "choice"),
        pairs.two_judged,
        ("input", *RATED_BY),
        ("pair",),
    ),
    Shape(
        "two conversations, preferred",
        "preferences",
        ("pair", "choice"),
        pairs.two_judged,
        RATED_BY,
        only=pairs.are_conversations,
        near=False,
    ),
    Shape(
        "prompt, responses with ranks or scores",
        "preferences",
        ("asked", "responses"),
        listed_answers.ranked_objects,
        ("input", *RATED_BY),
        only=listed_answers.are_ranked,
        near=False,
        about=listed_answers.about_objects,
    ),
    Shape(
        "prompt, responses, which is best",
        "preferences",
        ("asked", "responses", "preferred"),
        listed_answers.listed_judged,
        ("input", *RATED_BY),
        only=listed_answers.has_place,
        near=False,
    ),
    Shape(
        "prompt, response, label", "labelled", ("prompt", "response", "label"), builders.labelled, ("input",)
    ),
    Shape(
        "prompt, response, rating",
        "rated",
        ("prompt", "response", "rating"),
        builders.rated,
        ("input", "rater"),
    ),
    Shape(
        "messages, label",
        "labelled",
        ("messages", "label"),
        builders.labelled_conversation,
        only=_is_answered,
    ),
    Shape(
        "messages, rating",
        "rated",
        ("messages", "rating"),
        builders.rated_conversation,
        ("rater",),
        only=_is_answered,
    ),
    Shape("messages of a prompt", "prompts", ("messages",), builders.messages_prompt, only=_awaits_answer),
    Shape("messages", "demonstrations", ("messages",), builders.whole_conversation),
    Shape("prompt, response", "demonstrations", ("prompt", "response"), builders.demonstration, ("input",)),
    Shape("prompt", "prompts", ("prompt",), builders.prompt_only, ("input",)),
    Shape("text", "text", ("text",), builders.raw_text),
)


def shape_of(row: Mapping[str, Any], shapes: Sequence[Shape] = SHAPES) -> Shape | None:
    """The shape of one row, or None."""
    view = View.of(row)
    return next((s for s in shapes if s.fits(view)), None)
