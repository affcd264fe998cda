"""A judge held against people: agreement, biases, calibration, probes, and whether its labels may train a model.

A judge passes when the lower bounds of its agreement with people, over all decided pairs and over those whose preferred
answer is the shorter one, lie above one half, and when neither a constant nor an empty answer wins more than 5 %.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from plaudit import intervals
from plaudit.data.baselines import pair_shares, pair_verdicts
from plaudit.data.records import Comparisons, Preference, Response
from plaudit.evaluation.calibration import accuracy, calibration_noise, expected_calibration_error
from plaudit.evaluation.judge_people import human_ceiling
from plaudit.evaluation.statistics import Interval
from plaudit.judges.orders import fit_temperature
from plaudit.runs.files import plain

CHANCE = 0.5
# A text that wins often wins by what the judge is, not by what it says (Zheng et al. 2024, null models).
MOST_PROBE_WINS = 0.05
# By how much more often than with people a judge's own answers may win, as a lower bound.
MOST_OWN_EXCESS = 0.1
FAR = 12.0  # log-odds that stand for certainty


@dataclass(frozen=True)
class Pair:
    """One pair of answers with what people and the judge said of it: shares of the win of the first answer.

    ``judged`` is None where the judge abstained, and ``content`` its log-odds that the first is better. ``orders`` are
    its log-odds in both orders, where it compared the pair in both. ``longer`` is length(first) − length(second);
    ``own`` is 1 or −1 where one answer is the judge's own, else 0.
    """

    group: str
    people: float
    judged: float | None
    content: float | None
    orders: tuple[float, float] | None
    longer: int
    category: str
    own: int


@dataclass(frozen=True)
class Calibration:
    """What a judge is worth, as numbers. Shares have (mean, low, high); ``reasons`` say why it did not pass.

    ``agreement`` is over the pairs that people decided, a tie of the judge counting a half; ``agreement_ties`` over all
    pairs with a tie as a verdict of its own. ``sensitivity`` and ``specificity`` count each decided pair from both
    sides, so that they do not depend on which answer a file happens to name first; ``prompts`` is how many they are of.
    ``left_out`` rankings were a judge's own, not people's.
    """

    pairs: int
    judged: int
    agreement: Interval
    agreement_shorter: Interval
    agreement_ties: Interval
    ceiling: Interval | None
    longer_wins: dict[str, float]
    position: Interval | None
    consistency: Interval | None
    own: dict[str, float] | None
    temperature: float
    ece: float
    ece_noise: float
    sensitivity: Interval
    specificity: Interval
    probes: dict[str, float]
    categories: dict[str, Interval] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    left_out: int = 0

    @property
    def passed(self) -> bool:
        return not self.reasons

    def as_dict(self) -> dict[str, Any]:
        return plain({**asdict(self), "passed": self.passed})


def calibrate(
    people: Sequence[Preference], judged: Sequence[Preference], probes: Mapping[str, float]
) -> Calibration:
    """Hold the judge's ``judged`` records against ``people``'s on the same answers, in the same order.

    ``probes`` are shares of wins of answers that deserve none (``probe_wins``).
    """
    table = pairs_of(people, judged)
    read = [p for p in table if p.judged is not None]
    decided = [p for p in read if p.people != CHANCE]
    shorter = [p for p in decided if p.longer * (p.people - CHANCE) < 0]
    agreement, agreement_shorter = _agreement(decided), _agreement(shorter)
    contents = [_odds(p.judged) if p.content is None else p.content for p in read]
    temperature = fit_temperature(contents, [p.people for p in read])
    scaled = [c / temperature for c in contents]
    outcomes = [p.people for p in read]
    right = _share(decided, lambda p: _for_first(p) if p.people > CHANCE else 1 - _for_first(p))
    return Calibration(
        pairs=len(table),
        judged=len(read),
        agreement=agreement,
        agreement_shorter=agreement_shorter,
        agreement_ties=_share(
            read, lambda p: float(np.sign(p.judged - CHANCE) == np.sign(p.people - CHANCE))
        ),
        ceiling=human_ceiling(people),
        longer_wins=_longer(decided),
        position=_position(read),
        consistency=_consistency(read),
        own=_own(decided),
        temperature=temperature,
        ece=expected_calibration_error(scaled, outcomes) if read else math.nan,
        ece_noise=calibration_noise(scaled, outcomes) if read else math.nan,
        sensitivity=right,
        specificity=right,
        probes=dict(probes),
        categories=_by_category(decided),
        reasons=tuple(_reasons(agreement, agreement_shorter, _own(decided), probes))
        if read or not table
        else (f"it gave a verdict on none of {len(table)} pairs",),
    )


def pairs_of(people: Sequence[Preference], judged: Sequence[Preference]) -> list[Pair]:
    """The pairs that people judged, by the majority of each record's people, beside what the judge said.

    Records of several people on the same answers are to be ``merged`` before.
    """
    found = []
    for theirs, its in zip(people, judged, strict=True):
        record, said = theirs.comparisons(), its.comparisons()
        results, evidence = pair_shares(said), _evidence(said)
        judge = said.metadata.get("judge", {})
        name = str(judge.get("name", ""))
        in_orders = compares_pairs(judge)
        for (i, j), verdict in pair_verdicts(record).items():
            answers, orders = record.responses, evidence.get((i, j))
            found.append(
                Pair(
                    record.prompt.id,
                    verdict,
                    results.get((i, j)),
                    (orders[0] - orders[1]) / 2 if orders else None,
                    orders if in_orders else None,
                    len(answers[i].text) - len(answers[j].text),
                    str(record.metadata.get("category") or record.prompt.metadata.get("category") or ""),
                    _is_own(answers[i], name) - _is_own(answers[j], name),
                )
            )
    return found


def _evidence(record: Comparisons) -> dict[tuple[int, int], tuple[float, float]]:
    found = {}
    for pair in record.metadata.get("judge", {}).get("pairs", ()):
        odds = pair.get("log_odds")
        if odds and None not in odds:
            found[pair["left"], pair["right"]] = (float(odds[0]), float(odds[1]))
    return found


def _is_own(answer: Response, judge: str) -> bool:
    """Whether the judge's model wrote an answer: its ``model`` stands in the judge's name."""
    model = str(answer.metadata.get("model", ""))
    return bool(model) and (judge == model or judge.endswith(("#" + model, ":" + model)))


def _for_first(pair: Pair) -> float:
    assert pair.judged is not None
    return CHANCE if pair.judged == CHANCE else float(pair.judged > CHANCE)


def _odds(share: float | None) -> float:
    assert share is not None
    if share in (0.0, 1.0):
        return FAR if share else -FAR
    return max(-FAR, min(FAR, math.log(share / (1 - share))))


def _agreement(pairs: Sequence[Pair]) -> Interval:
    return accuracy([_odds(p.judged) for p in pairs], [p.people for p in pairs], [p.group for p in pairs])


def compares_pairs(judge: Mapping[str, Any]) -> bool:
    """Whether a record's judge saw pairs, in both orders; a function has no form, any other scores answers alone."""
    return judge.get("form", "pairwise") == "pairwise"


