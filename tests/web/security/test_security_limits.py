"""Nothing that is sent makes the server fail, fill up, or forget how to answer; on both databases."""
# ruff: noqa: E501  (tables of attacks are read by their rows)

from __future__ import annotations

import json
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from web.security.site import NOW, Site, Visitor, judge, pair, verdict
from web.security.world import TABLE, World

from plaudit.feedback.sanitize import DEEPEST, mended, problem_of
from plaudit.web.request_body import MOST_BODY, MOST_OPEN, MOST_SMALL

ROOT = "/api/projects/demo"
JSON = {"content-type": "application/json"}
LONE, NUL = "\ud800", "a\x00b"
STRANGE_TEXTS = [
    LONE,
    NUL,
    "\udfff\ud800",
    "\x00",
    "\x1b[31m",
    "\u2028",
    "\U0010ffff",
    "\ufffe",
    "e\u0301" * 50,
    "x" * 100_000,
    "",
]
STRANGE_NUMBERS: list[Any] = [2**31, 2**63, 2**64, -(2**63) - 1, 10**30, -1, 1e308, 1.5, True]


def raw(visitor: Visitor, method: str, path: str, body: Any, **headers: str) -> Any:
    """A request whose body may hold what no honest client sends: json.dumps writes it as escapes, NaN and all."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return visitor.ask(method, path, content=content, headers=JSON | headers)


@pytest.fixture
def demo(each_site: Site) -> Site:
    site = each_site
    site.project("demo", edit_minutes=60)
    for name, role in (("Olga", "owner"), ("Lena", "labeler")):
        site.member("demo", name, role)
    site.guideline("demo", "# Be kind")
    site.items("demo", [pair(f"q{i}", f"one {i}", f"two {i}") for i in range(3)])
    return site


def spoilt(value: Any, bad: Any) -> list[Any]:
    """The value with each of its parts, and each of its keys, replaced in turn."""
    made = [bad]
    if isinstance(value, dict):
        for key, inner in value.items():
            made += [value | {key: other} for other in spoilt(inner, bad)]
        if isinstance(bad, str):
            made.append(value | {bad: 1})
    elif isinstance(value, list) and value:
        made += [[other, *value[1:]] for other in spoilt(value[0], bad)]
    return made


def test_strange_values_in_every_field_are_refused_or_kept_whole(demo: Site) -> None:
    """NUL, which PostgreSQL refuses; half characters, which no answer can carry; numbers that fit no column."""
    olga, lena = demo.browser("Olga"), demo.browser("Lena")
    task = lena.post(f"{ROOT}/claim").json()["task"]
    address = f"{ROOT}/assignments/{task['assignment']}"
    person = olga.get(f"{ROOT}/people").json()[1]["id"]
    item = olga.get(f"{ROOT}/items").json()["items"][0]["id"]
    full = verdict(
        task, rationale="why", confidence=3, attributes={"x": {"A": 1}}, client={"k": "v"}, untouched=False
    )
    row = {"prompt": "p", "responses": [{"text": "a", "model": "m", "finished": True}, "b"], "source": "s", "system": "y",
           "metadata": {"k": ["v", 1.0]}, "sensitivity": 1, "rationale": "r", "category": "c", "ranking": [0, 1]}  # fmt: skip
    bodies: list[tuple[Visitor, str, str, Any]] = [
        (demo.nobody, "POST", "/api/sign-in", {"name": "n", "password": "p"}),
        (demo.nobody, "POST", "/api/links/look", {"token": "t"}),
        (demo.nobody, "POST", "/api/links/join", {"token": "t", "name": "n", "password": "p"}),
        (lena, "POST", "/api/me/tokens", {"name": "n", "scopes": ["label"], "days": 3}),
        (lena, "PUT", f"{address}/draft", {"rev": 0, "payload": {"a": ["b", {"c": 1}]}}),
        (lena, "POST", f"{address}/heartbeat", {"active_ms": 1}),
        (lena, "POST", f"{address}/submit", full),
        (lena, "POST", f"{ROOT}/guidelines/seen", {"version": 1}),
        (olga, "POST", f"{ROOT}/guidelines", {"markdown": "m", "note": "n"}),
        (olga, "PATCH", f"{ROOT}/settings", {"help_text": "h", "overlap": 1, "attributes": [{"name": "x", "label": "y", "low": 1}]}),
        (olga, "PATCH", f"{ROOT}/people/{person}", {"role": "labeler", "disabled": False}),
        (olga, "POST", f"{ROOT}/invitations", {"role": "labeler", "max_uses": 2, "days": 2.0, "note": "n"}),
        (olga, "PATCH", f"{ROOT}/items/{item}", {"sensitivity": 1, "state": "open", "rationale": "r", "accepted": [[[0], [1]]]}),
        (olga, "POST", f"{ROOT}/items", {"items": [row], "purpose": "work", "source": "s"}),
        (olga, "POST", f"{ROOT}/my/sensitivity", {"level": 1}),
        (lena, "POST", f"{address}/skip", {"reason": "other", "note": "n"}),
    ]  # fmt: skip
    # What the one database refuses and what the other does; all of it is in the fuzz below.
    bads = [LONE, 2**63, float("nan")] if demo.database.is_sqlite else [LONE, NUL, 2**31, 10**30]
    failed, count = [], 0
    for visitor, method, path, body in bodies:
        for bad in bads:
            for sent in spoilt(body, bad):
                count += 1
                answer = raw(visitor, method, path, sent, **{"idempotency-key": f"strange-{count:08}"})
                if answer.status_code >= 500:
                    failed.append((method, path, ascii(sent)[:200], answer.status_code))
                else:
                    answer.content.decode()
        demo.now += 1000
    assert count > 200
    assert not failed
    # And whatever was kept can be read, by everyone who may.
    for visitor, path in (
        (olga, "people"), (olga, "audit?limit=1000"), (olga, "invitations"), (olga, "settings"), (olga, "guidelines"),
        (olga, "items?limit=500"), (olga, "quality"), (olga, "export.jsonl"), (lena, "mine"), (olga, "status"),
    ):  # fmt: skip
        assert visitor.get(f"{ROOT}/{path}").status_code == 200, path
    for item in olga.get(f"{ROOT}/items?limit=500").json()["items"]:
        assert olga.get(f"{ROOT}/items/{item['id']}").status_code in (200, 403)
    assert lena.get(address).status_code == 200
    for path in ("dashboard", "items", "people", "settings", "guidelines", "history"):
        assert olga.get(f"/p/demo/{path}").status_code in (200, 404)


def test_a_draft_is_kept_whatever_was_typed(demo: Site) -> None:
    """A half character cannot be sent back: a draft that held one would lock its labeler out of the item for good."""
    lena = demo.browser("Lena")
    task = lena.post(f"{ROOT}/claim").json()["task"]
    address = f"{ROOT}/assignments/{task['assignment']}/draft"
    kept = raw(lena, "PUT", address, {"rev": 0, "payload": {"why": f"half {LONE} and {NUL}", LONE: [NUL]}})
    assert kept.json() == {"rev": 1, "payload": {"why": "half ? and ab", "?": ["ab"]}}
    assert lena.post(f"{ROOT}/claim").json()["task"]["draft"] == kept.json()
    deep: Any = 1
    for _ in range(DEEPEST + 5):
        deep = [deep]
    for payload in ({"x": deep}, {"x": float("nan")}, {"x": [float("-inf")]}):
        assert raw(lena, "PUT", address, {"rev": 1, "payload": payload}).status_code == 422
    assert lena.post(f"{ROOT}/claim").json()["task"]["draft"] == kept.json()


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": NUL, "responses": ["a", "b"]},
        {"prompt": "p", "responses": ["a", NUL]},
        {"prompt": "p", "responses": [{"text": "a", "model": LONE}, "b"]},
        {"prompt": "p", "responses": ["a", "b"], "source": LONE},
        {"prompt": "p", "responses": ["a", "b"], "rationale": LONE},
        {"prompt": "p", "responses": ["a", "b"], "metadata": {"x": float("nan")}},
        {"prompt": "p", "responses": ["a", "b"], "metadata": {"x": [float("inf")]}},
        {"prompt": "p", "responses": ["a", "b"], LONE: "x"},
        {"prompt": "p", "responses": "[" + "9" * 5000 + "]"},
        {"prompt": "p", "responses": "[" * 100_000},
        {"prompt": '[{"role":' * 20_000, "responses": ["a", "b"]},
    ],
)  # fmt: skip
def test_an_item_that_could_not_be_shown_or_exported_is_refused_with_its_reason(demo: Site, row: Any) -> None:
    olga = demo.browser("Olga")
    answer = raw(olga, "POST", f"{ROOT}/items", {"items": [{"prompt": "good", "responses": ["x", "y"]}, row]})
    if answer.status_code == 201:
        # Odd but whole: then it can be shown.
        assert row["prompt"] != NUL
        for item in olga.get(f"{ROOT}/items").json()["items"]:
            assert olga.get(f"{ROOT}/items/{item['id']}").status_code == 200
        return
    assert answer.status_code == 422
    assert answer.json()["error"]["problems"][0]["message"].startswith("api:2")
    assert olga.get(f"{ROOT}/items").json()["total"] == 3, "all rows or none"


def test_strange_addresses(demo: Site) -> None:
    olga = demo.browser("Olga")
    huge = "9" * 25
    for path in (
        f"{ROOT}/items?offset={huge}", f"{ROOT}/items?limit={huge}", f"{ROOT}/items?offset=-{huge}", f"{ROOT}/mine?limit=-{huge}",
        f"{ROOT}/guidelines?version={huge}", f"{ROOT}/guidelines?version=-1", f"{ROOT}/audit?limit={huge}",
        f"{ROOT}/audit?before=%00", f"{ROOT}/items?search=%00", f"{ROOT}/items?search=%ed%a0%80", f"{ROOT}/items?search=%ff%fe",
        f"{ROOT}/items?search=%25%5f%5c", f"{ROOT}/items?search=" + "x" * 5000, f"{ROOT}/items/%00", f"{ROOT}/items/" + "x" * 5000,
        "/api/projects/%00/items", "/api/projects/%ff/items", f"{ROOT}/quality/%00.csv", f"{ROOT}/items?purpose=none",
        f"{ROOT}/export.jsonl?purpose=none", f"{ROOT}/assignments/%ed%a0%80", "/static/x/%00", "/%00", "/p/%00",
        f"/p/demo/guidelines?version={huge}", f"/p/demo/items?at={huge}", "/p/demo/items?search=%00",
        f"{ROOT}/items?offset=1e3", f"{ROOT}/items?offset=", f"{ROOT}/items?offset=%D9%A1",
    ):  # fmt: skip
        answer = olga.get(path)
        assert answer.status_code < 500, path
        answer.content.decode()


def test_strange_headers(demo: Site) -> None:
    lena = demo.browser("Lena")
    task = lena.post(f"{ROOT}/claim").json()["task"]
    for key in ("short", "x" * 81, "with space1", "ümläut-key", "", "tab\tkey-1"):
        path = f"{ROOT}/assignments/{task['assignment']}/submit"
        answer = raw(lena, "POST", path, verdict(task), **{"idempotency-key": key.encode("latin-1")})  # type: ignore[dict-item]
        assert answer.status_code == 422, key
    for name, value in (
        ("authorization", b"Bearer \xff\xfe"),
        ("cookie", b"plaudit_8642=\xff; plaudit_8642="),
        ("authorization", b"\xff"),
    ):
        assert demo.nobody.get("/api/me", headers={name: value}).status_code == 401


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"nul", b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b'{"a":"\xed\xa0\x80"}', b"[" * 100_000, b'{"a":' * 40_000, b"[" * 15_000,
     b'{"name":' + b"9" * 5000 + b"}", b"NaN", b"[]", b"1", b'"x"', b"null", b'{"name":"a","name":"b"}', b"{}" * 10],
)  # fmt: skip
def test_broken_bodies(site: Site, content: bytes) -> None:
    site.project("demo")
    site.member("demo", "Olga", "owner")
    olga = site.browser("Olga")
    for path in ("/api/sign-in", f"{ROOT}/items", f"{ROOT}/settings", "/api/me/tokens"):
        method = "PATCH" if path.endswith("settings") else "POST"
        answer = raw(olga, method, path, content)
        assert answer.status_code in ((200, 400, 422) if content.endswith(b"{}") else (400, 413, 422)), path
        assert answer.status_code == 200 or set(answer.json()) == {"error"}


def test_bodies_have_a_limit(site: Site) -> None:
    site.project("demo")
    site.member("demo", "Olga", "owner")
    site.member("demo", "Lena", "labeler")
    olga = site.browser("Olga")
    big = b'{"items":[' + b" " * MOST_SMALL + b"]}"
    assert raw(olga, "POST", f"{ROOT}/invitations", big).status_code == 413
    assert raw(olga, "POST", f"{ROOT}/items", big).status_code == 422
    strangers = site.nobody, site.with_cookie("x" * 50), Visitor(site, token="plaudit_t_" + "x" * 43)
    assert [raw(v, "POST", f"{ROOT}/items", big).status_code for v in strangers] == [401] * 3
    assert raw(site.browser("Lena"), "POST", f"{ROOT}/items", big).status_code == 403
    open_to_all = b'{"name": "x", "password": "' + b"x" * MOST_OPEN + b'"}'
    assert raw(site.nobody, "POST", "/api/sign-in", open_to_all).status_code == 413
    assert raw(site.program("Olga", "manage"), "POST", f"{ROOT}/items", big).status_code == 422
    for length in (str(MOST_BODY + 1), "9" * 30, "-1", "1e3", "²", "0x10", "1_0", ""):
        answer = olga.post(
            f"{ROOT}/items", content=b"{}", headers=JSON | {"content-length": length.encode("latin-1")}
        )
        assert answer.status_code == 413, length


def test_a_body_of_no_stated_length_is_counted(site: Site) -> None:
    read = 0

    def endless() -> Any:
        nonlocal read
        while read < 40 * MOST_SMALL:
            read += 2**16
            yield b" " * 2**16

    answer = site.nobody.post("/api/sign-in", content=endless(), headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_an_import_has_a_limit_of_rows(site: Site) -> None:
    site.project("demo")
    site.member("demo", "Olga", "owner")
    answer = site.browser("Olga").post(f"{ROOT}/items", {"items": [{}] * 20_001})
    assert answer.status_code == 422


def test_names_whose_common_form_is_too_long(demo: Site) -> None:
    """One sign that stands for eighteen: eighty of them fit no column."""
    token = demo.link(project="demo", role="labeler", max_uses=9)
    answer = demo.nobody.post("/api/links/join", {"token": token, "name": "\ufdfa" * 80})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_name")
    assert demo.nobody.post("/api/links/join", {"token": token, "name": "x" * 80}).status_code == 201


# Fuzz


TEXTS = st.one_of(
    st.text(max_size=8), st.sampled_from([*STRANGE_TEXTS[:6], "demo", "label", "owner", "A", "*"])
)
NUMBERS = st.one_of(st.sampled_from(STRANGE_NUMBERS), st.integers(-3, 9), st.floats())
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), TEXTS, NUMBERS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def like(schema: dict[str, Any], all_: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that more or less fit a schema: mostly right, here and there not."""
    if "$ref" in schema:
        return like(all_[schema["$ref"].rpartition("/")[2]], all_)
    if "anyOf" in schema:
        return st.one_of(*(like(s, all_) for s in schema["anyOf"]))
    if "enum" in schema:
        right: st.SearchStrategy[Any] = st.sampled_from(schema["enum"])
    elif schema.get("type") == "object":
        fields = {k: like(v, all_) for k, v in schema.get("properties", {}).items()}
        needed = {k: v for k, v in fields.items() if k in schema.get("required", ())}
        optional = {k: v for k, v in fields.items() if k not in needed}
        right = (
            st.fixed_dictionaries(needed, optional=optional)
            if fields
            else st.dictionaries(TEXTS, VALUES, max_size=3)
        )
    elif schema.get("type") == "array":
        right = st.lists(like(schema.get("items", {}), all_), max_size=3)
    elif schema.get("type") in ("integer", "number"):
        right = st.one_of(st.integers(schema.get("minimum", -2), schema.get("maximum", 9)), NUMBERS)
    elif schema.get("type") == "string":
        right = TEXTS
    elif schema.get("type") == "boolean":
        right = st.booleans()
    else:
        right = VALUES
    # One in eight is something else altogether.
    return st.integers(0, 7).flatmap(lambda n: VALUES if n == 7 else right)


