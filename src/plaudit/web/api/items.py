"""The items of a project: look at them, add some, retire some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from sqlalchemy import func, select
from sqlalchemy.orm import Session as Db

from plaudit.feedback.importing import items_of_rows
from plaudit.feedback.judgement_query import pseudonyms
from plaudit.feedback.store.errors import NotFound, Refused
from plaudit.feedback.store.exposure import look
from plaudit.feedback.store.locks import lock_project
from plaudit.feedback.store.projects import NewItem, add_items, check_accepted
from plaudit.feedback.store.rounds import NewRound, provenance
from plaudit.feedback.store.schema import Answer, Assignment, GoldRanking, Item, Judgement, Round, Skip
from plaudit.web.access import Access, Asker
from plaudit.web.api.item_models import (
    FullAnswer,
    FullItem,
    Import,
    ImportDone,
    ItemChange,
    ItemJudgement,
    ItemLine,
    ItemPage,
    Purpose,
    Skipped,
)
from plaudit.web.json_rows import import_of, rested
from plaudit.web.rendering import blank_of, to_html
from plaudit.web.request_body import MOST_BODY, Guarded, takes

router = APIRouter(prefix="/api/projects/{project}", tags=["items"], route_class=Guarded)
Reviewer = Annotated[Asker, Depends(Access("reviewer", "review"))]
Owner = Annotated[Asker, Depends(Access("owner", "manage"))]
MOST = 500
AT_ONCE, CHARACTERS_AT_ONCE = 100, 500_000  # items that one transaction adds
BETWEEN = 0.02  # seconds in which others may write


@router.get("/items")
def get_items(
    asker: Reviewer,
    purpose: Purpose | None = None,
    state: Literal["open", "retired"] | None = None,
    search: str = "",
    offset: int = 0,
    limit: int = 50,
) -> ItemPage:
    """Items in the order of their import."""

    def work(db: Db) -> ItemPage:
        return item_page(db, asker.the_project().id, purpose, state, search, offset, limit)

    return asker.server.database.read(work)


def item_page(
    db: Db, project_id: str, purpose: str | None, state: str | None, search: str, offset: int, limit: int
) -> ItemPage:
    wanted = select(Item).where(Item.project_id == project_id)
    if purpose:
        wanted = wanted.where(Item.purpose == purpose)
    if state:
        wanted = wanted.where(Item.state == state)
    if search:
        from sqlalchemy import Text, cast

        # The prompt is JSON, in which letters beyond ASCII may be written as escapes: those are searched for too.
        text = cast(Item.prompt, Text)
        escaped = search.encode("unicode_escape").decode().replace("\\x", "\\u00")
        wanted = wanted.where(
            text.icontains(search, autoescape=True) | text.icontains(escaped, autoescape=True)
        )
    total = db.scalar(select(func.count()).select_from(wanted.subquery())) or 0
    page = (
        wanted.order_by(Item.position).offset(max(0, min(offset, 2**31 - 1))).limit(max(1, min(limit, MOST)))
    )
    return ItemPage(total=total, items=[ItemLine(**_line(i)) for i in db.scalars(page)])


@router.get("/items/{item}")
def get_item(item: str, asker: Reviewer) -> FullItem:
    """An item with its models and judgements; refused to someone who has it on their own list to judge.

    Whoever has looked is not given it to judge any more.
    """

    def work(db: Db) -> FullItem:
        return full_item(db, asker, item)

    return look_at(asker, item, work)


def look_at(asker: Asker, item_id: str, work: Callable[[Db], FullItem]) -> FullItem:
    """What ``work`` reads of an item, once it is on record that the asker sees it. Forbidden to its own judge."""

    def note(db: Db) -> None:
        look(db, asker.the_member().id, _of(db, asker, item_id).id, now=asker.now)

    asker.server.database.write(note)
    return asker.server.database.read(work)


def full_item(db: Db, asker: Asker, item_id: str) -> FullItem:
    found = _of(db, asker, item_id)
    names = pseudonyms(db, found.project_id)
    last = select(Judgement.assignment_id, func.max(Judgement.revision).label("last")).group_by(
        Judgement.assignment_id
    )
    newest = last.subquery()
    rows = db.execute(
        select(Judgement, Assignment)
        .join(Assignment, Assignment.id == Judgement.assignment_id)
        .join(newest, newest.c.assignment_id == Judgement.assignment_id)
        .where(Assignment.item_id == found.id, Judgement.revision == newest.c.last)
        .order_by(Judgement.created, Judgement.id)
    )
    skips = db.execute(
        select(Skip, Assignment.member_id)
        .join(Assignment, Assignment.id == Skip.assignment_id)
        .where(Assignment.item_id == found.id)
        .order_by(Skip.created, Skip.id)
    )
    gold = db.get(GoldRanking, found.id)
    return FullItem(
        **_line(found),
        prompt=[{**m, "html": to_html(m["content"])} for m in found.prompt],
        full_answers=[_full_answer(a) for a in found.answers],
        round=_round_of(db, found),
        source=found.source,
        info=found.info,
        accepted=gold.accepted if gold else [],
        rationale=gold.rationale if gold else "",
        judgements=[_said(j, a, names) for j, a in rows],
        skips=[
            Skipped(labeler=names[member], reason=s.reason, note=s.note, created=s.created)
            for s, member in skips
        ],
    )


@router.post("/items", status_code=201)
@takes(MOST_BODY, import_of)
def post_items(body: Import, asker: Owner) -> ImportDone:
    """Add items; those that are there already are left as they are. All rows must be good, or none is added.

    They are written some at a time, so that nobody waits long: where the server stops meanwhile, send all again.
    """
    made = items_of_rows(rested(body.items), purpose=body.purpose, source=body.source or "api")

    added = 0
    for some in rested(batches(made.items), rest=BETWEEN):
        added += asker.server.database.write(_add, asker.the_project().id, some, made.round, now=asker.now)

    def work(db: Db) -> None:
        lock_project(db, asker.the_project().id)
        asker.note(db, "added items", target=str(added), purpose=body.purpose)

    asker.server.database.write(work)
    return ImportDone(added=added, known=made.distinct - added, notes=made.notes)


def batches(items: Iterable[NewItem]) -> Iterator[list[NewItem]]:
    """The items, some at a time: so many that others wait a few hundredths of a second for the database."""
    some: list[NewItem] = []
    size = 0
    for item in items:
        some.append(item)
        size += sum(len(a.text) for a in item.answers) + sum(len(m["content"]) for m in item.prompt)
        if len(some) == AT_ONCE or size > CHARACTERS_AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _add(db: Db, project_id: str, items: Sequence[NewItem], round_: NewRound | None, *, now: float) -> int:
    return add_items(db, lock_project(db, project_id), items, now=now, round_=round_)


@router.patch("/items/{item}")
def patch_item(item: str, change: ItemChange, asker: Owner) -> ItemLine:
    """Retire or reopen an item, set its sensitivity, correct a gold item's accepted rankings. Judgements stay."""

    def work(db: Db) -> ItemLine:
        found = _of(db, asker, item, lock=True)
        if change.state is not None:
            found.state = change.state
        if change.sensitivity is not None:
            found.sensitivity = change.sensitivity
        gold = db.get(GoldRanking, found.id)
        if change.accepted is not None or change.rationale is not None:
            if gold is None:
                raise Refused("no_gold", "only gold and calibration items have an accepted ranking")
            if change.accepted is not None:
                check_accepted(change.accepted, len(found.answers))
                gold.accepted = change.accepted or gold.accepted
            if change.rationale is not None:
                gold.rationale = change.rationale
        asker.note(db, "changed item", target=found.id, **change.model_dump(exclude_none=True))
        db.flush()
        return ItemLine(**_line(found))

    return asker.server.database.write(work)


