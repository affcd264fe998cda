"""Items to be judged, from files in any of the usual shapes; all problems of a file are reported at once.

Answers are kept to the byte, white space and emptiness included: what people judge is what is trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from plaudit.data.readers.columns import View
from plaudit.data.readers.read_report import Fault, ReadReport, name_type
from plaudit.data.readers.sources import rows
from plaudit.data.records import Prompt
from plaudit.feedback.item_rows import RowContent, content_of, sensitivity_of
from plaudit.feedback.sanitize import problem_of, size_of
from plaudit.feedback.store.projects import NewAnswer, NewItem
from plaudit.feedback.store.rounds import NewRound

MOST_ANSWERS = 9
LONGEST_TEXT = 200_000  # characters of an answer, and of a prompt
LONGEST_ROW = 4_000_000  # characters of a row with its metadata: far below what a backup's line may hold


@dataclass
class Imported:
    """What a file came to. ``notes``: what of it is not used, in words. ``distinct``: how many items say different
    things. ``round``: what its work items have in common.
    """

    items: list[NewItem]
    report: ReadReport
    notes: list[str] = field(default_factory=list)
    distinct: int = 0
    round: NewRound | None = None


def read_items(path: str | Path, *, purpose: str = "work", max_dropped: float = 0.0) -> Imported:
    """The items of a file: prompt and responses, two responses, chosen and rejected, or a row per answer.

    ``purpose`` work, gold or calibration; the last two need a right ranking in every row. Raises ``UserError``
    with all problems where more than ``max_dropped`` of the rows have one.
    """
    report = ReadReport(str(path))
    parts = [p for row in rows(path, report.refuse) if (p := _part(row.values, row.line, path, report))]
    made = items_of(parts, report, purpose)
    if not report.rows and not report.unreadable:
        report.refuse("there are no rows in it", remedy="check that this is the right file")
    report.require(max_dropped)
    return made


def items_of_rows(
    values: Iterable[Mapping[str, Any]], *, purpose: str, source: str, max_dropped: float = 0.0
) -> Imported:
    """As ``read_items``, from rows at hand."""
    report = ReadReport(source)
    parts = [p for i, row in enumerate(values, 1) if (p := _part(row, i, source, report))]
    made = items_of(parts, report, purpose)
    report.require(max_dropped)
    return made


def items_of_drawn(answered: Iterable[tuple[Prompt, tuple[NewAnswer, ...]]], *, source: str) -> Imported:
    """As ``read_items``, of prompts and the answers that models gave, which are kept to the byte."""
    report = ReadReport(source)
    parts = []
    for i, (prompt, answers) in enumerate(answered, 1):
        report.rows += 1
        try:
            _require_whole({"prompt": [m.as_dict() for m in prompt.messages], **prompt.metadata})
            parts.append(RowContent(prompt, answers, line=i))
        except Fault as fault:
            report.drop(fault, i)
    return items_of(parts, report, "work")


def items_of(parts: Iterable[RowContent], report: ReadReport, purpose: str) -> Imported:
    items: list[NewItem] = []
    known: set[str] = set()
    unused = twice = blank = 0
    for part in _joined(parts):
        try:
            item = _item(part, purpose)
        except Fault as fault:
            report.drop(fault, part.line)
        else:
            unused += purpose == "work" and bool(part.accepted)
            twice += item.key in known
            known.add(item.key)
            blank += sum(not a.text.strip() for a in item.answers)
            items.append(item)
    report.kept = len(items)
    report.problems.sort(key=lambda problem: problem.line or 0)
    notes = {
        f"{unused} rows say which answer is better: not shown to anyone and not used": unused,
        f"{_times(twice, 'row says', 'rows say')} what another row of this file says: taken once": twice,
        f"{_times(blank, 'answer is', 'answers are')} empty or white space: kept, and marked on the page": blank,
    }
    made = Imported(items, report, [note for note, count in notes.items() if count], distinct=len(known))
    if purpose == "work" and items:
        made.round = _round_of(items, Path(report.file).name)
    return made


def _times(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _round_of(items: Sequence[NewItem], source: str) -> NewRound:
    """The round of a file's items: the same file with answers of further models is a further round."""
    names = sorted({m for i in items for a in i.answers for m in (a.model, *a.info.get("also", [])) if m})
    key = hashlib.blake2b(json.dumps([source, names]).encode(), digest_size=16).hexdigest()
    return NewRound(f"file:{key}", source, tuple({"name": n} for n in names))


