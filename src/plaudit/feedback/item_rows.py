"""One row of an items file: a prompt, its verbatim answers, and the accepted rankings of a gold item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.data.readers import row_to_record
from plaudit.data.readers.coerce import ROLE_NAMES, answer_text, conversed, listed, transcript, whole_text
from plaudit.data.readers.columns import View
from plaudit.data.readers.preferences.pairs import better_worse
from plaudit.data.readers.preferences.words import verdict_of
from plaudit.data.readers.read_report import Fault
from plaudit.data.records import Comparisons, Demonstration, Prompt, Ranking, Response, native_format
from plaudit.feedback.store.projects import NewAnswer

TEXTS = ("text", "content", "response", "answer", "value")

LEVELS = "0 (harmless) to 3"


@dataclass(frozen=True)
class RowContent:
    """The content of one row: a whole item, or one answer of an item that other rows continue."""

    prompt: Prompt
    answers: tuple[NewAnswer, ...]
    accepted: tuple[tuple[tuple[int, ...], ...], ...] = ()
    sensitivity: int = 0
    rationale: str = ""
    line: int = 0
    unread: Fault | None = None  # what is wrong with its ranking, if one is needed


def content_of(view: View) -> RowContent:
    """A row of any of the usual shapes. Raises ``Fault``."""
    if view.column("record") is not None:
        return _own(view)
    if view.column("responses") is not None:
        answers = _answers(view)
        value = view.get("ranking")
        accepted: tuple[Any, ...] = ()
        if value is not None:
            accepted = (_frozen(row_to_record.order_groups(listed(value), len(answers), "ranking")),)
        return RowContent(row_to_record.prompt_of(view), answers, accepted or _accepted(view, len(answers)))
    pair = view.pair()
    if pair:
        texts = [exact_answer(view.values[column], column) for column in pair]
        models = [_name(view.values.get(f"model_{column.rpartition('_')[2]}")) for column in pair]
        accepted, unread = _preferred(view, pair)
        return RowContent(
            row_to_record.prompt_of(view),
            tuple(NewAnswer(t, model=m) for t, m in zip(texts, models)),
            accepted,
            unread=unread,
        )
    if view.column("chosen") is not None and view.column("rejected") is not None:
        exact = exact_pair(view)
        if exact is not None:
            return RowContent(row_to_record.prompt_of(view), tuple(map(NewAnswer, exact)), (((0,), (1,)),))
        made = better_worse(view)
        given = [view.take(name)[0] for name in ("chosen", "rejected")]
        if isinstance(made, Comparisons):
            # Several better and several worse ones: which of the better ones is best is not said.
            return RowContent(made.prompt, tuple(map(_of_response, made.responses)))
        texts = [as_given(value, r.text) for value, r in zip(given, made.responses)]
        return RowContent(made.prompt, tuple(map(NewAnswer, texts)), (((0,), (1,)),))
    if view.column("response") is not None:
        answer = NewAnswer(exact_answer(*view.take("response")), model=_name(view.values.get("model")))
        return RowContent(row_to_record.prompt_of(view), (answer,))
    raise Fault(
        "missing field",
        "the row has no answers",
        field="responses",
        remedy='write "responses": ["…", "…"], or "response_a" and "response_b", or a row per "response"',
    )


def _preferred(view: View, pair: tuple[str, str]) -> tuple[tuple[Any, ...], Fault | None]:
    """The preference of a row's two answers as a ranking, or the fault that prevents reading it."""
    value, column = view.get("preferred"), str(view.column("preferred"))
    if value is None:
        return (), None
    verdict = verdict_of(str(value), pair)
    if verdict is None or verdict.share is None:
        return (), Fault(
            "bad label",
            f"{value!r} does not say which answer is better",
            field=column,
            remedy=f"write {pair[0]!r}, {pair[1]!r} or 'tie'",
        )
    ranking = {1.0: ((0,), (1,)), 0.0: ((1,), (0,))}.get(verdict.share, ((0, 1),))
    return (ranking,), None


