"""Pairs, and what is asked beside the ranking."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect
from web.browser.desk import PHONE, Desk, pair, ranking, ready, saved, submit, summary

CLARITY: dict[str, Any] = {"name": "clarity", "label": "Clear", "per": "item", "high": 3, "required": True}


def answered(page: Page) -> None:
    """Wait until the item of the last receipt has made way."""
    saved(page)
    page.locator(".toast .close").click()
    expect(page.locator(".toast")).to_have_count(0)


def rate(page: Page, field: str, value: int) -> None:
    page.locator(f"#field-{field} input[value='{value}']").check()


def test_every_strength_on_both_sides(desk: Desk) -> None:
    words = [f"A is {how}" for how in ("much better", "clearly better", "better", "slightly better")]
    words += ["A and B are equally good", *[w.replace("A is", "B is") for w in reversed(words)]]
    desk.project(*[pair(i) for i in range(9)])
    page = ready(desk.open())
    for word in words:
        expect(summary(page)).to_have_text("Nothing chosen yet")
        page.get_by_role("radio", name=word, exact=True).check()
        expect(summary(page)).to_have_text(word)
        page.locator("#submit").click()
        answered(page)
    found = [(j.groups, j.strength) for j in desk.judged()]
    assert found[:4] == [([["A"], ["B"]], s) for s in (4, 3, 2, 1)]
    assert found[4] == ([["A", "B"]], None)
    assert found[5:] == [([["B"], ["A"]], s) for s in (1, 2, 3, 4)]
    assert not any(j.untouched for j in desk.judged())


def test_a_pair_by_keys(desk: Desk) -> None:
    desk.project(*[pair(i) for i in range(5)])
    page = ready(desk.open())
    ways = {
        "1": "A is better",
        "2]]": "B is much better",
        "[[": "A is better",
        "]": "B is slightly better",
        "=": "A and B are equally good",
    }
    for keys, words in ways.items():
        expect(summary(page)).to_have_text("Nothing chosen yet")
        for key in keys:
            page.keyboard.press(key)
        expect(summary(page)).to_have_text(words)
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text(words)
        page.keyboard.press("Enter")
        answered(page)
    assert [j.strength for j in desk.judged()] == [2, 4, 2, 1, None]
    assert [j.groups[0] for j in desk.judged()] == [["A"], ["B"], ["A"], ["B"], ["A", "B"]]


def test_a_pair_without_strength_and_ties(desk: Desk) -> None:
    desk.project(pair(1), pair(2), strength=False, ties=False)
    page = ready(desk.open())
    expect(page.locator(".scale input")).to_have_count(2)
    page.keyboard.press("=")
    page.keyboard.press("Enter")
    expect(page.locator(".missing")).to_have_text("Say which answer is better.")
    expect(page.get_by_role("radio", name="A is better")).to_be_focused()
    page.get_by_role("radio", name="B is better").check()
    page.locator("#submit").click()
    answered(page)
    page.keyboard.press("1")
    submit(page)
    assert [(j.groups, j.strength) for j in desk.judged()] == [([["B"], ["A"]], None), ([["A"], ["B"]], None)]


def test_all_bad_and_not_rankable(desk: Desk) -> None:
    desk.project(pair(1), pair(2), pair(3))
    page = ready(desk.open(**PHONE))
    page.get_by_role("radio", name="A is clearly better").check()
    page.get_by_role("button", name="Both are bad").tap()
    expect(summary(page)).to_have_text("A is clearly better, both bad")
    page.locator("#submit").tap()
    answered(page)
    page.get_by_role("button", name="Cannot be ranked").tap()
    expect(summary(page)).to_have_text("Not rankable")
    page.locator("#submit").tap()
    answered(page)
    # The receipt may come before the next pair: a key would still reach the one that has been answered.
    expect(summary(page)).to_have_text("Nothing chosen yet")
    # Choosing takes "cannot be ranked" back.
    for key in "nb1":
        page.keyboard.press(key)
    expect(summary(page)).to_have_text("A is better, both bad")
    page.locator("#submit").tap()
    saved(page)
    found = [(j.groups, j.strength, j.all_bad, j.not_rankable) for j in desk.judged()]
    first = [["A"], ["B"]]
    assert found == [(first, 3, True, False), ([], None, False, True), (first, 2, True, False)]


def test_what_is_required_is_told_and_shown(desk: Desk) -> None:
    helpful = {"name": "helpful", "label": "Helpful", "required": True}
    desk.project(ranking(3), attributes=[helpful, CLARITY], rationale="required", confidence=True)
    page = ready(desk.open())
    page.keyboard.press("3")
    page.keyboard.press("ArrowUp")
    page.locator("#submit").click()
    told = page.locator(".missing")
    expect(told).to_contain_text("Rate answer A, B, C on “Helpful”.")
    expect(told).to_contain_text("Rate on “Clear”. Say why, in a few words.")
    expect(page.locator("#field-helpful-A input").first).to_be_focused()
    for letter, value in zip("ABC", (5, 1, 3)):
        rate(page, f"helpful-{letter}", value)
    page.locator("#submit").click()
    expect(page.locator("[id='field-clarity-*'] input").first).to_be_focused()
    # A digit on a scale is a value of that scale.
    page.keyboard.press("2")
    expect(page.locator("[id='field-clarity-*'] input[value='2']")).to_be_checked()
    page.locator("#submit").click()
    expect(told).to_have_text("Say why, in a few words.")
    expect(page.locator("#rationale")).to_be_focused()
    # Keys are letters while someone types.
    page.keyboard.type("sz=bn? 12 is x, says ")
    page.keyboard.press("Enter")
    page.keyboard.type("g")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(summary(page)).to_have_text("A › C › B")
    page.get_by_role("radio", name="4, sure").check()
    submit(page)
    [judged] = desk.judged()
    assert judged.groups == [["A"], ["C"], ["B"]]
    assert judged.attributes == {"helpful": {"A": 5, "B": 1, "C": 3}, "clarity": {"*": 2}}
    assert (judged.rationale, judged.confidence) == ("sz=bn? 12 is x, says \ng", 4)


def test_a_rating_can_be_taken_back(desk: Desk) -> None:
    desk.project(pair(), attributes=["honest"])
    page = ready(desk.open())
    rate(page, "honest-A", 4)
    rate(page, "honest-B", 2)
    page.locator("#field-honest-A label").nth(3).click()
    expect(page.locator("#field-honest-A input:checked")).to_have_count(0)
    page.keyboard.press("Tab")
    page.get_by_role("radio", name="A is better", exact=True).check()
    submit(page)
    assert desk.judged()[0].attributes == {"honest": {"B": 2}}


def test_not_rankable_needs_no_ratings_but_a_reason(desk: Desk) -> None:
    desk.project(ranking(3), attributes=[CLARITY], rationale="required")
    page = ready(desk.open())
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    expect(page.locator(".missing")).to_have_text("Say why, in a few words.")
    page.locator("#rationale").fill("They are the same.")
    submit(page)
    [judged] = desk.judged()
    assert (judged.not_rankable, judged.groups, judged.attributes) == (True, [], {})


def test_nothing_is_asked_that_the_project_does_not_ask(desk: Desk) -> None:
    desk.project(ranking(3), all_bad=False, not_rankable=False, rationale="off")
    page = ready(desk.open())
    for name in ("All are bad", "Cannot be ranked"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    expect(page.locator("#rationale")).to_have_count(0)
    for key in "bn2":
        page.keyboard.press(key)
    page.keyboard.press("ArrowUp")
    expect(summary(page)).to_have_text("B › A › C")
    submit(page)
    [judged] = desk.judged()
    assert not judged.all_bad and not judged.not_rankable


def test_single_keys_can_be_switched_off(desk: Desk) -> None:
    desk.project(pair())
    page = ready(desk.open())
    page.get_by_role("button", name="Keys").click()
    box = page.get_by_role("dialog", name="Keys")
    box.get_by_label("Single keys work").uncheck()
    box.get_by_role("button", name="Close").click()
    page.reload()
    ready(page)
    for key in "1sx":
        page.keyboard.press(key)
    expect(summary(page)).to_have_text("Nothing chosen yet")
    expect(page.get_by_role("dialog")).to_have_count(0)
    # What is not a single character works as before, and so does the way back.
    page.get_by_role("radio", name="A is better", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect(summary(page)).to_have_text("A is slightly better")
    page.keyboard.press("?")
    box.get_by_label("Single keys work").check()
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    expect(summary(page)).to_have_text("B is better")
    submit(page)
    assert desk.judged()[0].strength == 2
