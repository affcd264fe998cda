"""Two transactions side by side, step by step: who waits for whom on PostgreSQL, and what they then find.

On SQLite a writer is alone, and there is nothing to see.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from making import NOW, change, claim, make, new_item, require_sound, stored

from plaudit.feedback.store import leases, submission
from plaudit.feedback.store.claiming import Nothing
from plaudit.feedback.store.judgement_form import JudgementForm
from plaudit.feedback.store.locks import lock_project
from plaudit.feedback.store.schema import Assignment, Member

LATE = NOW + 10_000
PATIENCE = 5


@pytest.fixture
def server(database):
    if database.is_sqlite:
        pytest.skip("a writer is alone")
    return database


def meanwhile(database, first, then, *, until=None):
    """Run ``then`` while ``first`` has done its work and not yet committed; what both return.

    ``first`` commits when ``then`` has ended, or, with ``until``, so many seconds after ``then`` has begun.
    """
    has_worked, has_ended = threading.Event(), threading.Event()

    def work(session):
        result = first(session)
        session.flush()
        has_worked.set()
        in_time = has_ended.wait(until or PATIENCE)
        assert until or in_time, "the second waited for the first"
        return result

    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(database.write, work)
        assert has_worked.wait(PATIENCE)
        try:
            two = then()
        finally:
            has_ended.set()
        return one.result(), two


def test_a_claim_does_not_wait_for_who_changes_the_project(server, conflicts):
    made = make(server, items=3, members=2)
    late = claim(server, made.members[0])
    _, got = meanwhile(
        server, lambda s: lock_project(s, made.project), lambda: claim(server, made.members[1], now=LATE)
    )
    assert got.state == "leased" and got.item_id != late.item_id
    # Nor did it take leases back then; the next does.
    assert stored(server, Assignment, late.id).state == "leased"
    assert server.write(leases.expire, made.project, LATE) == 1
    assert conflicts == []


def test_a_sweep_passes_by_what_its_labeler_is_holding_on_to(server, conflicts):
    made = make(server, items=2, members=2)
    late, other = (claim(server, m) for m in made.members)
    member = Member(id=late.member_id)
    beat, swept = meanwhile(
        server,
        lambda s: submission.heartbeat(s, member, late.id, active_ms=0, now=LATE),
        lambda: server.write(leases.expire, made.project, LATE),
    )
    assert (beat.state, swept) == ("leased", 1)
    assert stored(server, Assignment, late.id).state == "leased"
    assert stored(server, Assignment, other.id).state == "expired"
    assert conflicts == []
    require_sound(server)


def test_who_claims_while_their_lease_is_taken_back_is_not_told_that_they_hold_it(server, conflicts):
    made = make(server, items=1, members=1)
    late = claim(server, made.members[0])
    swept, got = meanwhile(
        server,
        lambda s: leases.expire(s, made.project, LATE),
        lambda: claim(server, made.members[0], now=LATE),
        until=0.3,
    )
    assert swept == 1 and got.id == late.id
    now = stored(server, Assignment, late.id)
    assert (now.state, now.counted, now.leased_at) == ("leased", True, LATE)
    assert conflicts == []
    require_sound(server)


def test_a_late_answer_waits_for_the_sweep_and_then_counts(server, conflicts):
    made = make(server, items=1, members=1)
    late = claim(server, made.members[0])
    member, verdict = Member(id=late.member_id), JudgementForm(groups=[["A"], ["B"]])
    _, receipt = meanwhile(
        server,
        lambda s: leases.expire(s, made.project, LATE),
        lambda: server.write(submission.submit, member, late.id, verdict=verdict, key="late-one", now=LATE),
        until=0.3,
    )
    assert (receipt.assignment.state, receipt.assignment.counted) == ("submitted", True)
    assert conflicts == []
    require_sound(server)


def test_a_claim_waits_for_what_its_member_does_in_another_tab(server, conflicts):
    """The page that stops an item changes the member after the assignment; a claim reads them in the other order."""
    made = make(server, more=[new_item("hard", sensitivity=1)])
    change(server, Member, made.members[0], max_sensitivity=1)
    held = claim(server, made.members[0])
    member, turn = Member(id=held.member_id), threading.Event()

    def stop(session):
        submission.own(session, held.id, member, lock=True)
        has_begun.set()
        turn.wait(0.3)
        return submission.stop_showing(session, member, held.id, now=NOW)

    has_begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(server.write, stop)
        assert has_begun.wait(PATIENCE)
        assert claim(server, made.members[0]) == Nothing("done")
        assert stopping.result() == 0
    assert conflicts == []
    require_sound(server)
