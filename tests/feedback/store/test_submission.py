"""Heartbeats, drafts, submitting, changing, skipping: nobody's work is lost, and none counts twice."""

from __future__ import annotations

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

from plaudit.feedback.store import submission
from plaudit.feedback.store.errors import Invalid, NotFound, Refused
from plaudit.feedback.store.judgement_form import JudgementForm
from plaudit.feedback.store.schema import Assignment, Draft, Item, Judgement, Member, Skip

LEASE = 900


def expired(database, made):
    """The first member's item, whose lease ran out and was taken back by the second's claim; theirs given back."""
    held = claim(database, made.members[0])
    release(database, claim(database, made.members[1], now=NOW + LEASE + 1), now=NOW + LEASE + 2)
    assert stored(database, Assignment, held.id).state == "expired"
    return held


def filled(database, made):
    """As ``expired``, and the second member has taken the last place."""
    held = claim(database, made.members[0])
    submit(database, claim(database, made.members[1], now=NOW + LEASE + 1), now=NOW + LEASE + 2)
    return held


def test_a_heartbeat_holds_the_lease_and_keeps_the_time(database):
    held = claim(database, make(database, items=1).members[0])
    after = beat(database, held, now=NOW + 60, active_ms=45_000)
    assert (after.expires_at, after.active_ms) == (NOW + 60 + LEASE, 45_000)
    assert beat(database, held, now=NOW + 61, active_ms=20_000).active_ms == 45_000
    assert (
        beat(database, held, now=NOW + 62, active_ms=10**9).active_ms == 62_000
    )  # nobody is faster than the clock
    assert (
        beat(database, held, now=NOW - 50, active_ms=10**9).active_ms == 62_000
    )  # nor when the clock is set back


def test_a_heartbeat_takes_up_again_what_nobody_has_taken(database):
    made = make(database, items=1, members=2)
    held = expired(database, made)
    again = beat(database, held, now=NOW + LEASE + 9)
    assert (again.state, again.counted, again.closed_at) == ("leased", True, None)
    assert stored(database, Item, held.item_id).taken == 1
    require_sound(database)


def test_a_heartbeat_does_not_take_what_is_full_retired_or_a_second_item(database):
    made = make(database, items=1, members=2)
    held = filled(database, made)
    assert beat(database, held, now=NOW + LEASE + 9).state == "expired"
    made = make(database, items=1, members=2, slug="retired")
    held = expired(database, made)
    change(database, Item, held.item_id, state="retired")
    assert beat(database, held, now=NOW + LEASE + 9).state == "expired"
    made = make(database, items=2, members=2, slug="second")
    held = expired(database, made)
    change(database, Item, held.item_id, taken=1)  # so that the next is the other one
    other = claim(database, made.members[0], now=NOW + LEASE + 3)
    change(database, Item, held.item_id, taken=0)
    assert other.item_id != held.item_id
    assert beat(database, held, now=NOW + LEASE + 9).state == "expired"
    require_sound(database)


@pytest.mark.parametrize("end", [skip, release, submit])
def test_a_heartbeat_of_a_page_left_open_changes_nothing_that_has_ended(database, end):
    held = claim(database, make(database, items=1).members[0])
    end(database, held, now=NOW + 5)
    before = stored(database, Assignment, held.id)
    after = beat(database, held, now=NOW + 99, active_ms=99_000)
    assert (after.state, after.active_ms, after.expires_at) == (before.state, 0, before.expires_at)
    require_sound(database)


def test_calibration_and_gold_are_taken_up_again_too(database):
    made = make(database, calibration=1, items=1, members=2)
    held = claim(database, made.members[0])
    claim(database, made.members[1], now=NOW + LEASE + 1)
    assert stored(database, Assignment, held.id).state == "expired"
    assert beat(database, held, now=NOW + LEASE + 2).state == "leased"
    require_sound(database)


def test_a_draft_is_kept_and_an_older_page_does_not_overwrite_it(database):
    held = claim(database, make(database, items=1).members[0])
    draft, is_mine = do(database, submission.save_draft, held, payload={"a": 1}, rev=0)
    assert (draft.rev, is_mine) == (1, True)
    draft, is_mine = do(database, submission.save_draft, held, payload={"a": 2}, rev=1)
    assert (draft.rev, is_mine) == (2, True)
    draft, is_mine = do(database, submission.save_draft, held, payload={"stale": 1}, rev=1)
    assert (draft.rev, draft.payload, is_mine) == (2, {"a": 2}, False)
    # The same once more, because the answer got lost: it is this page's.
    draft, is_mine = do(database, submission.save_draft, held, payload={"a": 2}, rev=1)
    assert (draft.rev, is_mine) == (2, True)
    submit(database, held)
    assert count_of(database, Draft) == 0
    with pytest.raises(Refused, match="submitted"):
        do(database, submission.save_draft, held, payload={"a": 3}, rev=2)
    assert count_of(database, Draft) == 0
    assert do(database, submission.save_draft, held, payload={"change": 1}, rev=0)[
        1
    ]  # a change has a draft of its own


