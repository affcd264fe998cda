"""Which item a labeler gets, and for how long."""

from __future__ import annotations

import random

import pytest
from making import (
    NOW,
    all_of,
    beat,
    change,
    claim,
    count_of,
    do,
    make,
    new_item,
    release,
    require_sound,
    set_project,
    skip,
    stored,
    submit,
    verdict_on,
)

from plaudit.feedback.store import leases, submission
from plaudit.feedback.store.claiming import Nothing, left
from plaudit.feedback.store.errors import Refused
from plaudit.feedback.store.leases import expire
from plaudit.feedback.store.projects import publish
from plaudit.feedback.store.schema import Assignment, Item, Member, Project

LEASE = 900


def test_a_claim_leases_one_item_and_asking_again_gets_the_same(database):
    made = make(database, items=3, lease_seconds=LEASE)
    first = claim(database, made.members[0])
    assert (first.state, first.purpose, first.expires_at) == ("leased", "work", NOW + LEASE)
    assert first.propensity == pytest.approx(1 / 3)
    again = claim(database, made.members[0], now=NOW + 100)
    assert (again.id, again.expires_at) == (first.id, NOW + 100 + LEASE)
    assert stored(database, Item, first.item_id).taken == 1
    assert count_of(database, Assignment) == 1
    require_sound(database)


def test_nobody_gets_more_than_the_overlap_and_nobody_the_same_twice(database):
    made = make(database, items=2, members=4, overlap=2)
    got = [claim(database, m) for m in made.members]
    assert sorted(stored(database, Item, a.item_id).taken for a in got) == [2, 2, 2, 2]
    for a in got:
        submit(database, a)
        assert isinstance(claim(database, a.member_id), Nothing)
    assert [claim(database, m) for m in made.members] == [Nothing("done")] * 4
    require_sound(database)


def test_nothing_says_whether_to_come_back_and_when(database):
    made = make(database, items=1, members=3, lease_seconds=LEASE)
    assert claim(database, make(database, slug="empty").members[0]) == Nothing("done")
    held = claim(database, made.members[0])
    assert claim(database, made.members[1], now=NOW + 5) == Nothing("wait", NOW + LEASE)
    submit(database, held)
    assert claim(database, made.members[1], now=NOW + 6) == Nothing("done")


def test_nobody_waits_for_what_they_could_not_get(database):
    made = make(database, more=[new_item("hard", sensitivity=2)], members=2)
    change(database, Member, made.members[0], max_sensitivity=2)
    assert claim(database, made.members[0]).state == "leased"
    assert claim(database, made.members[1]) == Nothing("done")


def test_a_lease_that_ran_out_goes_to_someone_else(database):
    made = make(database, items=1, members=2, lease_seconds=LEASE)
    held = claim(database, made.members[0])
    assert isinstance(claim(database, made.members[1], now=NOW + LEASE), Nothing)
    late = claim(database, made.members[1], now=NOW + LEASE + 1)
    assert (late.item_id, late.state) == (held.item_id, "leased")
    before = stored(database, Assignment, held.id)
    assert (before.state, before.counted, before.closed_at) == ("expired", False, NOW + LEASE + 1)
    require_sound(database)


def test_who_comes_back_late_keeps_what_nobody_asked_for(database):
    made = make(database, items=5, lease_seconds=LEASE)
    held = claim(database, made.members[0])
    assert claim(database, made.members[0], now=NOW + 10 * LEASE).id == held.id
    require_sound(database)


def test_an_item_that_comes_back_is_as_it_was(database):
    made = make(database, items=1, answers=5, members=2, overlap=2)
    held = claim(database, made.members[0])
    do(database, submission.save_draft, held, payload={"groups": [["C"]]}, rev=0)
    release(database, held)
    claim(database, made.members[1])
    again = claim(database, made.members[0], now=NOW + 7)
    assert (again.id, again.order, again.leased_at, again.counted) == (held.id, held.order, NOW + 7, True)
    assert database.read(lambda s: s.get(submission.Draft, held.id)).payload == {"groups": [["C"]]}
    require_sound(database)


def test_only_some_leases_are_swept_at_a_time(database, monkeypatch):
    monkeypatch.setattr(leases, "SWEEP", 2)
    made = make(database, items=1, members=6, overlap=5, lease_seconds=LEASE)
    for i, m in enumerate(made.members[:5]):
        claim(database, m, now=NOW + i)
    # Two of one item: both places are given back.
    assert database.write(expire, made.project, NOW + LEASE + 10) == 2
    assert stored(database, Item, all_of(database, Item)[0].id).taken == 3
    assert [a.state for a in sorted(all_of(database, Assignment), key=lambda a: a.leased_at)] == [
        *["expired"] * 2,
        *["leased"] * 3,
    ]
    assert database.write(expire, made.project, NOW + LEASE + 10) == 2
    assert database.write(expire, made.project, NOW + LEASE + 10) == 1
    assert database.write(expire, made.project, NOW + LEASE + 10) == 0
    require_sound(database)


def test_leases_of_other_projects_are_left_alone(database):
    made, other = make(database, items=1), make(database, items=1, slug="other")
    held = claim(database, other.members[0])
    claim(database, made.members[0], now=NOW + 10**6)
    assert stored(database, Assignment, held.id).state == "leased"


@pytest.mark.parametrize("state", ["paused", "closed"])
def test_a_project_at_rest_gives_out_nothing_new_and_loses_nothing(database, state):
    made = make(database, items=5, members=2)
    held = claim(database, made.members[0])
    set_project(database, made, state=state)
    with pytest.raises(Refused, match=state):
        claim(database, made.members[1])
    assert claim(database, made.members[0], now=NOW + 5).id == held.id
    assert beat(database, held, now=NOW + 6).expires_at == NOW + 6 + LEASE
    do(database, submission.save_draft, held, payload={"x": 1}, rev=0)
    assert submit(database, held).judgement.revision == 1
    submit(database, held, action=submission.revise)
    with pytest.raises(Refused, match=state):
        claim(database, made.members[0])
    require_sound(database)