def test_random_bodies_never_make_it_fail(world: World) -> None:
    """Every route with a body, as someone who may do everything, by its own description."""
    olga = world.visitors["owner"]
    described = olga.get("/api/openapi.json").json()
    bodies = {
        f"{method.upper()} {path}": like(said["requestBody"]["content"]["application/json"]["schema"], described["components"]["schemas"])
        for path, methods in described["paths"].items()
        for method, said in methods.items()
        if "requestBody" in said
    }  # fmt: skip
    assert len(bodies) >= 18
    failed: list[Any] = []

    @hypothesis.settings(
        max_examples=100, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck), phases=[hypothesis.Phase.generate],
    )  # fmt: skip
    @hypothesis.given(st.data())
    def fuzz(data: st.DataObject) -> None:
        route = data.draw(st.sampled_from(sorted(bodies)))
        body = data.draw(bodies[route])
        method, path = route.split(" ")
        headers = {"idempotency-key": f"fuzz-{data.draw(st.integers(0, 99)):08}"}
        answer = raw(olga, method, path.format(**world.ids["owner"]), body, **headers)
        if answer.status_code >= 500:
            failed.append((route, ascii(body)[:300]))
        if answer.status_code in (401, 409):
            world.snapshot.restore()

    fuzz()
    assert not failed


def test_after_all_that_it_still_works(world: World) -> None:
    assert world.ask("GET /api/me", "owner").json()["name"] == "Olga"
    assert len(TABLE) > 50 and NOW > 0


# The values themselves


@hypothesis.given(VALUES)
@hypothesis.settings(deadline=None, max_examples=200, database=None, derandomize=True)
def test_what_has_no_problem_can_be_kept_and_sent(value: Any) -> None:
    if problem_of(value) is None:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        assert "\x00" not in text and "\\u0000" not in text
        assert json.loads(text.encode().decode()) == value
    try:
        made = mended(value)
    except ValueError:
        return
    assert problem_of(made) is None
    assert problem_of(value) is not None or made == value


def test_judging_still_works_on_both(demo: Site) -> None:
    assert judge(demo.browser("Lena"), "demo")["state"] == "leased"
