"""Rated or labeled answers of one prompt as a ranking: the better before the worse, equal ones together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from plaudit.data.records import Labelled, Prompt, Ranking, Rated, Response

Marked = Labelled | Rated


@dataclass
class _Group:
    prompt: Prompt
    answers: dict[str, Response] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    raters: set[str | None] = field(default_factory=set)

    def add(self, record: Marked) -> None:
        text = record.response.text
        self.answers.setdefault(text, record.response)
        score = record.score if isinstance(record, Rated) else float(record.good)
        self.scores.setdefault(text, []).append(score)
        self.raters.add(record.rater if isinstance(record, Rated) else None)


def many_answers(records: Sequence[Marked]) -> bool:
    """Whether most prompts have several answers, so that the marks rank them."""
    groups = _groups(records)
    return 2 * sum(len(g.answers) > 1 for g in groups) > len(groups) > 0


def rankings(records: Sequence[Marked]) -> tuple[list[Ranking], list[Marked]]:
    """One ranking per prompt with several answers, and the records of answers that stand alone.

    An answer that several people marked has the mean of their marks.
    """
    groups = _groups(records)
    ranked = [_ranking(g) for g in groups if len(g.answers) > 1]
    single = {g.prompt.id for g in groups if len(g.answers) == 1}
    return ranked, [r for r in records if r.prompt.id in single]


def _groups(records: Sequence[Marked]) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for record in records:
        groups.setdefault(record.prompt.id, _Group(record.prompt)).add(record)
    return list(groups.values())


def _ranking(group: _Group) -> Ranking:
    means = [sum(s) / len(s) for s in group.scores.values()]
    places = [tuple(i for i, m in enumerate(means) if m == mark) for mark in sorted(set(means), reverse=True)]
    rater = next(iter(group.raters)) if len(group.raters) == 1 else None
    responses = tuple(group.answers.values())
    return Ranking(group.prompt, responses, tuple(places), rater=rater, metadata={"scores": means})
