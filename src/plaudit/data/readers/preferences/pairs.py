"""Two answers to a prompt, in whatever columns, and what was said of them, as yet in codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from plaudit.data.readers.coerce import (
    answer_text,
    conversed,
    filled_text,
    listed,
    messages,
    prompt_messages,
    split_conversation,
    transcript,
)
from plaudit.data.readers.columns import FIELDS, View
from plaudit.data.readers.label_codes import code
from plaudit.data.readers.preferences.answer_columns import MODELS, SCORES, Choice, beside, numbers
from plaudit.data.readers.preferences.coded import CodedComparison, CodedJudgement
from plaudit.data.readers.preferences.codes import CodedColumn, numeric
from plaudit.data.readers.preferences.words import bare, verdict_of
from plaudit.data.readers.read_report import Fault
from plaudit.data.readers.row_to_record import (
    answered,
    differing,
    prompt_of,
    rater_of,
    strength_of,
    weight_of,
)
from plaudit.data.records import Comparisons, Message, Outcome, Prompt, Response

# Where the text of a prompt stands that is an object.
TURNS_IN = ("messages", "turns", "conversation")
TEXT_IN = (
    "full_text",
    "text",
    "content",
    "prompt",
    "question",
    "post",
    "article",
    "instruction",
    "value",
    "body",
)
VERSUS_WHERE = CodedColumn("", ("chosen", "rejected"))


class Votes(tuple[CodedJudgement, ...]):
    """Several judgements in one cell, as an annotation tool exports them."""


# -- the prompt ----------------------------------------------------------------------------------


def asked(view: View, turns: Sequence[Message] | None = None) -> Prompt:
    """The prompt of a row, by any name: text, messages, or an object that holds it."""
    if turns is not None:
        return prompt_of(view, turns)
    value, column = view.take("asked")
    if isinstance(value, dict):
        found, rest = _inside(value, column)
        prompt = prompt_of(view, prompt_messages(found, column))
        return replace(prompt, metadata={**rest, **prompt.metadata})
    if column in FIELDS["prompt"]:
        return prompt_of(view)
    return prompt_of(view, prompt_messages(value, column))


def _inside(value: Mapping[str, Any], column: str) -> tuple[Any, dict[str, Any]]:
    """The prompt in an object, and what else is known there."""
    keys = [k for k in TURNS_IN if isinstance(value.get(k), list)] + [k for k in TEXT_IN if value.get(k)]
    if not keys:
        raise Fault(
            "missing field",
            f"{column!r} is an object without a text",
            field=column,
            remedy=f"give it one of {', '.join(TEXT_IN[:4])}, or write the prompt as text",
        )
    rest = {k: v for k, v in value.items() if k != keys[0] and v not in (None, "", [])}
    return value[keys[0]], rest


# -- the answers ---------------------------------------------------------------------------------


def spoken(view: View, column: str) -> tuple[tuple[Message, ...] | None, Response]:
    """An answer, and the turns before it where it is given as a whole conversation."""
    value = conversed(view.values[column])
    prompted = view.column("asked") is not None
    if isinstance(value, dict) and {"role", "from"} & set(value):
        value = [value]
    if isinstance(value, list):
        turns = messages(value, column)
        if not prompted or len(turns) > 1:
            return _split(value, column)
        if turns[0].role != "assistant" or not turns[0].more:
            return None, Response(answer_text(value, column))
        return None, answered(turns[0])
    if isinstance(value, dict):
        return None, Response(answer_text(value, column))
    if not prompted:
        return _split(value, column)
    text = filled_text(value, column, "answer")
    prompt = view.get("prompt")
    if isinstance(prompt, str) and transcript(text) and text.startswith(prompt.strip()):
        return _split(text, column)
    return None, Response(text)


def _split(value: Any, column: str) -> tuple[tuple[Message, ...], Response]:
    before, answer = split_conversation(value, column)
    return before, answered(answer)


def _by_turns(view: View, columns: tuple[str, str]) -> tuple[list[str], list[list[str]]] | None:
    """The texts of a prompt's user turns and of each side's answers, where all are lists of texts (LMSYS)."""
    column = view.column("prompt")
    cells = [listed(view.values[c]) for c in (*([column] if column else []), *columns)]
    if len(cells) < 3 or not all(
        isinstance(c, list) and c and all(isinstance(t, str) for t in c) for c in cells
    ):
        return None
    asked_, *answers = cells
    return (asked_, answers) if len({len(c) for c in cells}) == 1 else None


def _turned(asked_: Sequence[str], answers: Sequence[str]) -> tuple[tuple[Message, ...], Response]:
    """One side's conversation: what stands before its last answer, and that answer."""
    turns = [
        {"role": r, "content": t}
        for pair in zip(asked_, answers)
        for r, t in zip(("user", "assistant"), pair)
    ]
    return _split(turns, "prompt")


def _sides(view: View, columns: tuple[str, str]) -> list[tuple[tuple[Message, ...] | None, Response]]:
    if found := _by_turns(view, columns):
        return [_turned(found[0], side) for side in found[1]]
    return [spoken(view, c) for c in columns]


