"""Ranking three to nine answers: by mouse, buttons, keys and fingers."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from web.browser.desk import PHONE, Desk, ranking, ready, saved, submit, summary


def grip(page: Page, letter: str) -> Any:
    return page.locator(f'.rank[data-letter="{letter}"] .grip')


def step(page: Page, letter: str, name: str) -> None:
    page.locator(f'.rank[data-letter="{letter}"] [data-act="{name}"]').click()


def middle(page: Page, letter: str, share: float = 0.5) -> tuple[float, float]:
    box = page.locator(f'.rank[data-letter="{letter}"]').bounding_box()
    grip_box = grip(page, letter).bounding_box()
    return grip_box["x"] + 30, box["y"] + box["height"] * share


def drag(page: Page, letter: str, other: str, share: float) -> None:
    """With the mouse onto that share of the other row's height."""
    x, y = middle(page, letter)
    _, to = middle(page, other, share)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, (y + to) / 2)
    page.mouse.move(x, to)
    page.mouse.up()


def test_ranks_by_dragging(desk: Desk) -> None:
    desk.project(ranking(4))
    page = ready(desk.open())
    expect(summary(page)).to_have_text("A › B › C › D")
    drag(page, "D", "A", 0.1)
    expect(summary(page)).to_have_text("D › A › B › C")
    drag(page, "A", "C", 0.9)
    expect(summary(page)).to_have_text("D › B › C › A")
    drag(page, "A", "B", 0.5)
    expect(summary(page)).to_have_text("D › A = B › C")
    # The seam between tied answers takes a third one in.
    drag(page, "D", "B", 0.15)
    expect(summary(page)).to_have_text("A = B = D › C")
    step(page, "D", "down")
    expect(summary(page)).to_have_text("A = B › D › C")
    assert page.locator(".rank").evaluate_all("rows => rows.map(r => r.dataset.letter)") == [
        "A",
        "B",
        "D",
        "C",
    ]
    # The buttons work at once after a drag.
    step(page, "C", "up")
    expect(summary(page)).to_have_text("A = B › C › D")
    submit(page)
    [judged] = desk.judged()
    assert judged.groups == [["A", "B"], ["C"], ["D"]]
    assert not judged.untouched
    assert judged.client == {"width": 1280, "touch": False}


def test_a_drag_can_be_called_off(desk: Desk) -> None:
    desk.project(ranking(3))
    page = ready(desk.open())
    x, y = middle(page, "C")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, middle(page, "A")[1])
    expect(page.locator(".rank.dragging")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".rank.dragging")).to_have_count(0)
    page.mouse.up()
    expect(summary(page)).to_have_text("A › B › C")


def test_ranks_by_buttons(desk: Desk) -> None:
    desk.project(ranking(4))
    page = ready(desk.open())
    step(page, "C", "up")
    step(page, "C", "up")
    step(page, "A", "down")
    expect(summary(page)).to_have_text("C › B › A › D")
    step(page, "D", "tie")
    expect(summary(page)).to_have_text("C › B › A = D")
    expect(page.get_by_role("button", name="Take answer D out of the tie")).to_have_attribute(
        "aria-pressed", "true"
    )
    places = page.locator(".answer .badge").all_text_contents()
    assert places == ["3=", "2", "1", "3="]
    submit(page)
    assert desk.judged()[0].groups == [["C"], ["B"], ["A", "D"]]


def test_ranks_by_keys_alone(desk: Desk) -> None:
    desk.project(ranking(4, 1), ranking(4, 2))
    page = ready(desk.open())
    keys = page.keyboard
    for key in ("3", "ArrowUp", "ArrowUp", "2", "=", "4"):
        keys.press(key)
    expect(summary(page)).to_have_text("C › A = B › D")
    expect(grip(page, "D")).to_be_focused()
    keys.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("C › A = B › D")
    keys.press("Enter")
    saved(page)
    assert [j.groups for j in desk.judged()] == [[["C"], ["A", "B"], ["D"]]]
    # The next item is ready for keys at once.
    expect(summary(page)).to_have_text("A › B › C › D")
    keys.press("1")
    keys.press("ArrowDown")
    expect(summary(page)).to_have_text("B › A › C › D")
    for key in ("Enter", "Enter"):
        keys.press(key)
    expect(page.get_by_role("heading", name="Nothing is left for you")).to_be_visible()
    assert desk.judged()[1].groups == [["B"], ["A"], ["C"], ["D"]]


