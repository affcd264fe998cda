"""Renames columns with other clear names: ``target`` (response), ``win`` and ``lose``, ``problem`` (prompt)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from plaudit.data.readers.columns import FIELDS
from plaudit.data.readers.labels.column_names import ASPECTS, NEUTRAL, REFERRING, WHOLE
from plaudit.data.readers.labels.label_values import said
from plaudit.data.readers.preferences.answer_columns import BASES, MODELS
from plaudit.data.readers.preferences.words import words

# Names of a prompt if there is also an answer; otherwise the column may be anything.
BESIDE_ANSWER = ("context", "article", "document", "text", "content", "x")
# Other names of a field, used if no column has one of the usual names.
OTHERS: dict[str, tuple[str, ...]] = {
    "prompt": (
        *words("problem user_prompt user_input user_message user_query human_prompt request human user"),
        *BESIDE_ANSWER,
    ),
    "response": words(
        "target reply model_response model_output model_answer assistant_response bot_response ai_response "
        "expected_output generation generated_text summary highlights assistant bot gpt"
    ),
    "system": words("system_message system_instruction sys_prompt"),
    "messages": words("dialogue dialog chat turns chat_history"),
}
# Names of the better answer and of the worse one, alone or inside a longer name.
SIDES: tuple[tuple[str, tuple[str, ...]], ...] = tuple(
    (better, tuple(worse))
    for better, *worse in map(
        str.split,
        (
            "chosen rejected unchosen",
            "win lose loss",
            "winner loser",
            "winning losing",
            "better worse",
            "best worst",
            "good bad",
            "positive negative",
            "pos neg",
            "preferred dispreferred non_preferred nonpreferred unpreferred rejected not_preferred",
            "accepted rejected",
            "accept reject",
            "selected rejected",
            "desirable undesirable",
            "correct incorrect wrong",
            "right wrong",
            "safe unsafe",
            "helpful unhelpful",
            "harmless harmful",
            "y_w y_l",
            "w l",
        ),
    )
)

# What else a name with such a word may hold: texts about an answer, and what is no text of an answer at all.
REMARKS = frozenset(
    words(
        "reason reasons comment comments explanation explanations rationale critique notes note feedback feedbacks "
        "point points aspect aspects description statement elaboration letter letters title subject body options "
        "choice question questions annotation annotations review reviews evaluation evaluations remark remarks"
    )
)
ABOUT = (REFERRING | WHOLE | ASPECTS | NEUTRAL | frozenset(MODELS) | {"points"}) - REMARKS


def renamings(rows: Sequence[Mapping[str, Any]], kind: str | None) -> dict[str, str]:
    """Columns that hold a field under another name: ``{"target": "response"}``."""
    columns = dict.fromkeys(c for row in rows for c in row)
    found: dict[str, str] = {}
    for field, others in OTHERS.items():
        if any(c in columns for c in FIELDS[field]) or (_is_pair(columns) and field == "response"):
            continue
        if field == "prompt" and (
            kind == "text" or not (_answered(columns, rows) or sides_of(columns, rows))
        ):
            others = tuple(c for c in others if c not in BESIDE_ANSWER)
        if field == "prompt":
            others = tuple(c for c in others if not _holds_answer(rows, c))
        holds = holds_messages if field == "messages" else holds_text
        column = next((c for c in others if c in columns and holds(rows, c)), None)
        if column:
            found[column] = field
    if "messages" in columns or "conversations" in columns:
        found = {c: f for c, f in found.items() if f == "system"}
    sides = sides_of(columns, rows)
    single = kind in ("demonstrations", "text", "labelled", "rated") and _answered(columns, rows)
    if len(sides) == 1 and not single and not beside_answer(sides[0], rows, kind):
        better, worse = sides[0]
        found = {c: f for c, f in found.items() if c not in sides[0]} | {better: "chosen", worse: "rejected"}
    return found


def _answered(columns: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(c in columns and holds_text(rows, c) for c in (*FIELDS["response"], *OTHERS["response"]))


def _holds_answer(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    """Whether a column's texts end with the row's answer: then they are not the prompt alone."""
    names = (*FIELDS["response"], *OTHERS["response"])
    pairs = [(row[column], row[c]) for row in rows for c in names if row.get(column) and row.get(c)]
    return any(
        isinstance(text, str)
        and isinstance(answer, str)
        and len(answer) > 8
        and text.rstrip().endswith(answer.strip())
        for text, answer in pairs
    )


def _is_pair(columns: Iterable[str]) -> bool:
    return {"chosen", "rejected"} <= set(columns)


def sides_of(columns: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The columns of the better and the worse answer: names that differ only in the words that say which.

    More than one pair if several could be the answers. Not models, ids and scores; remarks only if nothing else is
    an answer.
    """
    if any(c in columns for c in ("chosen", "rejected", *FIELDS["responses"])):
        return []
    names, found = list(columns), dict[tuple[str, str], int]()
    for good, bads in SIDES:
        for better in names:
            parts = f"_{better}_".split(f"_{good}_")
            if len(parts) != 2:
                continue
            worse = [f"_{bad}_".join(parts).strip("_") for bad in bads]
            column = next((w for w in worse if w in names and w != better), None)
            if column and holds_text(rows, better) and holds_text(rows, column):
                found.setdefault((better, column), _certainty("_".join(parts).strip("_")))
    if _answered(columns, rows):
        found = {pair: sure for pair, sure in found.items() if sure > 1}
    best = max(found.values(), default=0)
    return [pair for pair, sure in found.items() if sure == best > 0]


def _certainty(rest: str) -> int:
    """How sure it is that a column holds an answer, by the rest of its name: 3 (``response``) to 0 (``model``)."""
    named = rest.split("_")
    if not rest or rest in BASES or named[-1] in BASES:
        return 3
    return 0 if ABOUT & set(named) else 1 if REMARKS & set(named) else 2


def beside_answer(sides: tuple[str, str], rows: Sequence[Mapping[str, Any]], kind: str | None) -> bool:
    """Whether rows also hold an answer that is neither of the two sides: then it is unclear what to learn from."""
    names = FIELDS["response"] if kind is None else ()
    others = [(row[c], row) for row in rows for c in names if c not in sides and isinstance(row.get(c), str)]
    return any(
        text.strip() not in (str(row.get(c)).strip() for c in sides) for text, row in others if text.strip()
    )


def holds_text(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    """Whether a column holds texts or messages, not labels or numbers."""
    values = [v for row in rows if (v := row.get(column)) not in (None, "")]
    return bool(values) and all(
        (isinstance(v, str) and said(v) is None and not v.strip().isdigit())
        or (isinstance(v, dict | list) and v and column not in ("user", "human"))
        for v in values
    )


def holds_messages(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    """Whether a column holds lists of turns with roles."""
    values = [v for row in rows if (v := row.get(column))]
    return bool(values) and all(
        isinstance(v, list) and all(isinstance(m, Mapping) and {"role", "from"} & set(m) for m in v)
        for v in values
    )
