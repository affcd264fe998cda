"""Query a project's judgements from its database, for statistics and export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from plaudit.feedback.quality.records import JudgementRecord, Ranking, RatedAnswer
from plaudit.feedback.store import schema


@dataclass(frozen=True)
class Collected:
    """The judgements that hold (of each assignment the latest revision), in the order in which they were made."""

    judged: list[JudgementRecord]
    answers: dict[str, RatedAnswer]
    golds: dict[str, list[Ranking]]


def holding(session: Session, project_id: str) -> Iterator[tuple[schema.Judgement, schema.Assignment]]:
    """Each assignment's last judgement, oldest first."""
    last = (
        select(
            schema.Judgement.assignment_id.label("assignment"),
            func.max(schema.Judgement.revision).label("last"),
        )
        .join(schema.Assignment, schema.Assignment.id == schema.Judgement.assignment_id)
        .where(schema.Assignment.project_id == project_id)
        .group_by(schema.Judgement.assignment_id)
        .subquery()
    )
    found = session.execute(
        select(schema.Judgement, schema.Assignment)
        .join(schema.Assignment, schema.Assignment.id == schema.Judgement.assignment_id)
        .join(last, last.c.assignment == schema.Judgement.assignment_id)
        .where(schema.Judgement.revision == last.c.last)
        .order_by(schema.Judgement.created, schema.Judgement.id)
        .execution_options(yield_per=1000)
    )
    yield from ((judgement, assignment) for judgement, assignment in found)


def collected(session: Session, project_id: str) -> Collected:
    """Everything that the statistics read of a project. Labelers appear under their pseudonyms only."""
    names = pseudonyms(session, project_id)
    answers: dict[str, RatedAnswer] = {}
    places: dict[str, dict[int, str]] = {}
    rows = session.execute(
        select(
            schema.Answer.id,
            schema.Answer.item_id,
            schema.Answer.position,
            schema.Answer.model,
            schema.Answer.text,
        )
        .join(schema.Item, schema.Item.id == schema.Answer.item_id)
        .where(schema.Item.project_id == project_id)
        .execution_options(yield_per=1000)
    )
    for answer_id, item_id, position, model, text in rows:
        answers[answer_id] = RatedAnswer(answer_id, model, len(text.split()))
        places.setdefault(item_id, {})[position] = answer_id
    judged = [
        _judged(judgement, assignment, places[assignment.item_id], names[assignment.member_id])
        for judgement, assignment in holding(session, project_id)
    ]
    golds = {
        item_id: [
            tuple(tuple(places[item_id][p] for p in group) for group in ranking) for ranking in accepted
        ]
        for item_id, accepted in session.execute(
            select(schema.GoldRanking.item_id, schema.GoldRanking.accepted)
            .join(schema.Item, schema.Item.id == schema.GoldRanking.item_id)
            .where(schema.Item.project_id == project_id)
        )
    }
    return Collected(judged, answers, golds)


def pseudonyms(session: Session, project_id: str) -> dict[str, str]:
    """The pseudonym of each member."""
    mine = select(schema.Member.id, schema.Member.pseudonym).where(schema.Member.project_id == project_id)
    return {row.id: row.pseudonym for row in session.execute(mine)}


def state_of(session: Session, project_id: str) -> tuple[int, str | None]:
    """Something that changes with every judgement: statistics made under the same state still hold."""
    row = session.execute(
        select(func.count(schema.Judgement.id), func.max(schema.Judgement.id))
        .join(schema.Assignment, schema.Assignment.id == schema.Judgement.assignment_id)
        .where(schema.Assignment.project_id == project_id)
    ).one()
    return row[0], row[1]


def _judged(
    judgement: schema.Judgement, assignment: schema.Assignment, place: dict[int, str], labeler: str
) -> JudgementRecord:
    return JudgementRecord(
        id=judgement.id,
        item=assignment.item_id,
        labeler=labeler,
        groups=tuple(tuple(place[p] for p in group) for group in judgement.groups),
        shown=tuple(place[p] for p in assignment.order),
        purpose=assignment.purpose,
        round=assignment.round + 1,
        strength=judgement.strength,
        all_bad=judgement.all_bad,
        not_rankable=judgement.not_rankable,
        untouched=judgement.untouched,
        surplus=assignment.surplus,
        confidence=judgement.confidence,
        active_ms=judgement.active_ms,
        created=judgement.created,
        attributes={
            name: {(key if key == "*" else place[int(key)]): value for key, value in values.items()}
            for name, values in judgement.attributes.items()
        },
    )
