"""An owner's work by the API: rules, items, people, quality, export; the form of errors; the description."""
# ruff: noqa: E501  (tables of attacks are read by their rows)

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from sqlalchemy import update
from web.security.site import Site, Visitor, judge, pair

from plaudit.data.readers.read import read
from plaudit.feedback.store.schema import Member

ROOT = "/api/projects/demo"
ROW = {"prompt": "p", "responses": [{"text": "a", "model": "m1"}, {"text": "b", "model": "m2"}]}


@pytest.fixture
def olga(site: Site) -> Visitor:
    site.project("demo")
    site.member("demo", "Olga", "owner")
    site.member("demo", "Lena", "labeler")
    return site.browser("Olga")


def test_me(site: Site, olga: Visitor) -> None:
    me = olga.get("/api/me").json()
    assert me == {
        "name": "Olga", "has_password": False, "csrf": olga.csrf,
        "projects": [{"slug": "demo", "title": "Demo", "role": "owner", "state": "open", "max_sensitivity": 0}],
    }  # fmt: skip
    assert site.program("Olga", "label").get("/api/me").json() == me | {"csrf": ""}


def test_what_came_in_the_same_instant_is_listed_in_one_order(site: Site, olga: Visitor) -> None:
    """The clock of these tests stands still: projects go by name then, people by their numbers."""
    site.project("alpha")
    site.member("alpha", "Olga", "reviewer")
    assert [p["slug"] for p in olga.get("/api/me").json()["projects"]] == ["alpha", "demo"]
    assert re.findall(r'href="/p/(\w+)', olga.get("/").text)[:1] == ["alpha"]
    assert [p["name"] for p in olga.get(f"{ROOT}/people").json()] == ["Olga", "Lena"]
    last = update(Member).where(Member.pseudonym == "labeler-001").values(pseudonym="labeler-009")
    site.database.write(lambda db: db.execute(last))
    assert [p["name"] for p in olga.get(f"{ROOT}/people").json()] == ["Lena", "Olga"]


def test_signing_in_with_a_password(site: Site, olga: Visitor) -> None:
    olga.post("/api/me/password", {"password": "correct horse"})
    answer = site.nobody.post("/api/sign-in", {"name": " OLGA ", "password": "correct horse"})
    assert answer.status_code == 200
    assert answer.json()["name"] == "Olga" and answer.json()["has_password"]


def test_rules_change_one_by_one(olga: Visitor) -> None:
    before = olga.get(f"{ROOT}/settings").json()
    after = olga.patch(f"{ROOT}/settings", {"overlap": 3, "attributes": ["helpful"]}).json()
    assert after["attributes"][0]["label"] == "Helpful"
    assert {k: v for k, v in after.items() if v != before[k]}.keys() == {"overlap", "attributes"}
    for wrong in (
        {"overlap": 0},
        {"none": 1},
        {"gold_share": 0.4, "repeat_share": 0.4},
        {"attributes": [{"name": "X"}]},
    ):
        assert olga.patch(f"{ROOT}/settings", wrong).status_code == 422
    assert olga.get(f"{ROOT}/settings").json() == after


def test_items_come_in_and_are_found(olga: Visitor) -> None:
    rows = [ROW | {"prompt": f"Prompt {i} äöü"} for i in range(5)] + [ROW | {"prompt": "100% _sure_"}]
    assert olga.post(f"{ROOT}/items", {"items": rows}).json() == {"added": 6, "known": 0, "notes": []}
    assert olga.post(f"{ROOT}/items", {"items": rows}).json() == {"added": 0, "known": 6, "notes": []}
    page = olga.get(f"{ROOT}/items?offset=1&limit=2").json()
    assert (page["total"], [i["position"] for i in page["items"]]) == (6, [1, 2])
    for search, found in (
        ("prompt 3", 1),
        ("ÄÖÜ", 0),
        ("äöü", 5),
        ("0% _s", 1),
        ("%", 1),
        ("none", 0),
        ("_", 1),
    ):
        assert olga.get(f"{ROOT}/items", params={"search": search}).json()["total"] == found, search
    full = olga.get(f"{ROOT}/items/{page['items'][0]['id']}").json()
    assert [(a["text"], a["model"]) for a in full["full_answers"]] == [("a", "m1"), ("b", "m2")]
    assert (
        olga.get(f"{ROOT}/items?limit=0").json()["items"]
        and olga.get(f"{ROOT}/items?offset=-5").json()["total"] == 6
    )


