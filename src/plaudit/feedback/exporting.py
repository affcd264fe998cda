"""Judgements as comparison records: one each, with all that is known of how it came about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from plaudit.data.records import Comparisons, Message, Preference, Prompt, Ranking, Response
from plaudit.data.records.native_format import to_row
from plaudit.data.records.writers import write_jsonl
from plaudit.errors import UserError
from plaudit.feedback.judgement_query import holding, pseudonyms
from plaudit.feedback.project_location import opened, place_of
from plaudit.feedback.store import schema
from plaudit.feedback.store.projects import named_project
from plaudit.feedback.store.rounds import provenance, rounds_of

PURPOSES = ("work", "gold", "calibration", "repeat")


def exported(
    session: Session,
    project: schema.Project,
    *,
    purposes: Collection[str] = ("work",),
    not_rankable: bool = False,
    left_out: Counter[str] | None = None,
) -> Iterator[Preference]:
    """One record a judgement, oldest first; ``left_out`` counts those that are not among them, by reason.

    A judgement that an item cannot be ranked becomes a record without outcomes, where ``not_rankable`` asks for it.
    """
    if unknown := set(purposes) - set(PURPOSES):
        raise UserError(f"{sorted(unknown)[0]!r} is no purpose", remedy=f"purposes are {', '.join(PURPOSES)}")
    left_out = Counter() if left_out is None else left_out
    names = pseudonyms(session, project.id)
    items = {
        i.id: i for i in session.scalars(select(schema.Item).where(schema.Item.project_id == project.id))
    }
    rounds = {r.id: provenance(r) for r in rounds_of(session, project.id)}
    for judgement, assignment in holding(session, project.id):
        if assignment.purpose not in purposes:
            left_out[assignment.purpose] += 1
        elif judgement.not_rankable and not not_rankable:
            left_out["not rankable"] += 1
        else:
            item = items[assignment.item_id]
            record = _record(project, item, assignment, judgement, names)
            yield _of_round(record, rounds[item.round_id]) if item.round_id else record


def _of_round(record: Preference, made: dict[str, Any]) -> Preference:
    return replace(record, metadata={**record.metadata, "round": made})


def _record(
    project: schema.Project,
    item: schema.Item,
    assignment: schema.Assignment,
    judgement: schema.Judgement,
    names: dict[str, str],
) -> Preference:
    prompt = Prompt(tuple(map(Message.of, item.prompt)), source=item.source, metadata=item.info)
    responses = tuple(
        Response(a.text, a.finished, ({"model": a.model} if a.model is not None else {}) | a.info)
        for a in item.answers
    )
    rater = names[assignment.member_id]
    known = _metadata(project, item, assignment, judgement)
    if judgement.not_rankable:
        return Comparisons(prompt, responses, (), {**known, "rater": rater})
    groups = tuple(tuple(group) for group in judgement.groups)
    strength = None if judgement.strength is None else float(judgement.strength)
    return Ranking(prompt, responses, groups, rater=rater, strength=strength, metadata=known)


def _metadata(
    project: schema.Project, item: schema.Item, assignment: schema.Assignment, judgement: schema.Judgement
) -> dict[str, Any]:
    """How the judgement came about. ``order``: the answers' indices as they stood on the page."""
    known: dict[str, Any] = {
        "project": project.slug,
        "item": item.id,
        "judgement": judgement.id,
        "revision": judgement.revision,
        "purpose": assignment.purpose,
        "guideline": judgement.guideline_version,
        "order": list(assignment.order),
        "arm": assignment.arm,
        "propensity": assignment.propensity,
        "active_seconds": round(judgement.active_ms / 1000, 1),
        "created": judgement.created,
    }
    optional = {
        "surplus": assignment.surplus,
        "all_bad": judgement.all_bad,
        "not_rankable": judgement.not_rankable,
        "untouched": judgement.untouched,
        "confidence": judgement.confidence,
        "rationale": judgement.rationale,
        "attributes": judgement.attributes,
        "sensitivity": item.sensitivity,
    }
    return known | {name: value for name, value in optional.items() if value}


def project_rows(address: str) -> Iterator[dict[str, Any]]:
    """What people have judged so far in the project at ``project://…``, as plaudit's own rows."""
    place = place_of(address)
    with opened(place.url) as database:
        records = database.read(lambda db: list(exported(db, named_project(db, place.slug))))
    yield from map(to_row, records)


def write_export(
    session: Session,
    project: schema.Project,
    path: str | Path,
    *,
    purposes: Collection[str] = ("work",),
    not_rankable: bool = False,
) -> tuple[int, Counter[str]]:
    """Write the records as plaudit's own JSONL: how many, and how many were left out and why."""
    left_out: Counter[str] = Counter()
    records = exported(session, project, purposes=purposes, not_rankable=not_rankable, left_out=left_out)
    return write_jsonl(records, path), left_out
