"""Prepares rows before their schema is detected, so that no text of a conversation is lost or doubled.

Each step is chosen once, from the first rows, notes what it does, and then changes every row in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from plaudit.data.readers.columns import normal
from plaudit.data.readers.preparation.answers import (
    messages_before_answer,
    remove_end_of_turn,
    remove_repeated_prompt,
)
from plaudit.data.readers.preparation.column_synonyms import renamings
from plaudit.data.readers.preparation.conversations import (
    add_roles,
    read_printed_lists,
    split_transcripts,
    undo_templates,
)
from plaudit.data.readers.preparation.prompt_columns import join_parts, one_of_each, show_all
from plaudit.data.readers.preparation.steps import Preparation, Values
from plaudit.data.readers.text_values import is_no_input


def preparation(
    rows: Sequence[Mapping[str, Any]], kind: str | None, ignored: set[str], settled: Iterable[str] = ()
) -> Preparation:
    """The steps that these first rows need; ``ignored`` columns are not changed, the user named ``settled`` fields."""
    made = Preparation(settled=frozenset(settled))
    kept = {normal(c) for c in ignored}
    for find in STEPS:
        current = made.of_all(rows)
        find(made, [{k: v for k, v in r.items() if k not in kept} for r in current], kind)
    return made


def rename_columns(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    found = renamings(rows, kind)
    if not found:
        return

    def change(row: Values) -> Values:
        return {found.get(k, k): v for k, v in row.items()}

    made.steps.append(change)
    made.consumed |= set(found)
    made.notes.append(", ".join(f"{column!r} is read as the {field}" for column, field in found.items()))


def leave_out_no_input(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Empty the ``input`` of instructions whose input says that there is none; ``Remains`` tells how many."""
    if any("instruction" in row and "input" in row for row in rows):
        made.steps.append(lambda row: row | {"input": ""} if is_no_input(row) else row)


STEPS = (
    read_printed_lists,
    add_roles,
    leave_out_no_input,
    rename_columns,
    split_transcripts,
    messages_before_answer,
    remove_repeated_prompt,
    undo_templates,
    remove_end_of_turn,
    one_of_each,
    join_parts,
    show_all,
)
