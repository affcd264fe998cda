"""Projects, their guidelines, and their items."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import case, func, insert, select, update
from sqlalchemy.orm import Session

from plaudit.data.splits import uniform
from plaudit.errors import suggest
from plaudit.feedback.store.account_tables import User
from plaudit.feedback.store.errors import Invalid, NotFound, Refused
from plaudit.feedback.store.ids import new_id
from plaudit.feedback.store.item_sampling import lot_of
from plaudit.feedback.store.locks import lock_project
from plaudit.feedback.store.rounds import Joined, NewRound, join_round
from plaudit.feedback.store.schema import Guideline, Item, Project, TableBase
from plaudit.feedback.store.settings import Settings

STATES = ("open", "paused", "closed")
LONGEST_GUIDELINE = 100_000
AT_ONCE = 500  # rows that one statement changes


@dataclass(frozen=True)
class NewAnswer:
    text: str
    finished: bool = True
    model: str | None = None
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NewItem:
    """An item to be added. ``accepted``: rankings of positions that are right, for gold and calibration."""

    prompt: tuple[dict[str, str], ...]
    answers: tuple[NewAnswer, ...]
    purpose: str = "work"
    sensitivity: int = 0
    source: str = ""
    info: dict[str, Any] = field(default_factory=dict)
    accepted: tuple[tuple[tuple[int, ...], ...], ...] = ()
    rationale: str = ""

    @property
    def key(self) -> str:
        """A hash of the prompt and the answers' texts, in any order."""
        content = [list(self.prompt), sorted(a.text for a in self.answers)]
        return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def create_project(session: Session, slug: str, *, title: str, settings: Settings, now: float) -> Project:
    """A new project. Refused where the name is taken."""
    if session.scalar(select(Project.id).where(Project.slug == slug)):
        raise Refused("name_taken", f"there is a project {slug!r} already")
    project = Project(
        slug=slug, title=title, settings=settings.model_dump(), secret=secrets.token_hex(32), created=now
    )
    session.add(project)
    session.flush()
    return project


