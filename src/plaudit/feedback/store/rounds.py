"""Rounds of a project: which models answered its items, and how their answers were drawn.

A project outlives a policy: each further model, or another way of drawing, is a further round of the same project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from plaudit.feedback.store.schema import Item, Project, Round


@dataclass(frozen=True)
class NewRound:
    """A round as it is wanted. ``key`` is the same for the same models, drawn in the same way.

    ``models``: one object each, its ``name`` as in the answers; where it was asked here also ``source``, ``stage``
    and ``weights``, a hash of what it had learned. ``drawing``: answers, temperature, max_new_tokens and seed.
    """

    key: str
    source: str = ""
    models: tuple[Mapping[str, Any], ...] = ()
    drawing: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Joined:
    """A round of the project. ``names``: another name for each model that shares its own with an earlier model."""

    id: str
    number: int
    names: dict[str, str]


def join_round(session: Session, project: Project, wanted: NewRound, *, now: float) -> Joined:
    """The round of that key, made if it is new. The caller has locked the project."""
    there = rounds_of(session, project.id)
    found = next((r for r in there if r.key == wanted.key), None)
    if found is None:
        number = max((r.number for r in there), default=0) + 1
        models = _told_apart(wanted.models, there, number)
        found = Round(
            project_id=project.id,
            number=number,
            key=wanted.key,
            source=wanted.source[:200],
            models=models,
            drawing=dict(wanted.drawing),
            created=now,
        )
        session.add(found)
        session.flush()
    names = {m["called"]: m["name"] for m in found.models if "called" in m}
    return Joined(found.id, found.number, names)


def rounds_of(session: Session, project_id: str) -> list[Round]:
    """The project's rounds, the first one first."""
    return list(session.scalars(select(Round).where(Round.project_id == project_id).order_by(Round.number)))


def items_by_round(session: Session, project_id: str) -> dict[str | None, int]:
    """How many work items each round has, retired ones included; None: from before rounds were recorded."""
    rows = session.execute(
        select(Item.round_id, func.count())
        .where(Item.project_id == project_id, Item.purpose == "work")
        .group_by(Item.round_id)
    )
    return dict(rows.tuples().all())


def provenance(made: Round) -> dict[str, Any]:
    """The provenance of a round in an export."""
    return {"number": made.number, "models": [m["name"] for m in made.models], **made.drawing} | (
        {"source": made.source} if made.source else {}
    )


def in_words(made: Round) -> str:
    """A round in one line."""
    models = ", ".join(m["name"] for m in made.models) or "models not known"
    how = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in made.drawing.items())
    return f"round {made.number}: {models}" + (f" ({how})" if how else "")


def _told_apart(
    models: Sequence[Mapping[str, Any]], there: Sequence[Round], number: int
) -> list[dict[str, Any]]:
    """The models, each under a name that no other model of the project has."""
    known: dict[str, list[Mapping[str, Any]]] = {}
    for made in there:
        for model in made.models:
            known.setdefault(model.get("called", model["name"]), []).append(model)
    told = []
    for model in models:
        namesakes = known.get(model["name"], [])
        same = next((k for k in namesakes if _is_same(k, model)), None)
        if same is not None and "called" in same:
            told.append({**model, "name": same["name"], "called": model["name"]})
        elif same is None and namesakes:
            told.append({**model, "name": f"{model['name']}#{number}", "called": model["name"]})
        else:
            told.append(dict(model))
    return told


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two models of one name are the same model; models of files are compared by name only."""
    learned = one.get("weights"), other.get("weights")
    return None in learned or learned[0] == learned[1]
