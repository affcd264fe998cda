"""Skipping, what is hard to read, and when there is nothing to do."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from web.browser.desk import Desk, pair, question, ranking, ready, summary

HARSH = "A text that nobody should meet unasked."


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def test_skips_with_a_reason(desk: Desk) -> None:
    desk.project(pair(1), pair(2))
    page = ready(desk.open())
    page.keyboard.press("s")
    box = page.get_by_role("dialog", name="Skip this item")
    box.get_by_role("button", name="Go back").click()
    assert not desk.skips()
    page.get_by_role("button", name="Skip", exact=True).click()
    box.get_by_label("Something is wrong with the item").check()
    box.get_by_label("Anything to add?").fill("the second answer is empty")
    box.get_by_role("button", name="Skip this item").click()
    expect(page.locator(".toast")).to_contain_text("Skipped")
    ready(page)
    assert desk.skips() == [("broken", "the second answer is empty")]
    assert not desk.judged()


def test_x_asks_first_where_nothing_is_sensitive(desk: Desk) -> None:
    desk.project(pair())
    page = ready(desk.open())
    page.keyboard.press("x")
    box = page.get_by_role("dialog", name="Skip this item")
    expect(box.get_by_label("I would rather not read this")).to_be_checked()
    box.get_by_role("button", name="Skip this item").click()
    heading(page, "Nothing is left for you")
    assert desk.skips() == [("sensitive", "")]


def test_sensitive_items_are_hidden_until_asked_for(desk: Desk) -> None:
    desk.project(question(HARSH, "One harsh answer.", "Another.", sensitivity=2))
    desk.willing(2)
    page = desk.open()
    heading(page, "Sensitive content, level 2 of 3")
    text = page.evaluate("document.documentElement.outerHTML")
    assert HARSH not in text and "harsh answer" not in text
    page.get_by_role("button", name="Show it").click()
    ready(page)
    expect(page.locator(".conversation")).to_contain_text(HARSH)
    [assignment] = desk.assignments()
    assert assignment.revealed_at is not None
    # Once shown, it stays shown.
    page.reload()
    expect(page.locator(".conversation")).to_contain_text(HARSH)


def test_stops_showing_with_one_key(desk: Desk) -> None:
    harsh = [question(f"{HARSH} {i}", "One.", "Another.", sensitivity=2) for i in range(3)]
    desk.project(*harsh, pair())
    desk.willing(3)
    page = desk.open()
    expect(page.locator("h1")).to_be_visible()
    # The mild item may be drawn first.
    if page.locator("#submit").is_visible():
        page.keyboard.press("1")
        page.locator("#submit").click()
        heading(page, "Sensitive content, level 2 of 3")
    page.keyboard.press("x")
    expect(page.locator(".toast", has_text="nothing as sensitive")).to_be_visible()
    expect(page.locator(".veil")).to_have_count(0)
    assert desk.member().max_sensitivity == 1
    assert desk.skips() == [("sensitive", "stop showing me this")]
    if len(desk.judged()):
        heading(page, "Nothing is left for you")
    else:
        ready(page)


def test_stops_showing_with_a_button_after_a_look(desk: Desk) -> None:
    desk.project(question(HARSH, "One.", "Another.", sensitivity=1), blur_from=1)
    desk.willing(1)
    page = desk.open()
    page.get_by_role("button", name="Show it").click()
    ready(page)
    page.locator(".bar").get_by_role("button", name="Stop showing me this").click()
    heading(page, "Nothing is left for you")
    assert desk.member().max_sensitivity == 0


def test_says_when_nothing_is_left_and_when_others_hold_the_rest(desk: Desk) -> None:
    desk.project(ranking(3), people={"Ann": "labeler", "Bo": "labeler"})
    page = ready(desk.open())
    other = desk.open("Bo")
    heading(other, "Others are at the last items")
    page.keyboard.press("1")
    page.keyboard.press("ArrowDown")
    page.locator("#submit").click()
    heading(page, "Nothing is left for you")
    page.get_by_role("link", name="Look at your judgements").click()
    expect(page.get_by_role("link", name="Change")).to_be_visible()
    other.reload()
    heading(other, "Nothing is left for you")


def test_says_that_a_project_is_paused_or_closed(desk: Desk) -> None:
    desk.expect("409")
    desk.project(pair(1), pair(2))
    page = ready(desk.open())
    desk.state("paused")
    # What is on the screen is welcome all the same.
    page.keyboard.press("1")
    page.locator("#submit").click()
    heading(page, "The project is paused")
    assert len(desk.judged()) == 1
    desk.state("closed")
    page.get_by_role("button", name="Look again").click()
    heading(page, "The project is closed")
    desk.state("open")
    page.get_by_role("button", name="Look again").click()
    ready(page)
    expect(summary(page)).to_have_text("Nothing chosen yet")