def _of(db: Db, asker: Asker, item_id: str, *, lock: bool = False) -> Item:
    wanted = select(Item).where(Item.id == item_id, Item.project_id == asker.the_project().id)
    found = db.scalar(wanted.with_for_update() if lock else wanted)
    if found is None:
        raise NotFound("item")
    return found


def _full_answer(answer: Answer) -> FullAnswer:
    html = to_html(answer.text)
    return FullAnswer(
        position=answer.position,
        text=answer.text,
        html=html,
        blank=blank_of(answer.text, html),
        finished=answer.finished,
        model=answer.model,
    )


def _round_of(db: Db, item: Item) -> dict[str, Any] | None:
    return provenance(db.get_one(Round, item.round_id)) if item.round_id else None


def _line(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "position": item.position,
        "excerpt": item.prompt[-1]["content"][:160],
        "answers": len(item.answers),
        "purpose": item.purpose,
        "state": item.state,
        "sensitivity": item.sensitivity,
        "overlap": item.overlap,
        "taken": item.taken,
    }


def _said(judgement: Judgement, assignment: Assignment, names: dict[str, str]) -> ItemJudgement:
    return ItemJudgement(
        labeler=names[assignment.member_id],
        purpose=assignment.purpose,
        revision=judgement.revision,
        groups=judgement.groups,
        order=assignment.order,
        strength=judgement.strength,
        all_bad=judgement.all_bad,
        not_rankable=judgement.not_rankable,
        untouched=judgement.untouched,
        surplus=assignment.surplus,
        confidence=judgement.confidence,
        rationale=judgement.rationale,
        attributes=judgement.attributes,
        active_seconds=judgement.active_ms / 1000,
        guideline=judgement.guideline_version,
        created=judgement.created,
    )
