"""Every policy at the temperature that is best for it: sharpening alone is not learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plaudit.evaluation.statistics import gap_closed, mean_interval, win_rate
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.sampling import answer

GREEDY = 0.0


class Scored:
    """Gold of policies on prompts by temperature; nothing is sampled twice."""

    def __init__(
        self, context: Context, settings: Any, prompts: Sequence[Any], policies: Mapping[str, Any]
    ) -> None:
        self.context, self.settings, self.prompts, self.policies = context, settings, prompts, policies
        self._judged: dict[tuple[str, float], list[Any]] = {}

    def validation(self, name: str, temperature: float) -> float:
        """Mean gold on the validation prompts."""
        judged = self._judge(name, self.context.materials.prompts("validation"), temperature)
        return float(np.mean([j.score for j in judged]))

    def judged(self, name: str, temperature: float) -> list[Any]:
        """Gold's judgements on the test prompts."""
        if (name, temperature) not in self._judged:
            self._judged[name, temperature] = self._judge(name, self.prompts, temperature)
        return self._judged[name, temperature]

    def _judge(self, name: str, prompts: Sequence[Any], temperature: float) -> list[Any]:
        samples = answer(
            self.context,
            self.policies[name],
            prompts,
            temperature=temperature,
            max_new_tokens=self.settings.max_new_tokens,
        )
        return [self.context.gold.judge(s.prompt, s.response) for s in samples]


def by_temperature(
    context: Context, settings: Any, prompts: Sequence[Any], policies: Mapping[str, Any], perfect: np.ndarray
) -> dict[str, Any]:
    """``best_temperature``: each policy at its own best, chosen on validation prompts; ``greedy``: all at 0."""
    places = context.graph.places
    scored = Scored(context, settings, prompts, policies)
    options = sorted({*settings.temperatures, settings.temperature})
    tried = {name: {t: scored.validation(name, t) for t in options} for name in policies}
    best = {name: max(options, key=lambda t: means[t]) for name, means in tried.items()}
    found = {
        "best_temperature": {
            "temperature": placed(best, places),
            "validation": placed(
                {name: {str(t): m for t, m in means.items()} for name, means in tried.items()}, places
            ),
            **_compared(scored, places, best, perfect),
        }
    }
    if GREEDY in options:
        found["greedy"] = _compared(scored, places, dict.fromkeys(policies, GREEDY), perfect)
    return found


def placed(values: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    """Values by step name, and by place."""
    return {**values, **{place: values[step] for place, step in places.items() if step in values}}


def _compared(
    scored: Scored, places: Mapping[str, str], at: Mapping[str, float], perfect: np.ndarray
) -> dict[str, Any]:
    """Gold, wins, gap and attributes of the policies at these temperatures."""
    judged = {name: scored.judged(name, t) for name, t in at.items()}
    gold = {name: np.asarray([j.score for j in rows]) for name, rows in judged.items()}
    summarise = scored.context.gold.summarise
    attributes = placed({name: summarise(scored.prompts, rows) for name, rows in judged.items()}, places)
    before, after = attributes["start"], attributes["end"]
    start, end = gold[places["start"]], gold[places["end"]]
    others = [name for name in gold if name not in (places["start"], places["end"])]
    return {
        **placed({name: mean_interval(values) for name, values in gold.items()}, places),
        "win_rate": win_rate(end, start),
        "perfect_win_rate": win_rate(perfect, start),
        "win_rates": {name: win_rate(end, gold[name]) for name in others},
        "gap_closed": gap_closed(start, end, perfect),
        "attributes": attributes,
        "gains": {name: after[name] - before[name] for name in after if name in before},
    }