def slug_of(name: str) -> str:
    """A name as part of an address."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "project"


def named_project(session: Session, slug: str | None) -> Project:
    """The project of that name, or the only one there is."""
    known = list(session.scalars(select(Project).order_by(Project.slug)))
    if slug is None and len(known) == 1:
        return known[0]
    for project in known:
        if project.slug == slug:
            return project
    names = ", ".join(p.slug for p in known) or "none"
    if slug is None:
        raise Refused("which_project", f"say which project: there are {names}")
    raise NotFound(f"project {slug!r} ({suggest(slug, [p.slug for p in known]) or 'there are: ' + names})")


def change_settings(session: Session, project: Project, changes: dict[str, Any]) -> Settings:
    """The settings with ``changes``; the overlap of items that have begun never falls below what they have."""
    project = lock_project(session, project.id)
    settings = Settings.model_validate({**project.settings, **changes})
    project.settings = settings.model_dump()
    if {"overlap", "shared"} & changes.keys():
        _set_overlaps(session, project.id, settings)
    session.flush()
    return settings


def _set_overlaps(session: Session, project_id: str, settings: Settings) -> None:
    rows = session.execute(
        select(Item.id, Item.key, Item.overlap).where(Item.project_id == project_id, Item.purpose == "work")
    )
    wrong: dict[int, list[str]] = {}
    for item_id, key, overlap in rows:
        if overlap != (right := overlap_of(key, settings)):
            wrong.setdefault(right, []).append(item_id)
    for right, items in wrong.items():
        for i in range(0, len(items), AT_ONCE):
            # What is taken is read by the update itself: others may be claiming meanwhile.
            session.execute(
                update(Item)
                .where(Item.id.in_(items[i : i + AT_ONCE]))
                .values(overlap=case((Item.taken > right, Item.taken), else_=right))
                .execution_options(synchronize_session=False)
            )


def set_state(project: Project, state: str) -> None:
    if state not in STATES:
        raise Invalid("unknown_state", f"states are {', '.join(STATES)}")
    project.state = state


def publish(
    session: Session, project: Project, markdown: str, *, change: str = "", by: User | None, now: float
) -> Guideline:
    """A new version of the guidelines."""
    if not markdown.strip():
        raise Invalid("empty", "the guidelines are empty")
    if len(markdown) > LONGEST_GUIDELINE:
        raise Invalid("too_long", f"guidelines have at most {LONGEST_GUIDELINE:,} characters")
    project = lock_project(session, project.id)
    project.guideline_version += 1
    made = Guideline(
        project_id=project.id,
        version=project.guideline_version,
        markdown=markdown,
        note=change.strip(),
        published=now,
        published_by=by.id if by else None,
    )
    session.add(made)
    session.flush()
    return made


def overlap_of(key: str, settings: Settings) -> int:
    """How many labelers judge the item of that key: ``overlap`` for a random share of the items, else one."""
    shared = settings.shared >= 1 or uniform(key, "shared") < settings.shared
    return settings.overlap if shared else 1


def add_items(
    session: Session,
    project: Project,
    items: Sequence[NewItem],
    *,
    now: float,
    round_: NewRound | None = None,
) -> int:
    """Add items; those that are there already are left as they are. Returns how many were new.

    ``round_``: the round that new work items belong to; it begins with its first new item.
    """
    project = lock_project(session, project.id)
    settings = Settings.model_validate(project.settings)
    known = _known(session, project.id, [item.key for item in items])
    position = session.scalar(select(func.max(Item.position)).where(Item.project_id == project.id))
    position = -1 if position is None else position
    rows: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    golds: list[dict[str, Any]] = []
    joined: Joined | None = None
    for item in items:
        key = item.key
        if key in known:
            continue
        known.add(key)
        position += 1
        row = _row(project, settings, item, key, position, now)
        if round_ is not None and item.purpose == "work":
            joined = joined or join_round(session, project, round_, now=now)
            row["round_id"] = joined.id
        rows.append(row)
        answers += _answer_rows(row["id"], item.answers, joined.names if joined else {})
        if item.accepted:
            check_accepted(item.accepted, len(item.answers))
            golds.append(
                {
                    "item_id": row["id"],
                    "accepted": [[list(g) for g in ranking] for ranking in item.accepted],
                    "rationale": item.rationale,
                    "created": now,
                }
            )
    for table, values in (("items", rows), ("answers", answers), ("golds", golds)):
        if values:
            session.execute(insert(TableBase.metadata.tables[table]), values)
    return len(rows)


def _known(session: Session, project_id: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys whose items are there."""
    found: set[str] = set()
    for i in range(0, len(keys), AT_ONCE):
        mine = select(Item.key).where(Item.project_id == project_id, Item.key.in_(keys[i : i + AT_ONCE]))
        found.update(session.scalars(mine))
    return found


def _row(
    project: Project, settings: Settings, item: NewItem, key: str, position: int, now: float
) -> dict[str, Any]:
    if item.purpose not in ("work", "gold", "calibration"):
        raise Invalid("unknown_purpose", "purposes are work, gold and calibration")
    if (item.purpose != "work") != bool(item.accepted):
        raise Invalid("gold", "gold and calibration items need an accepted ranking, and no others have one")
    if not 2 <= len(item.answers) <= 9:
        raise Invalid("answers", "an item has 2 to 9 answers")
    return {
        "id": new_id(),
        "project_id": project.id,
        "key": key,
        "position": position,
        "lot": lot_of(key),
        "prompt": list(item.prompt),
        "purpose": item.purpose,
        "overlap": overlap_of(key, settings) if item.purpose == "work" else 0,
        "taken": 0,
        "state": "open",
        "sensitivity": item.sensitivity,
        "source": item.source,
        "info": item.info,
        "created": now,
        "round_id": None,
    }


def _answer_rows(
    item_id: str, answers: Sequence[NewAnswer], names: Mapping[str, str]
) -> list[dict[str, Any]]:
    return [
        {
            "id": new_id(),
            "item_id": item_id,
            "position": i,
            "text": a.text,
            "finished": a.finished,
            "model": names.get(a.model, a.model) if a.model is not None else None,
            "info": _renamed(a.info, names),
        }
        for i, a in enumerate(answers)
    ]


def _renamed(info: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {**info, "also": [names.get(m, m) for m in info["also"]]} if "also" in info else info


def check_accepted(accepted: Sequence[Sequence[Sequence[int]]], count: int) -> None:
    """Invalid unless every accepted ranking names each of ``count`` answers once."""
    for ranking in accepted:
        if sorted(p for group in ranking for p in group) != list(range(count)) or not all(ranking):
            raise Invalid("gold", f"an accepted ranking names each of 0 to {count - 1} once")
