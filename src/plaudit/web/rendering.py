"""Render untrusted text (of people and models) as safe HTML: it cannot run, load or disguise anything."""

from __future__ import annotations

import functools
import hashlib
import html
import re
import sys
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable
from html import escape
from typing import Any, Literal

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, table
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from plaudit.feedback.store.confusables import TURNING

Blank = Literal["empty", "white space", "nothing to see"]
TAG = re.compile(r"<[^>]*>")
RULE = re.compile(r"<hr\b")
UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Zs"}


class RenderCache:
    """``make(text)``, kept under a hash of the text. Of several threads that ask at once one makes it.

    Least recently used results go first, once all of them are larger than ``most`` bytes.
    """

    def __init__(self, make: Callable[[str], str], most: int) -> None:
        self._make, self._most = make, most
        self._found: OrderedDict[bytes, str] = OrderedDict()
        self._size = 0
        self._making: dict[bytes, threading.Event] = {}
        self._lock = threading.Lock()

    def __call__(self, text: str) -> str:
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        while True:
            with self._lock:
                if key in self._found:
                    self._found.move_to_end(key)
                    return self._found[key]
                other = self._making.get(key)
                if other is None:
                    mine = self._making[key] = threading.Event()
                    break
            other.wait()
        try:
            made = self._make(text)
            self._keep(key, made)
            return made
        finally:
            with self._lock:
                del self._making[key]
            mine.set()

    def _keep(self, key: bytes, made: str) -> None:
        with self._lock:
            self._found[key] = made
            self._size += sys.getsizeof(made)
            while self._size > self._most:
                _, gone = self._found.popitem(last=False)
                self._size -= sys.getsizeof(gone)


MOST_MARKDOWN = 100_000  # characters; parsing takes about a second for as many
MOST_CELLS = 10_000  # of all tables of a text
MOST_HTML = 600_000  # characters that it may become
KEPT = 32 * 2**20  # bytes of HTML, of the texts that were shown last
MOST_HIGHLIGHTED = 8_000  # characters of a text; beyond, colors cost more than they tell
# Languages whose lexers stay quick on text that is made to slow them down; others take minutes (Java's, say).
COLOURED = {
    "bash", "c", "cpp", "css", "dart", "diff", "docker", "go", "haskell", "html", "ini", "javascript",
    "json", "jsx", "julia", "kotlin", "lua", "markdown", "objective-c", "perl", "php", "powershell",
    "pycon", "python", "ruby", "rust", "scala", "splus", "sql", "swift", "tex", "toml", "typescript",
    "xml", "yaml",
}  # fmt: skip

TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "span",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "span": {"class"}, "code": {"class"}, "pre": {"class"}}


class TooMuch(Exception):
    """Markdown that would become many times its size."""


def to_html(text: str) -> str:
    """Markdown as sanitised HTML, made once a text. Images become their description.

    A picture elsewhere would tell who looks. What would be too large to draw is shown as it was written, and says so.
    """
    return _kept(text)


def render(text: str) -> str:
    """As ``to_html``, each time anew."""
    try:
        html = _drawn(text)
    except TooMuch as reason:
        html = _as_written(text, str(reason))
    return _safe(html)


def _drawn(text: str) -> str:
    """Markdown as HTML. TooMuch beyond the limits, which are asked before the work is done."""
    if len(text) > MOST_MARKDOWN:
        raise TooMuch(f"a text of {len(text):,} characters")
    parser = _parser(len(text) <= MOST_HIGHLIGHTED)
    env: dict[str, Any] = {}
    tokens = parser.parse(text, env)
    # Many uses of one long link: sixty thousand characters could become a hundred million.
    if _size(tokens) > MOST_HTML:
        raise TooMuch("its links")
    html: str = parser.renderer.render(tokens, parser.options, env)
    if len(html) > MOST_HTML:
        raise TooMuch(f"what becomes {len(html):,} characters of HTML")
    return html


def _size(tokens: Iterable[Token]) -> int:
    return sum(
        len(t.content) + sum(len(str(v)) for v in t.attrs.values()) + _size(t.children or ()) for t in tokens
    )


def _as_written(text: str, reason: str) -> str:
    note = f"<p><em>[Shown as it was written, not as Markdown: {escape(reason)} would be too much to draw.]</em></p>"
    lines = escape(text).replace("\n", "<br>")
    return f"{note}<p>{lines}</p>"


def _safe(html: str) -> str:
    made: str = nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow ugc",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        filter_style_properties=set(),
    )
    # Last: Markdown can write any character as an entity.
    return _mark_turning(made)


def highlighting() -> str:
    """The style sheet of highlighted code, light and dark."""
    light = HtmlFormatter(style="default").get_style_defs(".code")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".code")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


@functools.cache
def _parser(colors: bool) -> MarkdownIt:
    code = _highlighted if colors else _plain
    made = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True, "highlight": code})
    made.enable(["table", "strikethrough"])
    made.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    made.add_render_rule("image", _image)
    for rule in ("heading_open", "heading_close"):
        made.add_render_rule(rule, _heading)
    return made


def _table(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """A table, unless its cells, of which Markdown adds those that a row leaves out, are too many."""
    if silent or not table(state, first, last, True):
        return table(state, first, last, silent)
    columns = state.getLines(first + 1, first + 2, 0, False).strip().strip("|").count("|") + 1
    rows = next((n for n in range(first + 2, last) if state.isEmpty(n)), last) - first - 1
    state.env["cells"] = state.env.get("cells", 0) + columns * rows
    if state.env["cells"] > MOST_CELLS:
        raise TooMuch(f"a table of {columns:,} columns and {rows:,} rows")
    return table(state, first, last, silent)


def _mark_turning(text: str) -> str:
    return "".join(f"⟨{TURNING[c]}⟩" if c in TURNING else c for c in text)


def _image(self: RendererHTML, tokens: list[Token], at: int, *_: object) -> str:
    token = tokens[at]
    words = token.content or "no description"
    return f'<span class="picture">[image: {escape(words)}]</span>'


def _heading(self: RendererHTML, tokens: list[Token], at: int, *_: object) -> str:
    """Shift an answer's headings below the page's own, which use the first two levels."""
    token = tokens[at]
    level = min(6, int(token.tag[1]) + 2)
    return f"</h{level}>\n" if token.nesting < 0 else f"<h{level}>"


def _highlighted(code: str, language: str, _: str) -> str:
    name = re.sub(r"[^\w+#-]", "", language)[:30]
    try:
        lexer = get_lexer_by_name(name)
    except ClassNotFound:
        return _plain(code)
    if lexer.aliases[0] not in COLOURED:
        return _plain(code)
    body = highlight(code, lexer, HtmlFormatter(nowrap=True))
    return f'<pre class="code"><code>{body}</code></pre>'


def _plain(code: str, *_: str) -> str:
    return f'<pre class="code"><code>{escape(code)}</code></pre>'


_kept = RenderCache(render, KEPT)


def blank_of(text: str, made: str) -> Blank | None:
    """Why an answer renders as nothing; None where ``made``, its HTML, shows something."""
    if not text:
        return "empty"
    if not text.strip():
        return "white space"
    if RULE.search(made):
        return None
    seen = html.unescape(TAG.sub("", made))
    return "nothing to see" if all(unicodedata.category(c) in UNSEEN for c in seen) else None
