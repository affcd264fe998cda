"""Baselines of a reward model: the rule "the longer answer wins", and how often people agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from plaudit.data.records import Comparisons, Outcome, Preference


@dataclass(frozen=True)
class Agreement:
    """Of ``pairs`` of judgements by two people of the same two answers, ``agreeing`` are equal."""

    agreeing: int
    pairs: int

    @property
    def share(self) -> float | None:
        return self.agreeing / self.pairs if self.pairs else None


def pair_verdicts(record: Comparisons) -> dict[tuple[int, int], float]:
    """The verdict of the majority on each pair (i < j): 1 i won, 0 j won, 0.5 a tie or no majority."""
    return {pair: _majority(outcomes) for pair, outcomes in _by_pair(record).items()}


def pair_shares(record: Comparisons) -> dict[tuple[int, int], float]:
    """The mean share of the win of answer i in each pair (i < j): how sure a judge is, where a verdict is its side."""
    found = {}
    for pair, outcomes in _by_pair(record).items():
        share = sum(o.result for o in outcomes) / len(outcomes)
        # Both orders of a tie may add up to a half but for the last digit.
        found[pair] = 0.5 if abs(share - 0.5) < 1e-9 else share
    return found


def longer_wins(records: Iterable[Preference]) -> float | None:
    """The share of decided pairs in which the longer answer (in characters) was preferred.

    Ties, and answers of equal length, do not count; None where nothing is left.
    """
    won = pairs = 0
    for record in records:
        c = record.comparisons()
        for (i, j), verdict in pair_verdicts(c).items():
            longer = len(c.responses[i].text) - len(c.responses[j].text)
            if verdict != 0.5 and longer != 0:
                pairs += 1
                won += (longer > 0) == (verdict > 0.5)
    return won / pairs if pairs else None


def agreement(records: Iterable[Preference]) -> Agreement:
    """How often two raters of the same two answers gave the same judgement: first, second or tie.

    A = Σ agreeing / Σ C(n, 2) over the pairs of answers that n people judged; two judgements by the
    same person do not count.
    """
    judged: dict[tuple[str, str, str], list[Outcome]] = defaultdict(list)
    for record in records:
        c = record.comparisons()
        for o in c.outcomes:
            left, right = c.responses[o.left].text, c.responses[o.right].text
            low, high = sorted((left, right))
            judged[c.prompt.id, low, high].append(o if left <= right else _swapped(o))
    agreeing = pairs = 0
    for outcomes in judged.values():
        for a, b in combinations(outcomes, 2):
            if a.rater is None or a.rater != b.rater:
                pairs += 1
                agreeing += _verdict(a) == _verdict(b)
    return Agreement(agreeing, pairs)


def human_agreement(records: Iterable[Preference]) -> float | None:
    """The share of ``agreement``, or None where no two answers were judged twice."""
    return agreement(records).share


def _by_pair(record: Comparisons) -> dict[tuple[int, int], list[Outcome]]:
    """Outcomes by pair of answers, each with the smaller index as ``left``."""
    found: dict[tuple[int, int], list[Outcome]] = defaultdict(list)
    for o in record.outcomes:
        ordered = o if o.left < o.right else _swapped(o)
        found[ordered.left, ordered.right].append(ordered)
    return found


def _swapped(o: Outcome) -> Outcome:
    """The same judgement with left and right swapped."""
    return replace(o, left=o.right, right=o.left, result=1 - o.result)


def _verdict(outcome: Outcome) -> float:
    return 1.0 if outcome.result > 0.5 else 0.0 if outcome.result < 0.5 else 0.5


def _majority(outcomes: Sequence[Outcome]) -> float:
    counts = Counter(map(_verdict, outcomes)).most_common()
    tied = len(counts) > 1 and counts[0][1] == counts[1][1]
    return 0.5 if tied else counts[0][0]