def _own(view: View) -> RowContent:
    record = native_format.from_row(view.values)
    if isinstance(record, Ranking | Comparisons):
        accepted = (record.groups,) if isinstance(record, Ranking) else ()
        return RowContent(record.prompt, tuple(map(_of_response, record.responses)), accepted)
    if isinstance(record, Demonstration):
        return RowContent(record.prompt, (_of_response(record.response),))
    raise Fault("other kind", f"a row of {native_format.kind_of(record)} has no answers to compare")


def _of_response(response: Response) -> NewAnswer:
    return NewAnswer(response.text, response.finished, _name(response.metadata.get("model")))


def _answers(view: View) -> tuple[NewAnswer, ...]:
    given, column = row_to_record.listed_responses(view)
    texts = [exact_answer(v, f"{column}[{i}]") for i, v in enumerate(given)]
    models = listed(view.values.get("models"))
    if models is not None and (not isinstance(models, list) or len(models) != len(texts)):
        raise Fault(
            "wrong type",
            f"'models' must name the model of each of the {len(texts)} answers",
            field="models",
            remedy='write ["…", "…"], in the order of the answers',
        )
    answers = []
    for i, (text, value) in enumerate(zip(texts, given)):
        known = value if isinstance(value, dict) else {}
        model = models[i] if models is not None else known.get("model")
        chosen = known.get("chosen")
        info = {"chosen": chosen} if isinstance(chosen, str) else {}  # why a rank step shows it
        answers.append(NewAnswer(text, known.get("finished", True) is not False, _name(model), info))
    return tuple(answers)


def _accepted(view: View, count: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Several right rankings, in a column of that name."""
    value = listed(view.values.get("accepted"))
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        raise Fault("wrong type", "'accepted' must be a list of rankings", field="accepted")
    return tuple(_frozen(row_to_record.order_groups(v, count, f"accepted[{i}]")) for i, v in enumerate(value))


def sensitivity_of(view: View) -> int:
    """The level that a row states, 0 to 3. Raises ``Fault``."""
    value = view.values.get("sensitivity")
    if value in (None, ""):
        return 0
    try:
        level = int(str(value))
    except ValueError:
        level = -1
    if not 0 <= level <= 3:
        raise Fault(
            "bad level",
            f"{value!r} is no level of sensitivity",
            field="sensitivity",
            remedy=f"write {LEVELS}",
        )
    return level


def _name(value: Any) -> str | None:
    return None if value in (None, "") else str(value)[:300]


def _frozen(groups: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(group) for group in groups)


def exact_answer(value: Any, field: str) -> str:
    """An answer, which may be empty: text, an object that holds it, or one assistant message. Raises ``Fault``."""
    value = conversed(value)
    if isinstance(value, dict):
        value = next((value[key] for key in TEXTS if key in value), None)
    if isinstance(value, list):
        content = _only_turn(value)
        # What is no single turn of an assistant is refused in the words of all readers.
        return answer_text(value, field) if content is None else whole_text(content, field)
    return whole_text(value, field)


def exact_pair(view: View) -> tuple[str, str] | None:
    """Chosen and rejected where both are plain text beside a prompt; None where one may be a whole conversation."""
    (chosen, name), (rejected, other) = view.take("chosen"), view.take("rejected")
    chosen, rejected = conversed(chosen), conversed(rejected)
    if view.column("prompt") is None or not (isinstance(chosen, str) and isinstance(rejected, str)):
        return None
    if transcript(chosen) or transcript(rejected):
        return None
    if chosen == rejected:
        return None
    return whole_text(chosen, name), whole_text(rejected, other)


def as_given(value: Any, tidied: str) -> str:
    """The original text of a value that a reader normalized, with its white space where it can be recovered."""
    value = conversed(value)
    if isinstance(value, list) and value:
        value = _content(value[-1])
    return value if isinstance(value, str) and value.strip() == tidied else tidied


def _only_turn(turns: Sequence[Any]) -> str | None:
    if len(turns) != 1 or not isinstance(turns[0], dict):
        return None
    name = turns[0].get("role", turns[0].get("from"))
    role = ROLE_NAMES.get(name.lower()) if isinstance(name, str) else None
    content = _content(turns[0])
    return content if role == "assistant" and isinstance(content, str) else None


def _content(turn: Any) -> Any:
    return turn.get("content", turn.get("value")) if isinstance(turn, dict) else None
