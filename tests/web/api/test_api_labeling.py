"""A labeler's day by the API: claim, draft, judge, change, skip, give back; guidelines; what one is willing to see."""

from __future__ import annotations

from typing import Any

import pytest
from web.security.site import Site, Visitor, judge, pair, verdict

ROOT = "/api/projects/demo"


@pytest.fixture
def lena(site: Site) -> Visitor:
    site.project("demo", edit_minutes=60, lease_seconds=600)
    site.member("demo", "Olga", "owner")
    site.member("demo", "Lena", "labeler")
    site.items("demo", [pair(f"**q{i}**", f"one {i}", f"two {i}") for i in range(4)])
    return site.browser("Lena")


def claim(visitor: Visitor) -> dict[str, Any]:
    return visitor.post(f"{ROOT}/claim").json()


def address(task: dict[str, Any], verb: str = "") -> str:
    return f"{ROOT}/assignments/{task['assignment']}" + (f"/{verb}" if verb else "")


def key(number: int) -> dict[str, str]:
    return {"idempotency-key": f"the-key-{number:04}"}


def test_a_claimed_item_is_the_same_until_it_is_done(lena: Visitor) -> None:
    first = claim(lena)
    task = first["task"]
    assert claim(lena)["task"]["assignment"] == task["assignment"]
    assert (task["state"], task["training"], task["editable"], task["judgement"], task["draft"]) == (
        "leased",
        False,
        False,
        None,
        None,
    )
    assert task["prompt"][0]["html"].startswith("<p><strong>q")
    assert [a["key"] for a in task["answers"]] == ["A", "B"]
    assert task["form"]["kind"] == "pair" and task["form"]["strength"]
    assert (task["seconds_left"], task["heartbeat_seconds"]) == (600, 150)
    assert first["progress"] == {"today": 0, "total": 0, "left": 4}
    assert lena.get(address(task)).json() == task


def test_from_draft_to_judgement_to_history(lena: Visitor) -> None:
    task = claim(lena)["task"]
    assert lena.put(address(task, "draft"), {"rev": 0, "payload": {"a": 1}}).json() == {
        "rev": 1,
        "payload": {"a": 1},
    }
    assert lena.get(address(task)).json()["draft"] == {"rev": 1, "payload": {"a": 1}}
    done = lena.post(address(task, "submit"), verdict(task, rationale=" why "), headers=key(1))
    assert done.status_code == 201
    receipt = done.json()
    assert (receipt["revision"], receipt["again"], receipt["surplus"], receipt["feedback"]) == (
        1,
        False,
        False,
        None,
    )
    assert receipt["progress"] == {"today": 1, "total": 1, "left": 3}
    there = lena.get(address(task)).json()
    assert there["state"] == "submitted" and there["editable"] and there["draft"] is None
    assert there["judgement"]["groups"] == [["A"], ["B"]] and there["judgement"]["rationale"] == "why"
    past = lena.get(f"{ROOT}/mine").json()
    assert [(p["assignment"], p["answers"], p["editable"]) for p in past] == [(task["assignment"], 2, True)]


def test_two_pages_do_not_overwrite_each_others_draft(lena: Visitor) -> None:
    task = claim(lena)["task"]
    lena.put(address(task, "draft"), {"rev": 0, "payload": {"by": "one"}})
    late = lena.put(address(task, "draft"), {"rev": 0, "payload": {"by": "two"}})
    assert (late.status_code, late.json()) == (409, {"rev": 1, "payload": {"by": "one"}})
    assert lena.put(address(task, "draft"), {"rev": 1, "payload": {"by": "two"}}).status_code == 200


def test_sending_the_same_twice_is_one_judgement(lena: Visitor) -> None:
    task = claim(lena)["task"]
    first = lena.post(address(task, "submit"), verdict(task), headers=key(1)).json()
    again = lena.post(address(task, "submit"), verdict(task), headers=key(1)).json()
    assert again["judgement"] == first["judgement"] and again["again"]
    other = lena.post(address(task, "submit"), verdict(task), headers=key(2))
    assert (other.status_code, other.json()["error"]["code"]) == (409, "already_judged")
    following = claim(lena)["task"]
    reused = lena.post(address(following, "submit"), verdict(following), headers=key(1))
    assert (reused.status_code, reused.json()["error"]["code"]) == (422, "key_used")


def test_a_judgement_may_be_changed_for_a_while(site: Site, lena: Visitor) -> None:
    task = judge(lena, "demo")
    other = verdict(task) | {"groups": [["B"], ["A"]]}
    changed = lena.post(address(task, "revise"), other, headers=key(2)).json()
    assert changed["revision"] == 2
    assert lena.get(address(task)).json()["judgement"]["groups"] == [["B"], ["A"]]
    site.now += 3601
    late = lena.post(address(task, "revise"), other, headers=key(3))
    assert (late.status_code, late.json()["error"]["code"]) == (409, "too_late")
    exported = site.browser("Olga").get(f"{ROOT}/export.jsonl").text.splitlines()
    assert len(exported) == 1 and '"revision": 2' in exported[0]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"groups": [["A"]]}, "groups"), ({"groups": []}, "groups"), ({"groups": [["A"], ["A"]]}, "groups"),
        ({"groups": [["A"], ["C"]]}, "groups"), ({"strength": None}, "strength"), ({"strength": 5}, "strength"),
        ({"groups": [["A", "B"]]}, "strength"), ({"confidence": 3}, "confidence"),
        ({"attributes": {"none": {"A": 1}}}, "attributes"), ({"not_rankable": True}, "groups"),
        ({"surprise": 1}, "surprise"), ({"rationale": "x" * 5001}, "rationale"),
    ],
)  # fmt: skip
def test_a_judgement_that_does_not_answer_is_refused_with_its_fields(
    lena: Visitor, change: Any, field: str
) -> None:
    task = claim(lena)["task"]
    answer = lena.post(address(task, "submit"), verdict(task) | change, headers=key(1))
    assert answer.status_code == 422
    assert field in [p["field"] for p in answer.json()["error"]["problems"]]
    assert lena.get(address(task)).json()["state"] == "leased"


