"""What must be done to rows before their shape is looked for, so that no text of a conversation is lost or doubled.

Every step is decided once, from the first rows, says what it does, and then changes each row in the same way.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plaudit.data import spoken
from plaudit.data.fields import FIELDS, normal
from plaudit.data.naming import renamings
from plaudit.data.report import Fault
from plaudit.data.values import transcript
from plaudit.errors import Problem

Values = dict[str, Any]
Change = Callable[[Values], Values]
# Columns that hold one answer, as text or messages.
ANSWERS = (*FIELDS["response"], "chosen", "rejected")
SPOKEN = ("text", "content", "conversation", "dialogue", "dialog", "chat")
# Texts that a question is about.
CONTEXTS = (
    *("context", "contexts", "passage", "passages", "document", "documents", "article", "paragraph"),
    *("background", "story", "knowledge", "evidence"),
)
CHOICES = ("choices", "options", "answer_choices", "candidates_text")
UNSEEN = ("image", "images", "pixel_values", "picture", "pictures", "audio", "audios", "video", "videos")
# How an answer begins that follows its prompt in one text.
BEGUN = re.compile(r"^\s*(?:#+\s*)?(?:Assistant|ASSISTANT|Response|AI|Bot)\s*:")
LISTS = ("messages", "conversations", "conversation", "prompt", *ANSWERS)


@dataclass
class Preparation:
    """The steps for one file; ``consumed`` are columns whose text stands elsewhere after them."""

    steps: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    consumed: set[str] = field(default_factory=set)
    settled: frozenset[str] = frozenset()

    def __call__(self, row: Mapping[str, Any]) -> Values:
        """The row by normal names, prepared. Raises ``Fault``."""
        values = {normal(k): v for k, v in row.items()}
        for step in self.steps:
            values = step(values)
        return values


def preparation(
    rows: Sequence[Mapping[str, Any]], kind: str | None, ignored: set[str], settled: Iterable[str] = ()
) -> Preparation:
    """The steps that these first rows need; ``ignored`` columns stay what they are, ``settled`` fields are named."""
    made = Preparation(settled=frozenset(settled))
    kept = {normal(c) for c in ignored}
    for find in STEPS:
        current = [made(row) for row in rows]
        find(made, [{k: v for k, v in r.items() if k not in kept} for r in current], kind)
    return made


def _share(rows: Sequence[Any], test: Callable[[Any], bool]) -> float:
    return sum(map(test, rows)) / len(rows) if rows else 0.0


def _filled(rows: Sequence[Values], column: str) -> list[Any]:
    return [v for row in rows if (v := row.get(column)) not in (None, "")]


# -- lists that are written as text ----------------------------------------------------------------


def _unquoted(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    columns = [
        c
        for c in (*LISTS, *FIELDS["prompt"])
        if _share(_filled(rows, c), lambda v: isinstance(v, str) and _looks_listed(v)) > 0.5
    ]
    if not columns:
        return

    def change(row: Values) -> Values:
        return row | {c: _read_list(row[c], c) for c in columns if isinstance(row.get(c), str)}

    try:
        for row in rows:
            change(row)
    except Fault as fault:
        made.problems.append(Problem(fault.message, field=fault.field, remedy=fault.remedy))
        return
    made.steps.append(change)


def _looks_listed(text: str) -> bool:
    start = text.lstrip()[:200]
    return start.startswith(("[{", "[ {", "[\n", "{")) and any(
        f"{q}{key}{q}" in start for q in "'\"" for key in ("role", "from", "messages")
    )


def _read_list(text: str, column: str) -> Any:
    """Messages that stand in a cell as JSON, or as Python prints them."""
    if not _looks_listed(text):
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, dict):
            value = value.get("messages", [value])
        return value
    raise Fault(
        "unreadable value",
        f"{column!r} holds messages as printed text that cannot be read back",
        field=column,
        remedy="save the table as JSON lines or Parquet, where lists stay lists",
    )


# -- names and marks of turns ----------------------------------------------------------------------


def _renamed(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    found = renamings(rows, kind)
    if not found:
        return

    def change(row: Values) -> Values:
        return {found.get(k, k): v for k, v in row.items()}

    made.steps.append(change)
    made.consumed |= set(found)
    made.notes.append(", ".join(f"{column!r} is read as the {field}" for column, field in found.items()))


def _spoken(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """A conversation in one text, by the marks of its turns."""
    others = {*FIELDS["prompt"], *FIELDS["response"], "chosen", "rejected", "messages", "conversations"}
    column = next((c for c in SPOKEN if _filled(rows, c)), None)
    if kind == "text" or column is None or any(others & set(row) for row in rows):
        return
    texts = [v for v in _filled(rows, column) if isinstance(v, str)]
    answered = [t for t in texts if _answered(t)]
    if 2 * len(answered) <= len(texts) or not texts:
        return

    def change(row: Values) -> Values:
        text = row.get(column)
        turns = _turns(text) if isinstance(text, str) else None
        if turns is None:
            raise Fault(
                "no conversation",
                f"{column!r} is no conversation, as the other rows are",
                field=column,
                remedy="remove the row, or mark its turns as the others do",
            )
        rest = {k: v for k, v in row.items() if k != column}
        return rest | {"messages": [m.as_dict() for m in turns]}

    name = spoken.family_of(answered[0]) or "Human: … Assistant:"
    made.steps.append(change)
    made.consumed.add(column)
    made.notes.append(f"{column!r} is read as conversations, by its marks {name}")


def _turns(text: str) -> list[Any] | None:
    turns = spoken.turns_of(text)
    if turns is None and spoken.PLAIN.match(text):
        turns = transcript(text)
    return turns


def _answered(text: str) -> bool:
    turns = _turns(text)
    return bool(turns) and turns[-1].role == "assistant" and bool(turns[-1].content)  # type: ignore[index]


def _templated(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Prompts and whole conversations that a chat template has already written out."""
    answered = any(c in row for c in ANSWERS for row in rows)
    for column in (*FIELDS["prompt"], "chosen", "rejected"):
        texts = [v for v in _filled(rows, column) if isinstance(v, str)]
        if column in FIELDS["prompt"] and not answered and _share(texts, _answered) > 0.9:
            # With its answer in it, a prompt is a whole conversation.
            made.steps.append(_as_turns(column, "messages"))
            made.consumed.add(column)
            made.notes.append(f"{column!r} holds its answer too: read as conversations")
        elif _share(texts, lambda t: bool(spoken.turns_of(t))) > 0.9:
            made.steps.append(_as_turns(column, column))
            mark = spoken.family_of(texts[0])
            made.notes.append(f"{column!r} was written by a chat template ({mark}): read as its turns")
        elif _share(texts, lambda t: bool(spoken.turns_of(t) or spoken.CONTROL.match(t))) > 0.1:
            made.problems.append(_half_templated(texts, column))


