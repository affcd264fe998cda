"""plaudit's own format: one JSON object per record; reading it back gives an equal record.

The key ``record`` names the kind. Fields with their default value are omitted; a prompt of one user turn
is written as plain text, and so is a finished response without metadata. Metadata must be JSON values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.data.readers.coerce import whole_text
from plaudit.data.readers.read_report import Fault, name_type
from plaudit.data.records import (
    ROLES,
    Comparisons,
    Demonstration,
    Labeled,
    Message,
    Outcome,
    Prompt,
    Ranking,
    Rated,
    Record,
    Response,
)

KINDS: dict[str, str] = {
    "prompt": "prompts",
    "demonstration": "demonstrations",
    "comparisons": "preferences",
    "ranking": "preferences",
    "labelled": "labelled",
    "rated": "rated",
    "text": "text",
}


def kind_of(record: Record | str) -> str:
    """The kind of a record, as ``read`` names it: demonstrations, preferences …"""
    return KINDS["text" if isinstance(record, str) else _name_of(record)]


def _name_of(record: Record) -> str:
    # Stored rows spell it "labelled".
    return "labelled" if isinstance(record, Labeled) else type(record).__name__.lower()


def to_row(record: Record | str) -> dict[str, Any]:
    """The JSON object of a record; plain text is a ``str``."""
    if isinstance(record, str):
        return {"record": "text", "text": record}
    if isinstance(record, Prompt):
        return {"record": "prompt", **_prompt_row(record)}
    row: dict[str, Any] = {"record": _name_of(record), **_prompt_row(record.prompt)}
    if isinstance(record, Comparisons | Ranking):
        row["responses"] = [_response_row(r) for r in record.responses]
        if isinstance(record, Comparisons):
            row["outcomes"] = [_outcome_row(o) for o in record.outcomes]
        else:
            row["groups"] = [list(group) for group in record.groups]
            row |= _given(record, rater=None, weight=1.0, strength=None)
        if record.metadata:
            row["metadata"] = dict(record.metadata)
        return row
    row["response"] = _response_row(record.response)
    if isinstance(record, Labeled):
        return row | {"good": record.good} | _given(record, weight=1.0)
    if isinstance(record, Rated):
        return row | {"score": record.score} | _given(record, rater=None)
    return row | _given(record, weight=1.0)


def from_row(row: Mapping[str, Any]) -> Record | str:
    """The record of a JSON object that ``to_row`` wrote. Raises ``Fault``."""
    kind = row.get("record")
    if kind not in KINDS:
        raise Fault(
            "other kind",
            "the row has no 'record'" if kind is None else f"{kind!r} is not a kind of record",
            field="record",
            remedy=f"write one of {', '.join(KINDS)}; rows of another format belong in a file of their own",
        )
    if kind == "text":
        return whole_text(row.get("text"), "text")
    prompt = _prompt(row)
    if kind == "prompt":
        return prompt
    weight = _number(row, "weight", 1.0)
    try:
        if kind == "comparisons":
            outcomes = tuple(_outcome(o, i) for i, o in enumerate(_list(row, "outcomes")))
            return Comparisons(prompt, _responses(row), outcomes, _metadata(row, "metadata"))
        if kind == "ranking":
            groups = tuple(tuple(g) for g in _list(row, "groups"))
            if any(not isinstance(i, int) for g in groups for i in g):
                raise ValueError("groups hold the indices of responses")
            return Ranking(
                prompt,
                _responses(row),
                groups,
                rater=_rater(row),
                weight=weight,
                strength=_number(row, "strength", None),
                metadata=_metadata(row, "metadata"),
            )
    except (ValueError, TypeError) as error:
        field = "groups" if kind == "ranking" else "outcomes"
        raise Fault("bad ranking", str(error), field=field, remedy="responses are counted from 0") from error
    response = _response(row.get("response"), "response")
    if kind == "labelled":
        good = row.get("good")
        if not isinstance(good, bool):
            raise Fault(
                "bad label", "'good' is not true or false", field="good", remedy="write true or false"
            )
        return Labeled(prompt, response, good, weight)
    if kind == "rated":
        return Rated(prompt, response, _number(row, "score", None, needed=True), _rater(row))
    return Demonstration(prompt, response, weight)


def _prompt_row(prompt: Prompt) -> dict[str, Any]:
    alone = len(prompt.messages) == 1 and prompt.messages[0].role == "user"
    row: dict[str, Any] = {
        "prompt": prompt.messages[0].content if alone else [m.as_dict() for m in prompt.messages]
    }
    if prompt.source:
        row["source"] = prompt.source
    if prompt.metadata:
        row["prompt_metadata"] = dict(prompt.metadata)
    return row


def _response_row(response: Response) -> Any:
    if response.finished and not response.metadata:
        return response.text
    row: dict[str, Any] = {"text": response.text, "finished": response.finished}
    return row | ({"metadata": dict(response.metadata)} if response.metadata else {})


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    row = {"left": outcome.left, "right": outcome.right, "result": outcome.result}
    return row | _given(outcome, strength=None, weight=1.0, rater=None)


def _given(record: Any, **defaults: Any) -> dict[str, Any]:
    """The fields that do not have their default value."""
    values = {name: getattr(record, name) for name in defaults}
    return {name: value for name, value in values.items() if value != defaults[name]}


def _prompt(row: Mapping[str, Any]) -> Prompt:
    value = row.get("prompt")
    if isinstance(value, list):
        turns = tuple(_message(m, f"prompt[{i}]") for i, m in enumerate(value))
    else:
        turns = (Message("user", whole_text(value, "prompt")),)
    return Prompt(turns, whole_text(row.get("source", ""), "source"), _metadata(row, "prompt_metadata"))


def _message(value: Any, field: str) -> Message:
    if not isinstance(value, dict) or value.get("role") not in ROLES:
        raise Fault("bad role", "not a message", field=field, remedy=f"roles are {', '.join(ROLES)}")
    whole_text(value.get("content"), f"{field}.content")
    return Message.of(value)


def _responses(row: Mapping[str, Any]) -> tuple[Response, ...]:
    return tuple(_response(r, f"responses[{i}]") for i, r in enumerate(_list(row, "responses")))


def _response(value: Any, field: str) -> Response:
    if not isinstance(value, dict):
        return Response(whole_text(value, field))
    finished = value.get("finished", True)
    if not isinstance(finished, bool):
        raise Fault("wrong type", "'finished' is not true or false", field=f"{field}.finished")
    return Response(whole_text(value.get("text"), f"{field}.text"), finished, _metadata(value, "metadata"))


def _outcome(value: Any, index: int) -> Outcome:
    field = f"outcomes[{index}]"
    if not isinstance(value, dict) or any(type(value.get(k)) is not int for k in ("left", "right")):
        raise Fault(
            "bad ranking",
            "an outcome must name two responses",
            field=field,
            remedy='write "left" and "right"',
        )
    result = _number(value, "result", None, needed=True)
    if not 0 <= result <= 1:
        raise Fault("bad ranking", f"a result of {result} is not between 0 and 1", field=field)
    weight, strength = _number(value, "weight", 1.0), _number(value, "strength", None)
    return Outcome(value["left"], value["right"], result, strength, weight, _rater(value))


def _list(row: Mapping[str, Any], field: str) -> Sequence[Any]:
    value = row.get(field)
    if not isinstance(value, list):
        raise Fault("wrong type", f"{field!r} is {name_type(value)}, not a list", field=field)
    return value


def _metadata(row: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = row.get(field, {})
    if not isinstance(value, dict):
        raise Fault("wrong type", f"{field!r} is {name_type(value)}, not an object", field=field)
    return value


def _rater(row: Mapping[str, Any]) -> str | None:
    value = row.get("rater")
    return None if value is None else whole_text(value, "rater")


def _number(row: Mapping[str, Any], field: str, default: Any, *, needed: bool = False) -> Any:
    value = row.get(field)
    if value is None and not needed:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise Fault("wrong type", f"{field!r} is {name_type(value)}, not a finite number", field=field)
    return value
