"""A draw's probability is the one by which it was made."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import pytest
from making import change, claim, make, new_item, submit
from sqlalchemy import select

from plaudit.feedback.store import item_sampling
from plaudit.feedback.store.claiming import eligible
from plaudit.feedback.store.schema import Item, Member


class Chosen:
    """Random numbers, as told."""

    def __init__(self, start, pick):
        self.numbers = [start, pick]

    def randrange(self, end):
        number = self.numbers.pop(0)
        assert 0 <= number < end
        return number


def exact(lots, window):
    """Of each lot its probability, from the definition: the windows from all starts, each start alike."""
    found = defaultdict(Fraction)
    for i, lot in enumerate(lots):
        # From everywhere behind the lot before, up to this one, the window begins with this one.
        starts = (lot - lots[i - 1]) % item_sampling.RING or item_sampling.RING
        members = [lots[(i + k) % len(lots)] for k in range(min(window, len(lots)))]
        for member in members:
            found[member] += Fraction(starts, item_sampling.RING * len(members))
    assert sum(found.values()) == 1
    return found


@pytest.mark.parametrize("count", [1, 3, 4, 5, 7, 8, 9, 13])
def test_probabilities_are_those_of_the_definition(database, monkeypatch, count):
    monkeypatch.setattr(item_sampling, "WINDOW", 4)
    made = make(database, items=count)

    def work(session):
        query = eligible(made.project, session.get_one(Member, made.members[0]), "work")
        lots = dict(session.execute(select(Item.id, Item.lot)).all())
        ring = sorted(lots.values())
        right = exact(ring, 4)
        seen = set()
        for start in {*ring, *(lot + 1 for lot in ring), 0, item_sampling.RING - 1}:
            for pick in range(min(4, count)):
                drawn = item_sampling.draw(session, query, Chosen(start, pick))
                assert drawn.probability == pytest.approx(float(right[lots[drawn.item_id]]), rel=1e-12)
                seen.add(drawn.item_id)
                # The window is what comes next on the ring.
                after = sorted(ring, key=lambda lot: (lot - start) % item_sampling.RING)
                assert lots[drawn.item_id] in after[: min(4, count)]
        assert len(seen) == count

    database.read(work)


def test_what_may_not_be_given_takes_no_part(database, monkeypatch):
    monkeypatch.setattr(item_sampling, "WINDOW", 4)
    made = make(database, items=12, more=[new_item("hard", sensitivity=2)], overlap=2, members=2)
    mine = claim(database, made.members[0])
    submit(database, mine)
    retired, full, *rest = database.read(
        lambda s: list(s.scalars(select(Item.id).where(Item.id != mine.item_id, Item.sensitivity == 0)))
    )
    change(database, Item, retired, state="retired")
    change(database, Item, full, taken=2)

    def work(session):
        query = eligible(made.project, session.get_one(Member, made.members[0]), "work")
        lots = dict(session.execute(select(Item.id, Item.lot).where(Item.id.in_(rest))).all())
        right = exact(sorted(lots.values()), 4)
        found = {}
        for start in lots.values():
            for pick in range(4):
                drawn = item_sampling.draw(session, query, Chosen(start, pick))
                found[drawn.item_id] = drawn.probability
        assert {lots[i]: p for i, p in found.items()} == pytest.approx(
            {k: float(p) for k, p in right.items()}
        )

    database.read(work)


def test_few_items_are_drawn_alike(database):
    made = make(database, items=item_sampling.WINDOW - 1)

    def work(session):
        query = eligible(made.project, session.get_one(Member, made.members[0]), "work")
        for start in (0, item_sampling.RING // 3, item_sampling.RING - 1):
            drawn = item_sampling.draw(session, query, Chosen(start, item_sampling.WINDOW - 2))
            assert drawn.probability == 1 / (item_sampling.WINDOW - 1)

    database.read(work)


def test_nothing_to_draw(database):
    made = make(database)

    def work(session):
        query = eligible(made.project, session.get_one(Member, made.members[0]), "work")
        return item_sampling.draw(session, query, Chosen(5, 0))

    assert database.read(work) is None


def test_many_items_are_drawn_nearly_alike(database):
    """With 1,000 items each one's probability is within a factor of its share that 128 neighbours leave to chance."""
    made = make(database, items=1000)
    lots = sorted(
        database.read(lambda s: list(s.scalars(select(Item.lot).where(Item.project_id == made.project))))
    )
    shares = [1000 * float(p) for p in exact(lots, item_sampling.WINDOW).values()]
    assert min(shares) > 0.6 and max(shares) < 1.5
