"""Simulated labelers at a real server: they claim, beat, draft, judge, and send again what was not acknowledged."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import httpx2 as httpx
from sqlalchemy import func, select

from plaudit.feedback.store.database import Database
from plaudit.feedback.store.people import People, add_member, add_user
from plaudit.feedback.store.projects import NewAnswer, NewItem, add_items, create_project
from plaudit.feedback.store.schema import Assignment, Item, Judgement
from plaudit.feedback.store.settings import Settings

SLUG = "crowd"


@dataclass(frozen=True)
class Person:
    """A labeler who is signed in."""

    cookie: str
    csrf: str


@dataclass
class Log:
    """What the labelers saw: acknowledged judgements, seconds by kind of request, and what went wrong."""

    acknowledged: dict[str, tuple[str, int]] = field(
        default_factory=dict
    )  # judgement → its assignment, revision
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    troubles: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    again: int = 0

    def p95(self, kind: str) -> float:
        found = sorted(self.seconds[kind])
        return found[min(len(found) - 1, int(0.95 * len(found)))]


def prepare(database: Database, secret: bytes, *, people: int, items: int, overlap: int) -> list[Person]:
    """A project with work for the crowd, which is signed in."""

    def work(db):
        now = time.time()
        rules = Settings(overlap=overlap, lease_seconds=30, require_reading=False, repeat_share=0.05)
        project = create_project(db, SLUG, title="Crowd", settings=rules, now=now)
        answers = (
            "A short one.",
            "A **longer** answer, with\n\n- a list\n- of things",
            "```python\nprint(1)\n```",
        )
        add_items(
            db,
            project,
            [
                NewItem(
                    ({"role": "user", "content": f"Question {i}"},),
                    tuple(map(NewAnswer, answers[: 2 + i % 2])),
                )
                for i in range(items)
            ],
            now=now,
        )
        gold = tuple(map(NewAnswer, answers[:2]))
        add_items(
            db,
            project,
            [
                NewItem(
                    ({"role": "user", "content": f"Known {i}"},),
                    gold,
                    purpose="gold",
                    accepted=(((0,), (1,)),),
                )
                for i in range(items // 10)
            ],
            now=now,
        )
        keeper, found = People(secret), []
        for i in range(people):
            user = add_user(db, f"Labeler {i}", now=now)
            add_member(db, project, user, "labeler", now=now)
            token = keeper.start_session(db, user, now=now)
            found.append(Person(token, keeper.csrf(token)))
        return found

    return database.write(work)


async def crowd(
    address: str,
    cookie: str,
    people: list[Person],
    *,
    seconds: float,
    goal: int,
    pace: tuple[float, float],
    log: Log,
    seed: int = 0,
) -> None:
    """Everybody works until ``goal`` judgements are acknowledged or ``seconds`` are over.

    Each takes ``pace`` (from, to) seconds an item, and finishes what is begun.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=15, limits=limits) as client:
        until = time.monotonic() + seconds
        await asyncio.gather(
            *(
                _Labeler(client, cookie, person, log, random.Random(f"{seed}-{i}")).work(until, goal, pace)
                for i, person in enumerate(people)
            )
        )


