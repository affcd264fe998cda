"""Hostile text is shown as text: sanitised HTML, every answer that carries it, and a real browser that looks at it."""

from __future__ import annotations

import html.parser
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from chromium import CHROMIUM, FLAGS
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from sqlalchemy import update
from web.security.payloads import HIT, HUGE, PAYLOADS
from web.security.site import Site, judge, verdict

from plaudit.feedback.store.projects import NewAnswer, NewItem
from plaudit.feedback.store.schema import Item
from plaudit.web.rendering import ATTRIBUTES, COLOURED, TAGS, render, to_html

VOID = {"br", "hr"}


class Page(html.parser.HTMLParser):
    """The tags and attributes of a fragment, as a browser's tokenizer finds them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.others: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_decl(self, decl: str) -> None:
        self.others.append(decl)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)


def check_fragment(fragment: str) -> None:
    found = Page(fragment)
    assert not found.others
    for tag, attributes in found.tags:
        assert tag in TAGS
        allowed = ATTRIBUTES.get(tag, set()) | ({"rel", "target"} if tag == "a" else set())
        assert attributes.keys() <= allowed
        if tag == "a":
            assert (attributes["rel"], attributes["target"]) == ("noopener noreferrer nofollow ugc", "_blank")
            scheme = urlsplit(re.sub(r"[\x00-\x20]", "", attributes.get("href") or "")).scheme.lower()
            assert scheme in ("http", "https", "mailto", "")
        if "class" in attributes:
            assert re.fullmatch(
                r"picture|code|[a-z]{1,3}\d?|[a-z]{1,3}-[A-Za-z]{1,12}", attributes["class"] or ""
            )
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00]", fragment)


def test_there_are_payloads_enough() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 100


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_becomes_harmless_html(payload: str) -> None:
    check_fragment(to_html(payload))


def test_pairs_of_payloads_too() -> None:
    """What is harmless alone may be harmful inside of another."""
    for i, first in enumerate(PAYLOADS):
        second = PAYLOADS[(i * 7 + 3) % len(PAYLOADS)]
        for around in (
            f"{first}{second}",
            f"{first}\n\n{second}",
            f"*{first}* [{second}]({first})",
            f"> {first}\n{second}",
        ):
            check_fragment(to_html(around))


@pytest.mark.parametrize("name", HUGE)
def test_huge_text_is_shown_in_time(name: str) -> None:
    """A model's answer may be anything; whoever opens it must not wait, nor the others."""
    began = time.process_time()
    check_fragment(render(HUGE[name]))
    assert time.process_time() - began < 5


def test_languages_whose_lexers_can_be_stalled_are_not_coloured() -> None:
    """``a a a …`` takes Java's lexer minutes; it is shown without colours, at once."""
    assert not {"java", "csharp", "console", "abap", "amdgpu"} & COLOURED
    for language in ("java", "csharp", "amdgpu", "autohotkey", "make"):
        assert "<span" not in to_html(f"```{language}\nint a = 1;\n```")
    assert "<span" in to_html("```python\nx = 1\n```")
    assert "<span" in to_html("```py\nx = 1\n```")


def test_what_is_allowed_is_text_only() -> None:
    """Nothing that runs, loads, takes input, or can be mistaken for the page's own parts (no id, no name, no style)."""
    assert not TAGS & {
        "script",
        "style",
        "img",
        "svg",
        "math",
        "iframe",
        "object",
        "embed",
        "form",
        "input",
        "button",
        "link",
        "meta",
        "base",
        "video",
    }
    assert set().union(*ATTRIBUTES.values()) == {"href", "title", "start", "class"}


def test_markdown_is_still_markdown() -> None:
    """The other side: what is harmless is shown as it was meant."""
    shown = to_html("# T\n\n**b** [l](https://a.example) `c` ~~s~~\n\n| a |\n|---|\n| 1 |")
    assert {t for t, _ in Page(shown).tags} >= {"h3", "strong", "a", "code", "s", "table", "td"}


def test_a_picture_becomes_its_description() -> None:
    """Neither loaded nor linked: the server of a picture would learn who looks at it, and when."""
    shown = to_html("![a <b>](https://evil.example/x.png)")
    assert "[image: a &lt;b&gt;]" in shown and "evil.example" not in shown
    assert "[image: no description]" in to_html("![](x)")


def test_turning_marks_are_shown() -> None:
    assert "⟨RLO⟩gnp.exe" in to_html("\u202egnp.exe")


# Everything that shows it


def clean(text: str) -> str:
    return text.replace("\x00", "")


