"""The pages in a real browser, under the policy they are served with: what owners do, and that all can do it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from chromium import FLAGS
from web.manage.conftest import Site, copied

from plaudit.feedback.store.schema import Item

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

REFUSED = (
    "Failed to load resource: the server responded with a status of 4"  # what a test asks for on purpose
)
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PAGES = ("dashboard", "items", "people", "settings")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield made
        made.close()


@pytest.fixture(scope="module")
def served(full_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str]]:
    """A copy of the site on a port of its own."""
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    site = copied(full_site, tmp_path_factory.mktemp("served") / "collect.db", port=port)
    server = uvicorn.Server(uvicorn.Config(site.app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield site, f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()
    site.server.database.close()


def enter(context: BrowserContext, served: tuple[Site, str], name: str = "Olga") -> None:
    site, origin = served
    answer = context.request.post(
        f"{origin}/api/links/enter",
        data=json.dumps({"token": site.links[name]}),
        headers={"content-type": "application/json"},
    )
    assert answer.ok, answer.text()


def watched(context: BrowserContext) -> tuple[Page, list[str]]:
    """A page and what went wrong on it: errors, warnings, and what the policy refused."""
    page, wrong = context.new_page(), []

    def heard(message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(REFUSED):
            wrong.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda e: wrong.append(str(e)))
    return page, wrong


@pytest.fixture
def olga(browser: Browser, served: tuple[Site, str]) -> Iterator[tuple[Page, str]]:
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    enter(context, served)
    page, wrong = watched(context)
    yield page, served[1] + "/p/full"
    context.close()
    assert wrong == []


def test_the_dashboard_explains_itself_and_sorts(olga: tuple[Page, str]) -> None:
    page, root = olga
    page.goto(f"{root}/dashboard")
    meaning = page.locator("#agreement details.what").first
    meaning.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(meaning.locator("p")).to_contain_text("Published")
    table = page.locator("#labelers table[data-sortable]")
    table.get_by_role("button", name="Judgements").click()
    values = [int(v) for v in table.locator("tbody td[data-column=judgements]").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    expect(table.locator("th[aria-sort=descending]")).to_contain_text("Judgements")
    table.get_by_role("button", name="Labeler").click()
    names = table.locator("tbody th").all_inner_texts()
    assert names == sorted(names)
    # What is not known stands last, whichever way.
    steady = table.get_by_role("button", name="Self-consistency")
    for _ in range(2):
        steady.click()
        known = [t != "–" for t in table.locator("tbody td[data-column=self_consistency]").all_inner_texts()]
        assert known == sorted(known, reverse=True)
    with page.expect_download() as download:
        page.locator("#labelers .downloads a").first.click()
    assert Path(download.value.path()).read_text().startswith(("labeler,", '"labeler",'))


def test_items_are_filtered_and_added_from_text_and_from_a_file(
    olga: tuple[Page, str], tmp_path: Path
) -> None:
    page, root = olga
    page.goto(f"{root}/items")
    page.get_by_label("Words of the prompt").fill("Question 7:")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("a.excerpt")).to_have_count(1)
    page.get_by_role("link", name="Show all").click()
    add = page.get_by_role("button", name="Add items")
    rows = page.get_by_label("Or paste the rows")

    rows.fill('{"prompt": "a"')
    expect(page.locator(".error")).to_contain_text("Line 1 is not JSON")
    rows.fill('{"prompt": "Pasted", "responses": ["x", "y"]}\n{"prompt": "One", "responses": ["x"]}')
    expect(page.locator("#rows-help")).to_have_text("2 rows.")
    add.click()
    expect(page.locator("#import-done")).to_contain_text("Nothing was added")
    expect(page.locator("#import-done li")).to_contain_text("Row 2, responses:")
    rows.fill('{"prompt": "Pasted <b>", "responses": ["x", "y"]}')
    add.click()
    expect(page.locator("#import-done")).to_contain_text("1 item was added.")

    file = tmp_path / "more.jsonl"
    file.write_text(
        "\n".join(json.dumps({"prompt": f"From a file {i}", "responses": ["x", "y"]}) for i in range(3))
    )
    page.get_by_label("A file").set_input_files(file)
    expect(page.locator("#rows-help")).to_have_text("3 rows in more.jsonl.")
    add.click()
    expect(page.locator("#import-done")).to_contain_text("3 items were added.")
    page.goto(f"{root}/items?search=From+a+file")
    expect(page.locator("a.excerpt")).to_have_count(3)
    page.locator("a.excerpt").first.click()
    expect(page.locator("h1")).to_contain_text("Item ")
    page.get_by_role("button", name="Retire").click()
    expect(page.locator(".page-head .badge.warn")).to_have_text("retired")
    expect(page.locator(".toast")).to_contain_text("Its judgements stay")


def test_gold_is_mended(olga: tuple[Page, str], served: tuple[Site, str]) -> None:
    page, root = olga
    page.goto(f"{root}/items?purpose=gold")
    page.locator("a.excerpt").first.click()
    accepted = page.get_by_label("Accepted rankings, one a line")
    before = accepted.input_value()
    accepted.fill("1 > 3")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#gold .error")).to_contain_text("“3”")
    accepted.fill("1 = 2")
    # The page is loaded anew after a save: what is typed before that is gone.
    with page.expect_navigation():
        page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("Saved")
    expect(accepted).to_have_value("1 = 2")
    accepted.fill(before)
    with page.expect_navigation():
        page.get_by_role("button", name="Save", exact=True).click()
    expect(accepted).to_have_value(before)
    page.get_by_label("Level").select_option("2")
    page.get_by_role("button", name="Save the level").click()
    expect(page.locator(".page-head .badge.hot")).to_have_text("level 2")
    item = page.url.rsplit("/", 1)[1]
    assert served[0].server.database.read(lambda db: db.get_one(Item, item).sensitivity) == 2


def test_people_are_invited_and_change_roles(olga: tuple[Page, str], browser: Browser) -> None:
    page, root = olga
    page.goto(f"{root}/people")
    page.get_by_label("For how many people").fill("0")
    page.get_by_role("button", name="Make a link").click()
    expect(page.locator("#invite .error")).not_to_be_empty()
    page.get_by_label("For how many people").fill("3")
    page.get_by_label("Note").fill("the Tuesday group")
    page.get_by_role("button", name="Make a link").click()
    link = page.locator("#secret").inner_text()
    assert link.startswith(root.removesuffix("/p/full") + "/enter#")
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("cell", name="the Tuesday group", exact=True)).to_be_visible()

    role = page.get_by_label("Role of Lea")
    role.select_option("reviewer")
    expect(page.locator(".toast")).to_contain_text("Lea is reviewer now")
    mine = page.get_by_label("Role of Olga")
    mine.select_option("labeler")
    expect(page.locator(".toast").last).to_contain_text("at least one owner")
    expect(mine).to_have_value("owner")

    page.get_by_role("button", name="End the part of Labeler 3").click()
    page.get_by_role("button", name="End it").click()
    expect(page.locator("tr", has_text="Labeler 3").locator(".badge")).to_have_text("ended")
    page.get_by_role("button", name="Restore the part of Labeler 3").click()
    page.get_by_role("button", name="Restore it").click()
    expect(page.locator("tr", has_text="Labeler 3").locator(".badge")).to_have_count(0)

    page.get_by_role("button", name="End the invitation the Tuesday group").click()
    page.get_by_role("button", name="End it").click()
    expect(page.get_by_role("cell", name="the Tuesday group", exact=True)).to_have_count(0)


def test_rules_are_changed_and_what_is_wrong_is_said_beside_it(olga: tuple[Page, str]) -> None:
    page, root = olga
    page.goto(f"{root}/settings")
    save = page.get_by_role("button", name="Save rules and attributes")
    page.get_by_label("Labelers per shared item").fill("99")
    save.click()
    expect(
        page.locator(".field:has(> #rule-overlap-error), .field:has(#rule-overlap) .error").first
    ).to_contain_text("50")
    page.get_by_label("Labelers per shared item").fill("4")
    page.get_by_label("Gold among the work").fill("7.5")
    page.get_by_role("button", name="+ Harmless").click()
    page.get_by_role("button", name="+ One of your own").click()
    page.get_by_label("Name in data").last.fill("Not A Name")
    save.click()
    expect(page.locator(".attribute .error")).to_contain_text("small letters")
    page.get_by_label("Name in data").last.fill("style")
    expect(page.locator("#unsaved")).to_contain_text("overlap")
    save.click()
    expect(page.locator(".toast")).to_contain_text("Saved")
    page.reload()
    expect(page.get_by_label("Labelers per shared item")).to_have_value("4")
    expect(page.get_by_label("Gold among the work")).to_have_value("7.5")
    names = [e.input_value() for e in page.get_by_label("Name in data").all()]
    assert names == ["helpful", "honest", "harmless", "style"]
    page.get_by_role("button", name="Remove").nth(3).click()
    save.click()
    expect(page.locator(".toast")).to_contain_text("Saved")

    paused = page.get_by_role("radio", name="Paused")
    page.get_by_label("Title").fill("Better answers")
    page.get_by_role("button", name="Save the title").click()
    expect(page.locator(".brand")).to_contain_text("Better answers")
    paused.check()
    expect(page.locator(".toast").last).to_contain_text("paused")
    page.get_by_role("radio", name="Closed").click()
    page.get_by_role("button", name="Cancel").click()
    expect(paused).to_be_checked()
    page.reload()
    expect(paused).to_be_checked()
    expect(page.locator("#log")).to_contain_text("changed settings")


def test_guidelines_are_previewed_and_published(olga: tuple[Page, str]) -> None:
    page, root = olga
    page.goto(f"{root}/settings")
    page.get_by_label("Text, in Markdown").fill("# Rules\n\nBe **kind**. <img src=x onerror=alert(1)>")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview strong")).to_have_text("kind")
    assert page.locator("#preview img").count() == 0
    page.get_by_label("What changed").fill("kindness")
    page.get_by_role("button", name="Publish").click()
    page.get_by_role("dialog").get_by_role("button", name="Publish").click()
    expect(page.locator(".toast")).to_contain_text("Version 2 is published")
    expect(page.locator("#guidelines")).to_contain_text("Version 2 holds")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    first = json.loads(Path(download.value.path()).read_text().splitlines()[0])
    assert first["metadata"]["purpose"] == "work"


PLACES = [f"/p/full/{page}" for page in PAGES] + ["/p/empty/dashboard", "/p/full/items/ITEM", "/api/docs"]


@pytest.mark.parametrize("place", PLACES)
def test_everyone_can_use_the_page(browser: Browser, served: tuple[Site, str], place: str) -> None:
    """No serious fault of accessibility, light and dark, on a desk and in a hand; nothing wider than the screen."""
    axe_module = pytest.importorskip("axe_playwright_python.sync_playwright")
    # The policy would not let axe in.
    context = browser.new_context(viewport=DESKTOP, bypass_csp=True, reduced_motion="reduce")
    enter(context, served)
    page, wrong = watched(context)
    gold = context.request.get(f"{served[1]}/api/projects/full/items?purpose=gold").json()["items"][0]["id"]
    page.goto(served[1] + place.replace("ITEM", gold))
    # A few of a kind are as good as all of them, and a fraction of the time.
    page.evaluate(
        "document.querySelectorAll('main details').forEach((d, i) => (d.open = i < 4));"
        "const more = 'main tbody tr:nth-child(n+5), .operation:nth-of-type(n+5)';"
        "document.querySelectorAll(more).forEach((e) => e.remove())"
    )
    found = {}
    # Between light and dark nothing changes but colours.
    colours = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{wide} pixels wider than the screen"
        schemes: tuple[tuple[Literal["light", "dark"], dict[str, Any]], ...] = (
            ("light", {}),
            ("dark", colours),
        )
        for scheme, options in schemes:
            page.emulate_media(color_scheme=scheme)
            run = axe_module.Axe().run(page, options={"resultTypes": ["violations"], **options})
            for v in run.response["violations"]:
                if v["impact"] in ("serious", "critical"):
                    nodes = [(n["html"][:160], n["failureSummary"][:200]) for n in v["nodes"][:3]]
                    found[scheme, size["width"], v["id"]] = nodes
    context.close()
    assert found == {}
    assert wrong == []
