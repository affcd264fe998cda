"""What Markdown becomes is bounded, made once, and made while nobody waits for the database."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from web.security.site import Site, pair

from plaudit.feedback.importing import LONGEST_TEXT
from plaudit.web import rendering, task_view
from plaudit.web.rendering import MOST_HTML, MOST_MARKDOWN, RenderCache, render

ROOT = "/api/projects/demo"


def grid(columns: int, rows: int) -> str:
    """A table with empty rows, to which Markdown adds the cells."""
    return "|a" * columns + "|\n" + "|-" * columns + "|\n" + "|\n" * rows


TOO_MUCH = {
    "a table of 3 kB": grid(500, 500),
    "within a quote": "\n".join("> " + line for line in grid(300, 300).splitlines()),
    "within a list": "- x\n\n" + "\n".join("  " + line for line in grid(300, 300).splitlines()),
    "without outer pipes": "|".join("a" * 300) + "\n" + "|".join("-" * 300) + "\n" + "a|\n" * 300,
    "many tables": (grid(90, 90) + "\n\n") * 50,
    "one link, many times": f"[a]: https://x.example/{'y' * 10_000}\n\n" + "[a] " * 10_000,
    "one picture's words": "[a]: https://x.example '" + "t" * 20_000 + "'\n\n" + "[a] " * 5000,
    "quotes that become entities": '"' * 99_000 + "\n" + "&" * 900,
    "a very long text": "word " * (MOST_MARKDOWN // 5 + 1),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_would_become_many_times_its_size_is_shown_as_it_was_written(
    name: str, monkeypatch: Any
) -> None:
    text = TOO_MUCH[name]
    drawn = []
    real = rendering.RendererHTML.render
    monkeypatch.setattr(
        rendering.RendererHTML, "render", lambda *a, **k: drawn.append(len(made := real(*a, **k))) or made
    )
    html = render(text)
    if name == "quotes that become entities":
        assert len(html) <= MOST_HTML  # six times its size is what it may become
        return
    assert not any(size > 2 * MOST_HTML for size in drawn), "found before it was drawn"
    assert html.startswith("<p><em>[Shown as it was written, not as Markdown: ")
    assert len(html) < 8 * len(text) + 500
    shown = re.sub(r"<[^>]*>", lambda m: "\n" if m[0] == "<br>" else "", html.partition("</em></p>")[2])
    assert shown.replace("&gt;", ">") == text, "nothing is left out"


def test_the_note_says_why() -> None:
    assert "a table of 500 columns and 501 rows would be too much" in render(grid(500, 500))
    assert f"a text of {MOST_MARKDOWN + 1:,} characters" in render("x" * (MOST_MARKDOWN + 1))


def test_usual_tables_are_drawn() -> None:
    for text in (grid(10, 200), grid(100, 90), (grid(5, 20) + "\n\n") * 40, "x|y\n-|-\n1|2"):
        html = render(text)
        assert "<table>" in html and "[Shown as it was written" not in html


def test_what_is_not_drawn_is_no_less_safe() -> None:
    html = render(grid(500, 500) + "<script>alert(1)</script> [x](javascript:alert(1)) \u202egnp.exe")
    assert "<script" not in html and "<a" not in html and "⟨RLO⟩gnp.exe" in html


def test_an_answer_is_drawn_once_and_never_while_a_transaction_is_open(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.project("demo")
    site.member("demo", "Lena", "labeler")
    site.items("demo", [pair("a question?", "a first answer", "a second answer")])
    drawn, open_ = [], []

    def make(text: str) -> str:
        drawn.append(text)
        open_.append(site.database._queue.locked())
        return render(text)

    monkeypatch.setattr(task_view, "to_html", RenderCache(make, 10**6))
    lena = site.browser("Lena")
    for _ in range(3):
        task = lena.post(f"{ROOT}/claim").json()["task"]
    lena.get(f"{ROOT}/assignments/{task['assignment']}")
    assert sorted(drawn) == ["a first answer", "a question?", "a second answer"]
    assert not any(open_)


def test_longer_answers_than_anyone_reads_are_refused_with_their_row(site: Site) -> None:
    site.project("demo")
    site.member("demo", "Olga", "owner")
    olga = site.browser("Olga")
    good = {"prompt": "p", "responses": ["a", "x" * LONGEST_TEXT]}
    for row, field in (
        ({"prompt": "p", "responses": ["a", "x" * (LONGEST_TEXT + 1)]}, "responses"),
        ({"prompt": "x" * (LONGEST_TEXT + 1), "responses": ["a", "b"]}, "prompt"),
    ):
        answer = olga.post(f"{ROOT}/items", {"items": [good, row]})
        assert answer.status_code == 422
        problem = answer.json()["error"]["problems"][0]["message"]
        assert problem.startswith(f"api:2 [{field}]") and f"{LONGEST_TEXT + 1:,} characters" in problem
    assert olga.post(f"{ROOT}/items", {"items": [good]}).json()["added"] == 1


# Keeping


def test_of_many_who_ask_at_once_one_makes_it() -> None:
    made, going = [], threading.Event()

    def make(text: str) -> str:
        made.append(text)
        assert going.wait(20)
        return text.upper()

    kept, got = RenderCache(make, 10**6), []
    threads = [threading.Thread(target=lambda: got.append(kept("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    going.set()
    for thread in threads:
        thread.join()
    assert (made, got) == (["a"], ["A"] * 8)


def test_what_failed_is_made_again() -> None:
    tries = []

    def make(text: str) -> str:
        tries.append(text)
        if len(tries) == 1:
            raise ZeroDivisionError
        return "made"

    kept = RenderCache(make, 10**6)
    with pytest.raises(ZeroDivisionError):
        kept("a")
    assert kept("a") == kept("a") == "made" and len(tries) == 2


def test_what_was_used_last_stays_within_the_size() -> None:
    made = []

    def make(text: str) -> str:
        made.append(text)
        return text * 1000

    kept = RenderCache(make, 3500)
    for text in "abcadacb":
        kept(text)
    assert "".join(made) == "abcdb", "a was used again before d came: b goes first"
    assert kept._size <= 3500 and len(kept._found) == 3
    assert kept("\ud800") and kept("x" * 100) and kept._size <= 3500 and len(kept._found) <= 1
