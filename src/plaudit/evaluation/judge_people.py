"""What people said of answers: their votes on the same answers put together, and how far they agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from plaudit import intervals
from plaudit.data.records import Comparisons, Preference
from plaudit.evaluation.statistics import Interval
from plaudit.registry import JUDGES, WORLDS

CHANCE = 0.5


def merged(people: Sequence[Preference]) -> list[Comparisons]:
    """One record of each prompt with the same answers, in whatever order they stand, with the votes of all people.

    A labeling project gives one record a judgement; a judge is held against the majority of them. The answers and the
    metadata are those of the first record.
    """
    found: dict[tuple[str, tuple[tuple[str, bool], ...]], Comparisons] = {}
    for preference in people:
        record = preference.comparisons()
        answers = [(r.text, r.finished) for r in record.responses]
        different = len(set(answers)) == len(answers)
        # Of two equal answers nobody knows which one stands where, so only the same order is the same item.
        key = record.prompt.id, tuple(sorted(answers) if different else answers)
        first = found.setdefault(key, replace(record, outcomes=()))
        known = [(r.text, r.finished) for r in first.responses]
        place = [known.index(a) for a in answers] if different else list(range(len(answers)))
        votes = [replace(o, left=place[o.left], right=place[o.right]) for o in record.outcomes]
        found[key] = replace(first, outcomes=(*first.outcomes, *votes))
    return list(found.values())


def said_by_judge(record: Preference) -> bool:
    """Whether a judge gave a record's verdicts and no person: it holds what a judge said, or its rater is a spec.

    The raters of a made world stand for people.
    """
    if record.metadata.get("judge"):
        return True
    stand_ins = {world.judge for world in WORLDS.values()}
    raters = {o.rater for o in record.comparisons().outcomes} | {getattr(record, "rater", None)}
    return any(r and r not in stand_ins and r.partition(":")[0] in JUDGES and ":" in r for r in raters)


def human_ceiling(people: Sequence[Preference]) -> Interval | None:
    """How often one person agrees with the majority of the others on the same pair; None without a second person.

    Leave one out: a judge is compared with a majority that does not include it, and so must a person be. A tie of
    the others counts as one half.
    """
    said: dict[tuple[str, str, str], list[tuple[str, float]]] = defaultdict(list)
    for preference in people:
        record = preference.comparisons()
        for number, o in enumerate(record.outcomes):
            left, right = record.responses[o.left].text, record.responses[o.right].text
            flipped = left > right
            one, two = sorted((left, right))
            said[record.prompt.id, one, two].append(
                (o.rater or f"#{number}", 1 - o.result if flipped else o.result)
            )
    parts: dict[str, list[float]] = defaultdict(list)
    for (prompt, _, _), votes in said.items():
        for k, (name, vote) in enumerate(votes):
            others = [v for m, (other, v) in enumerate(votes) if m != k and other != name]
            if others and vote != CHANCE:
                majority = float(np.mean(others))
                agrees = CHANCE if majority == CHANCE else float((majority > CHANCE) == (vote > CHANCE))
                parts[prompt].append(agrees)
    if not parts:
        return None
    tops, sizes = [sum(v) for v in parts.values()], [len(v) for v in parts.values()]
    low, high = intervals.share(tops, sizes)
    return {"mean": sum(tops) / sum(sizes), "low": low, "high": high}
