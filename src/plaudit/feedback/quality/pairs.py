"""Judgements as flat arrays, one entry per pair of answers of every ranking; all statistics read these."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from plaudit.feedback.quality.records import PURPOSES, JudgementRecord, RatedAnswer

FIRST, TIE, SECOND = 0, 1, 2  # verdicts


@dataclass(frozen=True, slots=True)
class AnswerPairs:
    """Two answers as one labeler ranked them, one entry each: [P].

    ``first`` and ``second`` number the answers in the order of their ids, so that all labelers of an item mean the
    same by a verdict. A judgement of K answers has C(K, 2) entries of weight 1 / C(K, 2): it weighs one.
    """

    judgement: np.ndarray  # place in the judgements
    item: np.ndarray
    labeler: np.ndarray
    unit: np.ndarray  # the same for all entries with these two answers of this item
    first: np.ndarray
    second: np.ndarray
    verdict: np.ndarray  # FIRST, TIE or SECOND
    weight: np.ndarray
    first_shown: np.ndarray  # the place at which ``first`` was shown, from 0
    second_shown: np.ndarray

    def __len__(self) -> int:
        return len(self.judgement)

    def where(self, chosen: np.ndarray) -> AnswerPairs:
        """The entries that a mask or a list of places chooses."""
        return replace(self, **{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    def counts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Verdicts per unit [U, 3] as the agreement measures read them, with weights [U] and items [U]."""
        _, start, place = np.unique(self.unit, return_index=True, return_inverse=True)
        table = np.bincount(place * 3 + self.verdict, minlength=3 * len(start)).reshape(-1, 3)
        return table.astype(float), self.weight[start], self.item[start]


@dataclass(frozen=True, slots=True)
class CodedJudgements:
    """Judgements with items, labelers and answers numbered in the order of their names."""

    judged: tuple[JudgementRecord, ...]
    items: tuple[str, ...]
    labelers: tuple[str, ...]
    answers: tuple[RatedAnswer, ...]
    item: np.ndarray  # [J]
    labeler: np.ndarray  # [J]
    purpose: np.ndarray  # [J] place in PURPOSES
    counted: np.ndarray  # [J] work, and this labeler's first of this item: what enters agreement
    words: np.ndarray  # [A] of each answer
    words_shown: np.ndarray  # [J] of all answers that were shown
    shortest: np.ndarray  # [J] of the shortest of them
    seconds: np.ndarray  # [J] of active time, NaN where none was recorded
    pairs: AnswerPairs

    def chosen(self, *purposes: str) -> np.ndarray:
        """Which judgements have one of these purposes: [J]."""
        return np.isin(self.purpose, [PURPOSES.index(p) for p in purposes])

    def pairs_of(self, judgements: np.ndarray) -> AnswerPairs:
        """The entries of the judgements that a mask [J] chooses."""
        return self.pairs.where(judgements[self.pairs.judgement])


def coded_judgements(
    judged: Sequence[JudgementRecord], answers: Mapping[str, RatedAnswer]
) -> CodedJudgements:
    """Number judgements for the statistics.

    Raises ValueError where a judgement has an unknown purpose, shows an answer twice or one that is not among
    ``answers``, or ranks others than it shows.
    """
    for j in judged:
        _check(j, answers)
    items, item = _numbered([j.item for j in judged])
    labelers, labeler = _numbered([j.labeler for j in judged])
    shown = sorted({a for j in judged for a in j.shown})
    number = {a: i for i, a in enumerate(shown)}
    return CodedJudgements(
        judged=tuple(judged),
        items=items,
        labelers=labelers,
        answers=tuple(answers[a] for a in shown),
        item=item,
        labeler=labeler,
        purpose=np.asarray([PURPOSES.index(j.purpose) for j in judged], dtype=int),
        counted=_counted(judged),
        words=np.asarray([answers[a].words for a in shown], dtype=float),
        words_shown=np.asarray([sum(answers[a].words for a in j.shown) for j in judged], dtype=float),
        shortest=np.asarray(
            [min((answers[a].words for a in j.shown), default=0) for j in judged], dtype=float
        ),
        seconds=np.asarray(
            [j.active_ms / 1000 if j.active_ms > 0 else math.nan for j in judged], dtype=float
        ),
        pairs=_pairs(judged, item, labeler, number),
    )


