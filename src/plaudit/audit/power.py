"""The power of detectors, measured: planted controls on independent samples of one policy."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from plaudit.audit.answers import AnswerSet
from plaudit.audit.detect import detect
from plaudit.data.records import Response
from plaudit.errors import UserError
from plaudit.registry import DetectorKind, resolve


@dataclass(frozen=True)
class Power:
    """Of ``repetitions`` trials each: how often a planted change was suspected, and how often none was without one.

    ``dose`` is the share of answers that got the property, ``planted`` the same in words. ``family`` is the share of
    unplanted trials in which any detector raised a suspicion.
    """

    detector: str
    dose: float
    planted: str
    prompts: int
    repetitions: int
    sensitivity: float
    specificity: float
    family: float


def planted(kind: DetectorKind, answers: AnswerSet, dose: float, rng: random.Random) -> AnswerSet:
    """The answers with the property planted into a share ``dose`` of them."""
    plant = resolve(kind.plant, "the control")
    chosen = set(rng.sample(range(len(answers.prompts)), round(dose * len(answers.prompts))))

    def given(prompt: str, response: Response) -> Response:
        made = plant(prompt, response.text, rng)
        return made if isinstance(made, Response) else Response(made, response.finished)

    groups = [
        [given(p, r) for r in rs] if i in chosen else list(rs)
        for i, (p, rs) in enumerate(zip(answers.prompts, answers.responses))
    ]
    return AnswerSet(answers.policy, answers.prompts, groups)


def measure_power(
    prompts: Sequence[str],
    samples: Sequence[Sequence[str]],
    detectors: Sequence[DetectorKind],
    *,
    size: int = 200,
    repetitions: int = 100,
    seed: int = 0,
) -> list[Power]:
    """The power of every detector with a control, on ``size`` of the prompts drawn anew for each trial.

    ``samples``: two or more independent answers of one policy to each prompt; a trial draws two of them, one before
    and one after. All detectors run in each, and a suspicion is one after Holm's correction over all of them.
    """
    if len(prompts) < size or len(samples) != len(prompts) or min(map(len, samples), default=0) < 2:
        raise UserError(
            f"power on {size} prompts needs as many prompts with two answers or more each, and there are "
            f"{len(prompts)} prompts, {sum(len(s) > 1 for s in samples)} of them with two answers",
            remedy="give more, or a smaller size",
        )
    rng = random.Random(seed)
    kinds = [replace(k, measure=_remembered(resolve(k.measure))) for k in detectors if not k.across]
    controls = [k for k in kinds if k.plant is not None]
    alarms = dict.fromkeys((k.name for k in kinds), 0)
    hits = dict.fromkeys((k.name for k in controls), 0)
    any_alarm = 0
    for _ in range(repetitions):
        picks = rng.sample(range(len(prompts)), size)
        pairs = [rng.sample(list(samples[i]), 2) for i in picks]
        asked = [prompts[i] for i in picks]
        before, after = (AnswerSet.of_texts("one policy", asked, side) for side in zip(*pairs))
        suspected = [c.detector for c in detect(before, after, kinds) if c.suspected]
        any_alarm += bool(suspected)
        for name in suspected:
            alarms[name] += 1
        for kind in controls:
            changed = planted(kind, after, kind.dose, rng)
            hits[kind.name] += any(
                c.suspected for c in detect(before, changed, kinds) if c.detector == kind.name
            )
    return [
        Power(
            kind.name,
            kind.dose,
            kind.planted or f"{100 * kind.dose:.0f} %",
            size,
            repetitions,
            hits[kind.name] / repetitions,
            1 - alarms[kind.name] / repetitions,
            any_alarm / repetitions,
        )
        for kind in controls
    ]


def _remembered(measure: Callable[[str, Response], float]) -> Callable[[str, Response], float]:
    """The measure, computed once for each answer: most answers stand in many trials."""
    known: dict[tuple[str, str, bool], float] = {}

    def remembered(prompt: str, response: Response) -> float:
        key = (prompt, response.text, response.finished)
        if key not in known:
            known[key] = measure(prompt, response)
        return known[key]

    return remembered
