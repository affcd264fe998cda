"""Finds the columns that hold two answers and their judgement, by name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from plaudit.data.readers.preferences.words import endings, verdict_of, words

BASES = words(
    "response completion answer output candidate model_output human_ref summary reply generation "
    "conversation assistant model_response assistant_response model_answer answer_text response_text text "
    "continuation generated_text prediction message solution option"
)
TOKENS = (
    ("a", "b"),
    ("1", "2"),
    ("0", "1"),
    ("left", "right"),
    ("first", "second"),
    ("one", "two"),
    ("x", "y"),
)
# The token of a third answer.
NEXT = {"b": "c", "2": "3", "1": "2", "second": "third", "two": "three", "y": "z", "right": "middle"}
# Columns that say which of two answers is better, the most explicit names first.
SAYING = words(
    "preferred preference winner label choice labels better_response_id preferred_response_id preferred "
    "better best chosen selected selection verdict judgement judgment vote human_preference human_label "
    "human_choice human_vote preference_label gold_label annotation preferred_response preferred_answer "
    "preferred_output preferred_completion preferred_model winner_model winning_model chosen_model "
    "better_model better_response better_answer best_response best_answer winning_response "
    "chosen_response chosen_answer chosen_index chosen_id chosen_idx winner_index winner_idx winner_id "
    "preferred_index preferred_idx preferred_id better_id better_index better_idx best_id best_index "
    "best_idx label_text comparison outcome result overall_preference preference_strength"
)
SCORES = words("score rating reward scores ratings rewards grade quality upvotes likes votes overall_score")
RANKS = ("rank", "place", "position")
RATER = re.compile(r"(annotator|rater|labeler|labeller|judge|evaluator|human|expert|worker|vote)_?\d+(_\w+)?")
MODELS = words("model model_name generator system policy source name author engine")


@dataclass(frozen=True)
class Choice:
    """The columns that say which of two answers is better.

    ``kind``: ``code`` (one column), ``flags`` (one per answer, true or false), ``scores`` (one per answer, higher is
    better), ``ranks`` (lower is better), or ``raters`` (one code per person).
    """

    kind: str
    columns: tuple[str, ...]


def _forms(base: str, token: str) -> Iterator[str]:
    yield f"{base}_{token}"
    if len(token) == 1:
        yield f"{base}{token}"
    yield f"{token}_{base}"
    yield f"model_{token}_{base}"
    yield f"{base}_model_{token}"
    yield f"assistant_{token}_{base}"


def _made() -> tuple[tuple[str, str, str], ...]:
    """Names of the columns of a left answer, a right answer, and a possible third one."""
    found = [("first", "second", "third")]
    for base in BASES:
        for left, right in TOKENS:
            forms = zip(_forms(base, left), _forms(base, right), _forms(base, NEXT[right]))
            found += [(a, b, c) for a, b, c in forms]
    return (*found, ("left", "right", "middle"), ("a", "b", "c"))


PAIRED = _made()


def two_answers(values: Mapping[str, Any]) -> tuple[str, str] | None:
    """The two columns that each hold an answer; None if there are none, or three."""
    return _two_of(frozenset(c for c, v in values.items() if v is not None))


@lru_cache(maxsize=4096)
def _two_of(present: frozenset[str]) -> tuple[str, str] | None:
    for left, right, third in PAIRED:
        if left in present and right in present and third not in present:
            # If there is also a response_0, response_1 and response_2 are two of three.
            before = left[:-1] + "0" if left[-1:] == "1" else left
            if before == left or before not in present:
                return left, right
    return None


def choice_of(values: Mapping[str, Any], pair: tuple[str, str] | None) -> Choice | None:
    """The columns that say which of the answers is better."""
    for column in SAYING:
        if values.get(column) is not None and (pair is None or column not in pair):
            return Choice("code", (column,))
    if pair is None:
        return None
    named = {c: v for c in values if c not in pair and (v := verdict_of(c, pair)) and v.share in (0.0, 1.0)}
    raters = tuple(c for c, v in values.items() if v is not None and RATER.fullmatch(c))
    if raters and (
        len(raters) != 2
        or endings(raters) != endings(pair)
        or any(verdict_of(str(values[c]), pair) for c in raters)
    ):
        # vote_1 and vote_2 beside response_1 and response_2 are raters if they hold words; numbers may be counts.
        return Choice("raters", raters)
    flags = [c for c in named if values[c] is not None and _flag(values[c])]
    if len(flags) == 1 and not any("tie" in c for c in values):
        return Choice("code", (flags[0],))
    if len(flags) > 1:
        ties = [c for c in values if c.split("_")[-1] in ("tie", "draw") and _flag(values[c])]
        return Choice("flags", (*flags[:2], *ties[:1]))
    if scores := beside(values, pair, SCORES):
        return Choice("scores", scores)
    ranks = beside(values, pair, RANKS)
    return Choice("ranks", ranks) if ranks else None


def _flag(value: Any) -> bool:
    """Whether a cell may hold a truth value (``""`` if only the header is known)."""
    return isinstance(value, bool) or str(value).strip().lower() in (
        *("0", "1", "0.0", "1.0", "true", "false", "yes", "no", "0.5", ""),
    )


def beside(values: Mapping[str, Any], pair: tuple[str, str], bases: Sequence[str]) -> tuple[str, str] | None:
    """Two columns with these names and the suffixes of the answers' columns: ``score_0`` and ``score_1``."""
    return _beside(frozenset(c for c, v in values.items() if v is not None), pair, tuple(bases))


@lru_cache(maxsize=4096)
def _beside(present: frozenset[str], pair: tuple[str, str], bases: tuple[str, ...]) -> tuple[str, str] | None:
    ends = endings(pair)
    for base in bases:
        forms = [(*_forms(base, end), f"{name}_{base}", f"{base}_{name}") for end, name in zip(ends, pair)]
        for left, right in zip(*forms):
            if left in present and right in present:
                return left, right
    return None


def numbers(values: Mapping[str, Any], columns: tuple[str, str] | None) -> tuple[float, float] | None:
    """The numbers in two columns; None if one of them is not a finite number."""
    if columns is None:
        return None
    try:
        left, right = (float(values[c]) for c in columns)
    except (TypeError, ValueError):
        return None
    return (left, right) if math.isfinite(left) and math.isfinite(right) else None
