"""Joins the parts of a prompt that are in several columns, and refuses files with parts that cannot be joined."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plaudit.data.readers.columns import FIELDS
from plaudit.data.readers.labels.column_names import REFERRING, label_name_of, words_of
from plaudit.data.readers.preparation.column_synonyms import beside_answer, sides_of
from plaudit.data.readers.preparation.steps import Change, Preparation, Values, filled, prompt_in, turns_in
from plaudit.data.readers.read_report import Fault
from plaudit.errors import Problem

# Columns of texts that a question is about.
CONTEXTS = (
    *("context", "contexts", "passage", "passages", "document", "documents", "article", "paragraph"),
    *("background", "story", "knowledge", "evidence"),
)
# What an instruction is about, if the row also holds an answer (else `code` may be the answer itself).
INPUTS = (
    *("text", "texts", "content", "body", "code", "snippet", "sentence", "sentences", "email", "transcript"),
    *("dialogue", "dialog", "source_text", "source_code", "input_text", "excerpt", "table", "schema", "data"),
    *("premise", "hypothesis", "inputs", "post", "abstract", "tweet", "log", "source_sentence", "statement"),
)
# The rest of a question, of which the question is the title.
BODIES = ("question_body", "question_details", "question_text", "question_detail", "prompt_body")
CHOICES = ("choices", "options", "answer_choices", "candidates_text")
# Characters of a part that is in a prompt not only by chance.
LONG = 20
# Words in names of texts that are no input of an instruction.
APART = REFERRING - {"body", "letter", "statement", "description", "note", "notes", "file"} | {
    *("thought", "thoughts", "thinking", "reasoning", "cot", "system", "template")
}
UNSEEN = ("image", "images", "pixel_values", "picture", "pictures", "audio", "audios", "video", "videos")


def join_parts(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Join parts of a prompt in other columns: a passage, an input, earlier turns."""
    if kind == "text" or not any(prompt_in(row) for row in rows):
        return
    given = [c for c in dict.fromkeys(c for row in rows for c in row) if c in INPUTS]
    for column in (*CONTEXTS, "input", *given, *BODIES, "history", "instruction"):
        values = [row for row in rows if row.get(column) and _apart(row, column)]
        # Letters of a short input may occur in a prompt by chance, but not in every row.
        if all(_inside(row, column, 1) for row in values):
            continue
        if all(_whole(row, column) is not None for row in values):
            made.steps.append(_standing(column))
            made.consumed.add(column)
            if column != "input":
                made.notes.append(f"{column!r} is put into the prompt")
        else:
            made.problems.append(
                Problem(
                    f"{column!r} belongs to the prompt, but the two are not both text that could be joined",
                    field=column,
                    remedy=f"write it into the prompt, or leave it out with --fields ignore={column}",
                )
            )
    _ask_about_inputs(made, rows)


def _ask_about_inputs(made: Preparation, rows: Sequence[Values]) -> None:
    """Ask about texts that change from row to row while few instructions repeat: what the instructions are about."""
    asked = {row["instruction"] for row in rows if isinstance(row.get("instruction"), str)}
    answered = any(filled(rows, c) for c in FIELDS["response"])
    if (
        not asked
        or not answered
        or 2 * len(asked) > len(rows)
        or made.consumed & {*CONTEXTS, *INPUTS, "input"}
    ):
        return
    known = (
        {c for columns in FIELDS.values() for c in columns} | {"history", *CHOICES, *CONTEXTS} | made.consumed
    )
    for column in dict.fromkeys(c for row in rows for c in row if c not in known):
        texts = [
            v
            for v in filled(rows, column)
            if isinstance(v, str) and " " in v.strip() and label_name_of(column) is None
        ]
        about = set(words_of(column)) & APART or any(_overlaps(row, column) for row in rows)
        if 2 * len(set(texts)) > len(rows) and sum(map(len, texts)) >= 16 * len(texts) and not about:
            made.problems.append(
                Problem(
                    f"{column!r} may be what the instruction is about, but is not in the prompt",
                    field=column,
                    remedy=f"--fields input={column} puts it into the prompt, --fields ignore={column} leaves it out",
                )
            )