def _both(view: View, columns: tuple[str, str]) -> tuple[Prompt, tuple[Response, ...]]:
    (before, first), (other, second) = _sides(view, columns)
    if before != other:
        raise Fault(
            "prompts differ",
            f"{columns[0]} and {columns[1]} answer different prompts",
            field=columns[1],
            remedy="the two may differ in the last assistant turn alone",
        )
    if first.metadata == second.metadata:
        differing((first.text, second.text), columns[1])
    return asked(view, before), (first, second)


def are_conversations(view: View) -> bool:
    """Whether each of the two answers is a whole conversation."""
    return all(_is_conversation(view.values[c]) for c in view.columns("pair"))


def _is_conversation(value: Any) -> bool:
    value = conversed(value)
    return len(value) > 1 if isinstance(value, list) else isinstance(value, str) and bool(transcript(value))


# -- better and worse by the names of the columns ------------------------------------------------


def better_worse(view: View) -> CodedComparison | Comparisons:
    """A pair; where the two are whole conversations, all but the last assistant turn is the prompt."""
    columns = VERSUS_WHERE.names
    values = tuple(view.take(c)[0] for c in columns)
    if any(_several(v) for v in values):
        return _all_pairs(view, columns, values)
    prompt, responses = _both(view, columns)
    scores = numbers(view.values, beside(view.values, columns, SCORES)) or _inside_scores(values)
    said = (CodedJudgement("first", rater_of(view)),)
    return CodedComparison(
        prompt, responses, VERSUS_WHERE, said, (), scores, weight_of(view), strength_of(view)
    )


def _inside_scores(values: tuple[Any, ...]) -> tuple[float, float] | None:
    """The scores that stand in the answers' own objects: ``{"content": "…", "score": 3}``."""
    if not all(isinstance(v, dict) for v in values):
        return None
    key = next((k for k in SCORES if all(k in v for v in values)), None)
    return numbers({"first": values[0][key], "second": values[1][key]}, ("first", "second")) if key else None


def _several(value: Any) -> bool:
    """Whether a cell holds several answers: a list whose elements are no messages."""
    return isinstance(value, list) and not all(
        isinstance(v, dict) and {"role", "from"} & set(v) for v in value
    )


def _all_pairs(view: View, columns: tuple[str, str], values: tuple[Any, ...]) -> Comparisons:
    """Every better answer against every worse one, as one item; those of a side are not compared."""
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


# -- two answers and a code ----------------------------------------------------------------------


def two_judged(view: View) -> CodedComparison:
    """Two answers, and a code of which is better."""
    pair, choice = view.pair(), view.choice()
    assert pair
    if choice is None:
        raise Fault(
            "missing field",
            "nothing says which answer is better",
            field="preferred",
            remedy="give every row a 'preferred'",
        )
    prompt, responses = _both(view, pair)
    names = (view.original(pair[0]), view.original(pair[1]))
    said = _said(view, choice)
    where = CodedColumn(view.original(choice.columns[0]), names)
    scores = (
        None
        if choice.kind in ("scores", "ranks")
        else numbers(view.values, beside(view.values, pair, SCORES))
    )
    called = _called(view, pair, responses) if any(_a_name(s.value, names) for s in said) else ()
    return CodedComparison(prompt, responses, where, said, called, scores, weight_of(view), strength_of(view))


def _said(view: View, choice: Choice) -> tuple[CodedJudgement, ...]:
    """The judgements of a row; where no cell holds a code, in the words of one."""
    if choice.kind == "code":
        value = view.values[choice.columns[0]]
        if isinstance(value, Votes):
            return value
        return (CodedJudgement(value, rater_of(view)),)
    if choice.kind == "raters":
        return tuple(
            CodedJudgement(view.values[c], c) for c in choice.columns if view.values.get(c) is not None
        )
    if choice.kind == "flags":
        return (CodedJudgement(_flagged(view, choice.columns), rater_of(view)),)
    found = numbers(view.values, (choice.columns[0], choice.columns[1]))
    if found is None:
        raise Fault(
            "bad label",
            f"{choice.columns[0]!r} or {choice.columns[1]!r} is no number",
            field=choice.columns[0],
            remedy="write a number beside each answer",
        )
    if choice.kind == "ranks":
        found = (-found[0], -found[1])
    return (
        CodedJudgement(
            "tie" if found[0] == found[1] else "first" if found[0] > found[1] else "second", rater_of(view)
        ),
    )


def _flagged(view: View, columns: Sequence[str]) -> str:
    """One column per verdict, of which one is true."""
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


def _a_name(value: Any, names: tuple[str, str]) -> bool:
    return isinstance(value, str) and numeric(code(value)) is None and verdict_of(value, names) is None


def _called(view: View, pair: tuple[str, str], responses: Sequence[Response]) -> tuple[frozenset[str], ...]:
    """By what a row calls each answer: the columns that name its model, and its text."""
    names = [{bare(r.text)} for r in responses]
    for base in MODELS:
        if columns := beside(view.values, pair, [base]):
            for found, column in zip(names, columns):
                found.add(bare(str(view.values[column])))
    return frozenset(names[0]), frozenset(names[1])
