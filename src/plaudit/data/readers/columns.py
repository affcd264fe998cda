"""The names that data files use for plaudit's fields, and a row seen through these names."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plaudit.data.readers.preferences.answer_columns import SAYING, Choice, choice_of, two_answers
from plaudit.data.readers.read_report import Fault

# A field, and the columns that may hold it; the first one present counts.
FIELDS: dict[str, tuple[str, ...]] = {
    "record": ("record",),
    "prompt": ("prompt", "question", "query", "instruction", "input"),
    "response": ("response", "completion", "answer", "output"),
    "messages": ("messages", "conversations", "conversation"),
    "asked": (
        *("prompt", "question", "query", "instruction", "input", "messages", "conversations", "conversation"),
        *(
            "context",
            "history",
            "post",
            "info",
            "user_prompt",
            "user_input",
            "dialogue",
            "problem",
            "request",
        ),
    ),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "first": ("first",),
    "second": ("second",),
    "responses": ("responses", "completions", "answers", "outputs", "candidates", "summaries", "generations"),
    "ranking": ("ranking",),
    "ranks": ("ranks", "rank"),
    "scores": ("scores", "rewards"),
    "preferred": SAYING,
    "label": ("label", "good", "desirable"),
    "rating": ("rating", "score", "reward"),
    "text": ("text", "document", "content"),
    "input": ("input",),
    "system": ("system", "system_prompt"),
    "rater": ("rater", "annotator", "evaluator", "labeler", "worker"),
    "strength": ("strength", "margin"),
    "weight": ("weight",),
    "source": ("source",),
    "category": ("category",),
    "metadata": ("metadata",),
    # Columns that are not labels or ratings of the answer, whatever their names.
    "ignore": (),
    "tools": ("tools", "functions"),
}
KNOWN = {column for columns in FIELDS.values() for column in columns}
# Fields that every schema keeps if they are present.
COMMON = ("system", "source", "category", "metadata", "tools", "weight")

# Fields that several columns hold together: two answers, and the one that is better.
SEVERAL = {"pair": "response_a, response_b", "choice": "preferred"}


def normal(column: str) -> str:
    """A normalized column name: ``Best Answer`` becomes ``best_answer``."""
    return str(column).strip().lower().replace(" ", "_").replace("-", "_")


@dataclass(frozen=True)
class View:
    """A row by normalized column names.

    ``labels`` maps a code to its meaning, ``origins`` a field to the column that the user named for it;
    ``carried`` goes into the prompt's metadata. ``asks``: only the prompt is wanted.
    ``settled``: the columns that say which answer is better, the same in every row of a file.
    """

    values: Mapping[str, Any]
    source: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    carried: Mapping[str, Any] = field(default_factory=dict)
    asks: bool = False
    settled: Choice | None = None

    @classmethod
    def of(
        cls,
        row: Mapping[str, Any],
        source: str = "",
        renamed: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> View:
        if renamed:
            row = {**row, **{name: row.get(column) for name, column in renamed.items()}}
        origins = {name: normal(column) for name, column in (renamed or {}).items()}
        return cls({normal(k): v for k, v in row.items()}, source, labels or {}, origins)

    def column(self, field: str) -> str | None:
        """The column that holds a field, or None."""
        return next(iter(self.columns(field)), None)

    def columns(self, field: str) -> tuple[str, ...]:
        """All columns that hold a field: one, except for the fields of ``SEVERAL``."""
        if field == "pair":
            return self.pair() or ()
        if field == "choice":
            choice = self.choice()
            return choice.columns if choice else ()
        column = next((c for c in FIELDS[field] if self.values.get(c) is not None), None)
        return (column,) if column else ()

    def pair(self) -> tuple[str, str] | None:
        """The two columns that each hold an answer."""
        return two_answers(self.values)

    def choice(self) -> Choice | None:
        """The columns that say which of two answers is better."""
        if self.settled is None:
            return choice_of(self.values, self.pair())
        # A row without the verdict of the other rows has none: its scores are another thing.
        held = all(self.values.get(c) not in (None, "") for c in self.settled.columns)
        return self.settled if held else None

    def original(self, column: str) -> str:
        """The file's own name of a column that the user renamed."""
        return self.origins.get(column, column)

    def get(self, field: str) -> Any:
        """The value of a field, or None; also None for an empty cell of a CSV file, and for blank text."""
        column = self.column(field)
        value = self.values[column] if column else None
        return None if isinstance(value, str) and not value.strip() else value

    def take(self, field: str) -> tuple[Any, str]:
        """The value of a required field, and its column. Raises ``Fault`` if it is missing."""
        column = self.column(field)
        if column is None:
            raise Fault(
                "missing field",
                f"the row has no {FIELDS[field][0]!r}",
                field=field,
                remedy=f"give every row a {' or '.join(map(repr, FIELDS[field][:3]))}",
            )
        return self.values[column], column


def misspelled(field: str, columns: Iterable[str]) -> str | None:
    """The column that looks like a misspelled field name, or None.

    Names of other fields, plurals, numbered columns and ids are not misspellings.
    """
    best, found = 0.8, None
    for column in columns:
        for name in FIELDS[field]:
            if column in KNOWN or column == f"{name}s" or column.endswith("_id") or column[-1:].isdigit():
                continue
            # conversation_a is one of two conversations, not a misspelled conversation.
            if column[-2:-1] == "_":
                continue
            if abs(len(column) - len(name)) > 2:
                continue
            ratio = difflib.SequenceMatcher(None, column, name).ratio()
            if ratio > best:
                best, found = ratio, column
    return found


def carried(row: Mapping[str, Any], used: Iterable[str]) -> dict[str, Any]:
    """The unused columns of a row, by their own names, without empty values and values that JSON lacks.

    The correct answer in verl's ``reward_model`` is also given separately, as ``ground_truth``.
    """
    taken = set(used)
    found = {str(k): plain(v) for k, v in row.items() if normal(k) not in taken}
    held = found.get("reward_model")
    if isinstance(held, dict) and "ground_truth" in held:
        found.setdefault("ground_truth", held["ground_truth"])
    return {k: v for k, v in found.items() if v is not None and v != ""}


def plain(value: Any) -> Any:
    """A JSON value: dates become text; bytes and non-finite numbers become None."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(v) for v in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return None
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
