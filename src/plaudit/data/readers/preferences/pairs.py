"""Reads two answers to a prompt and their judgement, which stays a code until the whole file is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plaudit.data.readers.coerce import answer_text
from plaudit.data.readers.columns import View
from plaudit.data.readers.label_codes import code
from plaudit.data.readers.preferences.answer_columns import MODELS, SAYING, SCORES, Choice, beside, numbers
from plaudit.data.readers.preferences.answer_texts import asked, both_answers, spoken
from plaudit.data.readers.preferences.codes import CodedColumn, CodedComparison, CodedJudgement
from plaudit.data.readers.preferences.words import TIES, bare, verdict_of
from plaudit.data.readers.read_report import Fault
from plaudit.data.readers.row_to_record import rater_of, strength_of, weight_of
from plaudit.data.records import Comparisons, Outcome, Response

VERSUS_WHERE = CodedColumn("", ("chosen", "rejected"))


class Votes(tuple[CodedJudgement, ...]):
    """Several judgements in one cell, as an annotation tool exports them."""


def better_worse(view: View) -> CodedComparison | Comparisons:
    """A pair; if both are whole conversations, all turns but the last are the prompt."""
    columns = VERSUS_WHERE.names
    values = tuple(view.take(c)[0] for c in columns)
    if any(_several(v) for v in values):
        return _all_pairs(view, columns, values)
    prompt, responses = both_answers(view, columns)
    scores = numbers(view.values, beside(view.values, columns, SCORES)) or _inside_scores(values)
    said = (CodedJudgement("tie" if _is_tie(view) else "first", rater_of(view)),)
    weight, strength = weight_of(view), strength_of(view)
    return CodedComparison(prompt, responses, VERSUS_WHERE, said, (), scores, {}, weight, strength)


def _is_tie(view: View) -> bool:
    """Whether a column beside ``chosen`` and ``rejected`` says that they are equally good."""
    flags = (view.values.get(c) for c in ("tie", "is_tie", "tied", "draw", "is_draw"))
    words_ = (view.values.get(c) for c in SAYING if c not in VERSUS_WHERE.names)
    return any(code(v) in ("1", "true") for v in flags) or any(
        isinstance(w, str) and bare(w) in TIES for w in words_
    )


def _inside_scores(values: tuple[Any, ...]) -> tuple[float, float] | None:
    """Scores inside the answers' objects: ``{"content": "…", "score": 3}``."""
    if not all(isinstance(v, dict) for v in values):
        return None
    key = next((k for k in SCORES if all(k in v for v in values)), None)
    return numbers({"first": values[0][key], "second": values[1][key]}, ("first", "second")) if key else None


def _several(value: Any) -> bool:
    """Whether a cell holds several answers: a list whose elements are not messages."""
    return isinstance(value, list) and not all(
        isinstance(v, dict) and {"role", "from"} & set(v) for v in value
    )


def _all_pairs(view: View, columns: tuple[str, str], values: tuple[Any, ...]) -> Comparisons:
    """Each better answer against each worse one, as one record; answers of the same side are not compared."""
    sides = [
        [answer_text(v, f"{c}[{i}]") for i, v in enumerate(value)]
        if _several(value)
        else [spoken(view, c)[1].text]
        for c, value in zip(columns, values)
    ]
    for column, side in zip(columns, sides):
        if not side:
            raise Fault("empty answer", f"{column!r} is an empty list", field=column, remedy="remove the row")
    better, worse = (list(dict.fromkeys(side)) for side in sides)
    if both := set(better) & set(worse):
        raise Fault(
            "identical answers",
            f"{next(iter(both))[:40]!r} is both {columns[0]} and {columns[1]}",
            field=columns[1],
            remedy="remove it from one of the two",
        )
    outcomes = tuple(
        Outcome(i, len(better) + j, 1.0, strength_of(view), weight_of(view), rater_of(view))
        for i in range(len(better))
        for j in range(len(worse))
    )
    return Comparisons(asked(view), tuple(map(Response, (*better, *worse))), outcomes)


def two_judged(view: View) -> CodedComparison:
    """Two answers, and a code that says which is better."""
    pair, choice = view.pair(), view.choice()
    assert pair
    if choice is None:
        raise Fault(
            "missing field",
            "nothing says which answer is better",
            field="preferred",
            remedy="give every row a 'preferred'",
        )
    prompt, responses = both_answers(view, pair)
    names = (view.original(pair[0]), view.original(pair[1]))
    said = _said(view, choice)
    where = CodedColumn(view.original(choice.columns[0]), names)
    scores = (
        None
        if choice.kind in ("scores", "ranks")
        else numbers(view.values, beside(view.values, pair, SCORES))
    )
    called = _called(view, pair, responses)
    rivals = {
        c: verdict.share
        for c in SAYING
        if c not in (*pair, *choice.columns) and isinstance(value := view.values.get(c), str)
        if (verdict := verdict_of(value, names)) is not None and verdict.share is not None
    }
    weight, strength = weight_of(view), strength_of(view)
    return CodedComparison(prompt, responses, where, said, called, scores, rivals, weight, strength)


def _said(view: View, choice: Choice) -> tuple[CodedJudgement, ...]:
    """The judgements of a row; flags, scores and ranks are converted to the codes first, second and tie."""
    if choice.kind == "code":
        value = view.values[choice.columns[0]]
        if isinstance(value, Votes):
            return value
        return (CodedJudgement(value, rater_of(view)),)
    if choice.kind == "raters":
        said = ((c, view.values.get(c)) for c in choice.columns)
        return tuple(CodedJudgement(v, c) for c, v in said if v is not None and str(v).strip())
    if choice.kind == "flags":
        return (CodedJudgement(_flagged(view, choice.columns), rater_of(view)),)
    found = numbers(view.values, (choice.columns[0], choice.columns[1]))
    if found is None:
        raise Fault(
            "bad label",
            f"{choice.columns[0]!r} or {choice.columns[1]!r} is not a number",
            field=choice.columns[0],
            remedy="write a number for each answer",
        )
    if choice.kind == "ranks":
        found = (-found[0], -found[1])
    return (
        CodedJudgement(
            "tie" if found[0] == found[1] else "first" if found[0] > found[1] else "second", rater_of(view)
        ),
    )


def _flagged(view: View, columns: Sequence[str]) -> str:
    """The code of flags: one column per verdict, exactly one of which is true."""
    true = [i for i, c in enumerate(columns) if code(view.values[c]) in ("1", "true")]
    pair = view.pair()
    assert pair
    if len(true) == 1 and true[0] == 2:
        return "tie"
    sides = [verdict_of(columns[i], pair) for i in true]
    if len(true) != 1 or sides[0] is None:
        raise Fault(
            "bad label",
            f"{len(true)} of {', '.join(columns)} are true",
            field=columns[0],
            remedy="one of them must be true",
        )
    return "first" if sides[0].share == 1.0 else "second"


def _called(view: View, pair: tuple[str, str], responses: Sequence[Response]) -> tuple[frozenset[str], ...]:
    """The names of each answer in a row: its model, and its text."""
    names = [{bare(r.text)} for r in responses]
    for base in MODELS:
        if columns := beside(view.values, pair, [base]):
            for found, column in zip(names, columns):
                found.add(bare(str(view.values[column])))
    return frozenset(names[0]), frozenset(names[1])