@pytest.fixture
def hostile(site: Site) -> Site:
    """A project in which everything that anyone can write is hostile."""
    texts = [clean(p) for p in PAYLOADS]
    evil = f"<script>{HIT}</script>\"'><img src=x onerror={HIT}>"
    site.project("demo", repeat_share=0.0, edit_minutes=60)
    site.member("demo", f"Ol<b onclick={HIT}>ga", "owner")
    site.member("demo", f"Le<img src=x onerror={HIT}>na", "labeler")
    owner, labeler = (site.browser(name) for name in site.users)
    assert owner.patch("/api/projects/demo", {"title": evil}).status_code == 204
    scale = {
        "name": "kind",
        "label": evil[:80],
        "help": evil,
        "low_label": "<svg/onload=1>",
        "high_label": evil[:40],
    }
    rules = {"attributes": [scale], "help_text": "\n\n".join(texts)[:2000]}
    assert owner.patch("/api/projects/demo/settings", rules).status_code == 200
    guideline = {"markdown": "\n\n".join(texts), "note": evil}
    assert owner.post("/api/projects/demo/guidelines", guideline).status_code == 201
    rows = [
        {"prompt": text, "responses": [{"text": f"1 {text}", "model": evil}, {"text": texts[-i - 1], "model": "b"}],
         "source": evil, "category": evil, "metadata": {"note": evil}}
        for i, text in enumerate(texts)
    ]  # fmt: skip
    # The first is asked again on the browser's page, with all payloads in one item.
    both = NewItem(
        tuple({"role": "user", "content": text} for text in texts),
        (NewAnswer("\n\n".join(texts), model=evil), NewAnswer("\n\n".join(reversed(texts)), model="b")),
    )
    site.items("demo", [both])
    made = owner.post("/api/projects/demo/items", {"items": rows, "source": evil})
    assert made.status_code == 201, made.text
    site.evil = (owner, labeler, evil)  # type: ignore[attr-defined]
    return site


def strings(value: Any) -> Iterator[tuple[str, str]]:
    """Every text of a JSON value, with the key it stands under."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ((key if k == "" else k, v) for k, v in strings(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield "", value


def test_every_json_that_carries_html_has_it_sanitised(hostile: Site) -> None:
    owner, labeler, evil = hostile.evil  # type: ignore[attr-defined]
    root, seen = "/api/projects/demo", 0
    answers = []
    for i in range(8):
        task = labeler.post(f"{root}/claim").json()["task"]
        said = verdict(task, rationale=evil, attributes={"kind": {a["key"]: 3 for a in task["answers"]}})
        address = f"{root}/assignments/{task['assignment']}"
        answers.append(labeler.put(f"{address}/draft", {"rev": 0, "payload": {"rationale": evil}}))
        answers.append(labeler.get(address))
        if i % 2:
            answers.append(labeler.post(f"{address}/skip", {"reason": "other", "note": evil}))
        else:
            answers.append(
                labeler.post(f"{address}/submit", said, headers={"idempotency-key": f"hostile-{i:04}"})
            )
            answers.append(labeler.get(address))
    answers.append(owner.post(f"{root}/invitations", {"note": evil}))
    answers.append(owner.post("/api/me/tokens", {"name": evil[:80], "scopes": ["label"]}))
    for path in (
        "guidelines",
        "guidelines/versions",
        "mine",
        "people",
        "invitations",
        "audit",
        "settings",
        "quality",
        "status",
    ):
        answers.append((owner if path != "mine" else labeler).get(f"{root}/{path}"))
    page = owner.get(f"{root}/items?limit=500")
    answers.append(page)
    answers += [owner.get(f"{root}/items/{item['id']}") for item in page.json()["items"][:12]]
    for answer in answers:
        assert answer.status_code in (200, 201, 403), answer.text
        assert answer.headers["content-type"].startswith("application/json")
        for key, text in strings(answer.json()):
            if key == "html":
                check_fragment(text)
                seen += 1
    assert seen > 30


def test_no_page_has_more_live_parts_than_the_same_page_of_a_harmless_project(hostile: Site) -> None:
    """A page's own scripts and handlers are there in both; anything beyond came out of somebody's text."""
    owner, labeler, evil = hostile.evil  # type: ignore[attr-defined]
    hostile.project("calm")
    for visitor, role in ((owner, "owner"), (labeler, "labeler")):
        hostile.member("calm", visitor.get("/api/me").json()["name"], role)
    judge(labeler, "demo", rationale=evil, attributes={"kind": {"A": 1, "B": 2}})
    owner.post("/api/projects/demo/invitations", {"note": evil})
    item = owner.get("/api/projects/demo/items").json()["items"][3]["id"]
    paths = ("", "/history", "/guidelines", "/dashboard", "/items", "/people", "/settings", f"/items/{item}")
    looked = 0
    for path in paths:
        for who in (owner, labeler):
            shown, calm = who.get(f"/p/demo{path}"), who.get(f"/p/calm{path}")
            if shown.status_code != 200:
                continue
            looked += 1
            check_page(shown.text)
            if calm.status_code == 200:
                count = [[t for t, _ in Page(p.text).tags].count("script") for p in (shown, calm)]
                assert count[0] == count[1], path
    assert looked >= 6
    for path in ("/", "/account"):
        check_page(owner.get(path).text)


def check_page(text: str) -> None:
    """Nothing inline, nothing from elsewhere: every script and style is one of the site's files."""
    for tag, attributes in Page(text).tags:
        assert not [a for a in attributes if a.startswith("on") or a in ("style", "srcdoc", "formaction")], (
            tag,
            attributes,
        )
        if tag == "script" and attributes.get("type") != "application/json":
            assert (attributes.get("src") or "").startswith("/static/"), attributes
        assert tag not in ("iframe", "object", "embed", "base", "style", "frame", "applet"), tag
        for name in ("href", "src", "action", "data", "poster", "xlink:href"):
            value = re.sub(r"[\x00-\x20]", "", attributes.get(name) or "").lower()
            scheme = urlsplit(value).scheme
            assert scheme in ("", "http", "https", "mailto"), (tag, value)
            if tag in ("img", "link", "script", "source", "video", "audio", "use"):
                assert not scheme and not value.startswith("//"), (tag, value)