def test_submitting_twice_under_a_key_stores_it_once(database):
    held = claim(database, make(database, items=2).members[0])
    first = submit(database, held, key="the-same-key")
    again = submit(database, held, key="the-same-key", now=NOW + 60)
    assert (first.again, again.again) == (False, True)
    assert again.judgement.id == first.judgement.id
    assert count_of(database, Judgement) == 1
    with pytest.raises(Refused) as refused:
        submit(database, held, key="another-key")
    assert refused.value.code == "already_judged"
    other = claim(database, held.member_id)
    with pytest.raises(Invalid, match="another item"):
        submit(database, other, key="the-same-key")
    require_sound(database)


ANOTHER = (
    {"groups": [["B"], ["A"]]},
    {"groups": [["A", "B"]]},
    {"all_bad": True},
    {"groups": [], "not_rankable": True},
    {"untouched": True},
    {"rationale": "because"},
    {"active_ms": 1001},
    {"guideline_version": 1},
    {"client": {"width": 2}},
    {"attributes": {"x": {"A": 1}}},
    {"groups": [["A"], ["Z"]]},
)


def test_a_key_that_comes_with_another_judgement_is_refused(database):
    """Whatever it differs in: one of the two would be dropped without a word."""
    held = claim(database, make(database, items=1).members[0])
    said = {"groups": [["A"], ["B"]], "active_ms": 1000, "client": {"width": 1, "touch": False}}
    late = {"now": NOW + 9, "key": "the-same-key"}
    first = submit(database, held, verdict=JudgementForm(**said), **late)
    for other in ANOTHER:
        for action in (submission.submit, submission.revise):
            with pytest.raises(Invalid, match="another judgement") as refused:
                submit(database, held, verdict=JudgementForm(**said | other), action=action, **late)
            assert (refused.value.status, refused.value.code) == (422, "key_used")
    assert count_of(database, Judgement) == 1
    again = submit(database, held, verdict=JudgementForm(**said), key="the-same-key", now=NOW + 99)
    assert again.again and again.judgement.id == first.judgement.id


def test_time_that_was_cut_to_what_is_possible_is_the_same_when_it_comes_again(database):
    held = claim(database, make(database, items=1).members[0])
    long = verdict_on(held, active_ms=10**8, rationale="  spaces around  ")
    assert submit(database, held, verdict=long, key="the-same-key", now=NOW + 5).judgement.active_ms == 5000
    assert submit(database, held, verdict=long, key="the-same-key", now=NOW + 60).again
    tie = JudgementForm(groups=[["A", "B"]])
    revised = submit(database, held, verdict=tie, key="another-key", action=submission.revise, now=NOW + 61)
    assert revised.judgement.revision == 2
    # What was said first is known by its key, also after it was changed.
    assert submit(database, held, verdict=long, key="the-same-key", now=NOW + 62).judgement.revision == 1


def test_keys_of_different_people_do_not_meet(database):
    made = make(database, items=2, members=2)
    one, two = (claim(database, m) for m in made.members)
    assert not submit(database, one, key="the-same-key").again
    assert not submit(database, two, key="the-same-key").again
    assert count_of(database, Judgement) == 2


def test_late_work_counts_where_there_is_room(database):
    made = make(database, items=1, members=2)
    held = expired(database, made)
    receipt = submit(database, held, now=NOW + LEASE + 50)
    assert (receipt.assignment.counted, receipt.assignment.surplus) == (True, False)
    require_sound(database)


def test_late_work_is_surplus_where_there_is_none(database):
    made = make(database, items=1, members=2)
    receipt = submit(database, filled(database, made), now=NOW + LEASE + 50)
    assert (receipt.assignment.counted, receipt.assignment.surplus) == (False, True)
    assert stored(database, Item, receipt.assignment.item_id).taken == 1
    assert count_of(database, Judgement) == 2
    require_sound(database)


@pytest.mark.parametrize("end", [skip, release])
def test_what_was_given_back_may_still_be_judged(database, end):
    held = claim(database, make(database, items=1).members[0])
    end(database, held)
    assert submit(database, held).assignment.counted
    require_sound(database)


def test_a_retired_item_that_is_on_the_screen_may_be_judged(database):
    held = claim(database, make(database, items=1).members[0])
    change(database, Item, held.item_id, state="retired")
    assert submit(database, held).assignment.surplus is False
    require_sound(database)


def test_a_change_is_a_new_revision_for_a_while(database):
    made = make(database, items=1, edit_minutes=60)
    held = claim(database, made.members[0])
    with pytest.raises(Refused, match="no longer"):
        submit(database, held, action=submission.revise)  # there is nothing to change yet
    submit(database, held, key="first-key", verdict=JudgementForm(groups=[["A"], ["B"]]))
    tie = JudgementForm(groups=[["A", "B"]])
    changed = submit(database, held, action=submission.revise, key="second-key", verdict=tie, now=NOW + 3600)
    assert (changed.judgement.revision, changed.judgement.groups) == (2, [[0, 1]])
    again = submit(database, held, action=submission.revise, key="second-key", verdict=tie, now=NOW + 9999)
    assert (again.again, again.judgement.revision) == (True, 2)
    with pytest.raises(Refused, match="no longer"):
        submit(database, held, action=submission.revise, now=NOW + 3601)
    assert [j.revision for j in all_of(database, Judgement)] == [1, 2]
    assert database.read(submission.latest, held.id).revision == 2
    require_sound(database)


