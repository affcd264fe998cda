"""Holding an item, losing it, and being signed out in the middle of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from playwright.sync_api import Page, expect
from web.browser.desk import Desk, pair, ranking, ready, saved, submit, summary

from plaudit.feedback.store.claiming import claim
from plaudit.feedback.store.judgement_form import JudgementForm
from plaudit.feedback.store.people import revoke_sessions
from plaudit.feedback.store.submission import submit as store_judgement

NOON = datetime(2030, 1, 1, 12)


def pass_time(page: Page, desk: Desk, seconds: int) -> None:
    """Both clocks, the server's first."""
    desk.site.ahead += seconds
    page.clock.run_for(seconds * 1000)


def start(desk: Desk) -> Page:
    """A page whose clock can be turned forward."""
    context = desk.context()
    page = context.new_page()
    page.clock.install(time=NOON)
    page.goto(f"/p/{desk.slug}")
    return ready(page)


def judge(desk: Desk, name: str) -> None:
    """Someone else takes and judges an item."""

    member = desk.member(name)

    def work(db: Any, _: Any) -> None:
        taken = claim(db, member.id, now=desk.site.now())
        letters = [["A"], ["B"]]
        store_judgement(
            db,
            member,
            taken.id,
            verdict=JudgementForm(groups=letters, strength=1),
            key="other-key",
            now=desk.site.now(),
        )

    desk.change(work)


def test_someone_at_work_keeps_the_item(desk: Desk) -> None:
    desk.project(pair(), lease_seconds=60)
    page = start(desk)
    first = desk.assignments()[0].expires_at
    for _ in range(8):
        page.keyboard.press("1")
        with page.expect_response("**/heartbeat"):
            pass_time(page, desk, 16)
    expect(page.locator("#notice")).to_be_hidden()
    [held] = desk.assignments()
    assert held.state == "leased" and held.expires_at > first + 100
    assert held.active_ms > 60_000


def test_a_warning_and_a_sign_of_life(desk: Desk) -> None:
    desk.project(pair(), lease_seconds=200)
    page = start(desk)
    page.route("**/heartbeat", lambda route: route.abort())
    desk.expect("ERR_FAILED")
    pass_time(page, desk, 150)
    expect(page.get_by_role("alert").filter(has_text="goes back in about 45 seconds")).to_be_visible()
    page.unroute("**/heartbeat")
    page.keyboard.press("1")
    expect(page.locator("#notice")).to_be_hidden()
    assert desk.assignments()[0].expires_at > desk.site.now() + 190
    submit(page)
    assert len(desk.judged()) == 1


def test_an_item_that_went_back_is_taken_up_again(desk: Desk) -> None:
    desk.project(pair(), lease_seconds=30, people={"Ann": "labeler", "Bo": "labeler"})
    page = start(desk)
    page.keyboard.press("1")
    expect(page.locator(".saved")).to_have_text("Saving …")
    pass_time(page, desk, 1)
    expect(page.locator(".saved")).to_have_text("Draft saved")
    page.route("**/heartbeat", lambda route: route.abort())
    desk.expect("ERR_FAILED")
    pass_time(page, desk, 120)
    expect(page.get_by_role("alert").filter(has_text="This item went back")).to_be_visible()
    page.unroute("**/heartbeat")
    page.mouse.move(300, 300)
    page.mouse.move(310, 310)
    expect(page.locator("#notice")).to_be_hidden()
    assert desk.assignments()[0].state == "leased"
    submit(page)
    [judged] = desk.judged()
    assert judged.groups == [["A"], ["B"]] and not judged.surplus


def test_late_work_is_kept_as_surplus(desk: Desk) -> None:
    desk.project(pair(), lease_seconds=30, people={"Ann": "labeler", "Bo": "labeler"})
    page = start(desk)
    page.route("**/heartbeat", lambda route: route.abort())
    desk.expect("ERR_FAILED")
    pass_time(page, desk, 120)
    expect(page.get_by_role("alert").filter(has_text="This item went back")).to_be_visible()
    judge(desk, "Bo")
    page.keyboard.press("2")
    page.locator("#submit").click()
    expect(page.locator(".toast", has_text="Saved, as an extra to what others said")).to_be_visible()
    [mine] = desk.judged("Ann")
    assert mine.surplus and mine.groups == [["B"], ["A"]]
    assert not desk.judged("Bo")[0].surplus


def test_late_work_counts_where_nobody_else_has_done_it(desk: Desk) -> None:
    desk.project(pair(), lease_seconds=30)
    page = start(desk)
    page.route("**/heartbeat", lambda route: route.abort())
    desk.expect("ERR_FAILED")
    pass_time(page, desk, 120)
    page.keyboard.press("2")
    submit(page)
    assert not desk.judged()[0].surplus


def test_signed_out_in_the_middle(desk: Desk) -> None:
    desk.expect("401", "403")
    desk.project(ranking(3, 1), ranking(3, 2), people={"Ann": "labeler", "Bo": "labeler"})
    page = ready(desk.open())
    desk.site.database.write(revoke_sessions, desk.users["Ann"], now=desk.site.now())
    page.keyboard.press("2")
    page.keyboard.press("ArrowUp")
    box = page.get_by_role("dialog", name="You are signed out")
    expect(box).to_be_visible()
    expect(box.get_by_role("link", name="Sign in in a new tab")).to_have_attribute("target", "_blank")
    # It cannot be closed by accident.
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(box).to_be_visible()
    box.get_by_role("button", name="I have signed in").click()
    expect(box).to_contain_text("Not yet")
    # Someone else signs in in another window: that will not do.
    other = page.context.new_page()
    other.goto(desk.link("Bo"))
    other.get_by_role("button", name="Sign in as").click()
    expect(other.locator("#submit")).to_be_visible()
    expect(box).to_contain_text("Someone else is signed in now")
    other.goto(desk.link("Ann"))
    other.get_by_role("button", name="Sign in as").click()
    expect(other.locator("#submit")).to_be_visible()
    expect(box).to_have_count(0)
    expect(summary(page)).to_have_text("B › A › C")
    submit(page)
    assert [j.groups for j in desk.judged()] == [[["B"], ["A"], ["C"]]]
    assert len(desk.judged("Ann")) == 1


def test_signed_out_while_submitting(desk: Desk) -> None:
    desk.expect("401", "403")
    desk.project(pair(1), pair(2))
    page = ready(desk.open())
    page.keyboard.press("1")
    expect(page.locator(".saved")).to_have_text("Draft saved")
    desk.site.database.write(revoke_sessions, desk.users["Ann"], now=desk.site.now())
    page.locator("#submit").click()
    box = page.get_by_role("dialog", name="You are signed out")
    expect(box).to_be_visible()
    assert not desk.judged()
    desk.sign_in(page.context)
    box.get_by_role("button", name="I have signed in").click()
    saved(page)
    expect(summary(page)).to_have_text("Nothing chosen yet")
    assert len(desk.judged()) == 1


def test_signed_in_anew_in_another_window(desk: Desk) -> None:
    """The page's own token is of the session before: it takes up the new one without a word."""
    desk.expect("403")
    desk.project(pair(1), pair(2))
    page = ready(desk.open())
    desk.sign_in(page.context)
    page.keyboard.press("1")
    submit(page)
    assert len(desk.judged()) == 1