def _part(values: Any, line: int, path: str | Path, report: ReadReport) -> RowContent | None:
    report.rows += 1
    try:
        if not isinstance(values, Mapping):
            raise Fault(
                "wrong type",
                f"the row is {name_type(values)}, not an object",
                remedy='write {"prompt": "…", "responses": ["…", "…"]}',
            )
        _require_whole(values)
        view = View.of(values, Path(path).name.partition(".")[0])
        content = content_of(view)
        if {".csv", ".tsv"} & set(Path(path).suffixes) and any(not a.text for a in content.answers):
            raise Fault(
                "empty answer",
                "an answer is empty, and a table cannot say whether it is missing",
                remedy='remove the row, or save the file as JSONL, where "" is an empty answer',
            )
        return replace(
            content,
            sensitivity=sensitivity_of(view),
            rationale=str(view.values.get("rationale") or ""),
            line=line,
        )
    except Fault as fault:
        report.drop(fault, line)
        return None
    except (RecursionError, ValueError) as error:
        # A list that was written as text may hold what no list from JSON can.
        report.drop(Fault("unreadable value", f"a value cannot be read: {error}"), line)
        return None


def _require_whole(values: Mapping[str, Any]) -> None:
    """Reject values that some database cannot store or no page can show, while the user can still fix the file."""
    if (size := size_of(values)) > LONGEST_ROW:
        raise Fault(
            "too long",
            f"the row has {size:,} characters",
            remedy=f"nobody reads more than {LONGEST_ROW:,}: shorten its texts or its metadata",
        )
    for column, value in values.items():
        problem = problem_of(column) or problem_of(value)
        if problem is not None:
            name = str(column).encode(errors="replace").decode()
            raise Fault("broken value", f"{name!r} {problem}", field=name, remedy="mend or remove it")


def _joined(parts: Iterable[RowContent]) -> Iterable[RowContent]:
    """Rows of one answer each, joined by prompt; whole items as they are."""
    single: dict[str, RowContent] = {}
    for part in parts:
        if len(part.answers) > 1:
            yield part
        elif (before := single.get(part.prompt.id)) is None:
            single[part.prompt.id] = part
        else:
            single[part.prompt.id] = replace(
                before,
                answers=before.answers + part.answers,
                sensitivity=max(before.sensitivity, part.sensitivity),
            )
    yield from single.values()


def _item(part: RowContent, purpose: str) -> NewItem:
    answers, accepted = _without_twins(part)
    if len(answers) < 2:
        raise Fault(
            "identical answers" if len(part.answers) > 1 else "one answer",
            "all answers are the same"
            if len(part.answers) > 1
            else "there is only one answer to this prompt",
            field="responses",
            remedy="an item needs 2 to 9 different answers",
        )
    if len(answers) > MOST_ANSWERS:
        raise Fault(
            "too many answers",
            f"there are {len(answers)} answers to this prompt",
            field="responses",
            remedy=f"nobody ranks more than {MOST_ANSWERS} with care: split them into several items",
        )
    _require_readable(part.prompt, answers)
    if purpose != "work" and part.unread is not None:
        raise part.unread
    if purpose != "work" and not accepted:
        raise Fault(
            "no ranking",
            f"a {purpose} item needs a ranking that counts as right",
            field="ranking",
            remedy='write "ranking": [1, 0] (the index of the best answer first), or "accepted": [[1, 0], …]',
        )
    return NewItem(
        tuple(m.as_dict() for m in part.prompt.messages),
        answers,
        purpose=purpose,
        sensitivity=part.sensitivity,
        source=part.prompt.source[:200],
        info=dict(part.prompt.metadata),
        accepted=accepted if purpose != "work" else (),
        rationale=part.rationale,
    )


def _require_readable(prompt: Prompt, answers: Sequence[NewAnswer]) -> None:
    """Reject items too long to read, which would also slow down every other request."""
    sizes = {
        "responses": max(len(a.text) for a in answers),
        "prompt": sum(len(m.content) for m in prompt.messages),
    }
    for field_, size in sizes.items():
        if size > LONGEST_TEXT:
            what = "an answer" if field_ == "responses" else "the prompt"
            raise Fault(
                "too long",
                f"{what} has {size:,} characters",
                field=field_,
                remedy=f"nobody reads more than {LONGEST_TEXT:,} with care: cut it, or leave the row out",
            )


def _without_twins(part: RowContent) -> tuple[tuple[NewAnswer, ...], tuple[tuple[tuple[int, ...], ...], ...]]:
    """Merge answers of equal text, between which no preference is possible; all their models are kept."""
    places: dict[str, int] = {}
    kept: list[NewAnswer] = []
    for answer in part.answers:
        if answer.text not in places:
            places[answer.text] = len(kept)
            kept.append(answer)
        elif answer.model is not None:
            i = places[answer.text]
            kept[i] = replace(
                kept[i], info={**kept[i].info, "also": [*kept[i].info.get("also", []), answer.model]}
            )
    if len(kept) == len(part.answers) or len(kept) < 2:
        return tuple(kept), part.accepted
    if part.accepted:
        raise Fault(
            "identical answers",
            "a ranking speaks of two answers that are the same",
            field="responses",
            remedy="remove one of them",
        )
    return tuple(kept), ()
