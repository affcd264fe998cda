"""The page in a real Chromium: it loads alone, fits a phone, reads in light and dark, and needs no mouse."""

import os
import re

import pytest
from browser import Browser
from chromium import CHROMIUM
from made_runs import audited_run, small_run, write_run
from test_report_page import hostile_run
from test_report_sequences import SEQUENCES

from plaudit.report.build import build

OPEN_ALL = "document.querySelectorAll('details').forEach((d) => (d.open = true))"
SHOWN = "[...document.querySelectorAll('#cards > .card')].filter((c) => !c.hidden)"
EXECUTABLE = CHROMIUM
if EXECUTABLE is None and not os.environ.get("CI"):
    pytest.skip("no chromium on this machine (apt-get install chromium)", allow_module_level=True)

WIDTHS = (360, 768, 1280)
TAB, ENTER, ESCAPE, LEFT, RIGHT = (
    ("Tab", 9),
    ("Enter", 13),
    ("Escape", 27),
    ("ArrowLeft", 37),
    ("ArrowRight", 39),
)

# For every text that can be seen: its contrast with what lies behind it, by the formula of WCAG 2.
CONTRAST = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parse = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const channel = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const backdrop = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const low = [];
  let seen = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, element = node.parentElement;
    if (!node.data.trim() || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height || style.visibility === "hidden") continue;
    const ink = parse(element.namespaceURI.includes("svg") ? style.fill : style.color);
    const [a, b] = [luminance(ink), luminance(backdrop(element))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    seen += 1;
    if (ratio < (large ? 3 : 4.5)) low.push(`${node.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return { seen, low };
})()
"""

# What a keyboard must reach: everything focusable that is shown; of a radio group only the chosen one.
REACHABLE = """
(() => {
  const wanted = "a[href], button, summary, input, [tabindex='0']";
  return [...document.querySelectorAll(wanted)].filter((e) => {
    if (e.disabled || e.closest("[hidden]") || (e.type === "radio" && !e.checked)) return false;
    const shut = e.closest("details:not([open])");
    const isItsSummary = shut && e.tagName === "SUMMARY" && e.parentElement === shut;
    if (shut && !(isItsSummary && !shut.parentElement.closest("details:not([open])"))) return false;
    return e.getClientRects().length > 0;
  }).map((e, i) => (e.dataset.order = i, i)).length;
})()
"""


@pytest.fixture(scope="module")
def browser():
    assert EXECUTABLE, "this is CI, and CI must have a chromium"
    with Browser(EXECUTABLE) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return {
        "pocket": build(write_run(root / "pocket")),
        "real": build(write_run(root / "real", kind="real")),
        "hostile": build(hostile_run(root / "hostile")),
        "walk": build(small_run(root / "walk", SEQUENCES["six policies"])),
        "audited": build(audited_run(root / "audited")),
    }


@pytest.fixture
def pocket(browser, pages):
    browser.viewport(1280)
    browser.open(pages["pocket"])
    return browser


@pytest.mark.parametrize("name", ["pocket", "real", "hostile", "walk", "audited"])
def test_the_page_loads_alone_and_without_complaint(browser, pages, name):
    browser.viewport(1280)
    browser.open(pages[name])
    assert browser.run("document.querySelectorAll('svg.chart').length") > 3
    assert browser.complaints() == []
    assert browser.requests() == [pages[name].resolve().as_uri()]


def test_no_text_of_a_model_runs(browser, pages):
    browser.viewport(1280)
    browser.open(pages["hostile"])
    for step in (
        "document.querySelector('#more')?.click()",
        OPEN_ALL,
    ):
        browser.run(step)
    assert browser.run("window.pwned === undefined")
    assert browser.run("document.scripts.length") == 1
    assert browser.run(
        "![...document.querySelectorAll('*')].some((e) => e.getAttributeNames().some((n) => /^on/.test(n)))"
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["pocket", "real", "hostile", "walk", "audited"])
def test_nothing_hangs_over_the_edge(browser, pages, name, width):
    browser.viewport(width)
    browser.open(pages[name])
    browser.run("document.querySelector('#more')?.click()")
    browser.run(OPEN_ALL)
    assert browser.run("document.documentElement.scrollWidth") <= width
    wide = """[...document.querySelectorAll("main *")].filter((e) => {
      const box = e.getBoundingClientRect();
      const outside = box.width && (box.right > innerWidth + 1 || box.left < -1);
      return outside && !e.closest(".scroll, .away, .said, svg, thead");
    }).map((e) => e.className || e.tagName)"""
    assert browser.run(wide) == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_text_can_be_read(browser, pages, dark, width):
    browser.viewport(width, dark=dark)
    for name in ("pocket", "real", "walk"):
        browser.open(pages[name])
        browser.run(OPEN_ALL)
        found = browser.run(CONTRAST)
        assert found["seen"] > 300 and found["low"] == []


@pytest.mark.parametrize("name", ["pocket", "real", "walk", "audited"])
def test_every_text_of_a_chart_is_inside_of_it(browser, pages, name):
    browser.viewport(1280)
    browser.open(pages[name])
    outside = """[...document.querySelectorAll('svg.chart text')].filter(t => {
        const a = t.getBoundingClientRect(), b = t.ownerSVGElement.getBoundingClientRect();
        return a.left < b.left - 1 || a.right > b.right + 1;
    }).map(t => t.textContent)"""
    assert browser.run(outside) == []


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("name", ["pocket", "walk", "audited"])
def test_every_text_of_the_graph_fits_its_box_and_can_be_read(browser, pages, name, width):
    browser.viewport(width)
    browser.open(pages[name])
    texts = "[...document.querySelectorAll('.graph g.step text, .graph g.label text')]"
    assert browser.run(f"{texts}.length") > 12
    over = f"""{texts}.filter((t) => {{
      const text = t.getBBox(), box = t.parentElement.querySelector("rect").getBBox();
      return text.x < box.x || text.y < box.y - 2 || text.x + text.width > box.x + box.width ||
        text.y + text.height > box.y + box.height + 2;
    }}).map((t) => t.textContent)"""
    assert browser.run(over) == []
    smallest = f"Math.min(...{texts}.map((t) => t.getBoundingClientRect().height))"
    assert browser.run(smallest) >= 10.5  # the line of a text of 9 px


def test_dark_is_dark_and_light_is_light(browser, pages):
    brightness = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).slice(0, 3).map(Number)"
    for dark in (False, True):
        browser.viewport(1280, dark=dark)
        browser.open(pages["pocket"])
        assert (max(browser.run(brightness)) < 60) == dark


def test_the_keyboard_reaches_everything_in_reading_order(pocket):
    total = pocket.run(REACHABLE)
    order = []
    for _ in range(total + 5):
        pocket.press(*TAB)
        at = pocket.run("document.activeElement.dataset.order ?? document.activeElement.tagName")
        if at == "BODY":
            break
        # A chip's ring is drawn around its label, not around the radio button under it.
        assert pocket.run(
            "((e) => getComputedStyle(e.closest('.chips label')?.querySelector('span') ?? e).outlineStyle)"
            "(document.activeElement)"
        ) in ("solid", "auto")
        order.append(int(at))
    assert total > 60
    assert order == list(range(total))


def test_what_scrolls_can_be_scrolled_by_keyboard(browser, pages):
    browser.viewport(360)
    browser.open(pages["real"])
    browser.run(OPEN_ALL)
    boxes = """[...document.querySelectorAll("main *")].filter((e) => {
      const style = getComputedStyle(e);
      return [style.overflowX, style.overflowY].some((o) => o === "auto" || o === "scroll");
    })"""
    assert browser.run(f"{boxes}.length") > 10
    assert (
        browser.run(
            f"{boxes}.filter((e) => e.tabIndex !== 0 || !e.ariaLabel).map((e) => e.outerHTML.slice(0, 80))"
        )
        == []
    )


def test_the_first_tab_offers_to_skip_to_the_verdict(pocket):
    pocket.press(*TAB)
    assert pocket.run("document.activeElement.className") == "skip"
    assert pocket.run("document.activeElement.getBoundingClientRect().left") >= 0


def test_a_term_explains_itself_on_focus_and_falls_silent_on_escape(pocket):
    pocket.run("document.querySelector('.figures a.term').focus()")
    assert pocket.run("!document.getElementById('tip').hidden")
    assert "towards that of perfect answers" in pocket.run("document.getElementById('tip').textContent")
    assert pocket.run("document.activeElement.getAttribute('aria-describedby')") == "tip"
    pocket.press(*ESCAPE)
    assert pocket.run("document.getElementById('tip').hidden")
    assert pocket.run("document.activeElement.getAttribute('aria-describedby')") is None


@pytest.mark.parametrize("width", [360, 1280])
def test_no_explanation_leaves_the_screen(browser, pages, width):
    browser.viewport(width)
    browser.open(pages["pocket"])
    outside = """[...document.querySelectorAll("a.term")].filter((a) => {
      if (!a.getClientRects().length) return false;
      a.focus();
      const tip = document.getElementById("tip"), box = tip.getBoundingClientRect();
      const fits = box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight;
      return tip.hidden || !fits;
    }).map((a) => a.textContent)"""
    assert browser.run(outside) == []
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_arrow_keys_read_a_chart_and_a_pointer_does_too(pocket):
    pocket.run("document.querySelector('svg.chart').focus()")
    reading = "document.querySelector('.readout').textContent"
    assert pocket.run(reading) == ""
    pocket.press(*RIGHT)
    first = pocket.run(reading)
    assert re.fullmatch(r"iteration 1: score [−\d.]+ \([−\d.]+ to [−\d.]+\)", first)
    pocket.press(*RIGHT)
    assert pocket.run(reading).startswith("iteration 2:")
    pocket.press("End", 35)
    assert pocket.run(reading).startswith("iteration 14:")
    pocket.press(*LEFT)
    assert pocket.run(reading).startswith("iteration 13:")
    pocket.run("document.activeElement.blur()")
    assert pocket.run(reading) == ""
    pocket.run("document.querySelector('svg.chart').scrollIntoView()")
    box = pocket.run("document.querySelector('svg.chart').getBoundingClientRect().toJSON()")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    pocket.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert pocket.run(reading).startswith("iteration ")


def test_answers_can_be_chosen_by_category_and_shown_in_full(pocket):
    shown = f"{SHOWN}.length"
    assert pocket.run(shown) == 8
    pocket.run("document.querySelector('input[name=category]').focus()")
    pocket.press(*RIGHT)
    assert pocket.run(f"new Set({SHOWN}.map((c) => c.dataset.category)).size") == 1
    assert pocket.run(shown) == 12
    pocket.press(*LEFT)
    assert pocket.run(shown) == 8
    pocket.run("document.querySelector('#more').focus()")
    pocket.press(*ENTER)
    assert pocket.run(shown) == 45
    assert pocket.run("document.querySelector('#more').hidden")


def test_the_first_answers_span_categories_and_include_failures(pocket):
    categories = pocket.run(f"{SHOWN}.map((c) => c.dataset.category)")
    assert len(set(categories)) == 7
    gold = pocket.run(f"{SHOWN}.map((c) => c.querySelector('.trained .measures b').textContent)")
    assert any(g.startswith("−") for g in gold) and any(not g.startswith("−") for g in gold)


def test_without_scripts_everything_is_there(browser, pages):
    browser.viewport(1280)
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(pages["pocket"])
        tree = browser.send("DOM.getDocument")["root"]["nodeId"]
        found = browser.send("DOM.querySelectorAll", nodeId=tree, selector="#cards > .card:not([hidden])")
        assert len(found["nodeIds"]) == 45
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)


def test_paper_shows_everything_on_white(browser, pages):
    browser.viewport(1280, dark=True, media="print")
    browser.open(pages["pocket"])
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.run("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.run("[...document.querySelectorAll('#cards > .card')].every(c => !c.hidden)")
    assert browser.run("[...document.querySelectorAll('details:not(.numbers)')].every(d => d.open)")
    assert browser.run("getComputedStyle(document.querySelector('.contents')).display") == "none"
    assert browser.run(CONTRAST)["low"] == []
    assert len(browser.send("Page.printToPDF")["data"]) > 50_000
