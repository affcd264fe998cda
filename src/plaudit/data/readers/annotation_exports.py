"""Unwraps rows that annotation tools export (Label Studio, Argilla) into plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.data.readers.preferences.codes import CodedJudgement
from plaudit.data.readers.preferences.pairs import Votes

# Suffixes of Argilla's columns.
ANSWERS, USERS, STATUS = ".responses", ".responses.users", ".responses.status"
SUBMITTED = (None, "submitted")


def unwrapped(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows inside a row of an annotation tool, one per person who ranked; any other row unchanged."""
    if isinstance(row.get("data"), dict) and isinstance(row.get("annotations", row.get("completions")), list):
        return _label_studio(row)
    if isinstance(row.get("fields"), dict) and isinstance(row.get("responses"), dict | list):
        return _argilla(row)
    questions = [c for c in row if str(c).endswith(ANSWERS) and isinstance(row[c], list | type(None))]
    return _argilla_columns(row, questions) if questions else [row]


# -- Label Studio --------------------------------------------------------------------------------


def _label_studio(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """``data`` as columns, and each annotator's judgement."""
    given = [a for a in row.get("annotations", row.get("completions")) if not a.get("was_cancelled")]
    said = [(_annotator(a), found) for a in given for r in a.get("result") or () if (found := _result(r))]
    return _with(row["data"], said)


def _annotator(annotation: Mapping[str, Any]) -> str | None:
    by = annotation.get("completed_by")
    by = by.get("email", by.get("id")) if isinstance(by, dict) else by
    return None if by is None else str(by)


def _result(result: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The kind of a result and its value; None if it is not a judgement."""
    value = result.get("value") or {}
    if result.get("type") == "pairwise":
        # Neither side is selected if the two are equal.
        return "preferred", value.get("selected") or "tie"
    if result.get("type") == "choices" and len(value.get("choices") or ()) == 1:
        return "preferred", value["choices"][0]
    if result.get("type") == "rating":
        return "rating", value.get("rating")
    return None


# -- Argilla -------------------------------------------------------------------------------------


def _argilla(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Argilla 2: ``fields`` as columns; ``responses`` by question, each with its users."""
    responses = row["responses"]
    by_question = responses if isinstance(responses, dict) else {"preference": responses}
    said = [
        (_user(r), _answer(r.get("value")))
        for given in by_question.values()
        for r in given or ()
        if isinstance(r, dict) and r.get("status") in SUBMITTED
    ]
    return _with(row["fields"], [(user, found) for user, found in said if found])


def _user(response: Mapping[str, Any]) -> str | None:
    user = response.get("user_id", response.get("user"))
    return None if user is None else str(user)


def _argilla_columns(row: Mapping[str, Any], questions: Sequence[str]) -> list[Mapping[str, Any]]:
    """Columns ``NAME.responses`` with ``NAME.responses.users``."""
    said = []
    for column in questions:
        name = column.removesuffix(ANSWERS)
        values = row[column] or []
        users = row.get(f"{name}{USERS}") or [None] * len(values)
        states = row.get(f"{name}{STATUS}") or [None] * len(values)
        said += [
            (None if user is None else str(user), found)
            for value, user, state in zip(values, users, states)
            if state in SUBMITTED and (found := _answer(value))
        ]
    plain = {c: v for c, v in row.items() if not any(c.startswith(q) for q in questions)}
    return _with(plain, said)


def _answer(value: Any) -> tuple[str, Any] | None:
    """A label, a rating, or a ranking of several: ``[{value, rank}]``."""
    if isinstance(value, list) and value and all(isinstance(v, dict) and "rank" in v for v in value):
        return "ranked", value
    if isinstance(value, bool) or value is None:
        return None
    return ("rating", value) if isinstance(value, int | float) else ("preferred", value)


# -- both ----------------------------------------------------------------------------------------


def _with(
    shown: Mapping[str, Any], said: Sequence[tuple[str | None, tuple[str, Any]]]
) -> list[Mapping[str, Any]]:
    """The columns shown, with the judgements in columns that plaudit reads."""
    votes = Votes(CodedJudgement(value, rater) for rater, (kind, value) in said if kind == "preferred")
    ratings = [value for _, (kind, value) in said if kind == "rating" and value is not None]
    ranked = [(rater, value) for rater, (kind, value) in said if kind == "ranked"]
    if votes:
        return [{**shown, "preferred": votes}]
    if ranked:
        return [{**shown, **_ranked(shown, ranks), "rater": rater} for rater, ranks in ranked]
    if ratings:
        return [{**shown, "rating": sum(ratings) / len(ratings)}]
    return [{**shown, "preferred": None}]


def _ranked(shown: Mapping[str, Any], ranks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The answers that one person ranked, found by the names of their columns, and their ranks."""
    known = [(name, r["rank"]) for r in ranks if (name := str(r.get("value"))) in shown]
    return {"responses": [shown[n] for n, _ in known], "ranks": [rank for _, rank in known]}
