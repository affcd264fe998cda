"""What every answer tells the browser, whatever it is an answer to; cookies; caches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from web.security.site import Site, serving
from web.security.world import TABLE, World

from plaudit.feedback.store.database import Database
from plaudit.web import assets, pages

POLICY = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:",
    "font-src": "'self'", "connect-src": "'self'", "manifest-src": "'self'", "form-action": "'self'",
    "base-uri": "'none'", "frame-ancestors": "'none'", "require-trusted-types-for": "'script'",
    "trusted-types": "plaudit",
}  # fmt: skip
ALWAYS = {
    "x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
}  # fmt: skip


def check(answer: Any) -> None:
    headers = answer.headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy == POLICY
    assert {name: headers.get(name) for name in ALWAYS} == ALWAYS
    assert "camera=()" in headers["permissions-policy"]
    assert "server" not in headers and "x-powered-by" not in headers
    assert not any(name.startswith("access-control-") for name in headers)
    assert headers.get_list("cache-control") in (["no-store"], [assets.FOREVER])


def test_on_every_route_for_everyone(world: World) -> None:
    statuses = set()
    for who in ("nobody", "labeler", "owner"):
        for route in TABLE:
            world.snapshot.restore()
            answer = world.ask(route, who)
            check(answer)
            assert answer.headers["cache-control"] == "no-store", route
            statuses.add(answer.status_code)
    assert {200, 201, 204, 303, 401, 403} <= statuses


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("GET", "/api/nothing", {}, 404),
        ("GET", "/static/now/../../secret.key", {}, 404),
        ("GET", "/static/now/%2e%2e%2fapp.py", {}, 404),
        ("DELETE", "/sign-in", {}, 405),
        ("GET", "/", {}, 303),
        ("GET", "/sign-in/", {}, 307),
        ("GET", "/sign-in", {"host": "evil.example"}, 421),
        ("GET", "/p/%00", {}, 400),
        ("POST", "/api/sign-in", {"origin": "null"}, 403),
        ("POST", "/api/sign-in", {"content-length": "999999999"}, 413),
        ("POST", "/api/sign-in", {"content-length": "5", "content-type": "text/plain"}, 415),
        ("POST", "/api/sign-in", {"content-length": "0"}, 422),
    ],
)
def test_on_every_error(site: Site, method: str, path: str, headers: dict[str, str], status: int) -> None:
    answer = site.nobody.ask(method, path, headers=headers)
    assert answer.status_code == status
    check(answer)


@pytest.mark.parametrize("path", ["/sign-in", "/api/links/look"])
def test_on_what_nobody_foresaw(site: Site, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the words of an error, which may hold anything")

    monkeypatch.setattr(pages, "page", fail)
    monkeypatch.setattr(type(site.server.people), "look_at_link", fail)
    answer = site.nobody.get(path) if path == "/sign-in" else site.nobody.post(path, {"token": "x"})
    assert answer.status_code == 500
    check(answer)
    assert "the words of an error" not in answer.text and "Traceback" not in answer.text


def test_only_hashed_assets_are_kept_by_caches(site: Site) -> None:
    for name in assets.files():
        answer = site.nobody.get(assets.address(name))
        check(answer)
        assert answer.headers["cache-control"] == assets.FOREVER
        assert site.nobody.get(f"/static/000000000000/{name}").headers["cache-control"] == "no-store"


def test_an_asset_says_what_it_is(site: Site) -> None:
    """A file served as HTML would be a page of this site."""
    for name in assets.files():
        kind = site.nobody.get(assets.address(name)).headers["content-type"].partition(";")[0]
        assert kind in {"text/javascript", "text/css", "image/svg+xml", "font/woff2", "image/png"}, name


def sign_in(site: Site) -> Any:
    token = site.link(user="Ann")
    return site.nobody.post("/api/links/enter", {"token": token})


def cookie_of(answer: Any) -> tuple[str, str, set[str]]:
    first, *rest = answer.headers["set-cookie"].split("; ")
    name, _, value = first.partition("=")
    return name, value, {r.lower() for r in rest}


def test_the_cookie_on_loopback(site: Site) -> None:
    name, value, rest = cookie_of(sign_in(site))
    assert name == "plaudit_8642"
    assert len(value) > 40
    assert {"httponly", "samesite=lax", "path=/"} <= rest
    assert not any(r.startswith("domain") for r in rest)
    # On http, browsers would drop a cookie that is for https only.
    assert "secure" not in rest


@pytest.fixture
def tls_site(file: Any) -> Iterator[Site]:
    database = Database(f"sqlite:///{file}")
    with serving(database, origin="https://label.example") as made:
        yield made
    database.close()


def test_the_cookie_behind_tls(tls_site: Site) -> None:
    answer = sign_in(tls_site)
    name, _, rest = cookie_of(answer)
    assert name == "__Host-plaudit"
    assert {"httponly", "samesite=lax", "path=/", "secure"} <= rest
    assert not any(r.startswith("domain") for r in rest)
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_with_an_origin_nothing_else_is_this_server(tls_site: Site) -> None:
    for host in ("127.0.0.1:8642", "localhost", "label.example.evil", "label.example:8642"):
        assert tls_site.nobody.get("/sign-in", headers={"host": host}).status_code == 421
    for origin in ("http://label.example", "https://label.example.evil", "https://x.label.example", "null"):
        answer = tls_site.nobody.post("/api/links/look", {"token": "x"}, headers={"origin": origin})
        assert answer.status_code == 403
    assert tls_site.nobody.post("/api/links/look", {"token": "x"}).status_code == 404


def test_signing_out_takes_the_cookie_away(tls_site: Site) -> None:
    """A cookie with __Host- in front can be removed only with the same attributes."""
    answer = tls_site.browser("Ann").post("/api/sign-out")
    name, value, rest = cookie_of(answer)
    assert (name, value.strip('"')) == ("__Host-plaudit", "")
    assert {"max-age=0", "path=/", "secure"} <= rest