def _overlaps(row: Values, column: str) -> bool:
    """Whether a text repeats the prompt or the answer, as a text that a template made of them."""
    answers = (row.get(c) for c in (*FIELDS["response"], "chosen", "rejected"))
    part, asked = str(row.get(column) or "").strip(), str(prompt_in(row) or "").strip()
    texts = [v.strip() for v in answers if isinstance(v, str) and v.strip()]
    return bool(part) and (asked in part or any(t in part or part in t for t in texts))


def _standing(column: str) -> Change:
    """A step that puts a column's text into the prompt."""

    def change(row: Values) -> Values:
        whole = _whole(row, column)
        if whole is None:
            raise Fault(
                "wrong type",
                f"{column!r} belongs to the prompt, but the two are not both text that could be joined",
                field=column,
                remedy="write it as text, or remove the row",
            )
        return whole

    return change


def _apart(row: Values, column: str) -> bool:
    """Whether a column is a part of the prompt besides the text of the prompt."""
    asked = next((c for c in FIELDS["prompt"] if row.get(c)), None)
    if asked is None or asked == column or (isinstance(row[column], str) and not row[column].strip()):
        return False
    if column == "input":
        return isinstance(row["input"], str)
    if column == "instruction":
        return asked in ("prompt", "question", "query")
    if column in INPUTS:
        return asked == "instruction" and any(map(row.get, FIELDS["response"])) and not _overlaps(row, column)
    return True


def _inside(row: Values, column: str, least: int) -> bool:
    """Whether the prompt contains the column's text of ``least`` characters or more, or an instruction the prompt."""
    asked, part = prompt_in(row), row[column]
    if isinstance(asked, list):
        said = (m.get("content", m.get("value", "")) for m in asked if isinstance(m, Mapping))
        asked = "\n".join(
            "".join(str(p.get("text", "")) for p in c if isinstance(p, Mapping))
            if isinstance(c, list)
            else str(c)
            for c in said
        )
    if not isinstance(part, str) or not isinstance(asked, str):
        return False
    part, asked = part.strip(), asked.strip()
    if len(part) >= least and re.search(rf"(?<!\w){re.escape(part)}(?!\w)", asked):
        return True
    return column == "instruction" and asked in part


def _whole(row: Values, column: str) -> Values | None:
    """The row with the column's text joined to its prompt; None if it cannot be joined."""
    if not row.get(column) or not _apart(row, column) or _inside(row, column, LONG):
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
        turns = _into_last(prompt, part)
        return None if turns is None else rest | {asked: turns}
    first = column not in ("input", *BODIES) and asked != "instruction"
    texts = (part, prompt) if first else (prompt, part)
    return rest | {asked: "\n\n".join(str(t).strip() for t in texts)}


def _into_last(turns: list[Any], part: str) -> list[Any] | None:
    """The turns with a text above that of the last one; None if its content is neither text nor a list of parts."""
    last = turns[-1] if turns else None
    key = next((k for k in ("content", "value") if isinstance(last, Mapping) and last.get(k)), None)
    if last is None or key is None or not isinstance(last[key], str | list):
        return None
    above = f"{part.strip()}\n\n"
    said = above + last[key] if isinstance(last[key], str) else [{"type": "text", "text": above}, *last[key]]
    return [*turns[:-1], {**last, key: said}]


def _earlier(value: Any) -> list[Any] | None:
    """Earlier turns, from pairs of a question and an answer, from messages or from a transcript."""
    if isinstance(value, str):
        turns = turns_in(value)
        return [m.as_dict() for m in turns] if turns else None
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(m, Mapping) and {"role", "from"} & set(m) for m in value):
        return value
    if all(isinstance(p, list | tuple) and len(p) == 2 for p in value):
        roles = ("user", "assistant")
        return [{"role": r, "content": text} for pair in value for r, text in zip(roles, pair)]
    return None


