"""The schemas of rows that plaudit reads: one table, by the fields that a row needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from plaudit.data.readers import row_to_record
from plaudit.data.readers.coerce import ROLE_NAMES, listed
from plaudit.data.readers.columns import View
from plaudit.data.readers.preferences import answer_lists, answer_texts, pairs
from plaudit.data.readers.preferences.codes import CodedComparison
from plaudit.data.records import Record, native_format


@dataclass(frozen=True)
class Schema:
    """A schema: the fields that a row ``needs``, a further condition ``only``, and how to ``build`` its record.

    ``uses`` are optional fields, ``marks`` fields that no other schema has. ``about`` says how a row is interpreted
    if that is not obvious; ``near``: whether misspelled columns are compared with this schema.
    """

    name: str
    kind: str
    needs: tuple[str, ...]
    build: Callable[[View], Record | CodedComparison | str]
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
# A row has the first schema that it fits.
SCHEMAS: tuple[Schema, ...] = (
    Schema("plaudit's own", "own", ("record",), row_to_record.own_record, only=_is_own),
    Schema(
        "prompt, responses, ranking",
        "preferences",
        ("prompt", "responses", "ranking"),
        row_to_record.ranked,
        ("input", *RATED_BY),
        ("responses",),
    ),
    Schema(
        "prompt, responses, ranks",
        "preferences",
        ("prompt", "responses", "ranks"),
        row_to_record.scored("ranks", 1),
        ("input", *RATED_BY),
    ),
    Schema(
        "prompt, responses, scores",
        "preferences",
        ("prompt", "responses", "scores"),
        row_to_record.scored("scores", -1),
        ("input", *RATED_BY),
    ),
    Schema(
        "prompt, chosen, rejected",
        "preferences",
        ("chosen", "rejected"),
        pairs.better_worse,
        ("asked", "messages", "input", *RATED_BY),
        ("chosen", "rejected"),
    ),
    Schema(
        "prompt, two responses, preferred",
        "preferences",
        ("asked", "pair", "choice"),
        pairs.two_judged,
        ("input", *RATED_BY),
        ("pair",),
    ),
    Schema(
        "two conversations, preferred",
        "preferences",
        ("pair", "choice"),
        pairs.two_judged,
        RATED_BY,
        only=answer_texts.are_conversations,
        near=False,
    ),
    Schema(
        "prompt, responses with ranks or scores",
        "preferences",
        ("asked", "responses"),
        answer_lists.ranked_objects,
        ("input", *RATED_BY),
        only=answer_lists.are_ranked,
        near=False,
        about=answer_lists.about_objects,
    ),
    Schema(
        "prompt, responses, which is best",
        "preferences",
        ("asked", "responses", "preferred"),
        answer_lists.listed_judged,
        ("input", *RATED_BY),
        only=answer_lists.has_place,
        near=False,
    ),
    Schema(
        "prompt, response, label",
        "labelled",
        ("prompt", "response", "label"),
        row_to_record.labeled,
        ("input",),
    ),
    Schema(
        "prompt, response, rating",
        "rated",
        ("prompt", "response", "rating"),
        row_to_record.rated,
        ("input", "rater"),
    ),
    Schema(
        "messages, label",
        "labelled",
        ("messages", "label"),
        row_to_record.labeled_conversation,
        only=_is_answered,
    ),
    Schema(
        "messages, rating",
        "rated",
        ("messages", "rating"),
        row_to_record.rated_conversation,
        ("rater",),
        only=_is_answered,
    ),
    Schema(
        "messages of a prompt", "prompts", ("messages",), row_to_record.messages_prompt, only=_awaits_answer
    ),
    Schema("messages", "demonstrations", ("messages",), row_to_record.whole_conversation),
    Schema(
        "prompt, response", "demonstrations", ("prompt", "response"), row_to_record.demonstration, ("input",)
    ),
    Schema("prompt", "prompts", ("prompt",), row_to_record.prompt_of, ("input",)),
    Schema("text", "text", ("text",), row_to_record.raw_text),
)


def schema_of(row: Mapping[str, Any]) -> Schema | None:
    """The schema of one row, or None."""
    view = View.of(row)
    return next((s for s in SCHEMAS if s.fits(view)), None)