def test_guidelines_are_read_before_the_next_item(database):
    made = make(database, items=5, require_reading=True)
    held = claim(database, made.members[0])
    database.write(lambda s: publish(s, s.get_one(Project, made.project), "Be kind.", by=None, now=NOW))
    assert claim(database, made.members[0]).id == held.id  # what is on the screen stays
    submit(database, held)
    with pytest.raises(Refused) as refused:
        claim(database, made.members[0])
    assert refused.value.code == "guidelines_unread"
    change(database, Member, made.members[0], guideline_seen=1)
    assert claim(database, made.members[0]).state == "leased"


def test_sensitive_and_retired_items_are_not_given(database):
    hard = [new_item(f"level {i}", sensitivity=i) for i in range(4)]
    made = make(database, more=hard)
    change(database, Member, made.members[0], max_sensitivity=1)
    seen = []
    while not isinstance(a := claim(database, made.members[0]), Nothing):
        seen.append(stored(database, Item, a.item_id).sensitivity)
        submit(database, a)
    assert sorted(seen) == [0, 1]
    other = make(database, items=2, slug="other")
    gone = all_of(database, Item, Item.project_id == other.project)[0]
    change(database, Item, gone.id, state="retired")
    kept = claim(database, other.members[0])
    assert kept.item_id != gone.id
    submit(database, kept)
    assert claim(database, other.members[0]) == Nothing("done")


def test_a_skipped_item_goes_to_someone_else_only(database):
    made = make(database, items=1, members=2)
    skipped = skip(database, claim(database, made.members[0]))
    assert (skipped.state, skipped.counted) == ("skipped", False)
    assert claim(database, made.members[0]) == Nothing("done")
    assert claim(database, made.members[1]).item_id == skipped.item_id
    require_sound(database)


def test_calibration_comes_first_in_its_order_and_takes_no_place(database):
    made = make(database, items=3, calibration=3, members=2)
    order = [
        i.id for i in sorted(all_of(database, Item, Item.purpose == "calibration"), key=lambda i: i.position)
    ]
    for m in made.members:
        for item in order:
            a = claim(database, m)
            assert (a.item_id, a.purpose, a.propensity, a.counted) == (item, "calibration", 1.0, False)
            submit(database, a)
        assert claim(database, m).purpose == "work"
    require_sound(database)


def test_a_repeat_is_reversed_and_given_again_when_its_lease_runs_out(database):
    made = make(
        database,
        items=40,
        members=2,
        answers=3,
        repeat_share=0.5,
        repeat_after=2,
        lease_seconds=LEASE,
        overlap=2,
    )
    rng = random.Random(3)
    now, repeats = NOW, {}
    for _ in range(60):
        now += 1
        a = claim(database, made.members[0], now=now, rng=rng)
        if a.purpose == "repeat" and a.id not in repeats:
            repeats[a.id] = a
            # Let it run out: someone else's claim takes it back.
            now += LEASE + 1
            release(database, claim(database, made.members[1], now=now, rng=rng), now=now)
            assert stored(database, Assignment, a.id).state == "expired"
            continue
        submit(database, a, now=now)
    assert len(repeats) > 5
    done = [a for a in all_of(database, Assignment, Assignment.round == 1) if a.state == "submitted"]
    assert len(done) > 3
    for a in repeats.values():
        [first] = all_of(
            database,
            Assignment,
            Assignment.item_id == a.item_id,
            Assignment.member_id == a.member_id,
            Assignment.round == 0,
        )
        assert a.order == first.order[::-1]
        assert (first.state, a.counted) == ("submitted", False)
    require_sound(database)


def test_a_repeat_is_of_an_item_judged_a_while_ago(database):
    made = make(database, items=30, repeat_share=0.5, repeat_after=4)
    rng, judged = random.Random(1), []
    for i in range(40):
        a = claim(database, made.members[0], now=NOW + i, rng=rng)
        if isinstance(a, Nothing):
            break
        if a.purpose == "repeat":
            assert a.item_id in judged[:-4]
        submit(database, a, now=NOW + i)
        judged.append(a.item_id)
    assert len(judged) > len(set(judged))


def test_judgements_of_an_item_are_balanced_though_some_give_it_back(database):
    """The turns of the Latin square go to those who judge."""
    made = make(database, items=1, answers=4, members=12, overlap=8)
    rng = random.Random(0)
    for m in made.members:
        a = claim(database, m)
        if isinstance(a, Nothing):
            break
        if rng.random() < 0.3:
            skip(database, a)
        else:
            submit(database, a)
    judged = all_of(database, Assignment, Assignment.state == "submitted")
    assert sorted(a.slot for a in judged) == list(range(8))
    for place in range(4):
        assert sorted(a.order[place] for a in judged) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_how_many_are_left_is_counted_up_to_a_number(database):
    made = make(database, items=7, gold=3)
    submit(database, claim(database, made.members[0]))
    member = stored(database, Member, made.members[0])
    assert database.read(left, made.project, member) == 6
    assert database.read(left, made.project, member, most=4) == 4


def test_two_people_in_turn_never_hold_the_same_last_place(database):
    made = make(database, items=3, members=3)
    got = [claim(database, m) for m in made.members]
    assert len({a.item_id for a in got}) == 3
    submit(database, got[0], verdict=verdict_on(got[0]))
    assert isinstance(claim(database, made.members[0]), Nothing)
