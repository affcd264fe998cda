"""People at work on a project, without a server: members who claim and judge until nothing is left."""

from __future__ import annotations

import random

from sqlalchemy import select

from plaudit.feedback.store.claiming import Nothing, claim
from plaudit.feedback.store.judgement_form import LETTERS, JudgementForm
from plaudit.feedback.store.people import add_member, add_user
from plaudit.feedback.store.schema import Item, Member
from plaudit.feedback.store.submission import revise, skip, submit


def hire(database, project, count, *, now=0.0):
    """Ids of ``count`` new labelers."""

    def work(db):
        members = []
        for i in range(count):
            user = add_user(db, f"{project.slug} {i}", now=now)
            members.append(add_member(db, project, user, "labeler", now=now).id)
        return members

    return database.write(work)


def letters(order, groups):
    """A ranking of positions in the letters of the order shown."""
    return [[LETTERS[order.index(p)] for p in group] for group in groups]


def work_through(database, members, rank, *, start=1000.0, seed=0):
    """Everybody judges in turn what they get: ``rank(item, rng) -> Verdict fields, with positions in groups``."""
    rng, now, left = random.Random(seed), start, list(members)
    while left:
        for member_id in list(left):
            now += 10

            def one(db, member_id=member_id, now=now):
                assignment = claim(db, member_id, now=now, rng=rng)
                if isinstance(assignment, Nothing):
                    return False
                item = db.get_one(Item, assignment.item_id)
                said = dict(rank(item, rng))
                said["groups"] = letters(assignment.order, said.get("groups", []))
                member = db.get_one(Member, member_id)
                key = f"key-{assignment.id}"
                verdict = JudgementForm(active_ms=5000, **said)
                submit(db, member, assignment.id, verdict=verdict, key=key, now=now + 5)
                return True

            if not database.write(one):
                left.remove(member_id)
    return now


def member_of(db, member_id):
    return db.scalars(select(Member).where(Member.id == member_id)).one()


__all__ = ["hire", "letters", "member_of", "revise", "skip", "submit", "work_through"]
