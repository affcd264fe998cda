"""Taking back, and changing what was judged."""

from __future__ import annotations

from playwright.sync_api import expect
from web.browser.desk import Desk, pair, question, ranking, ready, saved, submit, summary


def test_undo_by_key_and_button(desk: Desk) -> None:
    desk.project(ranking(3))
    page = ready(desk.open())
    undo = page.get_by_role("button", name="Undo", exact=True)
    expect(undo).to_be_disabled()
    for key in ("3", "ArrowUp", "="):
        page.keyboard.press(key)
    expect(summary(page)).to_have_text("A = C › B")
    page.keyboard.press("z")
    expect(summary(page)).to_have_text("A › C › B")
    undo.click()
    expect(summary(page)).to_have_text("A › B › C")
    expect(undo).to_be_disabled()
    # Nothing is left of it: the order counts as untouched again.
    page.locator("#submit").click()
    page.get_by_role("button", name="Submit as it is").click()
    saved(page)
    assert desk.judged()[0].untouched


def test_undo_of_what_was_submitted(desk: Desk) -> None:
    desk.project(*[pair(i) for i in range(3)])
    page = ready(desk.open())
    page.keyboard.press("1")
    page.locator("#submit").click()
    saved(page)
    expect(summary(page)).to_have_text("Nothing chosen yet")
    page.keyboard.press("=")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="Change your judgement")).to_be_visible()
    expect(summary(page)).to_have_text("A is better")
    page.get_by_role("radio", name="B is much better").check()
    page.get_by_role("button", name="Save the change").click()
    expect(page.locator(".toast", has_text="Your change is saved")).to_be_visible()
    # Back at the item that waited, with its draft.
    expect(summary(page)).to_have_text("A and B are equally good")
    first, second = desk.judged()
    assert (first.revision, first.groups, first.strength) == (1, [["A"], ["B"]], 2)
    assert (second.revision, second.groups, second.strength) == (2, [["B"], ["A"]], 4)
    assert first.assignment_id == second.assignment_id


def test_changes_from_the_history(desk: Desk) -> None:
    desk.project(ranking(3, 1), ranking(3, 2), attributes=["helpful"], rationale="optional")
    page = ready(desk.open())
    for key in ("3", "ArrowUp", "="):
        page.keyboard.press(key)
    page.locator("#field-helpful-C input[value='5']").check()
    page.locator("#rationale").fill("first thought")
    submit(page)
    ready(page)
    page.get_by_role("link", name="My judgements").click()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="Change").click()
    expect(page.get_by_role("heading", name="Change your judgement")).to_be_visible()
    expect(summary(page)).to_have_text("A = C › B")
    expect(page.locator("#rationale")).to_have_value("first thought")
    expect(page.locator("#field-helpful-C input[value='5']")).to_be_checked()
    page.locator("#rationale").fill("second thought")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Save the change").click()
    expect(page.locator(".toast", has_text="Your change is saved")).to_be_visible()
    assert page.url.endswith(f"/p/{desk.slug}")
    expect(summary(page)).to_have_text("A › B › C")
    assert [(j.revision, j.rationale) for j in desk.judged()] == [(1, "first thought"), (2, "second thought")]
    assert all(
        j.groups == [["A", "C"], ["B"]] and j.attributes == {"helpful": {"C": 5}} for j in desk.judged()
    )


def test_a_change_can_be_left(desk: Desk) -> None:
    desk.project(pair(1), pair(2))
    page = ready(desk.open())
    page.keyboard.press("1")
    submit(page)
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="Change your judgement")).to_be_visible()
    page.keyboard.press("2")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Which answer is better?")).to_be_visible()
    expect(summary(page)).to_have_text("Nothing chosen yet")
    assert len(desk.judged()) == 1


def test_waiting_for_others_does_not_end_a_change(desk: Desk) -> None:
    desk.project(pair(1), pair(2), people={"Ann": "labeler", "Bo": "labeler"})
    ready(desk.open("Bo"))
    context = desk.context()
    page = context.new_page()
    page.clock.install()
    page.goto(f"/p/{desk.slug}")
    ready(page).keyboard.press("1")
    page.locator("#submit").click()
    expect(page.get_by_role("heading", name="Others are at the last items")).to_be_visible()
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="Change your judgement")).to_be_visible()
    page.keyboard.press("2")
    page.clock.run_for(120_000)
    expect(page.get_by_role("heading", name="Change your judgement")).to_be_visible()
    expect(summary(page)).to_have_text("B is better")
    page.get_by_role("button", name="Save the change").click()
    expect(page.get_by_role("heading", name="Others are at the last items")).to_be_visible()
    assert [j.revision for j in desk.judged()] == [1, 2]


def test_too_late_to_change(desk: Desk) -> None:
    desk.project(pair(1), pair(2), edit_minutes=5)
    page = ready(desk.open())
    page.keyboard.press("1")
    submit(page)
    page.goto(f"/p/{desk.slug}/history")
    address = page.get_by_role("link", name="Change").get_attribute("href")
    desk.site.ahead = 400
    page.reload()
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page.get_by_role("link", name="Change")).to_have_count(0)
    page.goto(address)
    expect(page.locator(".toast", has_text="can no longer be changed")).to_be_visible()
    expect(summary(ready(page))).to_have_text("Nothing chosen yet")


def test_practice_tells_what_was_expected(desk: Desk) -> None:
    right, wrong = "Canberra.", "Sydney."
    accepted = (((0,), (1,)),)
    practice = question(
        "The capital of Australia?",
        right,
        wrong,
        purpose="calibration",
        accepted=accepted,
        rationale="Look it up.",
    )
    desk.project(practice, pair())
    page = ready(desk.open())
    expect(page.locator(".badge", has_text="Practice")).to_be_visible()
    is_first = page.locator(".answer .prose").first.text_content().strip() == right
    page.keyboard.press("2" if is_first else "1")
    page.locator("#submit").click()
    box = page.get_by_role("dialog", name="Not as expected")
    expect(box).to_contain_text(f"Expected was: {'A › B' if is_first else 'B › A'}.")
    expect(box).to_contain_text("Look it up.")
    box.get_by_role("button", name="Go on").click()
    expect(page.locator(".conversation")).to_contain_text("Vienna")
    expect(page.locator(".badge", has_text="Practice")).to_have_count(0)
    assert len(desk.judged()) == 1
