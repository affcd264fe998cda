"""What people wrote turns nothing on a page around; a field to change it holds it as it is."""

from __future__ import annotations

import re

from web.security.site import Site, judge, pair

EVIL = "\u202eevil\u2066"
SHOWN = "⟨RLO⟩evil⟨LRI⟩"
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")
FIELD = re.compile(r'<textarea[^>]*>.*?</textarea>|value="[^"]*"', re.DOTALL)


def test_every_page_writes_turning_marks_out(site: Site) -> None:
    site.project(
        "demo", help_text=EVIL, attributes=[{"name": "a", "label": EVIL, "help": EVIL, "high_label": EVIL}]
    )
    site.member("demo", "Olga", "owner")
    site.member("demo", "Lena", "labeler")
    olga = site.browser("Olga")
    assert olga.patch("/api/projects/demo", {"title": EVIL}).status_code == 204
    rows = [
        {"prompt": f"{EVIL} {i}", "responses": [{"text": EVIL, "model": EVIL}, "b"], "source": EVIL}
        for i in range(2)
    ]
    assert olga.post("/api/projects/demo/items", {"items": rows, "source": EVIL}).status_code == 201
    assert olga.post("/api/projects/demo/guidelines", {"markdown": EVIL, "note": EVIL}).status_code == 201
    olga.post("/api/projects/demo/invitations", {"note": EVIL})
    item = olga.get("/api/projects/demo/items").json()["items"][0]["id"]
    judge(site.browser("Lena"), "demo", "key-00000001", rationale=EVIL, guideline_version=1)
    task = site.browser("Lena").post("/api/projects/demo/claim").json()["task"]["assignment"]
    skip = {"reason": "other", "note": EVIL}
    assert site.browser("Lena").post(f"/api/projects/demo/assignments/{task}/skip", skip).status_code == 200
    pages = [
        f"/p/demo{p}" for p in ("", "/history", "/guidelines", "/dashboard", "/items", "/people", "/settings")
    ]
    seen = 0
    for path in [*pages, f"/p/demo/items/{item}", f"/p/demo/items?search={EVIL}", "/", "/account"]:
        text = olga.get(path).text
        assert not TURNING.search(FIELD.sub("", text)), path
        seen += text.count(SHOWN)
    assert seen > 20
    settings = olga.get("/p/demo/settings").text
    assert f'value="{EVIL}"' in settings and f">{EVIL}</textarea>" in settings, "saved again, it is the same"


def test_a_pair_of_the_same_words_is_still_two_answers(site: Site) -> None:
    """Marks are written out on the page, not in what is stored."""
    site.project("demo")
    (item,) = site.items("demo", [pair("q", EVIL, SHOWN)])
    assert site.answers_of(item) == [EVIL, SHOWN]
