"""The pages as they are served: who may see them, and that they show what the API says."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from sqlalchemy import select
from web.manage.conftest import NOW, Sign, Site
from web.manage.labeled_project import MODELS

from plaudit.display.units import value_text
from plaudit.feedback.store.account_tables import User
from plaudit.feedback.store.claiming import claim
from plaudit.feedback.store.schema import Item, Member

REVIEWER = ("dashboard", "items", "items/ITEM")
OWNER = ("people", "settings")
PROJECTS = ("full", "empty", "ready")


def page(client: Any, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"].startswith("text/html")
    assert "require-trusted-types-for" in answer.headers["content-security-policy"]
    return str(answer.text)


def item_of(client: Any, project: str = "full", **wanted: str) -> str:
    query = "&".join(f"{k}={v}" for k, v in wanted.items())
    found = client.get(f"/api/projects/{project}/items?{query}").json()["items"]
    return str(found[0]["id"])


@pytest.mark.parametrize("path", [*REVIEWER, *OWNER])
@pytest.mark.parametrize("name", ["Olga", "Rita", "Lea"])
def test_each_page_opens_to_its_roles_only(sign: Sign, name: str, path: str):
    path = path.replace("ITEM", item_of(sign("Olga")))
    allowed = name == "Olga" or (name == "Rita" and path not in OWNER)
    found = page(sign(name), f"/p/full/{path}", 200 if allowed else 403)
    assert ("This is not open to you" in found) is not allowed
    if not allowed:
        assert not any(model.split()[0] in found for model in MODELS if model != "reference")


@pytest.mark.parametrize("path", ["dashboard", "items", "people", "settings"])
def test_whoever_is_signed_out_is_asked_to_sign_in(full_site: Site, path: str):
    from fastapi.testclient import TestClient

    answer = TestClient(full_site.app, base_url="http://localhost", follow_redirects=False).get(
        f"/p/full/{path}"
    )
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/sign-in?next=%2Fp%2Ffull%2F{path}"


@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize("path", ["dashboard", "items", "people", "settings"])
def test_nothing_on_a_page_is_inline(sign: Sign, project: str, path: str):
    found = page(sign("Olga"), f"/p/{project}/{path}")
    assert not re.search(r"<[^>]+\sstyle=", found)
    assert not re.search(r"<[^>]+\son[a-z]+=", found)
    assert "<style" not in found
    assert all(' src="/static/' in tag for tag in re.findall(r"<script[^>]*>", found))
    assert not re.search(r'(?:src|href)="(?:https?:)?//', found)


def test_the_dashboard_shows_what_the_api_says(sign: Sign):
    found = page(sign("Rita"), "/p/full/dashboard")
    quality = sign("Rita").get("/api/projects/full/quality").json()
    status = sign("Rita").get("/api/projects/full/status").json()
    assert f"<dd>{status['given']:,}</dd>" in found
    assert f"of {status['wanted']:,} judgements wanted" in found
    for row in quality["project"]["rows"]:
        if row["unit"] == "count":
            continue
        at = found.index(f"<summary>{row['title'].replace(chr(39), '&#39;')}&#8288;")
        text = value_text(row["value"], row["unit"])
        assert text in found[at : found.index("</li>", at)], row["measure"]
        assert row["help"].replace("'", "&#39;") in found
    columns = set()
    for row in quality["labelers"]["rows"]:
        at = found.index(f'data-value="{row["labeler"]}"')
        cells = dict(
            re.findall(r'data-value="([^"]*)" data-column="(\w+)"', found[at : found.index("</tr>", at)])
        )
        shown = {column: value for value, column in cells.items()}
        assert shown == {c: str(row[c]) for c in shown}
        columns |= shown.keys()  # whoever gave few answers has no bias to show
    assert columns >= {"judgements", "agreement", "position_bias", "seconds"}
    for row in quality["models"]["rows"]:
        at = found.index(f'<div class="name">{row["model"].replace("<", "&lt;").replace(">", "&gt;")}')
        assert value_text(row["win_rate"], "share") in found[at : found.index("</li>", at)]


def test_labelers_stand_by_pseudonym_and_names_of_models_are_text(sign: Sign):
    found = page(sign("Olga"), "/p/full/dashboard")
    section = found[found.index('id="labelers"') : found.index('id="divided"')]
    names = re.findall(r'<th scope="row" class="nowrap" data-value="([^"]+)"', section)
    assert names == sorted(names) and len(names) == 7
    assert "Labeler 1" not in found
    assert "<em>raw</em>" not in found and "&lt;em&gt;raw&lt;/em&gt;" in found
    assert "Nobody is blocked and nothing is deleted" in section


@pytest.mark.parametrize(
    "name", ["project", "labelers", "pairs", "models", "wins", "items", "attributes", "golds"]
)
def test_every_table_can_be_taken_along(sign: Sign, name: str):
    client = sign("Rita")
    found = page(client, "/p/full/dashboard")
    assert f'href="/api/projects/full/quality/{name}.csv"' in found
    assert f'href="/api/projects/full/quality/{name}.json"' in found
    as_json = client.get(f"/api/projects/full/quality/{name}.json").json()
    rows = list(csv.DictReader(io.StringIO(client.get(f"/api/projects/full/quality/{name}.csv").text)))
    assert len(rows) == len(as_json["rows"]) > 0
    first = as_json["columns"][0]["name"]
    assert [r[first] for r in rows] == [str(r[first]) for r in as_json["rows"]]


def test_empty_pages_say_what_is_next(sign: Sign):
    found = page(sign("Olga"), "/p/empty/dashboard")
    assert "Nothing to judge yet" in found and 'href="/p/empty/items#import"' in found
    found = page(sign("Olga"), "/p/ready/dashboard")
    assert "Nobody has judged anything yet" in found and 'href="/p/ready/people#invite"' in found
    assert "Invite labelers</a>" not in page(sign("Rita"), "/p/ready/dashboard")
    assert "No items yet" in page(sign("Olga"), "/p/empty/items")
    assert "None are published yet" in page(sign("Olga"), "/p/empty/settings")


def test_whoever_still_judges_sees_models_only_when_asked_for(own_site: Site):
    client = own_site.client("Rita")
    assert "policy-final" in page(client, "/p/full/dashboard")

    def take(db: Any) -> None:
        rita = db.scalar(select(Member).join(User).where(User.name == "Rita", Member.guideline_seen == 0))
        mine = db.scalars(select(Member).where(Member.user_id == rita.user_id))
        for member in mine:
            member.guideline_seen = 1
            if member.project_id == _project(db):
                claim(db, member.id, now=NOW)

    own_site.server.database.write(take)
    found = page(client, "/p/full/dashboard")
    assert "You still have items to judge here" in found
    assert not any(m in found for m in ("policy-final", "policy-sft", "base-8b"))
    assert "policy-final" in page(client, "/p/full/dashboard?models=1")


def _project(db: Any) -> str:
    from plaudit.feedback.store.projects import named_project

    return named_project(db, "full").id


def test_an_item_that_one_was_given_is_refused_in_words(own_site: Site):
    client = own_site.client("Olga")

    def take(db: Any) -> str:
        member = db.scalar(
            select(Member).join(User).where(User.name == "Olga", Member.project_id == _project(db))
        )
        member.guideline_seen = 1
        held = claim(db, member.id, now=NOW)
        return str(held.item_id)

    item = own_site.server.database.write(take)
    found = page(client, f"/p/full/items/{item}", 403)
    assert "You were given this item to judge" in found
    assert "policy-final" not in found
    assert client.get(f"/api/projects/full/items/{item}").json()["error"]["code"] == "blind"


def test_items_are_filtered_and_paged(sign: Sign, full_site: Site):
    client = sign("Olga")
    found = page(client, "/p/full/items")
    total = client.get("/api/projects/full/items").json()["total"]
    assert f"1 to {min(total, 50)} of {total}" in found
    assert "40 to be judged" not in found and "41 to be judged, 6 gold, 3 for calibration." in found
    gold = page(client, "/p/full/items?purpose=gold")
    assert gold.count('class="excerpt"') == 6
    words = page(client, "/p/full/items?search=question+12%3A")
    assert words.count('class="excerpt"') == 1 and "Question 12:" in words
    assert "No item is like that" in page(client, "/p/full/items?state=retired")
    assert "No item is like that" in page(client, "/p/full/items?at=5000")
    assert '<option value="gold" selected>' in gold
    assert "import-form" not in page(sign("Rita"), "/p/full/items")


def test_an_item_shows_its_answers_and_all_that_was_said(sign: Sign):
    client = sign("Rita")
    judged = client.get("/api/projects/full/quality/items.json").json()["rows"][0]["item"]
    item = client.get(f"/api/projects/full/items/{judged}").json()
    found = page(client, f"/p/full/items/{judged}")
    for answer in item["full_answers"]:
        assert answer["html"] in found
    for said in item["judgements"]:
        assert f">{said['labeler']}</span>" in found
        assert f"shown as {', '.join(str(p + 1) for p in said['order'])}" in found
    assert f"Judgements: {len(item['judgements'])}" in found
    assert "<b>right</b>" not in found
    assert "data-change" not in found  # reviewers look; owners change


def test_a_gold_item_shows_what_is_right(sign: Sign):
    gold = item_of(sign("Olga"), purpose="gold")
    item = sign("Olga").get(f"/api/projects/full/items/{gold}").json()
    line = " &gt; ".join(str(group[0] + 1) for group in item["accepted"][0])
    assert f">{line}</textarea>" in page(sign("Olga"), f"/p/full/items/{gold}")
    assert f'<span class="ranking">{line}</span>' in page(sign("Rita"), f"/p/full/items/{gold}")


def test_people_stand_with_their_hours(sign: Sign):
    found = page(sign("Olga"), "/p/full/people")
    for person in sign("Olga").get("/api/projects/full/people").json():
        at = found.index(f'data-person="{person["id"]}"')
        row = found[at : found.index("</tr>", at)]
        assert person["name"] in row and person["pseudonym"] in row
        assert f'data-value="{person["active_hours"]}"' in row
        assert f'<option value="{person["role"]}" selected>' in row


def test_settings_show_the_rules_that_hold(sign: Sign):
    found = page(sign("Olga"), "/p/full/settings")
    settings = sign("Olga").get("/api/projects/full/settings").json()
    for name, value in settings.items():
        if name == "attributes":
            continue
        field = re.search(
            rf'<(?:input|select|textarea)[^>]* name="{name}".*?(?=</div>|</label>)', found, re.S
        )
        assert field, name
        if isinstance(value, bool):
            assert ("checked" in field[0]) is value, name
        elif isinstance(value, float):
            assert f'value="{100 * value:g}"' in field[0], name
        elif isinstance(value, int):
            assert f'value="{value}"' in field[0], name
    assert found.count("data-attribute>") == len(settings["attributes"]) + 1  # and the one for new ones
    assert "<em>whole</em>" in found  # the preview
    assert "project://projects/full" in found


def test_a_title_can_be_changed_by_owners_alone(own_site: Site):
    owner, reviewer = own_site.client("Olga"), own_site.client("Rita")
    assert reviewer.patch("/api/projects/full", json={"title": "Mine"}).status_code == 403
    for title in ("", "   ", "x" * 201):
        assert owner.patch("/api/projects/full", json={"title": title}).status_code == 422
    assert owner.patch("/api/projects/full", json={"title": " A  better <title> "}).status_code == 204
    found = page(owner, "/p/full/settings")
    assert 'value="A better &lt;title&gt;"' in found
    assert "changed title" in found


def test_a_preview_is_what_labelers_would_see_and_keeps_nothing(own_site: Site):
    owner = own_site.client("Olga")
    answer = owner.post(
        "/api/projects/full/guidelines/preview",
        json={"markdown": "# Hi\n\n**b** <script>x</script> ![p](http://e.example/p.png)"},
    )
    html = answer.json()["html"]
    assert "<strong>b</strong>" in html and "<script" not in html and "<img" not in html
    assert owner.get("/api/projects/full/guidelines").json()["version"] == 1
    assert (
        own_site.client("Rita")
        .post("/api/projects/full/guidelines/preview", json={"markdown": "x"})
        .status_code
        == 403
    )


def test_the_api_is_described_route_by_route(sign: Sign, full_site: Site):
    from fastapi.testclient import TestClient

    found = page(sign("Olga"), "/api/docs")
    schema = sign("Olga").get("/api/openapi.json").json()
    count = 0
    for path, methods in schema["paths"].items():
        for method in methods:
            count += 1
            assert re.search(rf">{method.upper()}</span><code>{re.escape(path)}</code>", found), path
    assert found.count('class="operation"') == count
    assert re.search(r"/people</code><span class=\"badge\">owner</span>", found)
    assert "A token needs the scope <code>export</code>" in found
    assert "Only for a person in a browser: no token may do this." in found
    assert (
        "curl -X PATCH -H &#34;Authorization: Bearer $TOKEN&#34; http://localhost/api/projects/PROJECT"
        in found
    )
    assert "The API" in page(TestClient(full_site.app, base_url="http://localhost"), "/api/docs")


def test_every_item_page_opens(sign: Sign, full_site: Site):
    ids = full_site.server.database.read(lambda db: list(db.scalars(select(Item.id).limit(12))))
    for item in ids:
        answer = sign("Olga").get(f"/p/full/items/{item}")
        assert answer.status_code in (200, 404)  # 404: it is another project's
    assert page(sign("Olga"), "/p/full/items/01NOSUCHITEM", 404)
