"""How a row of each shape becomes a record; a row that cannot raises ``Fault``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from plaudit.data import own
from plaudit.data.fields import View
from plaudit.data.messages import with_tools
from plaudit.data.records import (
    Demonstration,
    Labelled,
    Message,
    Prompt,
    Ranking,
    Rated,
    Record,
    Response,
)
from plaudit.data.report import Fault, name_type
from plaudit.data.values import (
    answer_text,
    conversation,
    conversed,
    filled_text,
    listed,
    messages,
    number,
    prompt_messages,
    split_conversation,
    transcript,
    truth,
)

TIES = {"tie", "tied", "equal", "same", "both", "draw", "neither", "none", "tie_(bothbad)", "both_bad"}


# -- prompts -------------------------------------------------------------------------------------


def prompt_of(view: View, turns: Sequence[Message] | None = None) -> Prompt:
    if turns is None:
        value, column = view.take("prompt")
        more = view.get("input") if column == "instruction" else None
        if more is not None and isinstance(value, str):
            value = f"{value.strip()}\n\n{filled_text(more, 'input', 'prompt')}"
            turns = (Message("user", filled_text(value, column, "prompt")),)
        else:
            turns = prompt_messages(value, column)
    system = view.get("system")
    if system is not None and turns[0].role != "system":
        turns = (Message("system", filled_text(system, "system", "prompt")), *turns)
    turns = with_tools(turns, view.get("tools"))
    metadata = view.get("metadata")
    known = {**view.carried, **(metadata if isinstance(metadata, dict) else {})}
    if view.get("category") is not None:
        known["category"] = view.get("category")
    source = view.get("source")
    return Prompt(tuple(turns), source if isinstance(source, str) else view.source, known)


def prompt_only(view: View) -> Prompt:
    """A prompt."""
    return prompt_of(view)


def messages_prompt(view: View) -> Prompt:
    """A conversation that waits for an answer."""
    return prompt_of(view, messages(*view.take("messages")))


# -- one answer ----------------------------------------------------------------------------------


def _response(view: View) -> Response:
    return Response(answer_text(*view.take("response")))


def _weight(view: View) -> float:
    weight = view.get("weight")
    return 1.0 if weight is None else number(weight, "weight")


def _rater(view: View) -> str | None:
    rater = view.get("rater")
    return None if rater is None else str(rater)


def _strength(view: View) -> float | None:
    strength = view.get("strength")
    return None if strength is None else number(strength, "strength")


def demonstration(view: View) -> Demonstration:
    """A prompt and its answer."""
    return Demonstration(prompt_of(view), _response(view), _weight(view))


def whole_conversation(view: View) -> Demonstration:
    """A conversation, whose last assistant turn is the answer."""
    before, response = _conversed(view)
    return Demonstration(prompt_of(view, before), response, _weight(view))


def _conversed(view: View) -> tuple[tuple[Message, ...], Response]:
    """A conversation up to its answer, and the answer with what its message holds besides text."""
    before, answer = split_conversation(*view.take("messages"))
    return before, Response(answer.content, True, {"message": dict(answer.more)} if answer.more else {})


def labelled_conversation(view: View) -> Labelled:
    """A conversation, whose last assistant turn is good or bad."""
    before, response = _conversed(view)
    good = truth(*view.take("label"))
    return Labelled(prompt_of(view, before), response, good, _weight(view))


def rated_conversation(view: View) -> Rated:
    """A conversation, whose last assistant turn has a number."""
    before, response = _conversed(view)
    return Rated(prompt_of(view, before), response, number(*view.take("rating")), _rater(view))


def labelled(view: View) -> Labelled:
    """An answer, good or bad."""
    return Labelled(prompt_of(view), _response(view), truth(*view.take("label")), _weight(view))


def rated(view: View) -> Rated:
    """An answer and a number."""
    return Rated(prompt_of(view), _response(view), number(*view.take("rating")), _rater(view))


def raw_text(view: View) -> str:
    """Plain text."""
    return filled_text(*view.take("text"), "text")


# -- several answers -----------------------------------------------------------------------------


def _ranking(
    view: View, prompt: Prompt, texts: Sequence[str], groups: Sequence[Sequence[int]], field: str
) -> Ranking:
    if len(set(texts)) == 1:
        raise Fault(
            "identical answers",
            f"all {len(texts)} answers are the same" if len(texts) > 2 else "the two answers are the same",
            field=field,
            remedy="remove the row: it prefers nothing",
        )
    return Ranking(
        prompt,
        tuple(map(Response, texts)),
        tuple(tuple(g) for g in groups),
        rater=_rater(view),
        weight=_weight(view),
        strength=_strength(view),
    )


def _has_prompt(view: View) -> bool:
    return view.column("prompt") is not None


def _answer_and_prompt(view: View, field: str) -> tuple[tuple[Message, ...] | None, str]:
    """An answer, and the turns before it where it is given as a whole conversation."""
    value, column = view.take(field)
    value = conversed(value)
    if isinstance(value, list):
        turns = messages(value, column)
        if _has_prompt(view) and len(turns) == 1:
            return None, answer_text(value, column)
        return conversation(value, column)
    if not _has_prompt(view) and view.column("messages") is None:
        return conversation(value, column)
    text = filled_text(value, column, "answer")
    prompt = view.get("prompt")
    if isinstance(prompt, str) and transcript(text) and text.startswith(prompt.strip()):
        return conversation(text, column)
    return None, text


def chosen_rejected(view: View) -> Ranking:
    """A pair; where the two are whole conversations, all but the last assistant turn is the prompt."""
    before, chosen = _answer_and_prompt(view, "chosen")
    other, rejected = _answer_and_prompt(view, "rejected")
    if before != other:
        raise Fault(
            "prompts differ",
            "chosen and rejected answer different prompts",
            field="rejected",
            remedy="the two may differ in the last assistant turn alone",
        )
    from_messages = before is None and not _has_prompt(view)
    prompt = messages_prompt(view) if from_messages else prompt_of(view, before)
    return _ranking(view, prompt, (chosen, rejected), ((0,), (1,)), "rejected")


def two_responses(view: View) -> Ranking:
    """A pair, and which is preferred, or a tie."""
    pair = view.pair()
    assert pair
    texts = [answer_text(view.values[column], column) for column in pair]
    value, column = view.take("preferred")
    groups = order_of_two(value, column, pair)
    return _ranking(view, prompt_of(view), texts, groups, pair[1])


def order_of_two(value: Any, column: str, pair: tuple[str, str]) -> Sequence[Sequence[int]]:
    """Groups, best first, from ``A``, ``response_b``, ``2``, ``tie`` …, in the words of the two columns."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    word = str(value).strip().lower().replace(" ", "_").replace("-", "_")
    ends = [name[-1] for name in pair]
    places = (("first", "left"), ("second", "right"))
    for i, (name, end) in enumerate(zip(pair, ends)):
        counted = {str(i + 1)} if end.isalpha() else set()
        if word in {name, end, f"model_{end}", f"response_{end}", *places[i], *counted}:
            return ((i,), (1 - i,))
    if word in TIES or (word == "0" and ends == ["1", "2"]):
        return ((0, 1),)
    raise Fault(
        "bad label",
        f"{value!r} names neither answer",
        field=column,
        remedy=f"write {ends[0]!r}, {ends[1]!r} or 'tie'",
    )