def test_all_rows_must_be_good(olga: Visitor) -> None:
    answer = olga.post(
        f"{ROOT}/items", {"items": [ROW, {"prompt": "only one", "responses": ["a"]}, {"x": 1}]}
    )
    assert answer.status_code == 422
    problems = answer.json()["error"]["problems"]
    assert any("api:2" in p["message"] for p in problems) and any("api:3" in p["message"] for p in problems)
    assert olga.get(f"{ROOT}/items").json()["total"] == 0
    for body in ({"items": []}, {"items": [ROW], "purpose": "none"}, {"items": [ROW], "purpose": "gold"}):
        assert olga.post(f"{ROOT}/items", body).status_code == 422


def test_an_item_is_changed_retired_and_taken_back(site: Site, olga: Visitor) -> None:
    olga.post(f"{ROOT}/items", {"items": [ROW]})
    olga.post(f"{ROOT}/items", {"items": [ROW | {"prompt": "g", "ranking": [0, 1]}], "purpose": "gold"})
    work, gold = (i["id"] for i in olga.get(f"{ROOT}/items").json()["items"])
    assert (
        olga.patch(f"{ROOT}/items/{work}", {"state": "retired", "sensitivity": 0}).json()["state"]
        == "retired"
    )
    assert site.browser("Lena").post(f"{ROOT}/claim").json()["task"] is None
    assert olga.patch(f"{ROOT}/items/{work}", {"state": "open"}).json()["state"] == "open"
    assert olga.patch(f"{ROOT}/items/{work}", {"accepted": [[[0], [1]]]}).status_code == 409
    changed = {"accepted": [[[1], [0]]], "rationale": "because"}
    assert olga.patch(f"{ROOT}/items/{gold}", changed).status_code == 200
    assert olga.patch(f"{ROOT}/items/{gold}", {"accepted": [[[0]]]}).status_code == 422
    full = olga.get(f"{ROOT}/items/{gold}").json()
    assert (full["accepted"], full["rationale"]) == ([[[1], [0]]], "because")


def test_people_and_invitations(site: Site, olga: Visitor) -> None:
    made = olga.post(
        f"{ROOT}/invitations", {"role": "reviewer", "max_uses": 2, "days": 1, "note": "team"}
    ).json()
    assert re.fullmatch(r"/enter#plaudit_l_[\w-]{43}", made["path"])
    assert olga.get(f"{ROOT}/invitations").json() == [made | {"path": None}]
    token = made["path"].partition("#")[2]
    joined = site.nobody.post(
        "/api/links/join", {"token": token, "name": " Rita  R. ", "password": "0123456789"}
    )
    assert joined.json()["projects"][0]["role"] == "reviewer" and joined.json()["name"] == "Rita R."
    people = olga.get(f"{ROOT}/people").json()
    assert [(p["name"], p["role"], p["pseudonym"]) for p in people] == [
        ("Olga", "owner", "labeler-001"), ("Lena", "labeler", "labeler-002"), ("Rita R.", "reviewer", "labeler-003"),
    ]  # fmt: skip
    rita = people[2]["id"]
    assert olga.patch(f"{ROOT}/people/{rita}", {"role": "labeler"}).json()["role"] == "labeler"
    assert olga.patch(f"{ROOT}/people/{rita}", {"disabled": True}).json()["disabled"]
    assert (
        site.nobody.post("/api/sign-in", {"name": "Rita R.", "password": "0123456789"}).json()["projects"]
        == []
    )
    actions = [e["action"] for e in olga.get(f"{ROOT}/audit").json()]
    assert actions == ["changed person", "changed person", "joined", "invited"]
    assert len(olga.get(f"{ROOT}/audit?limit=2").json()) == 2


def test_export_is_what_was_judged(site: Site, olga: Visitor, tmp_path: Any) -> None:
    site.items("demo", [pair(f"q{i}\u2028x", f"one {i} „ü“", f"two {i}") for i in range(5)])
    site.items("demo", [pair("gold", "one", "two", purpose="gold", accepted=(((0,), (1,)),))])
    lena = site.browser("Lena")
    said = {}
    for i in range(5):
        task = judge(lena, "demo", f"export-{i:04}", rationale=f"why {i}")
        assignment = next(a for a in site.rows()["assignments"] if a["id"] == task["assignment"])
        said[assignment["item_id"]] = ([[p] for p in assignment["order"]], f"why {i}")
    answer = olga.get(f"{ROOT}/export.jsonl")
    rows = [json.loads(line) for line in answer.content.decode().split("\n") if line]
    assert {r["metadata"]["item"]: (r["groups"], r["metadata"]["rationale"]) for r in rows} == said
    assert {r["rater"] for r in rows} == {"labeler-002"} and "Lena" not in answer.text
    assert {x["metadata"]["model"] for r in rows for x in r["responses"]} == {"m1", "m2"}
    path = tmp_path / "export.jsonl"
    path.write_bytes(answer.content)
    assert len(read(path, kind="preferences").records) == 5
    assert olga.get(f"{ROOT}/export.jsonl?purpose=gold").text == ""


