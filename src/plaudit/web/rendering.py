"""Text that people and models wrote, as HTML that is safe to show: it can neither run, load, nor disguise anything."""

from __future__ import annotations

import functools
import re
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

# Marks that turn the direction of text around, and so can make it read as something else than it is.
TURNING = {
    "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO",
    "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI",
}  # fmt: skip
MOST_HIGHLIGHTED = 8_000  # characters of a text; beyond, colours cost more than they tell
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


@functools.lru_cache(maxsize=4096)
def to_html(text: str) -> str:
    """Markdown as sanitised HTML. Images become their description: a picture elsewhere would tell who looks."""
    html = _parser(len(text) <= MOST_HIGHLIGHTED).render(text)
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
def _parser(colours: bool) -> MarkdownIt:
    code = _coloured if colours else _plain
    made = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True, "highlight": code})
    made.enable(["table", "strikethrough"])
    made.add_render_rule("image", _image)
    for rule in ("heading_open", "heading_close"):
        made.add_render_rule(rule, _heading)
    return made


def _mark_turning(text: str) -> str:
    return "".join(f"⟨{TURNING[c]}⟩" if c in TURNING else c for c in text)


def _image(self: RendererHTML, tokens: list[Token], at: int, *_: object) -> str:
    token = tokens[at]
    words = token.content or "no description"
    return f'<span class="picture">[image: {escape(words)}]</span>'


def _heading(self: RendererHTML, tokens: list[Token], at: int, *_: object) -> str:
    """An answer's headings stand below the page's own, which are the first two levels."""
    token = tokens[at]
    level = min(6, int(token.tag[1]) + 2)
    return f"</h{level}>\n" if token.nesting < 0 else f"<h{level}>"


def _coloured(code: str, language: str, _: str) -> str:
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