def _half_templated(texts: Sequence[str], column: str) -> Problem:
    marked = sum(bool(spoken.turns_of(t) or spoken.CONTROL.match(t)) for t in texts)
    return Problem(
        f"{marked} of the first {len(texts)} texts of {column!r} were written by a chat template: they would be put "
        "into a second one",
        field=column,
        remedy='give the turns without the template\'s marks, as messages: [{"role": "user", "content": "…"}]',
    )


def _as_turns(column: str, name: str) -> Change:
    def change(row: Values) -> Values:
        turns = _turns(row[column]) if isinstance(row.get(column), str) else None
        rest = {k: v for k, v in row.items() if k != column}
        return rest | {name: [m.as_dict() for m in turns]} if turns else row

    return change


# -- answers ---------------------------------------------------------------------------------------


def _unrepeated(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Answers that begin with their prompt, as a model's decoded output does."""
    if kind == "prompts":
        return
    for column in ANSWERS:
        pairs = [(asked, row[column]) for row in rows if (asked := _asked(row)) and row.get(column)]
        if _share(pairs, lambda p: _rest(*p) is not None) <= 0.5:
            continue

        def change(row: Values, column: str = column) -> Values:
            rest = _rest(_asked(row), row.get(column))
            return row if rest is None else row | {column: rest}

        made.steps.append(change)
        made.notes.append(f"{column!r} begins with the prompt: it is taken off")


def _asked(row: Values) -> Any:
    return next((row[c] for c in FIELDS["prompt"] if row.get(c)), None)


def _rest(asked: Any, answer: Any) -> Any:
    """What follows the prompt in an answer; None where it does not begin with it."""
    if isinstance(asked, list) and isinstance(answer, list):
        return answer[len(asked) :] if len(answer) > len(asked) and answer[: len(asked)] == asked else None
    if not isinstance(asked, str) or not isinstance(answer, str):
        return None
    asked, answer = asked.strip(), answer.strip()
    # One word may well begin its answer, and a number its sequel.
    if len(asked) < 8 or len(answer) <= len(asked) or not answer.startswith(asked):
        return None
    return BEGUN.sub("", answer[len(asked) :]).strip() or None


def _unended(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Answers that end in a template's end of turn."""
    if kind == "prompts":
        return
    columns = [
        c
        for c in (*ANSWERS, "messages", "conversations")
        if _share(_filled(rows, c), lambda v: _opened(v) != v) > 0.5
    ]
    if columns:
        made.steps.append(lambda row: row | {c: _opened(row[c]) for c in columns if row.get(c)})
        ends = "ends" if len(columns) == 1 else "end"
        made.notes.append(
            f"{', '.join(map(repr, columns))} {ends} in a template's end of turn: it is taken off"
        )


def _opened(value: Any) -> Any:
    """A text, or the texts of messages, without a template's end of turn."""
    if isinstance(value, str):
        return spoken.without_end(value)
    if not isinstance(value, list):
        return value
    return [
        {
            k: spoken.without_end(v) if k in ("content", "value") and isinstance(v, str) else v
            for k, v in m.items()
        }
        if isinstance(m, Mapping)
        else m
        for m in value
    ]


# -- what a prompt consists of ---------------------------------------------------------------------


def _joined(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """The parts of a prompt that stand in columns of their own: a passage, an input, earlier turns."""
    if kind == "text" or not any(_asked(row) for row in rows):
        return
    for column in (*CONTEXTS, "input", "history", "instruction"):
        values = [(row, row[column]) for row in rows if row.get(column) and _apart(row, column)]
        if not values:
            continue
        if all(_whole(row, column) is not None for row, _ in values):
            made.steps.append(_standing(column))
            made.consumed.add(column)
            if column != "input":
                made.notes.append(f"{column!r} stands in the prompt")
        else:
            made.problems.append(
                Problem(
                    f"{column!r} belongs to the prompt, and is no text that could stand in it",
                    field=column,
                    remedy=f"write it into the prompt, or leave it out with --fields ignore={column}",
                )
            )


def _standing(column: str) -> Change:
    """A step that puts a column's text into the prompt."""

    def change(row: Values) -> Values:
        whole = _whole(row, column)
        if whole is None:
            raise Fault(
                "wrong type",
                f"{column!r} belongs to the prompt, and is no text that could stand in it",
                field=column,
                remedy="write it as text, or remove the row",
            )
        return whole

    return change


def _apart(row: Values, column: str) -> bool:
    """Whether a column is a part of the prompt that no builder takes."""
    asked = next((c for c in FIELDS["prompt"] if row.get(c)), None)
    if asked is None or asked == column:
        return False
    if column == "input":
        return isinstance(row["input"], str) and not _inside(row, column)
    if column == "instruction":
        return asked in ("question", "query") and not _inside(row, column)
    return not _inside(row, column)


def _inside(row: Values, column: str) -> bool:
    """Whether the prompt already holds the text, or the text the prompt."""
    asked, part = _asked(row), row[column]
    if isinstance(asked, list):
        asked = "\n".join(str(m.get("content", m.get("value", ""))) for m in asked if isinstance(m, Mapping))
    if not isinstance(part, str) or not isinstance(asked, str):
        return False
    return part.strip() in asked or (column == "instruction" and asked.strip() in part)


def _whole(row: Values, column: str) -> Values | None:
    """The row with the column's text in its prompt; None where it cannot stand there."""
    if not row.get(column) or not _apart(row, column):
        return row
    asked = next(c for c in FIELDS["prompt"] if row.get(c))
    prompt, part = row[asked], row[column]
    rest = {k: v for k, v in row.items() if k != column}
    before = _earlier(part) if column == "history" or isinstance(part, list) else None
    if before is not None:
        last = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
        return rest | {asked: [*before, *last]}
    if isinstance(part, list) and all(isinstance(p, str) for p in part):
        part = "\n\n".join(part)
    if not isinstance(part, str) or column == "history":
        return None
    if isinstance(prompt, list):
        return rest | {asked: _into_last(prompt, part)}
    first = column not in ("input",) and asked != "instruction"
    texts = (part, prompt) if first else (prompt, part)
    return rest | {asked: "\n\n".join(str(t).strip() for t in texts)}


def _into_last(turns: list[Any], part: str) -> list[Any]:
    last = turns[-1]
    key = "content" if "content" in last else "value"
    return [*turns[:-1], {**last, key: f"{part.strip()}\n\n{last[key]}"}]


def _earlier(value: Any) -> list[Any] | None:
    """Earlier turns, from pairs of a question and an answer, from messages or from a transcript."""
    if isinstance(value, str):
        turns = _turns(value)
        return [m.as_dict() for m in turns] if turns else None
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(m, Mapping) and {"role", "from"} & set(m) for m in value):
        return value
    if all(isinstance(p, list | tuple) and len(p) == 2 for p in value):
        roles = ("user", "assistant")
        return [{"role": r, "content": text} for pair in value for r, text in zip(roles, pair)]
    return None


def _visible(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Parts of a question that no text of it shows."""
    if kind == "text" or not any(_asked(row) or row.get("messages") for row in rows):
        return
    for column in UNSEEN:
        if _filled(rows, column):
            made.problems.append(
                Problem(
                    f"the rows hold pictures or sounds ({column!r}), which plaudit cannot show to a model",
                    field=column,
                    remedy=f"use a file of text, or leave the column out with --fields ignore={column}",
                )
            )
    for column in CHOICES:
        if any(row.get(column) and not _shown(row, column) for row in rows):
            made.problems.append(
                Problem(
                    f"the choices of a question stand in {column!r}, and not in its prompt",
                    field=column,
                    remedy=f"write them into the prompt, or leave them out with --fields ignore={column}",
                )
            )


def _shown(row: Values, column: str) -> bool:
    value = row[column]
    texts = value.get("text", list(value.values())) if isinstance(value, Mapping) else value
    texts = [texts] if isinstance(texts, str) else texts
    return isinstance(texts, list) and all(str(t) in str(_asked(row)) for t in texts)


def _single(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Where two columns could be the answer, or the prompt, and say different things, the user is asked."""
    answers = (
        () if kind == "prompts" or any("chosen" in row for row in rows) else (*FIELDS["response"], "solution")
    )
    for field_, names in (("response", answers), ("prompt", ("prompt", "question", "query"))):
        held = [c for c in names if 2 * len([v for v in _filled(rows, c) if isinstance(v, str)]) > len(rows)]
        different = [c for c in held if any(_differ(row, held[0], c) for row in rows)]
        if different and field_ not in made.settled:
            named = [held[0], *different]
            made.problems.append(
                Problem(
                    f"{' and '.join(map(repr, named))} hold different texts, and each could be the {field_}",
                    field=named[0],
                    remedy=f"--fields {' or '.join(f'{field_}={c}' for c in named)}",
                )
            )


def _differ(row: Values, first: str, second: str) -> bool:
    one, other = row.get(first), row.get(second)
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    return one.strip() not in other and (other.strip() not in one or first == "response")


STEPS = (_unquoted, _renamed, _spoken, _unrepeated, _templated, _unended, _single, _joined, _visible)