def test_ranks_with_a_finger(desk: Desk) -> None:
    desk.project(ranking(4), attributes=["helpful"])
    page = ready(desk.open(**PHONE))
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    grip(page, "B").scroll_into_view_if_needed()
    page.locator(".ranking").evaluate("list => list.scrollIntoView({block: 'center'})")
    before = page.evaluate("scrollY")
    assert before > 0
    x, y = middle(page, "D")
    _, to = middle(page, "B", 0.1)
    fingers = page.context.new_cdp_session(page)

    # A finger that comes to rest before it lifts: after a flick the browser keeps the next tap to itself for a while.
    moments = itertools.count(time.time() - 2, 0.15)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y} for x, y in points]
        event = {"type": kind, "touchPoints": touches, "timestamp": next(moments)}
        fingers.send("Input.dispatchTouchEvent", event)

    touch("touchStart", (x, y))
    for share in (0.25, 0.5, 0.75, 1, 1, 1):
        touch("touchMove", (x, y + (to - y) * share))
    touch("touchEnd")
    expect(summary(page)).to_have_text("A › D › B › C")
    assert page.evaluate("scrollY") == before
    # The first tap after a drag counts.
    page.locator('.rank[data-letter="D"] [data-act="up"]').tap()
    expect(summary(page)).to_have_text("D › A › B › C")
    page.locator('.rank[data-letter="C"] [data-act="tie"]').tap()
    page.locator("#submit").tap()
    saved(page)
    [judged] = desk.judged()
    assert judged.groups == [["D"], ["A"], ["B", "C"]]
    assert judged.client == {"width": 390, "touch": True}


def test_ranks_nine(desk: Desk) -> None:
    desk.project(ranking(9))
    page = ready(desk.open())
    for key in ("9", *["ArrowUp"] * 8, "1", "="):
        page.keyboard.press(key)
    expect(summary(page)).to_have_text("A = I › B › C › D › E › F › G › H")
    drag(page, "B", "D", 0.9)
    expect(summary(page)).to_have_text("A = I › C › D › B › E › F › G › H")
    submit(page)
    assert desk.judged()[0].groups == [["A", "I"], *[[letter] for letter in "CDBEFGH"]]


def test_no_ties_where_none_are_asked_for(desk: Desk) -> None:
    desk.project(ranking(3), ties=False)
    page = ready(desk.open())
    expect(page.locator('[data-act="tie"]')).to_have_count(0)
    for key in ("2", "="):
        page.keyboard.press(key)
    expect(summary(page)).to_have_text("A › B › C")
    drag(page, "C", "A", 0.45)
    expect(summary(page)).to_have_text("C › A › B")
    submit(page)
    assert desk.judged()[0].groups == [["C"], ["A"], ["B"]]


@pytest.mark.parametrize("way", ["button", "keys"])
def test_an_untouched_order_is_asked_about(desk: Desk, way: str) -> None:
    desk.project(ranking(3, 1), ranking(3, 2))
    page = ready(desk.open())
    # Two items of one import are shown in either order.
    first = page.get_by_text("of item 1").count() > 0
    other = page.get_by_text("of item 2" if first else "of item 1").first

    def finish() -> None:
        page.locator("#submit").click() if way == "button" else page.keyboard.press("Enter")

    finish()
    box = page.get_by_role("dialog", name="You have not changed the order")
    box.get_by_role("button", name="Go back").click()
    assert not desk.judged()
    finish()
    box.get_by_role("button", name="Submit as it is").click()
    saved(page)
    expect(other).to_be_visible()
    assert [(j.untouched, j.groups) for j in desk.judged()] == [(True, [["A"], ["B"], ["C"]])]
    # Moved there and back again, it is meant.
    step(page, "A", "down")
    step(page, "A", "up")
    submit(page)
    expect(page.get_by_role("heading", name="Nothing is left for you")).to_be_visible()
    assert [j.untouched for j in desk.judged()] == [True, False]
