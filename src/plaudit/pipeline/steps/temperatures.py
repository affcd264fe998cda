"""Every policy at the temperature that is best for it, and greedily: sharpening alone is not learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plaudit.evaluation.statistics import gap_closed, mean_interval, win_rate
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.evaluation_judge import AnswerJudge, Judged, PairJudge
from plaudit.pipeline.steps.sampling import answer
from plaudit.rewards import Sample

GREEDY = 0.0


class Answers:
    """Answers of policies to the same prompts by temperature, and what a judge says of them; each is drawn once."""

    def __init__(
        self,
        context: Context,
        settings: Any,
        prompts: Sequence[Any],
        policies: Mapping[str, Any],
        judge: AnswerJudge | PairJudge | None,
    ) -> None:
        self.context, self.settings, self.prompts = context, settings, prompts
        self.policies, self.judge = policies, judge
        self._drawn: dict[tuple[str, float], list[Sample]] = {}
        self._judged: dict[tuple[str, float], Judged] = {}

    def drawn(self, name: str, temperature: float) -> list[Sample]:
        """One answer to each prompt."""
        key = (name, temperature)
        if key not in self._drawn:
            policy = self.policies[name]
            self._drawn[key] = answer(
                self.context, policy, self.prompts, self.settings, temperature=temperature
            )
        return self._drawn[key]

    def judged(self, name: str, temperature: float) -> Judged:
        """Their scores, only where there is a judge; of one of pairs, wins over the start at the usual temperature."""
        assert self.judge is not None
        key = (name, temperature)
        if key not in self._judged:
            drawn = self.drawn(name, temperature)
            if isinstance(self.judge, PairJudge):
                usual = self.drawn(self.context.graph.places["start"], self.settings.temperature)
                self._judged[key] = Judged(self.judge.shares(drawn, usual))
            else:
                self._judged[key] = self.judge.judge(drawn)
        return self._judged[key]

    def mean(self, name: str, temperature: float) -> dict[str, float]:
        """The mean of their scores with its interval, of those that the judge decided."""
        scores = self.judged(name, temperature).scores
        return mean_interval(scores[~np.isnan(scores)])

    def win_rate(self, first: tuple[str, float], second: tuple[str, float]) -> dict[str, Any]:
        """How often the answers of one policy at a temperature win against another's."""
        if isinstance(self.judge, PairJudge):
            return self.judge.win_rate(self.drawn(*first), self.drawn(*second))
        return win_rate(self.judged(*first).scores, self.judged(*second).scores)


def by_temperature(shown: Answers, validation: Sequence[Any]) -> dict[str, Any]:
    """``best_temperature``: each policy at its own best, chosen on validation prompts; ``greedy``: all at 0.

    Without a judge, or without validation prompts, no temperature can be chosen: ``greedy`` stands alone.
    """
    settings, policies = shown.settings, shown.policies
    places = shown.context.graph.places
    perfect = shown.judge.perfect(shown.prompts) if shown.judge is not None else None
    options = sorted({*settings.temperatures, settings.temperature})
    found = {}
    if shown.judge is not None and len(validation):
        held = Answers(shown.context, settings, validation, policies, shown.judge)
        tried = {name: {t: held.mean(name, t)["mean"] for t in options} for name in policies}
        best = {name: max(options, key=lambda t: means[t]) for name, means in tried.items()}
        start = places["start"]
        found["best_temperature"] = {
            "temperature": placed(best, places),
            "validation": placed(
                {name: {str(t): m for t, m in means.items()} for name, means in tried.items()}, places
            ),
            "sharpening": shown.win_rate((start, best[start]), (start, settings.temperature)),
            **_compared(shown, best, perfect),
        }
    if GREEDY in options:
        found["greedy"] = _compared(shown, dict.fromkeys(policies, GREEDY), perfect)
    return found


def placed(values: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    """Values by step name, and by place."""
    return {**values, **{place: values[step] for place, step in places.items() if step in values}}


def lengths(samples: Sequence[Sample]) -> dict[str, float]:
    """Tokens of answers, and the share that ended by themselves."""
    sizes = np.asarray([len(s.ids) for s in samples])
    finished = np.mean([s.finish != "length" for s in samples])
    return {
        "mean": float(sizes.mean()),
        "p90": float(np.quantile(sizes, 0.9)),
        "finished": float(finished),
    }


def _compared(shown: Answers, at: Mapping[str, float], perfect: Judged | None) -> dict[str, Any]:
    """Scores, wins and lengths of the policies at these temperatures; gap and attributes where a truth is known."""
    places = shown.context.graph.places
    found: dict[str, Any] = {
        "length": placed({name: lengths(shown.drawn(name, t)) for name, t in at.items()}, places)
    }
    if shown.judge is None:
        return found
    judged = {name: shown.judged(name, t) for name, t in at.items()}
    start, end = ((places[place], at[places[place]]) for place in ("start", "end"))
    others = [name for name in judged if name not in (start[0], end[0])]
    found |= placed({name: shown.mean(name, t) for name, t in at.items()}, places)
    found["win_rate"] = shown.win_rate(end, start)
    found["win_rates"] = {name: shown.win_rate(end, (name, at[name])) for name in others}
    if perfect is not None:
        before, after = judged[start[0]].scores, judged[end[0]].scores
        found["perfect_win_rate"] = win_rate(perfect.scores, before)
        found["gap_closed"] = gap_closed(before, after, perfect.scores)
    attributes = placed({name: one.attributes for name, one in judged.items() if one.attributes}, places)
    if attributes:
        found["attributes"] = attributes
        had, has = attributes["start"], attributes["end"]
        found["gains"] = {name: has[name] - had[name] for name in has if name in had}
    return found
