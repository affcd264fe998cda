"""Unwraps rows that annotation tools export (Label Studio, Argilla) into plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.data.readers.columns import View
from plaudit.data.readers.labels.column_names import NEUTRAL, label_name_of, words_of
from plaudit.data.readers.preferences.codes import CodedJudgement
from plaudit.data.readers.preferences.pairs import Votes
from plaudit.data.readers.preferences.words import verdict_of

# Suffixes of Argilla's columns.
ANSWERS, USERS, STATUS = ".responses", ".responses.users", ".responses.status"
SUBMITTED = (None, "submitted")
# The question of a Label Studio result that does not name it, by kind.
UNNAMED = {"compared": "preferred", "chosen": "label", "rating": "rating"}
# Measurements that are no ratings, whoever gives them; `prompt_quality` may be one.
MEASURED = NEUTRAL - {"prompt", "question", "input", "instruct", "instruction", "query"}


@dataclass(frozen=True)
class Said:
    """What one person answered to one question.

    ``kind``: ``compared`` (names one of two answers), ``rating``, ``ranked`` or ``chosen`` (a word or a text). ``by``
    tells people apart, also where ``rater`` is unknown.
    """

    question: str
    kind: str
    value: Any
    rater: str | None
    by: str


def unwrapped(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows inside a row of an annotation tool, one per person who ranked; any other row unchanged."""
    given = row.get("annotations", row.get("completions"))
    if isinstance(row.get("data"), dict) and isinstance(given, list):
        # Annotations that are only numbers are not in the file: what people said is missing.
        return _label_studio(row["data"], given) if all(isinstance(a, dict) for a in given) else [row]
    if isinstance(row.get("fields"), dict) and isinstance(row.get("responses"), dict | list):
        return _argilla(row)
    questions = [c for c in row if str(c).endswith(ANSWERS) and isinstance(row[c], list | type(None))]
    return _argilla_columns(row, questions) if questions else [row]


# -- Label Studio --------------------------------------------------------------------------------


