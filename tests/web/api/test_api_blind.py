"""Who has seen an item's models, or what others said of it, is never given it to judge."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from web.security.site import Site, Visitor, judge, pair, verdict

from plaudit.feedback.store.schema import Assignment

ROOT = "/api/projects/demo"
KEY = {"idempotency-key": "a-key-of-mine"}


@pytest.fixture
def olga(site: Site) -> Visitor:
    """An owner who labels too."""
    site.project("demo", overlap=2)
    for name, role in (("Olga", "owner"), ("Rita", "reviewer"), ("Lena", "labeler")):
        site.member("demo", name, role)
    site.items("demo", [pair(f"q{i}", "a", "b") for i in range(4)])
    return site.browser("Olga")


def ids(visitor: Visitor) -> list[str]:
    return [i["id"] for i in visitor.get(f"{ROOT}/items").json()["items"]]


def given(visitor: Visitor) -> set[str]:
    """The prompts of all that someone is given."""
    found = set()
    while (claimed := visitor.post(f"{ROOT}/claim").json())["task"] is not None:
        task = claimed["task"]
        found.add(task["prompt"][0]["html"].removeprefix("<p>").removesuffix("</p>\n"))
        address = f"{ROOT}/assignments/{task['assignment']}/submit"
        key = {"idempotency-key": task["assignment"]}
        assert visitor.post(address, verdict(task), headers=key).status_code == 201
    return found


@pytest.mark.parametrize("address", ["/api/projects/demo/items/{}", "/p/demo/items/{}"])
def test_what_one_has_looked_at_one_is_not_given(site: Site, olga: Visitor, address: str) -> None:
    first, second = ids(olga)[:2]
    assert olga.get(address.format(first)).status_code == 200
    assert olga.get(address.format(first)).status_code == 200, "one may look again"
    assert site.browser("Rita").get(address.format(second)).status_code == 200
    assert olga.post(f"{ROOT}/claim").json()["progress"]["left"] == 3
    assert given(olga) == {"q1", "q2", "q3"}
    assert given(site.browser("Rita")) == {"q0", "q2", "q3"}
    assert given(site.browser("Lena")) == {"q0", "q1"}, "the others have their two judgements"


def test_a_program_looks_for_the_person_whose_it_is(site: Site, olga: Visitor) -> None:
    first = ids(olga)[0]
    assert site.program("Olga", "review").get(f"{ROOT}/items/{first}").status_code == 200
    assert given(olga) == {"q1", "q2", "q3"}


def test_an_export_is_a_look_at_all_that_is_in_it(site: Site, olga: Visitor) -> None:
    judge(site.browser("Lena"), "demo")
    assert len(olga.get(f"{ROOT}/export.jsonl").text.splitlines()) == 1
    assert len(given(olga)) == 3


def test_what_was_given_before_an_export_cannot_be_submitted_after_it(site: Site, olga: Visitor) -> None:
    task = olga.post(f"{ROOT}/claim").json()["task"]
    given(site.browser("Lena"))
    olga.get(f"{ROOT}/export.jsonl")
    address = f"{ROOT}/assignments/{task['assignment']}"
    refused = olga.post(f"{address}/submit", verdict(task), headers=KEY)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "seen")
    assert olga.post(f"{address}/skip", {"reason": "other"}).status_code == 200
    assert olga.post(f"{ROOT}/claim").json()["task"] is None


def test_a_judgement_is_not_changed_after_a_look(site: Site, olga: Visitor) -> None:
    task = judge(olga, "demo")
    address = f"{ROOT}/assignments/{task['assignment']}"
    assert olga.get(address).json()["editable"] and olga.get(f"{ROOT}/mine").json()[0]["editable"]
    # Judging comes first, as before; who has it still to judge is refused a look.
    held = olga.post(f"{ROOT}/claim").json()["task"]["prompt"][0]["html"]
    seen = {
        i["id"]: olga.get(f"{ROOT}/items/{i['id']}").status_code
        for i in olga.get(f"{ROOT}/items").json()["items"]
    }
    assert sorted(seen.values()) == [200, 200, 200, 403], held
    assert not olga.get(address).json()["editable"] and not olga.get(f"{ROOT}/mine").json()[0]["editable"]
    refused = olga.post(f"{address}/revise", verdict(task), headers=KEY | {"idempotency-key": "another-key"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "seen")


def test_gold_and_repeats_are_withheld_too(site: Site) -> None:
    site.project("demo", overlap=1, gold_share=0.25, repeat_share=0.25, repeat_after=1)
    site.member("demo", "Olga", "owner")
    olga = site.browser("Olga")
    gold = [pair(f"g{i}", "a", "b", purpose="gold", accepted=(((0,), (1,)),)) for i in range(2)]
    golds = site.items("demo", gold)
    for item in golds:
        assert olga.get(f"{ROOT}/items/{item}").status_code == 200
    for i in range(12):
        site.items("demo", [pair(f"q{i}", "a", "b")])
    for i in range(6):
        judge(olga, "demo", f"a-key-of-mine-{i}")
        site.now += 1
    olga.get(f"{ROOT}/export.jsonl")
    before = {r.purpose for r in purposes(site)}
    assert "gold" not in before
    count = sum(r.purpose == "repeat" for r in purposes(site))
    given(olga)
    after = [r for r in purposes(site) if r.purpose == "repeat"]
    exported = {r.item_id for r in purposes(site)[:6]}
    assert not {r.item_id for r in after[count:]} & exported
    assert "gold" not in {r.purpose for r in purposes(site)}


def purposes(site: Site) -> list[Assignment]:
    return site.database.read(lambda db: list(db.scalars(select(Assignment).order_by(Assignment.id))))
