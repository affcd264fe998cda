"""Sample one item at random, with its exact probability, at a cost independent of the number of items.

Every item has a lot, a random place on a ring. A draw starts at a random place, takes the next ``WINDOW`` items
that may be given, and picks one of those, each alike. An item can be picked from every start between the ``WINDOW``-th
such item before it and itself; so its probability is that stretch's share of the ring, divided by ``WINDOW``.
It is near 1 / n for all n items (within a tenth, as a rule), and 1 / n itself where n ≤ ``WINDOW``.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from sqlalchemy import Select, literal, select, union_all
from sqlalchemy.orm import Session

from plaudit.feedback.store.schema import Item

WINDOW = 128
RING = 2**60


class Drawn(NamedTuple):
    item_id: str
    probability: float


class _Place(NamedTuple):
    lot: int
    item_id: str


def lot_of(key: str) -> int:
    """The place of the item with that key, a hash in hexadecimal."""
    return int(key[:15], 16)


def draw(session: Session, items: Select[str], rng: random.Random) -> Drawn | None:
    """One of the items, and the probability that it would be this one; None where there are none."""
    start = rng.randrange(RING)
    # One statement sees one state of the items, whatever others write meanwhile.
    legs = _legs(session, items, start, ("after", "before"))
    after, before = legs["after"], legs["before"]
    if (len(after) < WINDOW) != (len(before) < WINDOW):
        # The seam of the ring lies within reach: go on from its other end.
        legs = _legs(session, items, start, ("after", "before", "lowest", "highest"))
        after = (legs["after"] + legs["lowest"])[:WINDOW]
        before = (legs["before"] + legs["highest"])[:WINDOW]
    elif len(after) < WINDOW:
        # These are all there are, each once.
        after, before = (after + before[::-1])[:WINDOW], (before + after[::-1])[:WINDOW]
    if not after:
        return None
    i = rng.randrange(len(after))
    if len(after) < WINDOW:
        return Drawn(after[i].item_id, 1 / len(after))
    stretch = (after[i].lot - before[WINDOW - 1 - i].lot) % RING or RING
    return Drawn(after[i].item_id, stretch / RING / WINDOW)


def _legs(
    session: Session, items: Select[str], start: int, names: tuple[str, ...]
) -> dict[str, list[_Place]]:
    """Up to ``WINDOW`` items in each direction from ``start``, and from the seam of the ring, nearest first."""
    forward, backward = (Item.lot,), (Item.lot.desc(),)
    ways: dict[str, tuple[Any, Any]] = {
        "after": (Item.lot >= start, forward),
        "before": (Item.lot < start, backward),
        "lowest": (Item.lot < start, forward),
        "highest": (Item.lot >= start, backward),
    }
    parts = [
        items.with_only_columns(literal(name).label("leg"), Item.lot, Item.id)
        .where(ways[name][0])
        .order_by(*ways[name][1])
        .limit(WINDOW)
        .subquery(name)
        for name in names
    ]
    found: dict[str, list[_Place]] = {name: [] for name in names}
    for leg, lot, item_id in session.execute(union_all(*(select(part) for part in parts))):
        found[leg].append(_Place(lot, item_id))
    # A union need not keep its parts' order.
    return {name: sorted(places, reverse=ways[name][1] is backward) for name, places in found.items()}
