"""Every route against every kind of visitor, from one table; other projects' ids; the guard declared once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from web.security.site import Site
from web.security.world import GUARDS, KINDS, TABLE, VISITORS, WITH_IDS, World, expected, routes

from plaudit.web.access import Access


def test_every_route_is_in_the_table(site: Site) -> None:
    there = set(routes(site))
    assert there == set(TABLE), (
        "give every new route a line in TABLE, which says who may use it",
        sorted(there ^ set(TABLE)),
    )


def test_every_route_declares_the_guard_once_and_as_the_table_says(site: Site) -> None:
    for name, route in routes(site).items():
        kind = TABLE[name].kind
        dependant = getattr(route, "dependant", None)
        guards = [d.call for d in flat(dependant) if isinstance(d.call, Access)] if dependant else []
        if kind in ("public", "docs"):
            assert not guards, name
        else:
            assert [(g.role, g.scope) for g in guards] == [GUARDS[kind]], name


def flat(dependant: Any) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner
        yield from flat(inner)


def test_the_table_speaks_of_every_visitor() -> None:
    assert {len(row.split()) for row in KINDS.values()} == {len(VISITORS)}


@pytest.mark.parametrize("who", VISITORS)
def test_who_may_do_what(world: World, who: str) -> None:
    wrong = []
    for route in TABLE:
        world.prepare(route, who)
        refused = expected(route, who) >= 400
        got = world.ask(route, who)
        if got.status_code != expected(route, who):
            wrong.append((route, got.status_code, expected(route, who), got.text[:200]))
        elif refused and world.snapshot.is_changed():
            wrong.append((route, "refused, but something changed"))
        elif got.status_code == 303 and who in ("nobody", "closed"):
            assert got.headers["location"].startswith("/sign-in?next=")
    assert not wrong


def test_ids_of_another_project_are_not_found(world: World) -> None:
    """The owner of one project, whose role is enough for anything, finds nothing of another project's."""
    wrong = []
    for route, name in WITH_IDS:
        world.snapshot.restore()
        got = world.ask(route, "owner", other=(name,))
        if got.status_code != 404 or world.snapshot.is_changed():
            wrong.append((route, name, got.status_code, got.text[:200]))
    assert len(WITH_IDS) > 40
    assert not wrong


def test_an_id_that_is_nobodys_looks_like_one_that_is_somebody_elses(world: World) -> None:
    """Nothing tells a stranger which projects and items there are."""
    for route, name in WITH_IDS:
        elsewhere = world.ask(route, "owner", other=(name,))
        real = world.other[name]
        world.other[name] = "none" if name == "project" else "01ZZZZZZZZZZZZZZZZZZZZZZZZ"
        nowhere = world.ask(route, "owner", other=(name,))
        world.other[name] = real
        assert (elsewhere.status_code, elsewhere.text) == (nowhere.status_code, nowhere.text), route


def test_a_colleagues_assignment_is_not_found(world: World) -> None:
    """In the same project, and for the owner too: what is on somebody's screen is theirs alone."""
    for route, name in WITH_IDS:
        if name == "assignment":
            world.snapshot.restore()
            world.ids["owner"]["assignment"] = world.tasks["labeler"]["assignment"]
            assert world.ask(route, "owner").status_code == 404, route