def test_quality_follows_judgements_and_what_counts_as_right(site: Site, olga: Visitor) -> None:
    gold = site.items("demo", [pair("g", "one", "two", purpose="gold", accepted=(((0,), (1,)),))])[0]
    site.items("demo", [pair(f"q{i}", f"one {i}", f"two {i}") for i in range(3)])
    olga.patch(f"{ROOT}/settings", {"gold_share": 0.5})
    empty = olga.get(f"{ROOT}/quality").json()
    lena = site.browser("Lena")
    for i in range(4):
        if lena.post(f"{ROOT}/claim").json()["task"] is None:
            break
        judge(lena, "demo", f"quality-{i:04}")
    tables = olga.get(f"{ROOT}/quality").json()
    assert tables.keys() == empty.keys() and tables != empty
    assert olga.get(f"{ROOT}/quality/models.json").json() == tables["models"]
    assert olga.get(f"{ROOT}/quality/none.json").status_code == 404
    golds = tables["golds"]["rows"]
    if golds:
        # Nobody judged anything since, but what is right has changed.
        full = olga.get(f"{ROOT}/items/{gold}").json()
        olga.patch(f"{ROOT}/items/{gold}", {"accepted": [[g[::-1] for g in full["accepted"][0]][::-1]]})
        assert olga.get(f"{ROOT}/quality").json()["golds"]["rows"] != golds


def test_status(site: Site, olga: Visitor) -> None:
    site.items("demo", [pair(f"q{i}", f"one {i}", f"two {i}") for i in range(3)])
    judge(site.browser("Lena"), "demo")
    status = olga.get(f"{ROOT}/status").json()
    assert {k: status[k] for k in ("items", "wanted", "given", "finished", "labelers", "state")} == {
        "items": 3, "wanted": 3, "given": 1, "finished": 1, "labelers": 1, "state": "open",
    }  # fmt: skip


# The form


def test_every_error_has_one_form(site: Site, olga: Visitor) -> None:
    errors = [
        site.nobody.get("/api/me"), olga.get("/api/projects/none/status"), site.browser("Lena").get(f"{ROOT}/people"),
        olga.get("/api/none"), olga.ask("PUT", f"{ROOT}/status"), olga.patch(f"{ROOT}/settings", {"overlap": -1}),
        olga.post(f"{ROOT}/items", {"items": [{}]}), olga.post("/api/sign-in", {}), olga.get(f"{ROOT}/items?limit=x"),
        olga.post("/api/sign-in", content=b"{", headers={"content-type": "application/json"}),
        olga.get("/api/me", headers={"host": "evil.example"}), olga.post("/api/sign-out", headers={"x-csrf-token": "x"}),
    ]  # fmt: skip
    assert [e.status_code for e in errors] == [401, 404, 403, 404, 405, 422, 422, 422, 422, 422, 421, 403]
    for answer in errors:
        body = answer.json()
        assert body.keys() == {"error"}
        error = body["error"]
        assert {"code", "message"} <= error.keys() <= {"code", "message", "problems"}
        assert re.fullmatch(r"[a-z_]+", error["code"]) and error["message"]
        for problem in error.get("problems", []):
            assert problem.keys() == {"field", "message"} and problem["message"]


def test_the_description_is_whole(olga: Visitor) -> None:
    described = olga.get("/api/openapi.json").json()
    assert described["openapi"].startswith("3.")
    names: list[str] = []
    for path, methods in described["paths"].items():
        for method, said in methods.items():
            assert said["summary"] and said["tags"] and said["description"], (method, path)
            names.append(said["operationId"])
            wanted = set(re.findall(r"{(\w+)}", path))
            assert {p["name"] for p in said.get("parameters", []) if p["in"] == "path"} == wanted, path
    assert len(set(names)) == len(names) > 40
    # Every reference leads somewhere.
    for reference in re.findall(r'"\$ref": ?"#/components/schemas/([^"]+)"', json.dumps(described)):
        assert reference in described["components"]["schemas"], reference


def test_no_answer_of_the_description_tells_more_than_routes(olga: Visitor) -> None:
    text = olga.get("/api/openapi.json").text
    assert "demo" not in text and "Olga" not in text
