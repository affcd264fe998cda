"""For everyone: what axe-core finds, contrast in light and dark, sizes of targets, narrow windows, visible focus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect
from web.browser.desk import PHONE, Desk, pair, question, ranking, ready

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
GUIDELINES = (
    "# How to judge\n\n1. Read *all* of it.\n2. Use `code`.\n\n> Be kind.\n\n| a | b |\n|---|---|\n| 1 | 2 |"
)
CODE = "```python\ndef mean(xs):     return sum(xs) / len(xs)\n```\n\n| n | mean |\n|---|---|\n| 1 | 2.0 |"
WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2
WIDTHS = {"1280": {"viewport": {"width": 1280, "height": 800}}, "390": PHONE}
SCHEMES = ("light", "dark")
RATED: list[Any] = [
    "helpful",
    {"name": "clarity", "per": "item", "low_label": "muddled", "high_label": "clear"},
]
# Larger than a finger, where the pointer is one (WCAG 2.2 asks for 24 pixels of everything).
SMALL = """least => [...document.querySelectorAll("button, input, select, textarea, summary, .nav a, a.button")]
  .filter(e => e.checkVisibility({visibilityProperty: true}) && !e.closest("[inert]"))
  .map(e => (e.closest("label.check, .segments label, .cells label") ?? e))
  .map(e => [e.className || e.textContent.trim() || e.id, e.getBoundingClientRect()])
  // The scale of a pair is one row of nine: narrower on a phone, and higher for it.
  .filter(([name, box]) => box.width > 0 && (/^(left|middle|right)$/.test(name)
    ? box.width * box.height < least * least : box.height < least || box.width < least))
  .map(([name, box]) => `${name}: ${Math.round(box.width)} × ${Math.round(box.height)}`)"""


def serious(page: Page) -> list[str]:
    """What axe finds that keeps people out."""
    # A page that fades in has less contrast meanwhile.
    page.evaluate("Promise.all(document.getAnimations().map(a => a.finished))")
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{v['id']}: {v['help']}: {node['html'][:150]}"
        for v in found
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]


def work(desk: Desk, *items: Any, **rules: Any) -> None:
    desk.project(*items, guidelines=GUIDELINES, **rules)


def a_pair(desk: Desk) -> str:
    work(
        desk,
        question("Which?", CODE, "The other."),
        attributes=RATED,
        confidence=True,
        help_text="care@example.org",
    )
    return f"/p/{desk.slug}"


def a_ranking(desk: Desk) -> str:
    work(desk, question("Which?", CODE, WORD, "Short.", "أنا بخير، شكرا."), attributes=RATED)
    return f"/p/{desk.slug}"


def a_first_visit(desk: Desk) -> str:
    work(desk, pair(), require_reading=True)
    return f"/p/{desk.slug}"


def a_sensitive_item(desk: Desk) -> str:
    work(desk, pair(sensitivity=2), help_text="care@example.org")
    desk.willing(2)
    return f"/p/{desk.slug}"


def a_practice(desk: Desk) -> str:
    practice = pair(purpose="calibration", accepted=(((0,), (1,)),), rationale="Look it up.")
    work(desk, practice, pair(1))
    return f"/p/{desk.slug}"


def nothing(desk: Desk) -> str:
    work(desk)
    return f"/p/{desk.slug}"


def press(*keys: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        ready(page)
        for key in keys:
            page.keyboard.press(key)
        if keys[-1] in "Enter?s":
            expect(page.get_by_role("dialog").or_(page.locator(".missing:not(:empty)")).first).to_be_visible()

    return act


def see(text: str) -> Callable[[Page], None]:
    return lambda page: expect(page.get_by_text(text).first).to_be_visible()


def judge_practice(page: Page) -> None:
    press("1")(page)
    page.locator("#submit").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def judge_and_look_back(page: Page) -> None:
    press("1")(page)
    page.locator("#submit").click()
    expect(page.locator(".toast")).to_be_visible()
    page.goto(f"{page.url}/history")
    expect(page.get_by_role("table")).to_be_visible()


def make_token(page: Page) -> None:
    page.get_by_label("What is it for?").fill("a script")
    page.get_by_label("label", exact=True).check()
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("table")).to_be_visible()


def fail_to_sign_in(page: Page) -> None:
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()


State = tuple[Callable[[Desk], str], Callable[[Page], None]]
STATES: dict[str, State] = {
    "pair": (a_pair, press("2", "b")),
    "ranking": (a_ranking, press("3", "ArrowUp", "=", "n", "n", "4")),
    "review": (a_ranking, press("3", "ArrowUp", "Enter")),
    "untouched": (a_ranking, press("Enter")),
    "incomplete": (a_pair, press("Enter")),
    "skip": (a_pair, press("s")),
    "keys": (a_ranking, press("?")),
    "practice": (a_practice, judge_practice),
    "reading": (a_first_visit, see("I have read them")),
    "hidden": (a_sensitive_item, see("Show it")),
    "nothing left": (nothing, see("Nothing is left for you")),
    "history": (a_pair, judge_and_look_back),
    "guidelines": (lambda desk: f"{a_first_visit(desk)}/guidelines", see("I have read them")),
    "account": (lambda desk: a_pair(desk) and "/account", make_token),
    "sign in": (lambda desk: "/sign-in", fail_to_sign_in),
    "enter": (lambda desk: a_pair(desk) and desk.link("Ann"), see("This link works once.")),
    "invitation": (lambda desk: a_pair(desk) and desk.link(), see("You are invited")),
    "home": (lambda desk: a_pair(desk) and a_pair(desk) and "/", see("Your projects")),
    "error": (lambda desk: a_pair(desk) and "/p/none", see("There is nothing here")),
}
STRANGERS = {"sign in", "enter", "invitation"}


@pytest.mark.parametrize("name", STATES)
def test_nothing_serious(desk: Desk, name: str) -> None:
    """Each state once, at both widths and in both colours."""
    desk.expect("404", "401", "422")
    prepare, act = STATES[name]
    found = []
    for width, options in WIDTHS.items():
        address = prepare(desk)
        if name in STRANGERS:
            desk.users.setdefault("Ann", "")
        page = desk.open(None if name in STRANGERS else "Ann", address, bypass_csp=True, **options)
        act(page)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            found += [f"{width} {scheme}: {line}" for line in serious(page)]
        found += [f"{width}: {line}" for line in page.evaluate(SMALL, 44 if width == "390" else 24)]
        if width == "390":
            # WCAG 1.4.10: as wide as a page at 400 %.
            for narrow in (390, 320):
                page.set_viewport_size({"width": narrow, "height": 844})
                wide = page.evaluate("document.documentElement.scrollWidth")
                found += [f"{wide} pixels wide in a window of {narrow}"] if wide > narrow else []
    assert not found, "\n".join(found)


def test_the_focus_is_always_seen(desk: Desk) -> None:
    """Tab through the whole page: each stop has an outline, is not covered, and no stop is a trap."""
    work(desk, ranking(3), attributes=RATED, confidence=True)
    page = ready(desk.open())
    page.evaluate("document.activeElement.blur()")
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        stop = page.evaluate("""() => {
            const e = document.activeElement;
            if (e === document.body) return null;
            const shown = e.matches("input[type=radio]") ? e.nextElementSibling : e;
            const style = getComputedStyle(shown), box = shown.getBoundingClientRect();
            const y = Math.max(1, Math.min(innerHeight - 1, box.y + box.height / 2));
            const top = document.elementFromPoint(box.x + box.width / 2, y);
            const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
            const uncovered = shown.contains(top) || e.contains(top) || top.contains(shown);
            return [e.id || e.textContent.trim() || e.ariaLabel, outlined, uncovered];
        }""")
        if stop is None:
            break
        seen.append(stop)
    names = [name for name, _, _ in seen]
    assert "submit" in names and "rationale" in names
    assert names.index("Skip to the content" if "Skip to the content" in names else names[0]) == 0
    assert [name for name, outlined, _ in seen if not outlined] == []
    assert [name for name, _, uncovered in seen if not uncovered] == []


def test_what_happens_is_said(desk: Desk) -> None:
    """Moves and receipts reach a screen reader."""
    work(desk, ranking(3, 1), ranking(3, 2))
    page = ready(desk.open())
    live = page.locator("#live")
    page.keyboard.press("3")
    expect(live).to_have_text("Answer C")
    page.keyboard.press("ArrowUp")
    expect(live).to_have_text("Answer C: rank 2 of 3")
    page.keyboard.press("=")
    expect(live).to_have_text("Answer C: rank 1 of 3, tied with A")
    expect(page.get_by_role("button", name="Answer C , rank 1 of 3, tied with A")).to_be_focused()
    page.locator("#submit").click()
    expect(live).to_have_text("Saved")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
