"""Warning signs in a run's recorded numbers: the table of rules, and their application to a run.

Rules are pure functions, each with evidence and what to do next. Thresholds are practitioners' heuristics, not laws;
``docs/report.md`` lists them. A rule that lacks its numbers is silent. Its advice names only settings that the step at
hand has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from plaudit.audit.findings import Finding, Watched
from plaudit.audit.health_direct import groups_teach_nothing, likelihood_displacement, scores_clipped
from plaudit.audit.health_rl import (
    clip_fraction_too_hot,
    critic_explains_nothing,
    entropy_collapse,
    first_minibatch_moved,
    gold_falls_while_proxy_rises,
    kl_negative,
    kl_too_high,
    length_runaway,
    not_finite,
    sampler_disagrees,
    score_never_rises,
    stopped_early,
)
from plaudit.audit.health_run import reward_model_no_better_than_longer, sharpening_only
from plaudit.audit.run import dig

# Rules that look at one step, at one reward model, and at the whole run through its last step.
STEP_RULES: tuple[Callable[[Watched], Finding | None], ...] = (
    not_finite,
    sampler_disagrees,
    first_minibatch_moved,
    gold_falls_while_proxy_rises,
    kl_too_high,
    kl_negative,
    length_runaway,
    entropy_collapse,
    stopped_early,
    score_never_rises,
    clip_fraction_too_hot,
    critic_explains_nothing,
    groups_teach_nothing,
    scores_clipped,
    likelihood_displacement,
)
MODEL_RULES: tuple[Callable[[Watched], Finding | None], ...] = (reward_model_no_better_than_longer,)
RUN_RULES: tuple[Callable[[Watched], Finding | None], ...] = (sharpening_only,)
RULES = (*STEP_RULES, *MODEL_RULES, *RUN_RULES)

_ORDER: dict[str, int] = {"serious": 0, "warning": 1, "note": 2}


def examine(steps: Sequence[Watched]) -> list[Finding]:
    """All findings over the steps of a run, most severe first; rules about the run read the last step."""
    looks = [(seen.step, seen, STEP_RULES) for seen in steps]
    if steps:
        last = steps[-1]
        looks += [(name, one, MODEL_RULES) for name, one in _models(last)]
        looks.append((last.step, last, RUN_RULES))
    found = [replace(f, step=step) for step, seen, rules in looks for rule in rules if (f := rule(seen))]
    return sorted(found, key=lambda f: _ORDER[f.severity])


def _models(last: Watched) -> list[tuple[str, Watched]]:
    """Each reward model that was judged, by its step."""
    models = dig(last.summary, "reward_models")
    found = models.items() if isinstance(models, Mapping) else ()
    return [(str(n), replace(last, summary={**last.summary, "reward_model": model})) for n, model in found]
