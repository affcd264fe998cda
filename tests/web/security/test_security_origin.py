"""Changes come from the site's own pages only: tokens, origins, hosts, content types; GET changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from web.security.site import HERE, Site, Snapshot
from web.security.world import TABLE, World, expected, routes

UNSAFE = [r for r in TABLE if not r.startswith("GET ")]
BY_COOKIE = [r for r in UNSAFE if TABLE[r].kind != "public"]
# What a browser says of a request that another site's page makes it send.
FOREIGN: dict[str, dict[str, Any]] = {
    "another site": {"origin": "https://evil.example"},
    "a sandboxed frame": {"origin": "null"},
    "another port": {"origin": "http://127.0.0.1:9999"},
    "another name of this machine": {"origin": "http://localhost:8642"},
    "TLS that this server does not speak": {"origin": "https://127.0.0.1:8642"},
    "this name within another": {"origin": "http://127.0.0.1:8642.evil.example"},
    "this name as a user": {"origin": "http://127.0.0.1:8642@evil.example"},
    "no address": {"origin": "http://["},
    "nothing": {"origin": ""},
    "cross-site, without an origin": {"origin": None, "sec-fetch-site": "cross-site"},
    "another port, without an origin": {"origin": None, "sec-fetch-site": "same-site"},
    "an address bar": {"origin": None, "sec-fetch-site": "none"},
    "cross-site, with our origin": {"sec-fetch-site": "cross-site"},
}


def test_no_change_without_the_pages_token(world: World) -> None:
    other = world.site.server.people.csrf(world.visitors["labeler"].cookie)
    for route in BY_COOKIE:
        for token in (None, "", "x", other, world.visitors["owner"].csrf[:-1], "ü".encode("latin-1")):
            world.snapshot.restore()
            got = world.ask(route, "owner", headers={"x-csrf-token": token})
            assert (got.status_code, got.json()["error"]["code"]) == (403, "csrf"), route
            assert not world.snapshot.is_changed(), route


@pytest.mark.parametrize("how", FOREIGN)
def test_no_change_from_elsewhere(world: World, how: str) -> None:
    """Whoever asks and whatever they bring: the token of the page, or an API token that a page has stolen."""
    for route in UNSAFE:
        for who in ("owner", "nobody", "owner:manage"):
            got = world.ask(route, who, headers=FOREIGN[how])
            assert (got.status_code, got.json()["error"]["code"]) == (403, "cross_origin"), (route, who)
    assert not world.snapshot.is_changed()


def test_a_program_needs_no_origin(world: World) -> None:
    """The other side: what is no browser sends none, and may do what its token may."""
    got = world.ask("POST /api/projects/{project}/state", "owner:manage")
    assert got.status_code == 204
    assert "origin" not in got.request.headers


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", "[::1", "", "evil.example@127.0.0.1", "127.0.0.1/x",
     "0.0.0.0:8642", "localhost.evil.example", "127.0.0.1:8642\\@evil.example", "192.168.0.7:8642"],
)  # fmt: skip
def test_a_name_that_somebody_points_here_is_refused(world: World, host: str) -> None:
    """DNS rebinding: the page of evil.example, whose address has become ours, reads nothing and changes nothing."""
    for route in TABLE:
        got = world.ask(route, "owner", headers={"host": host, "origin": f"http://{host}"})
        assert got.status_code == 421, route
    assert not world.snapshot.is_changed()


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8642", "localhost:8642", "[::1]:8642", "127.0.0.2:1", "LOCALHOST"]
)
def test_the_loopbacks_own_names_are_known(site: Site, host: str) -> None:
    assert site.nobody.get("/sign-in", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", None,
     "text/plain; application/json", "application/json5", "application/jsonx", "text/json",
     "application/x-www-form-urlencoded, application/json"],
)  # fmt: skip
def test_json_in_disguise_is_refused(world: World, kind: str | None) -> None:
    """A form, or text/plain that holds JSON, can be sent by any page without asking first."""
    with_body = [r for r in UNSAFE if TABLE[r].body is not None]
    for route in with_body:
        headers = {"content-type": kind} if kind is not None else {"content-type": None}
        method, path = route.split(" ")
        content = b'{"token": "x", "name": "x", "password": "x"}'
        path = path.format(**world.ids["owner"])
        got = world.visitors["owner"].ask(method, path, content=content, headers=headers)
        assert (got.status_code, got.json()["error"]["code"]) == (415, "not_json"), route
    assert len(with_body) > 15
    assert not world.snapshot.is_changed()


def test_the_content_type_may_name_its_letters(site: Site) -> None:
    body = {"name": "nobody", "password": "wrong"}
    got = site.nobody.post("/api/sign-in", body, headers={"content-type": "application/json; charset=utf-8"})
    assert got.status_code == 401


def test_reading_changes_nothing(world: World) -> None:
    """Every GET, by everyone whom it serves, but what is on record for good reason.

    Who looked at an item is never given it to judge; who took the judgements away leaves a line in the log.
    """
    gets = [r for r in TABLE if r.startswith("GET ")]
    looks = [r for r in gets if r.endswith("/items/{item}")]
    assert len(looks) == 2
    for who in ("nobody", "stranger", "labeler", "reviewer", "owner"):
        for route in gets:
            if route.endswith("export.jsonl") and expected(route, who) == 200:
                continue
            before = world.site.rows(but=("viewings",)) if route in looks else None
            world.ask(route, who)
            if before is None or expected(route, who) != 200:
                assert not world.snapshot.is_changed(), (route, who)
            else:
                assert world.site.rows(but=("viewings",)) == before, (route, who)
                assert len(world.site.rows()["viewings"]) == 1, (route, who)
                world.snapshot.restore()
    left = ("audit", "viewings")
    before = world.site.rows(but=left)
    log = len(world.site.rows()["audit"])
    assert world.ask("GET /api/projects/{project}/export.jsonl", "owner").status_code == 200
    assert world.site.rows(but=left) == before
    assert len(world.site.rows()["audit"]) == log + 1


def test_other_methods_are_refused(world: World) -> None:
    """HEAD, OPTIONS and TRACE among them; no route answers to a method that its line does not name."""
    there = set(routes(world.site))
    for route in TABLE:
        path = route.split(" ")[1]
        for method in ("HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "POST"):
            if f"{method} {path}" in there or (method == "HEAD" and path == "/api/openapi.json"):
                continue
            address = path.replace("{name:path}", "{name}").format(**world.ids["owner"])
            assert world.visitors["owner"].ask(method, address).status_code == 405, (method, path)
    assert not world.snapshot.is_changed()


def test_a_stamp_is_the_only_trace_of_a_visit(site: Site, file: Any) -> None:
    """The stamp of who was seen is written every few minutes, not at every request."""
    site.project("demo")
    site.member("demo", "Olga", "owner")
    olga = site.browser("Olga")
    before = site.rows()
    site.now += 1000
    snapshot = Snapshot(file)
    olga.get("/api/me")
    assert snapshot.is_changed()
    assert site.rows() == before
    again = Snapshot(file)
    site.now += 100
    olga.get("/api/me")
    assert not again.is_changed()


def test_our_own_origin_counts_under_a_name_too(site: Site) -> None:
    assert site.origin == HERE
    got = site.nobody.post(
        "/api/links/look",
        {"token": "x"},
        headers={"host": "localhost:8642", "origin": "http://localhost:8642"},
    )
    assert got.status_code == 404
