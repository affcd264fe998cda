"""A project with people and items, made fast; the labeler's moves in one call each; what must always hold."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from sqlalchemy import func, select

from plaudit.feedback.store import claiming, submission
from plaudit.feedback.store.judgement_form import LETTERS, JudgementForm
from plaudit.feedback.store.people import add_member, add_user
from plaudit.feedback.store.projects import NewAnswer, NewItem, add_items, create_project
from plaudit.feedback.store.schema import Assignment, Item, Judgement, Member, Project
from plaudit.feedback.store.settings import Settings

NOW = 1_000_000.0
# Nothing but work, and nothing asked but the ranking: tests that are about more say so.
PLAIN = {"strength": False, "gold_share": 0.0, "repeat_share": 0.0, "require_reading": False}
_keys = itertools.count()


@dataclass(frozen=True)
class Made:
    project: str
    members: list[str]


def new_item(name, *, answers=2, purpose="work", **more):
    accepted = () if purpose == "work" else (tuple((i,) for i in range(answers)),)
    texts = tuple(NewAnswer(f"answer {i} to {name}", model=f"model {i}") for i in range(answers))
    return NewItem(
        ({"role": "user", "content": f"{purpose} {name}"},), texts, purpose=purpose, accepted=accepted, **more
    )


def make(database, *, items=0, gold=0, calibration=0, members=1, answers=2, slug="p", more=(), **settings):
    """A project of that many items of each kind, the ``more`` items, and that many labelers."""

    def work(session):
        project = create_project(
            session, slug, title=slug, settings=Settings.model_validate({**PLAIN, **settings}), now=NOW
        )
        counts = {"work": items, "gold": gold, "calibration": calibration}
        new = [new_item(i, answers=answers, purpose=p) for p, count in counts.items() for i in range(count)]
        add_items(session, project, [*new, *more], now=NOW)
        users = [add_user(session, f"{slug} {i}", now=NOW) for i in range(members)]
        return Made(project.id, [add_member(session, project, user, "labeler", now=NOW).id for user in users])

    return database.write(work)


def claim(database, member, *, now=NOW, rng=None):
    return database.write(claiming.claim, member, now=now, rng=rng)


def verdict_on(assignment, **more):
    return JudgementForm(groups=[[letter] for letter in LETTERS[: len(assignment.order)]], **more)


def submit(database, assignment, *, now=NOW, key=None, verdict=None, action=submission.submit):
    return database.write(
        action,
        Member(id=assignment.member_id),
        assignment.id,
        verdict=verdict or verdict_on(assignment),
        key=key or f"key-{next(_keys):06d}",
        now=now,
    )


def do(database, action, assignment, *, now=NOW, **more):
    """One of ``judging``'s moves on the member's own assignment."""
    return database.write(action, Member(id=assignment.member_id), assignment.id, now=now, **more)


def skip(database, assignment, *, now=NOW, reason="unsure"):
    return do(database, submission.skip, assignment, reason=reason, note="", now=now)


def beat(database, assignment, *, now=NOW, active_ms=0):
    return do(database, submission.heartbeat, assignment, active_ms=active_ms, now=now)


def release(database, assignment, *, now=NOW):
    return do(database, submission.release, assignment, now=now)


def stored(database, table, id):
    """A row as it is on disk."""
    return database.read(lambda session: session.get_one(table, id))


def all_of(database, table, *where):
    return database.read(
        lambda session: list(session.scalars(select(table).where(*where).order_by(table.id)))
    )


def count_of(database, table, *where):
    return database.read(
        lambda session: session.scalar(select(func.count()).select_from(table).where(*where))
    )


def change(database, table, id, **values):
    def work(session):
        row = session.get_one(table, id)
        for name, value in values.items():
            setattr(row, name, value)

    database.write(work)


def set_project(database, made, **values):
    change(database, Project, made.project, **values)


def require_sound(database):
    """What holds after every transaction, whatever happened."""
    items = {i.id: i for i in all_of(database, Item)}
    assignments = all_of(database, Assignment)
    judged = {j.assignment_id for j in all_of(database, Judgement)}
    counted = dict.fromkeys(items, 0)
    leases = []
    for a in assignments:
        counted[a.item_id] += a.counted
        leases += [a.member_id] if a.state == "leased" else []
        assert not a.counted or (a.purpose == "work" and a.state in ("leased", "submitted")), a.id
        assert (a.state == "submitted") == (a.id in judged), a.id
        if a.purpose == "work" and a.state in ("leased", "submitted"):
            assert a.counted != a.surplus, a.id
        else:
            assert not a.surplus, a.id
        assert (a.closed_at is None) == (a.state == "leased"), a.id
        assert 0 < a.propensity <= 1
    assert len(leases) == len(set(leases))
    for item in items.values():
        assert item.taken == counted[item.id], item.id
        assert item.purpose != "work" or item.taken <= item.overlap, item.id
