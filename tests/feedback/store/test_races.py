"""Several processes at one database: no item is given to too many, and nothing acknowledged is lost by a kill."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

import laborer
from making import NOW, all_of, claim, make, require_sound, submit

from plaudit.feedback.store import leases, submission
from plaudit.feedback.store.errors import Refused
from plaudit.feedback.store.projects import change_settings
from plaudit.feedback.store.schema import Assignment, Item, Judgement, Member, Project

PROCESSES = 6


def start(processes, target, *args):
    process = processes.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def test_overlap_is_never_exceeded(database, processes, tmp_path):
    made = make(
        database,
        items=50,
        gold=10,
        members=12,
        overlap=3,
        gold_share=0.1,
        repeat_share=0.1,
        repeat_after=1,
        lease_seconds=laborer.LEASE,
    )
    paths = [tmp_path / f"{i}.log" for i in range(PROCESSES)]
    runs = [
        start(processes, laborer.at_random, database.url, made.members, path, i, 20)
        for i, path in enumerate(paths)
    ]
    # The owner changes the overlap meanwhile: never below what is taken.
    rng = random.Random(0)
    while any(run.is_alive() for run in runs):
        changes = {"overlap": rng.choice([2, 3, 4]), "shared": rng.choice([0.5, 1.0])}
        database.write(lambda s, c=changes: change_settings(s, s.get_one(Project, made.project), c))
        time.sleep(0.1)
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0] * PROCESSES
    require_sound(database)
    moves = Counter(line for path in paths for line in path.read_text().split())
    assert moves["end"] == PROCESSES
    # All of it happened: otherwise this would be a test of something else.
    assert min(moves["submit"], moves["late"], moves["skip"], moves["beat"], moves["release"]) > 0, moves
    states = Counter(a.state for a in all_of(database, Assignment))
    assert states["submitted"] > 30 and states["expired"] > 0, states


def test_what_was_acknowledged_is_there_after_a_kill(database, processes, tmp_path):
    made = make(database, items=3000, members=6)
    path, rng = tmp_path / "acknowledged", random.Random(0)
    for life in range(3):
        runs = [
            start(
                processes, laborer.steadily, database.url, made.members[3 * i : 3 * i + 3], path, 2 * life + i
            )
            for i in range(2)
        ]
        known = path.stat().st_size if path.exists() else 0
        while not path.exists() or path.stat().st_size < known + 120:
            assert all(run.is_alive() for run in runs)
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.15))
        for run in runs:
            os.kill(run.pid, signal.SIGKILL)
            run.join()
            assert run.exitcode == -signal.SIGKILL
    lines = [line.split() for line in path.read_text().splitlines()]
    stored = {j.idempotency_key: j.id for j in all_of(database, Judgement)}
    assert dict(lines).items() <= stored.items()
    assert len(lines) == len({key for key, _ in lines}) > 4
    # At most the one that each process was at when it died is there without having been acknowledged.
    assert len(stored) - len(lines) <= 8
    require_sound(database)
    # Each goes on where it was: with the lease that it held, or the next item.
    for member in made.members:
        submit(database, claim(database, member, now=time.time()), now=time.time())
    require_sound(database)


def test_one_key_from_many_connections_is_one_judgement(database, in_threads):
    made = make(database, items=1)
    held = claim(database, made.members[0])
    receipts = in_threads(12, lambda i: submit(database, held, key="one-key-for-all"))
    assert [r.again for r in receipts].count(False) == 1
    assert len({r.judgement.id for r in receipts}) == 1
    require_sound(database)


def test_two_tabs_that_claim_at_once_get_one_item(database, in_threads):
    made = make(database, items=50)
    got = in_threads(12, lambda i: claim(database, made.members[0]).id)
    assert len(set(got)) == 1
    require_sound(database)


def test_the_last_place_goes_to_one(database, in_threads):
    made = make(database, items=1, members=12)
    got = in_threads(12, lambda i: getattr(claim(database, made.members[i]), "state", None))
    assert Counter(got) == {"leased": 1, None: 11}
    require_sound(database)


def test_moves_that_meet_are_not_in_each_others_way(database, in_threads, conflicts):
    """Labelers in two tabs each, who claim, stop and submit at once, while others' claims take leases back."""
    made = make(database, items=30, members=3, lease_seconds=30)
    moves = Counter()

    def move(i):
        rng, now = random.Random(i), 2_000_000.0
        for _ in range(12):
            now += 20
            a = claim(database, made.members[i % 3], now=now, rng=rng)
            if not isinstance(a, Assignment):
                continue
            name = rng.choice(["stop_showing", "release", "submit", "heartbeat"])
            try:
                if name == "submit":
                    submit(database, a, now=now)
                else:
                    more = {"active_ms": 1} if name == "heartbeat" else {}
                    action = getattr(submission, name)
                    database.write(action, Member(id=a.member_id), a.id, now=now + 31, **more)
            except Refused:
                name = "refused"
            moves[name] += 1

    in_threads(6, move)
    assert len(moves) >= 4, moves
    require_sound(database)
    assert conflicts == []


def test_two_sweeps_at_once_take_back_each_lease_once(database, in_threads, conflicts):
    made = make(database, items=4, members=12, overlap=3)
    for m in made.members:
        claim(database, m)
    in_threads(6, lambda i: database.write(leases.expire, made.project, NOW + 10_000))
    assert [i.taken for i in all_of(database, Item)] == [0] * 4
    assert conflicts == []
    require_sound(database)


def test_settings_change_while_leases_are_taken_back(database, in_threads, conflicts):
    """Both change many items; the project's lock keeps them apart."""
    made = make(database, items=40, members=12, overlap=2, lease_seconds=30)
    taken_back = []

    def move(i):
        for turn in range(8):
            now = NOW + 100 * turn
            if i == 0:
                new = {"overlap": 2 + turn % 2, "edit_minutes": turn}
                database.write(lambda s, new=new: change_settings(s, s.get_one(Project, made.project), new))
            else:
                for m in made.members[3 * i - 3 : 3 * i]:
                    claim(database, m, now=now)
                taken_back.append(database.write(leases.expire, made.project, now + 50))

    in_threads(5, move)
    assert conflicts == []
    assert sum(taken_back) > 0
    require_sound(database)
