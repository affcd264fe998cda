"""Detectors over two policies' answers to the same prompts: what changed, and which change is a suspected hack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from plaudit import intervals
from plaudit.audit.answers import AnswerSet
from plaudit.audit.naming import PropertyChange, named
from plaudit.errors import UserError
from plaudit.evaluation.paired_change import holm, paired_change, smallest_change
from plaudit.evaluation.statistics import mean_interval
from plaudit.registry import DETECTORS, DetectorKind, resolve

ALPHA = 0.05  # the chance of any false alarm, over all detectors
SHOWN = 3
Detector = DetectorKind | str | Callable[..., float]


def detectors_of(own: Sequence[Detector] = ()) -> list[DetectorKind]:
    """All registered detectors, and one's own: descriptions, functions, or ``module:function``."""
    found = {kind.name: kind for kind in DETECTORS.values()}
    for one in own:
        kind = one if isinstance(one, DetectorKind) else _described(one)
        if kind.name in found:
            raise UserError(f"two detectors are called {kind.name!r}", remedy="rename the function")
        found[kind.name] = kind
    return list(found.values())


def _described(function: str | Callable[..., float]) -> DetectorKind:
    measure = resolve(function, "the detector")
    if not callable(measure):
        raise UserError(f"the detector {function!r} is no function (prompt, response) -> number")
    name = getattr(measure, "__name__", str(function))
    return DetectorKind(name, name.replace("_", " "), measure, unit="number", least=0.0, suspect="either")


def measured(kind: DetectorKind, answers: AnswerSet) -> np.ndarray:
    """[P, G] numbers of every answer; [P, 1] of a detector across samples."""
    measure = resolve(kind.measure, "the detector")
    if kind.across:
        rows = [[_number(kind, measure, p, r)] for p, r in zip(answers.prompts, answers.responses)]
    else:
        rows = [
            [_number(kind, measure, p, r) for r in rs] for p, rs in zip(answers.prompts, answers.responses)
        ]
    return np.asarray(rows, dtype=float)


def _number(kind: DetectorKind, measure: Any, prompt: str, given: Any) -> float:
    try:
        value = float(measure(prompt, given))
    except Exception as error:
        raise UserError(
            f"the detector {kind.name!r} failed: {error!r}", remedy=f"the prompt was {prompt[:80]!r}"
        ) from error
    if not np.isfinite(value):
        raise UserError(f"the detector {kind.name!r} gave {value}", remedy=f"the prompt was {prompt[:80]!r}")
    if kind.unit == "share" and not 0 <= value <= 1:
        raise UserError(
            f"the detector {kind.name!r} gave {value:g}, and its unit is a share: from 0 to 1",
            remedy='describe it with unit="number"',
        )
    return value


def detect(before: AnswerSet, after: AnswerSet, detectors: Sequence[DetectorKind]) -> list[PropertyChange]:
    """Every detector's change, the named hacks first (``naming.named``), then by adjusted p-value.

    A detector across samples needs two answers a prompt on both sides and is left out without them.
    """
    if list(before.prompts) != list(after.prompts):
        raise UserError("before and after must answer the same prompts in the same order")
    kinds = [k for k in detectors if not k.across or min(before.samples, after.samples) > 1]
    values = [_paired(kind, before, after) for kind in kinds]
    tests = [paired_change(a, b) for a, b in values]
    adjusted = holm([t["p"] for t in tests])
    found, measures = [], {}
    for kind, (a, b), test, p in zip(kinds, values, tests, adjusted):
        difference = b.mean(1) - a.mean(1)
        unit = 1 / a.shape[1] if kind.unit == "share" else None
        change = PropertyChange(
            kind.name,
            kind.title,
            kind.unit,
            len(before.prompts),
            _level(kind, a),
            _level(kind, b),
            {k: test[k] for k in ("mean", "low", "high")},
            test["p"],
            p,
            smallest_change(difference, tests=len(kinds), unit=unit),
            _suspected(kind, test["mean"], p),
            samples=_shown(before, after, np.sign(test["mean"]) * difference),
        )
        found.append(change)
        if not kind.across:
            measures[kind.name] = (a, b)
    found.sort(key=lambda c: (c.adjusted, c.p))
    return named(found, measures, before, after)


def _paired(kind: DetectorKind, before: AnswerSet, after: AnswerSet) -> tuple[np.ndarray, np.ndarray]:
    """Both sides' numbers; one across samples sees as many of the one as of the other."""
    if kind.across and before.samples != after.samples:
        least = min(before.samples, after.samples)
        before, after = _first(before, least), _first(after, least)
    return measured(kind, before), measured(kind, after)


def _first(answers: AnswerSet, count: int) -> AnswerSet:
    return AnswerSet(answers.policy, answers.prompts, [r[:count] for r in answers.responses])


def _level(kind: DetectorKind, values: np.ndarray) -> dict[str, float]:
    """The level of a property: a share's interval is Wilson's, any other a mean's."""
    if kind.unit != "share":
        return mean_interval(values)
    low, high = intervals.share(values.mean(1))
    return {"mean": float(values.mean()), "low": low, "high": high}


def _suspected(kind: DetectorKind, change: float, adjusted: float) -> bool:
    least = np.log1p(kind.least) if kind.unit == "ratio" else kind.least
    wrong_way = (kind.suspect == "more" and change < 0) or (kind.suspect == "less" and change > 0)
    return bool(adjusted <= ALPHA and abs(change) >= least and not wrong_way)


def _shown(before: AnswerSet, after: AnswerSet, difference: np.ndarray) -> list[dict[str, Any]]:
    """The prompts where the property changed most, in the direction of the whole change."""
    picks = [int(i) for i in np.argsort(-difference, kind="stable")[:SHOWN] if difference[i] > 0]
    return [
        {
            "prompt": before.prompts[i],
            "before": before.responses[i][0].text,
            "after": after.responses[i][0].text,
            "change": float(difference[i]),
        }
        for i in picks
    ]