def test_an_error_page_shows_no_part_of_an_address(hostile: Site) -> None:
    owner = hostile.evil[0]  # type: ignore[attr-defined]
    for path in (
        f"/p/<script>{HIT}</script>",
        f"/p/demo/items/<img src=x onerror={HIT}>",
        f"/<svg onload={HIT}>",
    ):
        answer = owner.get(path)
        assert answer.status_code == 404
        check_page(answer.text)
        assert HIT not in answer.text


def test_where_to_go_after_signing_in_is_kept_as_one_value(site: Site) -> None:
    answer = site.nobody.get("/p/demo?x=1&next=https://evil.example%0d%0aset-cookie:a=b")
    assert answer.status_code == 303
    assert re.fullmatch(r"/sign-in\?next=%2Fp%2Fdemo[\w%.-]*", answer.headers["location"])
    assert "set-cookie" not in answer.headers


# A real browser


@contextmanager
def listening(site: Site) -> Iterator[str]:
    """The site on a real port, in a thread."""
    import uvicorn

    from plaudit.web.launch import Listening, application, bind

    with bind(Listening(port=0)) as sock:
        port = sock.getsockname()[1]
        app = application(site.database, site.server.secret, None, port)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join(10)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_in_a_real_browser_nothing_runs_and_nothing_is_loaded_from_elsewhere(hostile: Site) -> None:
    from playwright.sync_api import sync_playwright

    evil = hostile.evil[2]  # type: ignore[attr-defined]
    # The real server has a real clock: sessions that begin now.
    hostile.now = time.time()
    owner, labeler = (hostile.browser(name) for name in hostile.users)
    # One item is judged; the next is the one that holds every payload.
    item = owner.get("/api/projects/demo/items").json()["items"][0]["id"]
    judge(labeler, "demo", rationale=evil, attributes={"kind": {"A": 1, "B": 2}})
    hostile.database.write(lambda db: db.execute(update(Item).where(Item.id != item).values(state="retired")))
    needed = {"/p/demo", "/p/demo/guidelines", "/p/demo/items", f"/p/demo/items/{item}"}
    with listening(hostile) as here, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        trouble: list[str] = []
        showing: set[str] = set()
        for visitor, paths in (
            (labeler, ["/p/demo", "/p/demo/guidelines", "/p/demo/history", "/account", "/"]),
            (
                owner,
                [
                    "/p/demo/dashboard",
                    "/p/demo/items",
                    f"/p/demo/items/{item}",
                    "/p/demo/people",
                    "/p/demo/settings",
                ],
            ),
        ):
            context = browser.new_context()
            name = f"plaudit_{urlsplit(here).port}"
            context.add_cookies([{"name": name, "value": visitor.cookie, "url": here}])
            page = context.new_page()
            page.on("dialog", lambda d: (trouble.append(f"dialog {d.message}"), d.dismiss()))
            page.on(
                "request",
                lambda r: r.url.startswith((here, "data:", "blob:")) or trouble.append(f"request {r.url}"),
            )
            for path in paths:
                page.goto(here + path, wait_until="load")
                # What scripts fetch is there a moment later.
                with suppress(PlaywrightTimeout):
                    page.wait_for_function(
                        "t => document.body.innerText.includes(t)",
                        arg=HIT,
                        timeout=9000 if path in needed else 300,
                    )
                    showing.add(path)
                for shown in page.query_selector_all("main a[href], main summary")[:30]:
                    if shown.is_visible():
                        shown.hover(force=True, timeout=500, no_wait_after=True)
                if page.evaluate("window.__hit !== undefined"):
                    trouble.append(f"script ran on {path}")
            context.close()
        browser.close()
    assert not trouble
    # Otherwise nothing was tested.
    assert needed <= showing


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_the_browser_would_notice(site: Site) -> None:
    """The marker works: without sanitising and without the policy, the same payloads do fire."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.set_content(f"<img src=x onerror={HIT}>")
        page.wait_for_timeout(200)
        assert page.evaluate("window.__hit === 1")
        browser.close()