def _share(pairs: Sequence[Pair], value: Any) -> Interval:
    """The share Σ value / n with the prompt as the unit of its interval."""
    parts: dict[str, list[float]] = defaultdict(list)
    for pair in pairs:
        parts[pair.group].append(value(pair))
    tops, sizes = [sum(v) for v in parts.values()], [len(v) for v in parts.values()]
    if not tops:
        return {"mean": math.nan, "low": math.nan, "high": math.nan, "n": 0, "prompts": 0}
    low, high = intervals.share(tops, sizes)
    mean = sum(tops) / sum(sizes)
    return {"mean": mean, "low": low, "high": high, "n": sum(sizes), "prompts": len(sizes)}


def _longer(pairs: Sequence[Pair]) -> dict[str, float]:
    """How often the longer answer won with people and with the judge, over the same pairs."""
    unequal = [p for p in pairs if p.longer]
    if not unequal:
        return {"people": math.nan, "judge": math.nan}
    people = np.mean([(p.longer > 0) == (p.people > CHANCE) for p in unequal])
    judge = np.mean([_for_first(p) if p.longer > 0 else 1 - _for_first(p) for p in unequal])
    return {"people": float(people), "judge": float(judge)}


def _position(pairs: Sequence[Pair]) -> Interval | None:
    """The mean log-odds (l₁ + l₂) / 2 of standing first."""
    values = [(p.orders[0] + p.orders[1]) / 2 for p in pairs if p.orders]
    if not values:
        return None
    low, high = intervals.mean(values)
    return {"mean": float(np.mean(values)), "low": low, "high": high}


def _consistency(pairs: Sequence[Pair]) -> Interval | None:
    """How often the same answer wins after a swap of the order."""
    ordered = [p for p in pairs if p.orders]
    return _share(ordered, lambda p: float(p.orders[0] * p.orders[1] < 0)) if ordered else None


def _own(pairs: Sequence[Pair]) -> dict[str, float] | None:
    """How often the judge's own answer won with people and with the judge, and the interval of the difference."""
    own = [p for p in pairs if p.own]
    if not own:
        return None
    people = np.array([float((p.people > CHANCE) == (p.own > 0)) for p in own])
    judge = np.array([_for_first(p) if p.own > 0 else 1 - _for_first(p) for p in own])
    low, high = intervals.mean(judge - people)
    return {
        "pairs": float(len(own)),
        "people": float(people.mean()),
        "judge": float(judge.mean()),
        "low": low,
        "high": high,
    }


def _by_category(pairs: Sequence[Pair]) -> dict[str, Interval]:
    names = sorted({p.category for p in pairs if p.category})
    return {name: _agreement([p for p in pairs if p.category == name]) for name in names}


def _reasons(
    agreement: Interval, shorter: Interval, own: Mapping[str, float] | None, probes: Mapping[str, float]
) -> list[str]:
    found = []
    for what, value in (("people", agreement), ("people where the shorter answer is preferred", shorter)):
        if math.isnan(value["mean"]):
            found.append(f"no decided pair shows whether it agrees with {what}")
        elif not value["low"] > CHANCE:
            found.append(
                f"it agrees with {what} in {value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]: "
                "the lower bound is not above .5"
            )
    if own is not None and own["low"] > MOST_OWN_EXCESS:
        found.append(
            f"it prefers its own answers: they win {own['judge']:.2f} with it and {own['people']:.2f} with people "
            f"({own['pairs']:.0f} pairs)"
        )
    for name, wins in probes.items():
        if not wins <= MOST_PROBE_WINS:
            found.append(f"{name} answer wins {wins:.0%} against answers that people preferred (at most 5 %)")
    return found