class _Labeler:
    def __init__(self, client, cookie, person, log, rng):
        self.client, self.log, self.rng = client, log, rng
        self.headers = {"cookie": f"{cookie}={person.cookie}", "x-csrf-token": person.csrf}

    async def send(self, kind, path, body=None, **headers):
        """The answer; sent again, exactly as it was, until the server says something."""
        while True:
            began = time.perf_counter()
            try:
                answer = await self.client.post(
                    f"/api/projects/{SLUG}/{path}", json=body or {}, headers={**self.headers, **headers}
                )
            except httpx.TransportError as error:
                self.log.troubles[type(error).__name__] += 1
                await asyncio.sleep(0.2)
                continue
            if answer.status_code >= 500:
                self.log.troubles[str(answer.status_code)] += 1
                await asyncio.sleep(0.2)
                continue
            self.log.seconds[kind].append(time.perf_counter() - began)
            return answer

    async def work(self, until, goal, pace):
        await asyncio.sleep(self.rng.uniform(0, pace[0]))
        while time.monotonic() < until and len(self.log.acknowledged) < goal:
            claimed = (await self.send("claim", "claim")).json()
            task = claimed["task"]
            if task is None:
                if claimed["why"] == "done":
                    break
                await asyncio.sleep(0.5)
                continue
            place = f"assignments/{task['assignment']}"
            think = self.rng.uniform(*pace)
            await asyncio.sleep(think / 2)
            await self.send("heartbeat", f"{place}/heartbeat", {"active_ms": int(think * 500)})
            await asyncio.sleep(think / 2)
            if self.rng.random() < 0.03:
                await self.send("skip", f"{place}/skip", {"reason": "unsure"})
                continue
            key = uuid.uuid4().hex
            answer = await self.send(
                "submit", f"{place}/submit", self.verdict(task, think), **{"idempotency-key": key}
            )
            if answer.status_code != 201:
                self.log.troubles[f"submit {answer.status_code} {answer.text[:120]}"] += 1
                continue
            done = answer.json()
            self.log.again += done["again"]
            if done["judgement"] in self.log.acknowledged:
                self.log.troubles["the same judgement twice"] += 1
            self.log.acknowledged[done["judgement"]] = task["assignment"], done["revision"]
        self.log.finished += 1

    def verdict(self, task, think):
        letters = [a["key"] for a in task["answers"]]
        self.rng.shuffle(letters)
        tied = self.rng.random() < 0.1
        groups = [letters] if tied else [[letter] for letter in letters]
        strength = None if tied or not task["form"]["strength"] else self.rng.randint(1, 4)
        return {
            "groups": groups,
            "strength": strength,
            "active_ms": int(think * 1000),
            "guideline_version": task["guideline_version"],
        }


def faults(database: Database, log: Log) -> list[str]:
    """Everything that must never be, in words; empty where all is well."""

    def look(db):
        found = []
        stored = {
            j: (a, r)
            for j, a, r in db.execute(select(Judgement.id, Judgement.assignment_id, Judgement.revision))
        }
        lost = [j for j, what in log.acknowledged.items() if stored.get(j) != what]
        if lost:
            found.append(f"{len(lost)} acknowledged judgements are lost")
        twice = db.execute(
            select(Judgement.assignment_id).group_by(Judgement.assignment_id).having(func.count() > 1)
        ).all()
        if twice:
            found.append(f"{len(twice)} assignments are judged twice")
        both = (
            select(Assignment.item_id)
            .group_by(Assignment.item_id, Assignment.member_id, Assignment.round)
            .having(func.count() > 1)
        )
        if db.execute(both).all():
            found.append("someone was given an item twice")
        counted = (
            select(Assignment.item_id, func.count().label("held"))
            .where(Assignment.counted)
            .group_by(Assignment.item_id)
            .subquery()
        )
        rows = db.execute(
            select(Item.overlap, Item.taken, func.coalesce(counted.c.held, 0))
            .join(counted, counted.c.item_id == Item.id, isouter=True)
            .where(Item.purpose == "work")
        ).all()
        if any(taken != held for _, taken, held in rows):
            found.append("an item's count is not what its assignments say")
        submitted = (
            select(Assignment.item_id, func.count().label("given"))
            .where(
                Assignment.state == "submitted",
                Assignment.purpose == "work",
                Assignment.surplus.is_(False),
            )
            .group_by(Assignment.item_id)
            .subquery()
        )
        above = select(Item.id).join(submitted, submitted.c.item_id == Item.id)
        if db.execute(above.where(submitted.c.given > Item.overlap)).all():
            found.append("an item rose above its overlap")
        unjudged = select(Assignment.id).where(
            Assignment.state == "submitted",
            ~select(Judgement.id).where(Judgement.assignment_id == Assignment.id).exists(),
        )
        if db.execute(unjudged).all():
            found.append("an assignment counts as judged and has no judgement")
        return found

    return database.read(look) + [
        f"{count} × {what}" for what, count in log.troubles.items() if what.startswith(("submit", "the same"))
    ]
