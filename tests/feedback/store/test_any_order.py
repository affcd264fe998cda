"""Whatever labelers do, in whatever order and however late: what must always hold, holds."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from making import NOW, all_of, beat, change, claim, do, make, release, require_sound, skip, submit

from plaudit.feedback.store import submission
from plaudit.feedback.store.claiming import Nothing
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.errors import Refused
from plaudit.feedback.store.leases import expire
from plaudit.feedback.store.projects import change_settings
from plaudit.feedback.store.schema import Assignment, Item, Judgement, Project

LEASE = 60
members = st.integers(0, 2)
which = st.integers(0, 5)  # of the assignments that the member was given, the last ones first


def stop(database, a, *, now):
    return do(database, submission.stop_showing, a, now=now)


def draft(database, a, *, now):
    return do(database, submission.save_draft, a, payload={"t": now}, rev=0, now=now)


def revise(database, a, *, now):
    return submit(database, a, action=submission.revise, now=now)


MOVES = (revise, skip, stop, release, beat, draft)


class Labeling(RuleBasedStateMachine):
    fresh = None
    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self):
        super().__init__()
        self.database, self.drop = type(self).fresh()
        self.made = make(
            self.database,
            items=9,
            gold=2,
            calibration=1,
            members=3,
            overlap=2,
            gold_share=0.25,
            repeat_share=0.25,
            repeat_after=1,
            lease_seconds=LEASE,
        )
        self.now, self.keys, self.rng = NOW, {}, random.Random(len(self.seen))
        self.said: dict[str, tuple] = {}

    def teardown(self):
        for a in all_of(self.database, Assignment):
            self.seen[a.state] += 1
            self.seen[a.purpose] += 1
            self.seen["surplus"] += a.surplus
        self.seen["revised"] += sum(j.revision > 1 for j in all_of(self.database, Judgement))
        self.drop()

    def given(self, member, *where):
        return all_of(self.database, Assignment, Assignment.member_id == self.made.members[member], *where)

    def submit(self, a, key):
        """Whether it was taken; where it was not, it had been before."""
        known = key == self.keys.get(a.id)
        try:
            receipt = submit(self.database, a, key=key, now=self.now)
        except Refused:
            assert a.state == "submitted" and not known
            return
        assert receipt.again == known
        self.keys[a.id] = key

    @rule(member=members)
    def claims(self, member):
        self.claim(member)

    def claim(self, member):
        held = self.given(member, Assignment.state == "leased")
        try:
            got = claim(self.database, self.made.members[member], now=self.now, rng=self.rng)
        except Refused:
            assert not held
            return None
        if isinstance(got, Nothing):
            assert not held
            return None
        assert got.state == "leased" and got.expires_at == self.now + LEASE
        assert not held or held[0].id == got.id
        return got

    @rule(member=members, count=st.integers(1, 2))
    def works(self, member, count):
        for _ in range(count):
            self.now += 5
            if (a := self.claim(member)) is not None:
                self.submit(a, f"key-{a.id}")

    @rule(member=members, other=members, then=st.sampled_from([None, beat, "submit"]))
    def is_late(self, member, other, then):
        """A lease runs out, someone else works on, and then the page wakes up."""
        a = self.claim(member)
        self.now += LEASE + 1
        if other != member:
            self.works(other, 3)
        if a is None or then is None:
            return
        [a] = self.given(member, Assignment.id == a.id)
        if then == "submit":
            self.submit(a, f"key-{a.id}")
        else:
            beat(self.database, a, now=self.now)

    @rule(member=members, number=which, move=st.sampled_from(MOVES))
    def moves(self, member, number, move):
        mine = self.given(member)
        if not mine:
            return
        a = mine[-1 - number % len(mine)]
        try:
            move(self.database, a, now=self.now)
        except Refused:
            # Only what has been judged, or may not be changed, is refused.
            assert a.state == "submitted" or move is revise
            return
        [after] = self.given(member, Assignment.id == a.id)
        if a.state == "submitted":
            assert (after.state, after.closed_at) == (a.state, a.closed_at)
        elif move is beat and a.state in ("skipped", "released"):
            assert after.state == a.state

    @rule(seed=st.integers(0, 2**32))
    def all_are_busy(self, seed):
        """Some moves of everyone at random: few steps of Hypothesis's own bring a project far."""
        rng = random.Random(seed)
        for _ in range(6):
            self.now += rng.choice([1, 5, 20, LEASE + 1])
            member, number = rng.randrange(3), rng.randrange(4)
            self.claim(member)
            self.moves(member, number, rng.choice(MOVES))
            if rng.random() < 0.6:
                self.submits(rng.randrange(3), number, False)

    @rule(member=members, number=which, same_key=st.booleans())
    def submits(self, member, number, same_key):
        mine = self.given(member)
        if mine:
            a = mine[-1 - number % len(mine)]
            self.submit(
                a, self.keys.get(a.id, f"new-{a.id}") if same_key else f"key-{a.id}-{self.now}-{len(mine)}"
            )

    @rule(seconds=st.sampled_from([1, LEASE + 1, 3600, -30]))
    def time_passes(self, seconds):
        self.now += seconds
        self.database.write(expire, self.made.project, self.now)

    @rule(state=st.sampled_from(["open", "open", "open", "paused", "closed"]), overlap=st.integers(1, 3))
    def the_owner_changes_the_rules(self, state, overlap):
        change(self.database, Project, self.made.project, state=state)
        self.database.write(
            lambda s: change_settings(s, s.get_one(Project, self.made.project), {"overlap": overlap})
        )

    @rule(number=st.integers(0, 8), state=st.sampled_from(["open", "open", "retired"]))
    def an_item_is_retired_or_taken_back(self, number, state):
        items = all_of(self.database, Item, Item.purpose == "work")
        change(self.database, Item, items[number].id, state=state)

    @invariant()
    def all_is_sound(self):
        require_sound(self.database)

    @invariant()
    def what_was_said_stays_said(self):
        found = {
            j.id: (j.assignment_id, j.revision, str(j.groups), j.created)
            for j in all_of(self.database, Judgement)
        }
        assert self.said.items() <= found.items()
        self.said = found


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_any_order_of_moves(kind, request, tmp_path):
    if kind == "sqlite":
        migrated = request.getfixturevalue("migrated_sqlite")

        def fresh():
            path = tmp_path / "any.db"
            shutil.copy(migrated, path)
            database = Database(f"sqlite:///{path}")
            return database, lambda: (database.close(), path.unlink())

    else:
        server = request.getfixturevalue("postgresql")
        migrated = request.getfixturevalue("migrated_postgresql")

        def fresh():
            database = Database(server.url(migrated))
            return database, lambda: (database.close(), server.wipe(migrated))

    Labeling.fresh, Labeling.seen = staticmethod(fresh), Counter()
    run_state_machine_as_test(
        Labeling,
        settings=settings(
            max_examples=6 if kind == "sqlite" else 4,
            stateful_step_count=20,
            phases=[Phase.generate],  # shrinking a failure takes minutes, and its steps are few and in words
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # All of it came up: otherwise this would be a test of something else.
    rare = {"surplus", "revised", "repeat", "gold"}
    usual = {"leased", "submitted", "skipped", "expired", "released", "work", "calibration"}
    assert {name for name, count in Labeling.seen.items() if count} >= rare | usual, Labeling.seen
