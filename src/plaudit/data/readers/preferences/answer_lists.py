"""Lists of answers that hold their ranks or scores (``answers[].rank``), or with the best one in another column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plaudit.data.readers.coerce import listed, number
from plaudit.data.readers.columns import View
from plaudit.data.readers.preferences.answer_texts import asked
from plaudit.data.readers.preferences.codes import CodedColumn, CodedComparison, CodedJudgement
from plaudit.data.readers.preferences.pairs import Votes
from plaudit.data.readers.preferences.words import bare, words
from plaudit.data.readers.read_report import Fault
from plaudit.data.readers.row_to_record import (
    differing,
    grouped,
    ranking_of,
    rater_of,
    responses_of,
    strength_of,
    weight_of,
)
from plaudit.data.records import Ranking, Response

RANKS = ("rank", "ranking", "place", "position")
SCORES = words("overall_score score rating reward overall quality preference_score fine_grained_score")
# Keys with ratings by aspect, each a number or {"Rating": number}.
ASPECTS = ("annotations", "ratings", "scores", "aspects")


def are_ranked(view: View) -> bool:
    """Whether the answers are objects with a rank, a score, or ratings by aspect."""
    answers = listed(view.get("responses"))
    return (
        isinstance(answers, list)
        and len(answers) > 1
        and all(isinstance(a, dict) and _rank_key(a) is not None for a in answers)
    )


def ranked_objects(view: View) -> Ranking:
    """Answers ordered by their ranks (1 is best), scores, or mean ratings (higher is better)."""
    texts, column = responses_of(view)
    answers = listed(view.get("responses"))
    keys = [_rank_key(a) for a in answers]
    if bad := next((m[0] for m in keys if m and math.isnan(m[1])), None):
        raise Fault(
            "bad ranking",
            f"the answers are ranked by {bad}",
            field=column,
            remedy="write 1 for the best answer, 2 for the next one",
        )
    if any(m is None for m in keys) or len({m[0] for m in keys if m}) > 1:
        raise Fault(
            "bad ranking",
            "not every answer has a rank or score",
            field=column,
            remedy="give every answer one, or remove the row",
        )
    groups = grouped([m[1] for m in keys if m])
    return ranking_of(view, asked(view), texts, groups, column)


def about_objects(view: View) -> str:
    """A sentence that says by what the answers are ranked."""
    keys = (_rank_key(a) for a in listed(view.get("responses")))
    name = next((m[0] for m in keys if m and not math.isnan(m[1])), "their ranks")
    return f"answers are ranked by {name}"


def _rank_key(answer: Mapping[str, Any]) -> tuple[str, float] | None:
    """What an answer is ranked by, and its sort key: lower is better."""
    for key in RANKS:
        if _is_number(answer.get(key)):
            return f"their {key!r} (1 is best)", number(answer[key], key)
        if key in RANKS[:2] and answer.get(key) not in (None, ""):
            # Not by a score beside it: what the rank says would be lost.
            return f"their {key!r}, which is not a number", math.nan
    for key in SCORES:
        if _is_number(answer.get(key)):
            return f"their {key!r} (more is better)", -number(answer[key], key)
    for key in ASPECTS:
        if isinstance(answer.get(key), dict) and (ratings := _ratings(answer[key])):
            names = ", ".join(answer[key])
            return f"the mean of the ratings in {key!r} ({names})", -sum(ratings) / len(ratings)
    return None


def _ratings(aspects: Mapping[str, Any]) -> Sequence[float]:
    given = (
        v.get("Rating", v.get("rating", v.get("score"))) if isinstance(v, dict) else v
        for v in aspects.values()
    )
    return [float(str(v)) for v in given if _is_number(v)]


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and abs(float(value)) < float("inf")
    except (TypeError, ValueError):
        return False


def other_orders(view: View, record: Ranking) -> Iterator[tuple[str, bool]]:
    """Other columns and keys that order the answers of a ranking, each with whether it contradicts the ranking."""
    place = {i: p for p, group in enumerate(record.groups) for i in group}
    answers = listed(view.get("responses"))
    if not isinstance(answers, list) or len(answers) != len(place):
        return
    orders = {f: (listed(view.get(f)), sign) for f, sign in (("ranks", 1), ("scores", -1))}
    for keys, sign in ((RANKS, 1), (SCORES, -1)):
        for key in keys if all(isinstance(a, dict) for a in answers) else ():
            orders[f"responses[].{key}"] = ([a.get(key) for a in answers], sign)
    for column, (values, sign) in orders.items():
        if isinstance(values, list) and len(values) == len(place) and all(map(_is_number, values)):
            keyed = [sign * float(v) for v in values]
            yield column, any(place[i] < place[j] and keyed[i] > keyed[j] for i in place for j in place)
    best = view.get("preferred")
    if best is not None and not isinstance(listed(best), list | dict):
        # A number may be counted from 0 or from 1.
        named = {int(float(best)), int(float(best)) - 1} if _is_number(best) else set[int]()
        named |= {i for i, r in enumerate(record.responses) if bare(r.text) == bare(str(best))}
        if known := named & set(place):
            yield view.column("preferred") or "preferred", all(place[i] > 0 for i in known)


# -- a list of answers and a code ----------------------------------------------------------------


def has_place(view: View) -> bool:
    """Whether a single value says which answer of a list is best."""
    value = view.get("preferred")
    answers = listed(view.get("responses"))
    return isinstance(answers, list) and len(answers) > 1 and not isinstance(listed(value), list | dict)


def listed_judged(view: View) -> CodedComparison:
    """A list of answers and the best of them, by its position or by a word."""
    texts, column = responses_of(view)
    differing(texts, column)
    value, choice = view.take("preferred")
    where = CodedColumn(view.original(choice), (f"{column}_1", f"{column}_2"), places=True)
    called = tuple(frozenset({bare(t)}) for t in texts)
    said = value if isinstance(value, Votes) else (CodedJudgement(value, rater_of(view)),)
    return CodedComparison(
        asked(view),
        tuple(map(Response, texts)),
        where,
        said,
        called,
        weight=weight_of(view),
        strength=strength_of(view),
    )