def test_calibration_answers_once_and_shows_what_is_right(database):
    made = make(database, calibration=1, answers=3)
    held = claim(database, made.members[0])
    letters = "ABC"
    right = [[letters[held.order.index(i)]] for i in range(3)]
    receipt = submit(database, held, verdict=JudgementForm(groups=right), key="calibrated")
    assert receipt.feedback == {"agreement": 1.0, "accepted": [right], "rationale": ""}
    again = submit(database, held, verdict=JudgementForm(groups=right), key="calibrated")
    assert again.feedback == receipt.feedback
    with pytest.raises(Refused, match="no longer"):
        submit(database, held, action=submission.revise)


def test_gold_shows_nothing(database):
    made = make(database, gold=5, items=20, gold_share=0.5)
    purposes = set()
    while len(purposes) < 2:
        a = claim(database, made.members[0])
        purposes.add(a.purpose)
        assert submit(database, a).feedback is None
    assert purposes == {"gold", "work"}


def test_an_incomplete_judgement_changes_nothing(database):
    made = make(database, items=1)
    held = claim(database, made.members[0])
    with pytest.raises(Invalid) as refused:
        submit(database, held, verdict=JudgementForm(groups=[["A"]], confidence=3))
    assert [p.field for p in refused.value.problems] == ["groups", "confidence"]
    with pytest.raises(Invalid, match="guidelines"):
        submit(database, held, verdict=verdict_on(held, guideline_version=1))
    assert stored(database, Assignment, held.id).state == "leased"
    assert count_of(database, Judgement) == 0


def test_the_judgement_holds_what_was_said_by_position(database):
    made = make(database, items=1, answers=3, attributes=["helpful"], confidence=True)
    held = claim(database, made.members[0])
    verdict = JudgementForm(
        groups=[["B"], ["C", "A"]],
        confidence=4,
        rationale=" because\x00 ",
        attributes={"helpful": {"A": 5, "B": 1}},
        active_ms=10**9,
        client={"width": 800},
    )
    submit(database, held, verdict=verdict, now=NOW + 30)
    [found] = all_of(database, Judgement)
    a, b, c = held.order
    assert found.groups == [[b], sorted([a, c])]
    assert found.attributes == {"helpful": {str(a): 5, str(b): 1}}
    assert (found.confidence, found.rationale, found.client) == (4, "because", {"width": 800})
    assert (found.active_ms, found.wall_ms, found.created) == (30_000, 30_000, NOW + 30)


def test_skipping_needs_a_known_reason_and_counts_once(database):
    made = make(database, items=1)
    held = claim(database, made.members[0])
    with pytest.raises(Invalid, match="reasons are"):
        skip(database, held, reason="bored")
    skip(database, held)
    skip(database, held)
    assert count_of(database, Skip) == 1
    assert stored(database, Item, held.item_id).taken == 0
    submit(database, held)
    with pytest.raises(Refused, match="judged"):
        skip(database, held)
    require_sound(database)


def test_stop_showing_lowers_the_level(database):
    made = make(database, more=[new_item("hard", sensitivity=2), new_item("harder", sensitivity=3)])
    change(database, Member, made.members[0], max_sensitivity=3)
    levels, shown = [], 0
    while getattr(held := claim(database, made.members[0]), "state", "") == "leased":
        level = stored(database, Item, held.item_id).sensitivity
        levels.append(do(database, submission.stop_showing, held))
        assert levels[-1] == level - 1
        assert do(database, submission.stop_showing, held) == levels[-1]  # pressed twice
        shown += 1
    assert stored(database, Member, made.members[0]).max_sensitivity == levels[-1] == 1
    assert count_of(database, Skip, Skip.reason == "sensitive") == shown
    require_sound(database)


def test_stop_showing_a_harmless_item_only_skips_it(database):
    held = claim(database, make(database, items=1).members[0])
    assert do(database, submission.stop_showing, held) == 0
    assert stored(database, Assignment, held.id).state == "skipped"


def test_revealing_is_noted_once(database):
    held = claim(database, make(database, items=1).members[0])
    assert do(database, submission.reveal, held, now=NOW + 1).revealed_at == NOW + 1
    assert do(database, submission.reveal, held, now=NOW + 2).revealed_at == NOW + 1


def test_nobody_reaches_what_is_someone_elses(database):
    made = make(database, items=2, members=2)
    held = claim(database, made.members[0])
    held.member_id = made.members[1]
    for action in (beat, skip, release, submit):
        with pytest.raises(NotFound):
            action(database, held)
    with pytest.raises(NotFound):
        do(database, submission.save_draft, held, payload={}, rev=0)
    set_project(database, made, state="open")
    require_sound(database)
