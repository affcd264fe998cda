"""Builds a record from a row of each schema. Raises ``Fault`` for a row that cannot become one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from plaudit.data.readers.coerce import (
    answer_text,
    filled_text,
    listed,
    messages,
    number,
    prompt_messages,
    split_conversation,
    truth,
)
from plaudit.data.readers.columns import View
from plaudit.data.readers.messages import with_tools
from plaudit.data.readers.prompt_ends import before_answer
from plaudit.data.readers.read_report import Fault, name_type
from plaudit.data.records import (
    Demonstration,
    Labeled,
    Message,
    Prompt,
    Ranking,
    Rated,
    Record,
    Response,
    native_format,
)

# -- prompts -------------------------------------------------------------------------------------


def prompt_of(view: View, turns: Sequence[Message] | None = None) -> Prompt:
    """The prompt of a row: its fields, or ``turns`` with the row's system turn, tools and metadata."""
    if turns is None:
        value, column = view.take("prompt")
        more = view.get("input") if column == "instruction" else None
        if more is not None and isinstance(value, str):
            value = f"{value.strip()}\n\n{filled_text(more, 'input', 'prompt')}"
            turns = (Message("user", filled_text(value, column, "prompt")),)
        else:
            turns = before_answer(view, prompt_messages(value, column), column)
    system = view.get("system")
    if isinstance(system, list | dict):
        parts = (
            system if isinstance(system, dict) and "role" in system else {"role": "system", "content": system}
        )
        system = messages([parts], "system")[0].content
    if system is not None:
        said = filled_text(system, "system", "prompt")
        if turns[0].role != "system":
            turns = (Message("system", said), *turns)
        elif turns[0].content.strip() != said.strip():
            raise Fault(
                "two system turns",
                "the row has a system turn and another text in its system column",
                field=view.column("system"),
                remedy="keep one of them, or give --fields ignore=COLUMN for the column",
            )
    turns = with_tools(turns, view.get("tools"))
    metadata = view.get("metadata")
    known = {**view.carried, **(metadata if isinstance(metadata, dict) else {})}
    if view.get("category") is not None:
        known["category"] = view.get("category")
    source = view.get("source")
    return Prompt(tuple(turns), source if isinstance(source, str) else view.source, known)


def messages_prompt(view: View) -> Prompt:
    """A conversation without its answer."""
    value, column = view.take("messages")
    return prompt_of(view, before_answer(view, messages(value, column), column))


# -- one answer ----------------------------------------------------------------------------------


def _response(view: View) -> Response:
    return Response(answer_text(*view.take("response")))


def weight_of(view: View) -> float:
    weight = _stated(view.get("weight"))
    found = 1.0 if weight is None else number(weight, "weight")
    if found < 0:
        raise Fault(
            "bad weight", f"the weight {found:g} is negative", field="weight", remedy="write 0 or more"
        )
    return found


def _stated(value: Any) -> Any:
    """A number, or None also for the NaN that tables write where nothing stands."""
    missing = isinstance(value, float) and math.isnan(value)
    return None if missing or (isinstance(value, str) and value.strip().lower() == "nan") else value


def rater_of(view: View) -> str | None:
    rater = view.get("rater")
    return None if rater is None else str(rater)


def strength_of(view: View) -> float | None:
    strength = _stated(view.get("strength"))
    return None if strength is None else number(strength, "strength")


def demonstration(view: View) -> Demonstration:
    """A prompt and its answer."""
    return Demonstration(prompt_of(view), _response(view), weight_of(view))


def whole_conversation(view: View) -> Demonstration:
    """A conversation whose last assistant turn is the answer."""
    before, response = _conversed(view)
    return Demonstration(prompt_of(view, before), response, weight_of(view))


def _conversed(view: View) -> tuple[tuple[Message, ...], Response]:
    """A conversation up to its answer, and the answer."""
    before, answer = split_conversation(*view.take("messages"))
    return before, answered(answer)


def answered(turn: Message) -> Response:
    """An assistant turn as an answer, with its other keys (tool calls, thinking) as metadata."""
    return Response(turn.content, True, {"message": dict(turn.more)} if turn.more else {})


def labeled_conversation(view: View) -> Labeled:
    """A conversation whose last assistant turn is labeled."""
    before, response = _conversed(view)
    good = truth(*view.take("label"))
    return Labeled(prompt_of(view, before), response, good, weight_of(view))


def rated_conversation(view: View) -> Rated:
    """A conversation whose last assistant turn is rated."""
    before, response = _conversed(view)
    return Rated(prompt_of(view, before), response, number(*view.take("rating")), rater_of(view))


