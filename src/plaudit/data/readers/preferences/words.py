"""Reads words that name one of two answers: ``A``, ``response_b``, ``[[A]]``, ``A>>B``, ``tie (bothbad)`` …"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


def words(text: str) -> tuple[str, ...]:
    """The words of a text, as a tuple."""
    return tuple(text.split())


TIES = frozenset(
    words(
        "tie tied ties equal equally same both draw neither tie_(bothbad) tie_bothbad tie_both_bad both_bad "
        "bothbad both_good bothgood all_bad all_good no_preference about_the_same equally_good equally_bad "
        "similar equivalent indifferent not_sure_equal ="
    )
)
PREFIXES = frozenset(
    words(
        "model response answer assistant option candidate output completion conversation system summary "
        "player reply generation text the is human ref message bot chatbot"
    )
)
ORDINALS = (frozenset(["first", "left", "1st"]), frozenset(["second", "right", "2nd"]))
FILLERS = frozenset(words("is was the are by human humans answer response model output completion option"))
WINNING = frozenset(
    words("better wins win won winner preferred prefer prefers best chosen chose selected favored")
)
LOSING = frozenset(words("worse loses lose lost loser rejected worst"))
# Strengths of the adverbs.
GRADES = {
    **dict.fromkeys(["slightly", "marginally", "somewhat"], 1.0),
    **dict.fromkeys(words("much significantly far clearly strongly way considerably"), 3.0),
}
PLAIN = 2.0
COMPARED = re.compile(r"(?P<left>[^<>=≈~≻≺]+?)\s*(?P<sign>>+|<+|=+|≈|~|≻+|≺+)\s*(?P<right>[^<>=≈~≻≺]+)")
BRACKETS = re.compile(r"^[\s\[\](){}\"'`*]+|[\s\[\](){}\"'`*.:!]+$")


@dataclass(frozen=True)
class StatedPreference:
    """``share`` of the win that goes to the first answer: 1, 0, or 0.5 for a tie; None leaves the row out."""

    share: float | None
    strength: float | None = None

    def swapped(self) -> StatedPreference:
        return self if self.share is None else StatedPreference(1.0 - self.share, self.strength)


FIRST, SECOND, TIE, DROP = (
    StatedPreference(1.0),
    StatedPreference(0.0),
    StatedPreference(0.5),
    StatedPreference(None),
)


def bare(text: str) -> str:
    """A word normalized for comparison: ``[[Model A]]`` becomes ``model_a``."""
    if text.strip() == "tie (bothbad)":
        return "tie_(bothbad)"
    return re.sub(r"[\s_-]+", "_", BRACKETS.sub("", text.lower()))


def endings(names: Sequence[str]) -> tuple[str, str]:
    """The part in which two column names differ: ``a`` and ``b`` for ``response_a`` and ``response_b``."""
    left, right = (re.findall(r"\d+|[^\d_\-. ]+", str(n).lower()) for n in names)
    if len(left) == len(right):
        for a, b in zip(left, right):
            if a != b:
                return _last(a, b)
    return _last(str(names[0]).lower(), str(names[1]).lower())


def _last(a: str, b: str) -> tuple[str, str]:
    """The last letters of words that differ only there, such as ``responsea`` and ``responseb``."""
    return (a[-1], b[-1]) if a[:-1] == b[:-1] else (a, b)


def verdict_of(text: str, names: Sequence[str]) -> StatedPreference | None:
    """The preference that a word states about the answers in columns ``names``; None if none, or if it is a number."""
    return _verdict(text, tuple(names))


@lru_cache(maxsize=4096)
def _verdict(text: str, names: tuple[str, ...]) -> StatedPreference | None:
    # The judge prompts of MT-Bench and Arena-Hard offer [[A]], [[B]] and [[C]] for a tie.
    if text.strip().lower() == "[[c]]":
        return TIE
    word = bare(text)
    if word in TIES:
        return TIE
    if re.fullmatch(r"[-+]?\d+(\.\d+)?", word):
        return None
    if compared := COMPARED.fullmatch(BRACKETS.sub("", text.lower())):
        return _compared(compared, names)
    side = _side(word, names)
    return side if side is not None else _phrase(word, names)


def _compared(found: re.Match[str], names: Sequence[str]) -> StatedPreference | None:
    left, right = (_side(bare(found[k]), names, numbers=True) for k in ("left", "right"))
    if left is None or right is None or left.share == right.share:
        return None
    sign = found["sign"]
    if sign[0] in "=≈~":
        return TIE
    better = left if sign[0] in ">≻" else right
    return StatedPreference(better.share, float(len(sign)))


def _side(word: str, names: Sequence[str], *, numbers: bool = False) -> StatedPreference | None:
    """The answer that a name means, without prefixes: ``a``, ``model_a``, ``the_first_response``."""
    ends = endings(names)
    for name, verdict in zip(names, (FIRST, SECOND)):
        if word == bare(str(name)):
            return verdict
    parts = [p for p in word.split("_") if p and p not in PREFIXES]
    if len(parts) == 2 and parts[0] not in ORDINALS[0] | ORDINALS[1]:
        return None
    if len(parts) != 1:
        return None
    (end,) = parts
    plain = end == word and not numbers
    for i, verdict in enumerate((FIRST, SECOND)):
        letters = {"ab"[i]} | ORDINALS[i]
        if end in letters or (end == ends[i] and not (plain and end.isdigit())):
            return verdict
        # "Response 1" is the first, unless the columns are numbered themselves.
        if not plain and not set(ends) & {"0", "1", "2"} and end == str(i + 1):
            return verdict
    return None


def _phrase(word: str, names: Sequence[str]) -> StatedPreference | None:
    """``a_is_slightly_better``, ``prefer_first``, ``response_2_wins``; ``worse`` names the other one."""
    parts = word.split("_")
    won, lost = set(parts) & WINNING, set(parts) & LOSING
    if bool(won) == bool(lost):
        return None
    grades = [GRADES[p] for p in parts if p in GRADES]
    rest = [p for p in parts if p not in WINNING | LOSING | FILLERS | set(GRADES)]
    side = _side("_".join(rest), names, numbers=True) if rest else None
    if side is None:
        return None
    found = StatedPreference(side.share, grades[0] if grades else PLAIN)
    return found if won else found.swapped()