def _label_studio(shown: Mapping[str, Any], given: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """``data`` as columns, and each annotator's judgement."""
    said = [
        Said(str(r.get("from_name") or UNNAMED[found[0]]), *found, rater, rater or f"#{i}")
        for i, a in enumerate(given)
        if not a.get("was_cancelled")
        for rater in (_annotator(a),)
        for r in a.get("result") or ()
        if isinstance(r, dict) and (found := _result(r))
    ]
    return _with(shown, said)


def _annotator(annotation: Mapping[str, Any]) -> str | None:
    by = annotation.get("completed_by")
    by = by.get("email", by.get("id")) if isinstance(by, dict) else by
    return None if by is None else str(by)


def _result(result: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The kind of a result and its value; None if it is not a judgement."""
    value = result.get("value") or {}
    if result.get("type") == "pairwise":
        # Neither side is selected if the two are equal.
        return "compared", value.get("selected") or "tie"
    if result.get("type") == "choices" and (chosen := value.get("choices")):
        return "chosen", chosen[0] if len(chosen) == 1 else list(chosen)
    if result.get("type") == "rating" and value.get("rating") is not None:
        return "rating", value["rating"]
    return None


# -- Argilla -------------------------------------------------------------------------------------


def _argilla(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Argilla 2: ``fields`` as columns; ``responses`` by question, each with its users."""
    responses = row["responses"]
    by_question = responses if isinstance(responses, dict) else {"preference": responses}
    said = [
        Said(str(name), *found, user, user or f"#{i}")
        for name, given in by_question.items()
        for i, r in enumerate(given or ())
        if isinstance(r, dict) and r.get("status") in SUBMITTED
        for user in (_user(r),)
        if (found := _answer(r.get("value")))
    ]
    return _with(row["fields"], said)


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
            Said(name, *found, None if user is None else str(user), f"#{i}" if user is None else str(user))
            for i, (value, user, state) in enumerate(zip(values, users, states))
            if state in SUBMITTED and (found := _answer(value))
        ]
    plain = {c: v for c, v in row.items() if not any(c.startswith(q) for q in questions)}
    return _with(plain, said)


def _answer(value: Any) -> tuple[str, Any] | None:
    """A label, a rating, or a ranking of several: ``[{value, rank}]``."""
    if isinstance(value, list) and value and all(isinstance(v, dict) and "rank" in v for v in value):
        return "ranked", value
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return ("rating" if number else "chosen"), value


# -- both ----------------------------------------------------------------------------------------


def _with(shown: Mapping[str, Any], said: Sequence[Said]) -> list[Mapping[str, Any]]:
    """The columns shown, with the judgements in columns that plaudit reads.

    One question that compares two answers is ``preferred``. Of any other, the answers stand under the question's name,
    which tells what they mean.
    """
    if ranked := [s for s in said if s.kind == "ranked"]:
        return [{**shown, **_ranked(shown, s.value), "rater": s.rater} for s in ranked]
    view = View.of(shown)
    pair = view.pair()
    several = bool(pair or view.column("responses"))
    asked = _comparing(said, pair) if several or any(s.kind == "compared" for s in said) else None
    votes = Votes(CodedJudgement(s.value, s.rater) for s in said if s.question == asked)
    rest = [s for s in said if s.question != asked]
    judged = {"preferred": votes} if votes else {"preferred": None} if several and not said else {}
    rows = _by_person({**shown, **_rated(rest, shown)}, [s for s in rest if s.kind == "chosen"], bool(votes))
    return [{**row, **judged} for row in rows]


def _comparing(said: Sequence[Said], pair: tuple[str, str] | None) -> str | None:
    """The one question whose answers say which of two answers is better; None if that is not clear."""
    compared = list(dict.fromkeys(s.question for s in said if s.kind == "compared"))
    chosen = list(dict.fromkeys(s.question for s in said if s.kind == "chosen" and isinstance(s.value, str)))
    if not compared and len({s.question for s in said}) > 1 and pair:
        named = {s.question for s in said if isinstance(s.value, str) and verdict_of(s.value, pair)}
        chosen = [q for q in chosen if q in named]
    asked = compared or chosen
    return asked[0] if len(asked) == 1 else None


def _rated(said: Sequence[Said], shown: Mapping[str, Any]) -> dict[str, Any]:
    """The mean rating of each question, under its name.

    If the name does not say what is rated, a single question is the ``rating``; of others, the user is asked.
    """
    given: dict[str, list[Any]] = {}
    for s in said:
        if s.kind == "rating":
            given.setdefault(s.question, []).append(s.value)
    means = {q: sum(v) / len(v) for q, v in given.items()}
    plain = {q: m for q, m in means.items() if not _telling(q)}
    found: dict[str, Any] = {_apart(q, shown): m for q, m in means.items() if q not in plain}
    if plain:
        sole = len(means) == 1 and not any(set(words_of(q)) & NEUTRAL for q in plain)
        found[_apart("rating", {**shown, **found})] = next(iter(plain.values())) if sole else plain
    return found


def _telling(question: str) -> bool:
    """Whether a question's name says what its numbers are: a rating of something, or a measurement."""
    named = label_name_of(question)
    rates = named is not None and (named.scope in ("whole", "aspect") or named.sense < 0)
    return rates or bool(set(words_of(question)) & MEASURED)


def _apart(question: str, shown: Mapping[str, Any]) -> str:
    """The column of a question, also where what was shown has a column of that name."""
    return f"{question}.answered" if question in shown else question


def _by_person(row: Mapping[str, Any], said: Sequence[Said], together: bool) -> list[Mapping[str, Any]]:
    """The row with the words that people chose; a row per person where they chose different ones."""
    given: dict[str, dict[str, Any]] = {}
    for s in said:
        given.setdefault(s.by, {})[_apart(s.question, row)] = s.value
    people = list(given.values())
    if together or all(p == people[0] for p in people):
        return [{**row, **(people[0] if people else {})}]
    raters = {s.by: s.rater for s in said}
    return [{**row, **chosen, "rater": raters[by]} for by, chosen in given.items()]


def _ranked(shown: Mapping[str, Any], ranks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The answers that one person ranked, found by the names of their columns, and their ranks."""
    known = [(name, r["rank"]) for r in ranks if (name := str(r.get("value"))) in shown]
    return {"responses": [shown[n] for n, _ in known], "ranks": [rank for _, rank in known]}
