"""The guidelines: read first, beside every item, and what happens when they change."""

from __future__ import annotations

from playwright.sync_api import expect
from web.browser.desk import PHONE, Desk, pair, ready

FIRST = "# How to judge\n\nPrefer what is **right**.\n\n<script>alert(1)</script>"
SECOND = "# How to judge\n\nPrefer what is *short*."


def test_are_read_before_the_first_item(desk: Desk) -> None:
    desk.project(pair(), guidelines=FIRST, require_reading=True)
    page = desk.open()
    expect(page.get_by_role("heading", name="Read the guidelines first")).to_be_focused()
    expect(page.locator(".guide-text")).to_contain_text("Prefer what is right.")
    assert not desk.assignments()
    page.get_by_role("button", name="I have read them").click()
    ready(page)
    assert desk.member().guideline_seen == 1
    guide = page.get_by_role("complementary", name="Guidelines")
    expect(guide).to_contain_text("Prefer what is right.")
    page.keyboard.press("g")
    expect(guide).to_be_hidden()
    page.reload()
    expect(ready(page).get_by_role("complementary")).to_be_hidden()
    page.get_by_role("button", name="Guidelines").click()
    expect(guide).to_be_visible()


def test_a_new_version_is_read_before_the_next_item(desk: Desk) -> None:
    desk.expect("409")
    desk.project(pair(1), pair(2), guidelines=FIRST, require_reading=True)
    page = desk.open()
    page.get_by_role("button", name="I have read them").click()
    ready(page)
    desk.publish(SECOND)
    page.keyboard.press("1")
    page.locator("#submit").click()
    expect(page.get_by_role("heading", name="The guidelines have changed")).to_be_visible()
    expect(page.locator(".guide-text")).to_contain_text("Prefer what is short.")
    page.get_by_role("button", name="I have read them").click()
    page.keyboard.press("2") if ready(page) else None
    page.locator("#submit").click()
    expect(page.get_by_role("heading", name="Nothing is left for you")).to_be_visible()
    assert [j.guideline_version for j in desk.judged()] == [1, 2]
    assert desk.member().guideline_seen == 2


def test_a_new_version_is_announced_where_it_need_not_be_read(desk: Desk) -> None:
    desk.project(pair(1), pair(2), guidelines=FIRST)
    page = ready(desk.open())
    desk.publish(SECOND)
    page.keyboard.press("1")
    page.locator("#submit").click()
    expect(page.locator(".toast", has_text="The guidelines have changed")).to_be_visible()
    expect(page.get_by_role("complementary")).to_contain_text("Prefer what is short.")
    page.keyboard.press("2")
    page.locator("#submit").click()
    expect(page.get_by_role("heading", name="Nothing is left for you")).to_be_visible()
    assert [j.guideline_version for j in desk.judged()] == [1, 2]


def test_on_a_phone_they_are_a_dialog(desk: Desk) -> None:
    desk.project(pair(), guidelines=FIRST)
    page = ready(desk.open(**PHONE))
    expect(page.get_by_role("complementary")).to_be_hidden()
    page.get_by_role("button", name="Guidelines").tap()
    box = page.get_by_role("dialog", name="Guidelines")
    expect(box).to_contain_text("Prefer what is right.")
    box.get_by_role("button", name="Close").tap()
    expect(box).to_have_count(0)


def test_their_own_page(desk: Desk) -> None:
    desk.project(pair(), guidelines=FIRST, require_reading=True)
    desk.publish(SECOND)
    page = desk.open(path=f"/p/{desk.slug}/guidelines?version=1")
    expect(page.get_by_text("an earlier version")).to_be_visible()
    expect(page.get_by_role("button", name="I have read them")).to_have_count(0)
    page.get_by_role("link", name="Version 2").click()
    expect(page.locator("article")).to_contain_text("Prefer what is short.")
    page.get_by_role("button", name="I have read them").click()
    ready(page)
    assert desk.member().guideline_seen == 2