def pairs_of(judged: Sequence[JudgementRecord], answers: Mapping[str, RatedAnswer]) -> AnswerPairs:
    """The pairs of all judgements, whatever their purpose. Raises ValueError as ``coded_judgements``."""
    return coded_judgements(judged, answers).pairs


def _check(j: JudgementRecord, answers: Mapping[str, RatedAnswer]) -> None:
    if j.purpose not in PURPOSES:
        raise ValueError(f"judgement {j.id}: purpose {j.purpose!r} is none of {', '.join(PURPOSES)}")
    if len(set(j.shown)) != len(j.shown):
        raise ValueError(f"judgement {j.id} shows an answer twice: {', '.join(j.shown)}")
    for answer in j.shown:
        if answer not in answers:
            raise ValueError(f"judgement {j.id} shows answer {answer!r}, which is not among the answers")
    ranked = [a for group in j.groups for a in group]
    if ranked and sorted(ranked) != sorted(j.shown):
        raise ValueError(f"judgement {j.id} does not rank the answers that it shows, each once")


def _numbered(names: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    different = sorted(set(names))
    number = {name: i for i, name in enumerate(different)}
    return tuple(different), np.asarray([number[n] for n in names], dtype=int)


def _counted(judged: Sequence[JudgementRecord]) -> np.ndarray:
    """Work, once per labeler and item: the first time, because a second look is not independent of it."""
    first: dict[tuple[str, str], int] = {}
    for i in sorted(range(len(judged)), key=lambda i: (judged[i].round, judged[i].created, judged[i].id)):
        if judged[i].purpose == "work":
            first.setdefault((judged[i].labeler, judged[i].item), i)
    chosen = np.zeros(len(judged), dtype=bool)
    chosen[list(first.values())] = True
    return chosen


def _pairs(
    judged: Sequence[JudgementRecord], item: np.ndarray, labeler: np.ndarray, number: Mapping[str, int]
) -> AnswerPairs:
    """Judgements of the same number of answers at a time, because they make one matrix."""
    alike: dict[int, list[int]] = defaultdict(list)
    for i, j in enumerate(judged):
        if j.groups and len(j.shown) > 1:
            alike[len(j.shown)].append(i)
    parts: dict[str, list[np.ndarray]] = defaultdict(list)
    for size, places in alike.items():
        rank, shown, answer = (np.empty((len(places), size), dtype=int) for _ in range(3))
        for row, i in enumerate(places):
            j = judged[i]
            ordered = sorted(j.shown)
            at = {a: place for place, a in enumerate(j.shown)}
            of = {a: place for place, group in enumerate(j.groups) for a in group}
            answer[row] = [number[a] for a in ordered]
            shown[row] = [at[a] for a in ordered]
            rank[row] = [of[a] for a in ordered]
        left, right = np.triu_indices(size, 1)
        judgement = np.repeat(np.asarray(places), len(left))
        found: dict[str, Any] = {
            "judgement": judgement,
            "item": item[judgement],
            "labeler": labeler[judgement],
            "first": answer[:, left].ravel(),
            "second": answer[:, right].ravel(),
            "verdict": (np.sign(rank[:, left] - rank[:, right]) + 1).ravel(),
            "weight": np.full(len(judgement), 1 / len(left)),
            "first_shown": shown[:, left].ravel(),
            "second_shown": shown[:, right].ravel(),
        }
        for name, values in found.items():
            parts[name].append(values)
    names = [f.name for f in fields(AnswerPairs) if f.name != "unit"]
    whole = {n: np.concatenate(parts[n]) if parts[n] else np.zeros(0, dtype=int) for n in names}
    size = len(number) + 1
    key = (whole["item"] * size + whole["first"]) * size + whole["second"]
    return AnswerPairs(**whole, unit=np.unique(key, return_inverse=True)[1])
