"""The meaning of one label value: good, bad, neither, or a number; from words, symbols, stars, truth values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


TRUE = words("true yes y t")
FALSE = words("false no n f")
GOOD = words("""
    good up thumbs_up thumbsup thumb_up desirable chosen positive pos like liked upvote upvoted accept accepted
    approve approved pass passed correct right safe helpful harmless acceptable satisfied happy great ok
    valid success keep kept excellent :+1: :thumbsup: + +1 👍 👌 👏 ✓ ✔ ✅ ☑ 🙂 😀 😃 😄 😁 😊 ❤ ♥ 💯
""")
BAD = words("""
    bad down thumbs_down thumbsdown thumb_down undesirable rejected negative neg dislike disliked downvote
    downvoted reject disapprove disapproved fail failed incorrect wrong unsafe unhelpful harmful
    unacceptable unsatisfied dissatisfied unhappy poor not_ok invalid failure toxic remove removed
    delete deleted discard discarded error terrible awful :-1: :thumbsdown: - 👎 ✗
    ✘ ✖ ❌ ❎ ☹ 🙁 😞 😠 😡 😢 💩
""")
NEITHER = words("""
    neutral none n/a na null nan unsure unknown skip skipped unrated not_rated no_feedback no_rating ?
    undefined
""")
# Words whose side depends on the column: the success of a jailbreak is bad, a negative test for toxicity good.
RELATIVE = words("""
    positive negative pos neg success pass passed fail failed failure valid invalid error correct right incorrect wrong
    up down + -
""")
# What tables write into empty cells; beside `+`, `-` says bad.
DASHES = words("- -- – —")
# Skin tones, and the variation selectors of emoji.
SHADES = re.compile("[\U0001f3fb-\U0001f3ff\ufe0f\ufe0e]")
STARS = re.compile(r"(?P<full>[★⭐🌟]+)[☆✩]*")
AMOUNT = re.compile(
    r"(?P<number>[-+]?(?:\d+(?:\.\d+)?|\.\d+))\s*(?:(?:/|out of)\s*(?P<of>\d+)|stars?|points?|(?P<percent>%))?",
    re.IGNORECASE,
)


def absent(value: Any) -> bool:
    """Whether a cell holds no label."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return isinstance(value, str) and (not value.strip() or word_of(value) in NEITHER | DASHES)


def filled(values: Iterable[Any]) -> list[Any]:
    """The values of a column that are not absent."""
    given = list(values)
    signs = signed(given)
    return [v for v in given if not absent(v) or (signs and isinstance(v, str) and v.strip() == "-")]


def signed(values: Iterable[Any]) -> bool:
    """Whether a column holds ``+``, so that ``-`` says bad."""
    return any(isinstance(v, str) and v.strip() == "+" for v in values)


def relative(value: Any) -> bool:
    """Whether a word says good or bad only together with what the column is about."""
    return isinstance(value, str) and word_of(value) in RELATIVE


def word_of(text: str) -> str:
    """A label in words, normalized for comparison."""
    return SHADES.sub("", text.strip().lower().replace(" ", "_").replace("-", "_" if len(text) > 2 else "-"))


def said(value: Any) -> bool | None:
    """True for good and False for bad, from a truth value or a word (``yes`` is true); else None."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    word = word_of(value)
    if word in TRUE or word in GOOD:
        return True
    return False if word in FALSE or word in BAD else None


def binary(value: Any) -> bool:
    """Whether a value is 0, 1, true or false, also as text."""
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return True
    return isinstance(value, bool) or amount(value) in (0, 1)


def two_valued(value: Any) -> bool:
    """Whether a value is 0, 1, true, false, yes or no, also as text."""
    return binary(value) or (isinstance(value, str) and word_of(value) in TRUE | FALSE)


def absolute(value: Any) -> bool:
    """Whether a word says good or bad by itself, independent of the column's name."""
    return isinstance(value, str) and word_of(value) in GOOD | BAD


def amount(value: Any) -> float | None:
    """A rating as a number: ``4``, ``"4.5"``, ``"4/5"``, ``"4 stars"``, ``"★★★★☆"``, ``"80%"``; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    if not isinstance(value, str):
        return None
    text = SHADES.sub("", value.strip())
    if stars := STARS.fullmatch(text):
        return float(len(stars["full"]))
    found = AMOUNT.fullmatch(text)
    return float(found["number"]) if found else None


def scale_of(value: Any) -> float | None:
    """The top of the scale that a rating is written with: 5 of ``4/5``, 100 of ``80 %``; None if with none."""
    found = AMOUNT.fullmatch(SHADES.sub("", value.strip())) if isinstance(value, str) else None
    if found is None:
        return None
    return 100.0 if found["percent"] else float(found["of"] or 0) or None
