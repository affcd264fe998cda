"""Unfinished work: kept through reloads, other browsers, other windows and a restart of the server."""

from __future__ import annotations

from playwright.sync_api import Page, Route, expect
from web.browser.desk import Desk, pair, ranking, ready, saved, submit, summary


def kept(page: Page) -> None:
    """Wait until the server has the draft."""
    expect(page.locator(".saved")).to_have_text("Draft saved")


def write(page: Page, rationale: str) -> None:
    """A draft: C first, helpful, and a reason."""
    for key in ("3", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    page.locator("#field-helpful-B input[value='4']").check()
    page.get_by_role("button", name="All are bad").click()
    page.locator("#rationale").fill(rationale)


def shows(page: Page, rationale: str) -> None:
    expect(summary(ready(page))).to_have_text("C › A › B, all bad")
    expect(page.locator("#field-helpful-B input[value='4']")).to_be_checked()
    expect(page.locator("#rationale")).to_have_value(rationale)


def test_is_there_after_a_reload_and_in_another_browser(desk: Desk) -> None:
    desk.project(ranking(3), attributes=["helpful"])
    page = ready(desk.open())
    write(page, "because")
    # At once, without waiting for the server.
    page.reload()
    shows(page, "because")
    kept(page)
    [draft] = desk.drafts()
    assert draft["groups"] == [["C"], ["A"], ["B"]] and draft["rationale"] == "because"
    other = desk.open()
    shows(other, "because")
    submit(other)
    assert desk.drafts() == []
    [judged] = desk.judged()
    assert judged.all_bad and not judged.untouched and judged.attributes == {"helpful": {"B": 4}}


def test_is_there_after_the_server_was_away(desk: Desk) -> None:
    desk.expect("ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "ERR_NETWORK", "ERR_SOCKET")
    desk.project(ranking(3), attributes=["helpful"])
    page = ready(desk.open())
    desk.site.stop()
    try:
        write(page, "the server is away")
        expect(page.locator(".saved")).to_have_text("Draft kept on this computer")
    finally:
        desk.site.start()
    kept(page)
    assert desk.drafts()[0]["rationale"] == "the server is away"
    shows(desk.open(), "the server is away")
    submit(page)
    assert len(desk.judged()) == 1
    assert desk.drafts() == []


def test_no_draft_is_left_behind_a_quick_judgement(desk: Desk) -> None:
    desk.project(ranking(3, 1), ranking(3, 2))
    page = ready(desk.open())
    slow: list[Route] = []
    page.route("**/draft", lambda route: slow.append(route))
    with page.expect_request("**/draft"):
        page.keyboard.press("2")
        page.keyboard.press("ArrowUp")
    page.locator("#submit").click()
    # The judgement waits for the draft that is on its way: the other way round the draft would stay for good.
    expect(page.locator("#submit")).to_have_attribute("aria-busy", "true")
    assert not desk.judged()
    slow[0].continue_()
    saved(page)
    ready(page)
    assert len(desk.judged()) == 1
    assert desk.drafts() == []


def test_what_was_written_while_a_draft_was_sent_is_kept(desk: Desk) -> None:
    desk.expect("ERR_FAILED")
    desk.project(pair())
    page = ready(desk.open())
    first: list[Route] = []
    page.route("**/draft", lambda route: route.abort() if first else first.append(route))
    with page.expect_request("**/draft"):
        page.locator("#rationale").fill("one")
    page.locator("#rationale").fill("one two")
    with page.expect_response("**/draft"):
        first[0].continue_()
    page.reload()
    expect(page.locator("#rationale")).to_have_value("one two")
    assert desk.drafts()[0]["rationale"] == "one"


def test_a_newer_draft_from_elsewhere_and_this_one(desk: Desk) -> None:
    desk.expect("ERR_FAILED")
    desk.project(pair())
    page = ready(desk.open())
    page.route("**/draft", lambda route: route.abort())
    page.keyboard.press("1")
    expect(page.locator(".saved")).to_have_text("Draft kept on this computer")
    other = ready(desk.open())
    other.keyboard.press("2")
    kept(other)
    page.unroute("**/draft")
    page.reload()
    expect(summary(ready(page))).to_have_text("B is better")
    page.get_by_role("button", name="Use this window’s").click()
    expect(summary(page)).to_have_text("A is better")
    submit(page)
    assert desk.judged()[0].groups == [["A"], ["B"]]


def test_two_windows(desk: Desk) -> None:
    desk.expect("409")
    desk.project(pair(1), pair(2))
    page = ready(desk.open())
    other = page.context.new_page()
    other.goto(page.url)
    ready(other)
    page.keyboard.press("1")
    kept(page)
    # The other window wrote last, from an older revision: what its reader sees wins.
    other.keyboard.press("=")
    kept(other)
    assert desk.drafts()[0]["side"] == 0
    submit(other)
    # The first window learns of it, and goes on with the next item.
    page.keyboard.press("2")
    expect(page.locator(".saved")).to_have_text("Judged in another window")
    page.locator("#submit").click()
    expect(page.locator(".toast")).to_contain_text("You have judged this item before")
    expect(summary(page)).to_have_text("Nothing chosen yet")
    page.keyboard.press("1")
    submit(page)
    expect(page.get_by_role("heading", name="Nothing is left for you")).to_be_visible()
    assert [j.groups for j in desk.judged()] == [[["A", "B"]], [["A"], ["B"]]]
    assert desk.drafts() == []
