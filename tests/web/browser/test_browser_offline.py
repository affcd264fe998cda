"""A judgement reaches the server once, whatever the line does."""

from __future__ import annotations

from playwright.sync_api import Page, Route, expect
from web.browser.desk import Desk, pair, ranking, ready, saved, summary

NO_LINE = ("ERR_INTERNET_DISCONNECTED", "ERR_FAILED")


def rank(page: Page) -> None:
    page.keyboard.press("2")
    page.keyboard.press("ArrowUp")
    expect(summary(page)).to_have_text("B › A › C")


def waits(page: Page) -> None:
    expect(page.get_by_role("alert").filter(has_text="Waiting for the connection")).to_be_visible()


def test_is_sent_when_the_line_is_back(desk: Desk) -> None:
    desk.expect(*NO_LINE)
    desk.project(ranking(3, 1), ranking(3, 2))
    page = ready(desk.open())
    page.context.set_offline(True)
    rank(page)
    page.locator("#submit").click()
    waits(page)
    # What is on its way stays as it is.
    page.keyboard.press("z")
    page.keyboard.press("s")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(summary(page)).to_have_text("B › A › C")
    assert not desk.judged()
    page.context.set_offline(False)
    saved(page)
    expect(page.locator("#notice")).to_be_hidden()
    expect(summary(page)).to_have_text("A › B › C")
    assert [j.groups for j in desk.judged()] == [[["B"], ["A"], ["C"]]]
    assert page.evaluate("Object.keys(localStorage).filter(k => k.includes('outbox'))") == []


def test_is_sent_after_a_reload(desk: Desk) -> None:
    desk.expect(*NO_LINE)
    desk.project(ranking(3, 1), ranking(3, 2))
    page = ready(desk.open())
    page.route("**/submit", lambda route: route.abort())
    rank(page)
    page.locator("#submit").click()
    waits(page)
    # The page can be had again, but its judgement still cannot be sent.
    page.reload()
    waits(page)
    assert not desk.judged()
    page.unroute("**/submit")
    expect(page.locator(".toast", has_text="An earlier judgement has been sent")).to_be_visible()
    expect(summary(ready(page))).to_have_text("A › B › C")
    assert [j.groups for j in desk.judged()] == [[["B"], ["A"], ["C"]]]


def test_a_lost_receipt_makes_no_second_judgement(desk: Desk) -> None:
    desk.expect(*NO_LINE)
    desk.project(ranking(3, 1), ranking(3, 2))
    page = ready(desk.open())
    keys = []

    def lose(route: Route) -> None:
        """It arrives; the answer does not."""
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route("**/submit", lose)
    rank(page)
    page.locator("#submit").click()
    saved(page)
    assert len(keys) == 2 and len(set(keys)) == 1
    assert len(desk.judged()) == 1


def test_a_closed_window_and_a_new_one(desk: Desk) -> None:
    desk.expect(*NO_LINE)
    desk.project(ranking(3, 1), ranking(3, 2))
    context = desk.context()
    page = context.new_page()
    page.goto(f"/p/{desk.slug}")
    rank(ready(page))
    context.set_offline(True)
    page.locator("#submit").click()
    waits(page)
    page.close()
    context.set_offline(False)
    page = context.new_page()
    page.goto(f"/p/{desk.slug}")
    expect(page.locator(".toast", has_text="An earlier judgement has been sent")).to_be_visible()
    expect(summary(ready(page))).to_have_text("A › B › C")
    assert len(desk.judged()) == 1


def test_signing_out_tells_what_has_not_been_sent(desk: Desk) -> None:
    desk.expect(*NO_LINE)
    desk.project(ranking(3))
    page = ready(desk.open())
    page.route("**/submit", lambda route: route.abort())
    rank(page)
    page.locator("#submit").click()
    waits(page)
    page.locator(".menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    box = page.get_by_role("dialog", name="Sign out now?")
    box.get_by_role("button", name="Stay").click()
    page.locator(".menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    box.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{desk.site.address}/sign-in")
    # Whoever signs in next in this browser sends it only if it is theirs.
    desk.join("Bo")
    page.unroute("**/submit")
    desk.sign_in(page.context, "Bo")
    page.goto(f"/p/{desk.slug}")
    expect(page.get_by_role("heading", name="Others are at the last items")).to_be_visible()
    assert not desk.judged()
    desk.sign_in(page.context, "Ann")
    page.goto(f"/p/{desk.slug}")
    expect(page.locator(".toast", has_text="An earlier judgement has been sent")).to_be_visible()
    [judged] = desk.judged("Ann")
    assert judged.groups == [["B"], ["A"], ["C"]]


def test_a_double_click_is_one_judgement(desk: Desk) -> None:
    desk.project(pair(1), pair(2), pair(3))
    page = ready(desk.open())
    page.keyboard.press("1")
    page.locator("#submit").dblclick()
    saved(page)
    expect(summary(page)).to_have_text("Nothing chosen yet")
    page.keyboard.press("2")
    for _ in range(4):
        page.keyboard.press("Enter")
    expect(page.locator(".toast", has_text="Saved")).to_have_count(1)
    expect(summary(page)).to_have_text("Nothing chosen yet")
    assert [j.groups[0] for j in desk.judged()] == [["A"], ["B"]]


def test_a_server_that_stumbles(desk: Desk) -> None:
    desk.expect("503")
    desk.project(pair(1), pair(2))
    page = ready(desk.open())
    answers = [503, 503]

    def stumble(route: Route) -> None:
        route.fulfill(status=answers.pop(), body="busy") if answers else route.continue_()

    page.route("**/submit", stumble)
    page.keyboard.press("1")
    page.locator("#submit").click()
    waits(page)
    saved(page)
    assert len(desk.judged()) == 1


def test_a_refused_judgement_stays_on_the_page(desk: Desk) -> None:
    desk.expect("422", "400")
    desk.project(pair(1))
    page = ready(desk.open())
    desk.rule(rationale="required")
    page.keyboard.press("1")
    page.locator("#submit").click()
    expect(page.locator("#notice")).to_contain_text("Say why, in a few words.")
    assert not desk.judged()
    page.reload()
    expect(summary(ready(page))).to_have_text("A is better")
    page.locator("#rationale").fill("it is right")
    page.locator("#submit").click()
    expect(page.get_by_role("heading", name="Nothing is left for you")).to_be_visible()
    assert desk.judged()[0].rationale == "it is right"


def test_a_server_without_its_database_says_so_and_gets_the_judgement_later(desk: Desk) -> None:
    desk.expect("503")
    desk.project(ranking(3, 1), ranking(3, 2))
    page = ready(desk.open())
    said = {
        "error": {"code": "disk_full", "message": "the disk of the server is full: try again in 1 seconds"}
    }
    page.route("**/submit", lambda route: route.fulfill(status=503, json=said, headers={"retry-after": "1"}))
    rank(page)
    page.locator("#submit").click()
    expect(page.get_by_role("alert").filter(has_text="The disk of the server is full")).to_be_visible()
    assert not desk.judged()
    page.unroute("**/submit")
    saved(page)
    assert len(desk.judged()) == 1
