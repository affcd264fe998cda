"""A labeler as a process: claims and judges as fast as it can, and says of every judgement that it was acknowledged."""

from __future__ import annotations

import os
import random
import time

from plaudit.feedback.store import submission
from plaudit.feedback.store.claiming import Nothing, claim
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.judgement_form import LETTERS, JudgementForm
from plaudit.feedback.store.migrate import upgrade
from plaudit.feedback.store.schema import Member


def verdict_on(a):
    return JudgementForm(groups=[[letter] for letter in LETTERS[: len(a.order)]])


def steadily(url, members, path, seed):
    """Until killed: each acknowledged key is a line in ``path``."""
    database, rng = Database(url), random.Random(seed)
    acknowledged = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for count in range(10**6):
        member = rng.choice(members)
        a = database.write(claim, member, now=time.time(), rng=rng)
        if isinstance(a, Nothing):
            continue
        key = f"{a.id}-{seed}-{count}"
        receipt = database.write(
            submission.submit, Member(id=member), a.id, verdict=verdict_on(a), key=key, now=time.time()
        )
        os.write(acknowledged, f"{key} {receipt.judgement.id}\n".encode())


def at_random(url, members, path, seed, moves):
    """Everything that a page can send, some of it late; one line for each move, then ``end``."""
    database, rng = Database(url), random.Random(seed)
    held = []
    with path.open("a") as log:
        for _ in range(moves):
            a = database.write(claim, rng.choice(members), now=fast(), rng=rng)
            if isinstance(a, Nothing):
                move = "nothing"
            else:
                held.append(a)
                a = rng.choice(held[-4:])
                [move] = rng.choices(list(MOVES), list(MOVES.values()))
                try:
                    act(database, a, move, rng)
                except submission.Refused as refused:
                    move = f"{move}:{refused.code}"
            log.write(f"{move}\n")
        log.write("end\n")
    database.close()


MOVES = {"submit": 8, "late": 3, "skip": 1, "beat": 2, "release": 1, "draft": 1, "leave": 2}
LEASE = 30


def fast():
    """A clock on which the shortest lease, half a minute, is over in a twentieth of a second."""
    return 600 * time.time()


def act(database, a, move, rng):
    member = Member(id=a.member_id)
    if move == "late":
        time.sleep(LEASE / 600)
    if move in ("submit", "late"):
        key = f"{a.id}-{rng.random()}"
        database.write(submission.submit, member, a.id, verdict=verdict_on(a), key=key, now=fast())
    elif move == "skip":
        database.write(submission.skip, member, a.id, reason="unsure", note="", now=fast())
    elif move == "beat":
        database.write(submission.heartbeat, member, a.id, active_ms=5, now=fast())
    elif move == "release":
        database.write(submission.release, member, a.id, now=fast())
    elif move == "draft":
        database.write(submission.save_draft, member, a.id, payload={"x": rng.random()}, rev=0, now=fast())


def migrating(url, start):
    """Bring a database up to date at the same moment as others do."""
    time.sleep(max(0.0, start - time.time()))
    database = Database(url)
    upgrade(database)
    database.close()
