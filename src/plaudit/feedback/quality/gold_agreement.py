"""Agreement with gold: the one definition used by statistics, the practice dialog and the docs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

Groups = Sequence[Sequence[Any]]  # a ranking: answers by any name, best first, ties together


class Score(NamedTuple):
    """``share`` of gold's decided pairs that were ordered like gold; ``exact``: an accepted ranking was matched."""

    share: float | None
    exact: bool


def gold_score(groups: Groups, accepted: Sequence[Groups]) -> Score | None:
    """How far a judgement agrees with gold; None where nothing is accepted.

        share = max over accepted r of #{(a, b): a above b in r and in the judgement} / #{(a, b): a above b in r}

    A tie where gold decides is a miss; a decision where gold ties is none. An accepted ranking that ties all answers
    decides no pair: matching it exactly is a share of 1 where another accepted ranking decides, and where none does
    the share is None, for a match as for a miss.
    """
    if not accepted:
        return None
    place = {answer: rank for rank, group in enumerate(groups) for answer in group}
    parts = [sorted(group) for group in groups]
    exact = bool(parts) and any(parts == [sorted(group) for group in ranking] for ranking in accepted)
    shares = [s for ranking in accepted if (s := _share(place, ranking)) is not None]
    return Score(max([*shares, float(exact)]) if shares else None, exact)


def _share(place: dict[Any, int], ranking: Groups) -> float | None:
    pairs = [(a, b) for i, g in enumerate(ranking) for a in g for later in ranking[i + 1 :] for b in later]
    if not pairs:
        return None
    return sum(a in place and b in place and place[a] < place[b] for a, b in pairs) / len(pairs)