def responses_of(view: View) -> tuple[list[str], str]:
    value, column = view.take("responses")
    value = listed(value)
    if not isinstance(value, list) or len(value) < 2:
        raise Fault(
            "wrong type",
            f"{column!r} must be a list of two answers or more",
            field=column,
            remedy='write ["…", "…"]',
        )
    return [answer_text(r, f"{column}[{i}]") for i, r in enumerate(value)], column


def ranked(view: View) -> Ranking:
    """Answers and their order, the best first."""
    texts, column = responses_of(view)
    value, field = view.take("ranking")
    groups = order_groups(listed(value), len(texts), field)
    return _ranking(view, prompt_of(view), texts, groups, column)


def order_groups(value: Any, k: int, field: str) -> list[list[int]]:
    """Groups of indices, best first, from ``[2, 0, 1]`` or, with ties, ``[[2], [0, 1]]``."""
    groups = [g if isinstance(g, list) else [g] for g in value] if isinstance(value, list) else [[value]]
    named = [i for group in groups for i in group]
    if any(type(i) is not int for i in named):
        raise Fault(
            "bad ranking",
            f"{field!r} must hold the places of the answers",
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
            remedy="name each answer once; ties stand together: [[2], [0, 1]]; places go into 'ranks'",
        )
    return groups


def scored(field: str, sign: int) -> Callable[[View], Ranking]:
    """Rankings from one number per answer: ``ranks`` (1 is best) or ``scores`` (more is better)."""

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
        marks = [sign * number(v, name) for v in value]
        groups = [[i for i, m in enumerate(marks) if m == mark] for mark in sorted(set(marks))]
        return _ranking(view, prompt_of(view), texts, groups, column)

    return build


def own_record(view: View) -> Record | str:
    """A row that plaudit wrote."""
    return own.from_row(view.values)