def test_a_heartbeat_holds_the_item(site: Site, lena: Visitor) -> None:
    task = claim(lena)["task"]
    site.now += 500
    assert lena.post(address(task, "heartbeat"), {"active_ms": 1000}).json() == {
        "state": "leased",
        "seconds_left": 600,
    }
    site.now += 599
    assert lena.get(address(task)).json()["seconds_left"] == 1


def test_skipping_giving_back_and_revealing(lena: Visitor) -> None:
    reasons = lena.get(f"{ROOT}/skip-reasons").json()
    task = claim(lena)["task"]
    assert lena.post(address(task, "reveal")).json()["state"] == "leased"
    assert lena.post(address(task, "release")).json() == {"state": "released", "seconds_left": 0}
    task = claim(lena)["task"]
    wrong = lena.post(address(task, "skip"), {"reason": "bored"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "unknown_reason")
    assert "unsure" in reasons
    assert lena.post(address(task, "skip"), {"reason": "unsure", "note": "?"}).json()["state"] == "skipped"
    assert claim(lena)["task"]["assignment"] != task["assignment"]


def test_when_all_is_done(lena: Visitor) -> None:
    for i in range(4):
        judge(lena, "demo", f"the-key-{i:04}")
    end = claim(lena)
    assert (end["task"], end["why"], end["progress"]) == (None, "done", {"today": 4, "total": 4, "left": 0})


def test_what_one_is_willing_to_see(site: Site, lena: Visitor) -> None:
    site.project("hard")
    site.member("hard", "Lena", "labeler")
    site.items("hard", [pair("q", "one", "two", sensitivity=2)])
    root = "/api/projects/hard"
    assert lena.post(f"{root}/claim").json()["task"] is None
    assert lena.post(f"{root}/my/sensitivity", {"level": 3}).json() == {"level": 3}
    task = lena.post(f"{root}/claim").json()["task"]
    assert task["hidden"] and task["sensitivity"] == 2
    lena.post(f"{root}/assignments/{task['assignment']}/reveal")
    assert not lena.get(f"{root}/assignments/{task['assignment']}").json()["hidden"]
    assert lena.post(f"{root}/assignments/{task['assignment']}/stop-showing").json() == {"max_sensitivity": 1}
    assert lena.post(f"{root}/claim").json()["task"] is None
    assert lena.post(f"{root}/my/sensitivity", {"level": 4}).status_code == 422


def test_guidelines_are_read_before_the_next_item(site: Site, lena: Visitor) -> None:
    olga = site.browser("Olga")
    assert lena.get(f"{ROOT}/guidelines").status_code == 404
    olga.patch(f"{ROOT}/settings", {"require_reading": True})
    assert olga.post(f"{ROOT}/guidelines", {"markdown": "# One", "note": "first"}).json()["version"] == 1
    refused = lena.post(f"{ROOT}/claim")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "guidelines_unread")
    text = lena.get(f"{ROOT}/guidelines").json()
    assert (text["html"], text["read"]) == ("<h3>One</h3>\n", False)
    assert lena.post(f"{ROOT}/guidelines/seen", {"version": 2}).status_code == 422
    assert lena.post(f"{ROOT}/guidelines/seen", {"version": 1}).status_code == 204
    assert claim(lena)["task"]["guideline_version"] == 1
    olga.post(f"{ROOT}/guidelines", {"markdown": "# Two"})
    versions = lena.get(f"{ROOT}/guidelines/versions").json()
    assert [(v["version"], v["note"]) for v in versions] == [(2, ""), (1, "first")]
    assert lena.get(f"{ROOT}/guidelines?version=1").json()["markdown"] == "# One"
    assert not lena.get(f"{ROOT}/guidelines").json()["read"]
    for bad in ("", " \n", "x" * 100_001):
        assert olga.post(f"{ROOT}/guidelines", {"markdown": bad}).status_code == 422


@pytest.mark.parametrize("state", ["paused", "closed"])
def test_a_project_that_rests_gives_out_nothing_but_takes_what_is_on_screen(
    site: Site, lena: Visitor, state: str
) -> None:
    task = claim(lena)["task"]
    assert site.browser("Olga").post(f"{ROOT}/state", {"state": state}).status_code == 204
    assert lena.post(address(task, "submit"), verdict(task), headers=key(1)).status_code == 201
    refused = lena.post(f"{ROOT}/claim")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, f"project_{state}")