def labeled(view: View) -> Labeled:
    """A labeled answer."""
    return Labeled(prompt_of(view), _response(view), truth(*view.take("label")), weight_of(view))


def rated(view: View) -> Rated:
    """A rated answer."""
    return Rated(prompt_of(view), _response(view), number(*view.take("rating")), rater_of(view))


def raw_text(view: View) -> str:
    """Plain text."""
    return filled_text(*view.take("text"), "text")


# -- several answers -----------------------------------------------------------------------------


def differing(texts: Sequence[str], field: str) -> None:
    """Raise ``Fault`` if all answers are the same."""
    if len(set(texts)) == 1:
        raise Fault(
            "identical answers",
            f"all {len(texts)} answers are the same" if len(texts) > 2 else "the two answers are the same",
            field=field,
            remedy="remove the row: it states no preference",
        )


def ranking_of(
    view: View, prompt: Prompt, texts: Sequence[str], groups: Sequence[Sequence[int]], field: str
) -> Ranking:
    differing(texts, field)
    place = {i: p for p, group in enumerate(groups) for i in group}
    if len({(text, place[i]) for i, text in enumerate(texts)}) > len(set(texts)):
        raise Fault(
            "contradiction",
            "two answers with the same text have different places",
            field=field,
            remedy="keep one of them, or remove the row",
        )
    return Ranking(
        prompt,
        tuple(map(Response, texts)),
        tuple(tuple(g) for g in groups),
        rater=rater_of(view),
        weight=weight_of(view),
        strength=strength_of(view),
    )


def listed_responses(view: View) -> tuple[list[Any], str]:
    """Two or more answers as written, and their column."""
    value, column = view.take("responses")
    value = listed(value)
    if not isinstance(value, list) or len(value) < 2:
        raise Fault(
            "wrong type",
            f"{column!r} must be a list of two or more answers",
            field=column,
            remedy='write ["…", "…"]',
        )
    return value, column


def responses_of(view: View) -> tuple[list[str], str]:
    values, column = listed_responses(view)
    return [answer_text(r, f"{column}[{i}]") for i, r in enumerate(values)], column


def ranked(view: View) -> Ranking:
    """Answers and their order, best first."""
    texts, column = responses_of(view)
    value, field = view.take("ranking")
    groups = order_groups(listed(value), len(texts), field)
    return ranking_of(view, prompt_of(view), texts, groups, column)


def order_groups(value: Any, k: int, field: str) -> list[list[int]]:
    """Groups of indices, best first, from ``[2, 0, 1]`` or, with ties, ``[[2], [0, 1]]``."""
    groups = [g if isinstance(g, list) else [g] for g in value] if isinstance(value, list) else [[value]]
    named = [i for group in groups for i in group]
    if any(type(i) is not int for i in named):
        raise Fault(
            "bad ranking",
            f"{field!r} must hold the indices of the answers",
            field=field,
            remedy="write [2, 0, 1]: the index of the best answer first",
        )
    if unknown := [i for i in named if not 0 <= i < k]:
        raise Fault(
            "bad ranking",
            f"{field!r} names answer {unknown[0]}, but there are only {k} (0 to {k - 1})",
            field=field,
            remedy="answers are counted from 0, the best one first",
        )
    if sorted(named) != list(range(k)):
        message = (
            "names an answer twice" if len(set(named)) < len(named) else f"names {len(named)} of {k} answers"
        )
        raise Fault(
            "bad ranking",
            f"{field!r} {message}",
            field=field,
            remedy="name each answer once; ties are grouped: [[2], [0, 1]]; write ranks into 'ranks'",
        )
    return groups


def scored(field: str, sign: int) -> Callable[[View], Ranking]:
    """A builder of rankings from one number per answer: ``ranks`` (1 is best) or ``scores`` (higher is better)."""

    def build(view: View) -> Ranking:
        texts, column = responses_of(view)
        value, name = view.take(field)
        value = listed(value)
        if not isinstance(value, list) or len(value) != len(texts):
            got = len(value) if isinstance(value, list) else name_type(value)
            raise Fault(
                "bad ranking",
                f"{name!r} has {got} for {len(texts)} answers",
                field=name,
                remedy="write one number per answer",
            )
        keys = [sign * number(v, name) for v in value]
        return ranking_of(view, prompt_of(view), texts, grouped(keys), column)

    return build


def grouped(keys: Sequence[float]) -> list[list[int]]:
    """Groups of indices with equal keys, in ascending order of the keys."""
    return [[i for i, k in enumerate(keys) if k == key] for key in sorted(set(keys))]


def own_record(view: View) -> Record | str:
    """A record from a row in plaudit's own format."""
    return native_format.from_row(view.values)