def show_all(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Refuse parts of a question that its text does not contain: images, sounds, answer choices."""
    if kind == "text" or not any(prompt_in(row) or row.get("messages") for row in rows):
        return
    for column in UNSEEN:
        if filled(rows, column):
            made.problems.append(
                Problem(
                    f"the rows hold images or sounds ({column!r}), but plaudit trains only on text",
                    field=column,
                    remedy=f"use a text file, or leave the column out with --fields ignore={column}",
                )
            )
    made.problems += [_unshown(", ".join(found), "+".join(found)) for found in _lettered(rows)]
    for column in CHOICES:
        if any(row.get(column) and not _shown(row, column) for row in rows):
            made.problems.append(_unshown(column, column))


def _unshown(columns: str, option: str) -> Problem:
    return Problem(
        f"the choices of a question are in {columns!r}, not in its prompt",
        field=columns,
        remedy=f"write them into the prompt, or leave them out with --fields ignore={option}",
    )


def _lettered(rows: Sequence[Values]) -> Iterator[list[str]]:
    """Three or more lettered columns (a, b, c or opa, opb, opc) whose texts are not in the prompt."""
    for form in ("{}", "op{}", "choice_{}", "choice{}"):
        names = [form.format(letter) for letter in "abcdefgh"]
        found = [c for c in names if filled(rows, c)]
        if found[:3] == names[:3] and any(not _shown(row, c) for row in rows for c in found if row.get(c)):
            yield found


def _shown(row: Values, column: str) -> bool:
    value = row[column]
    texts = value.get("text", list(value.values())) if isinstance(value, Mapping) else value
    texts = [texts] if isinstance(texts, str) else texts
    return isinstance(texts, list) and all(str(t) in str(prompt_in(row)) for t in texts)


def one_of_each(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Ask the user if two columns with different texts could be the answer, or the prompt."""
    _one_pair(made, rows, kind)
    if any(row.get("messages") or row.get("conversations") for row in rows):
        return
    sole = kind == "prompts" or any("chosen" in row for row in rows)
    answers = () if sole else (*FIELDS["response"], "solution")
    for field_, names in (("response", answers), ("prompt", ("prompt", "question", "query"))):
        held = [c for c in names if 2 * len([v for v in filled(rows, c) if isinstance(v, str)]) > len(rows)]
        different = [c for c in held if any(_differ(row, held[0], c) for row in rows)]
        if different and field_ not in made.settled:
            named = [held[0], *different]
            made.problems.append(
                Problem(
                    f"{' and '.join(map(repr, named))} hold different texts, and any could be the {field_}",
                    field=named[0],
                    remedy=f"--fields {' or '.join(f'{field_}={c}' for c in named)}",
                )
            )


def _one_pair(made: Preparation, rows: Sequence[Values], kind: str | None) -> None:
    """Ask the user if several pairs of columns could be two answers, or another answer stands beside them."""
    pairs = (
        sides_of(dict.fromkeys(c for row in rows for c in row), rows) if kind in (None, "preferences") else []
    )
    alone = len(pairs) == 1 and beside_answer(pairs[0], rows, kind) and not {"response"} & made.settled
    if len(pairs) > 1 or alone:
        named = [" and ".join(map(repr, pair)) for pair in pairs]
        what = "stand beside another answer" if alone else "could each be the better and the worse answer"
        ignored = "+".join(c for pair in pairs for c in pair)
        made.problems.append(
            Problem(
                f"{', '.join(named)} {what}",
                field=pairs[0][0],
                remedy=" or ".join(f"--fields chosen={better},rejected={worse}" for better, worse in pairs)
                + f"; --fields ignore={ignored} if they are none",
            )
        )


def _differ(row: Values, first: str, second: str) -> bool:
    one, other = row.get(first), row.get(second)
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    return one.strip() not in other and (other.strip() not in one or first == "response")
