"""Output in any encoding: a character that a terminal or a file cannot encode is replaced by a readable one.

Where Python's output is not UTF-8 (a Windows console or pipe, ``LC_ALL=C``, ``PYTHONIOENCODING``), one ✓ would end a
command with a UnicodeEncodeError.
"""

from __future__ import annotations

import codecs
import sys
import unicodedata
from encodings import ascii

ERRORS = "plaudit.readable"
PLAIN_ASCII = "plain_ascii"
SIGNS = {
    "✓": "ok",
    "✗": "x",
    "→": "->",
    "←": "<-",
    "↑": "up",
    "↓": "down",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "≠": "!=",
    "±": "+-",
    "×": "x",
    "·": "-",
    "•": "*",
    "−": "-",
    "–": "-",
    "—": "-",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "√": "sqrt",
    "∞": "inf",
    "⁄": "/",
    "█": "#",
    "░": ".",
    "▌": "#",
    "━": "-",
    "─": "-",
    "│": "|",
    "…": "...",
}


def plain(sign: str) -> str:
    """A sign in ASCII: its spelling, its letter without accents, a Greek letter's name, or its code as ``\\u4e2d``."""
    if sign in SIGNS:
        return SIGNS[sign]
    if unicodedata.name(sign, "").startswith("GREEK"):
        return unicodedata.name(sign).split(" WITH ")[0].split()[-1].lower()
    parts = [c for c in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(c)]
    letters = "".join(SIGNS.get(c, c) for c in parts)
    if not letters.isascii() or not letters:
        return sign.encode("ascii", "backslashreplace").decode()
    # 10² must not read as 102.
    return f"^{letters}" if unicodedata.decomposition(sign).startswith("<super>") else letters


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(plain, error.object[error.start : error.end])), error.end


def _plain_ascii(name: str) -> codecs.CodecInfo | None:
    """ASCII by a name of its own: the library of the command line writes UTF-8 to a stream that calls itself ASCII."""
    if name != PLAIN_ASCII:
        return None
    return codecs.CodecInfo(
        ascii.Codec.encode,
        ascii.Codec.decode,
        incrementalencoder=ascii.IncrementalEncoder,
        incrementaldecoder=ascii.IncrementalDecoder,
        name=PLAIN_ASCII,
    )


codecs.register_error(ERRORS, _replace)
codecs.register(_plain_ascii)


def keep_output_readable() -> None:
    """From here on stdout and stderr replace what their encoding cannot hold."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where a program or a test put a stream of its own
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=PLAIN_ASCII if is_ascii else None, errors=ERRORS)
