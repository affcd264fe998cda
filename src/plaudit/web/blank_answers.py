"""Detect answers that render as nothing; a note is shown beside them, never written into them."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Literal

Blank = Literal["empty", "white space", "nothing to see"]
TAG = re.compile(r"<[^>]*>")
RULE = re.compile(r"<hr\b")
UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Zs"}


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
