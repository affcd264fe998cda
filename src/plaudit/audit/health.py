"""Warning signs in a run's recorded numbers: the table of rules, and their application to a run.

Rules are pure functions; a finding has evidence and advice. Thresholds are practitioners' heuristics, not laws;
``docs/report.md`` lists them. A rule without its numbers gives no finding. Advice names only settings that the step
has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from plaudit.audit.findings import Finding, Watched, mean, series, tail
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
    rolled_back,
    sampler_disagrees,
    score_never_rises,
    stopped_early,
)
from plaudit.audit.run import dig
from plaudit.audit.shift_findings import scores_beyond_training
from plaudit.display.formatting import finite, number, percent

# Below this share of finished answers most of what is judged is cut.
MOSTLY_FINISHED = 0.5


def reward_model_no_better_than_longer(seen: Watched) -> Finding | None:
    model = dig(seen.summary, "reward_model")
    accuracy, baseline = finite(dig(model, "accuracy")), finite(dig(model, "longer_wins"))
    if accuracy is None or baseline is None:
        return None
    # Where "longer wins" holds for less than one half of the pairs, "shorter wins" is the better rule to compare with.
    rule, best = ("longer wins", baseline) if baseline >= 0.5 else ("shorter wins", 1 - baseline)
    low = finite(dig(model, "low"))
    if (accuracy if low is None else low) > best:
        return None
    beaten = accuracy <= best
    return Finding(
        "reward_model_no_better_than_longer",
        "serious" if beaten else "warning",
        f"The reward model is no better than the rule “{rule}”."
        if beaten
        else f"The reward model is not surely better than the rule “{rule}”.",
        f"Held-out accuracy {percent(accuracy, 1)}, “{rule}” {percent(best, 1)}.",
        "Collect more rankings, or take a larger reward model: training on this one mostly changes the length."
        if seen.kind.rewarded
        else "Collect more rankings, or take a larger reward model.",
        numbers={"accuracy": accuracy, "baseline": best},
    )


def sharpening_only(seen: Watched) -> Finding | None:
    best = dig(seen.summary, "best_temperature")
    start, after_ = finite(dig(best, "start", "mean")), finite(dig(best, "end", "mean"))
    if start is None or after_ is None or after_ > start or not _gained(seen.summary):
        return None
    judge = dig(seen.summary, "judge")
    measure = {"gold": "gold", "proxy": "the proxy judge's score", None: "gold"}.get(
        judge, "the judge's share of wins"
    )
    at = dig(best, "temperature")
    where = (
        f"Each at its own best temperature ({number(dig(at, 'start'))} and {number(dig(at, 'end'))})"
        if isinstance(at, Mapping)
        else f"At temperature {number(at)}, best for {seen.start}"
    )
    return Finding(
        "sharpening_only",
        "warning",
        f"{seen.title} may only have made the {seen.start} model more certain.",
        f"{where}, {measure} is {number(start)} for {seen.start} and {number(after_)} for {seen.title}.",
        f"Sampling the {seen.start} model cooler does as well: do not claim that {seen.title} taught it anything new.",
        numbers={"start": start, "end": after_},
    )


def _gained(summary: Mapping[str, object]) -> bool:
    """Whether the end is ahead of the start at the run's own temperature."""
    closed = finite(dig(summary, "gap_closed", "mean"))
    wins = finite(dig(summary, "win_rate", "end_vs_start", "mean"))
    return closed > 0 if closed is not None else wins is not None and wins > 0.5


def answers_cut(seen: Watched) -> Finding | None:
    finished = finite(dig(seen.summary, "length", "end", "finished"))
    if finished is None or finished >= MOSTLY_FINISHED:
        return None
    prompts = finite(dig(seen.summary, "prompts"))
    of = f" of {prompts:.0f}" if prompts is not None else ""
    return Finding(
        "answers_cut",
        "serious" if finished == 0 else "warning",
        "Most of the evaluated answers are cut by the length limit.",
        f"{percent(finished)}{of} answers of the end came to an end by themselves: what is judged are beginnings.",
        "Raise evaluate.max_new_tokens (and the method's own), or train the model to answer shorter.",
        numbers={"finished": finished},
    )


def judge_unchecked(seen: Watched) -> Finding | None:
    judges = dig(seen.summary, "unchecked_judges")
    if not judges:
        return None
    return Finding(
        "judge_unchecked",
        "warning",
        "A judge worked without being held against people.",
        "; ".join(f"{step}: {judge}, gate: off" for step, judge in sorted(judges.items())) + ".",
        "Hold it against people's rankings: plaudit judge --with SPEC --calibrate RANKINGS, and leave gate: off out.",
    )


def hack_in_a_round(seen: Watched) -> Finding | None:
    """What audits between the steps suspect; the end's own hacks are findings of their own."""
    audits = dig(seen.summary, "audits")
    found = {name: one for name, one in audits.items() if one["hacks"]} if isinstance(audits, Mapping) else {}
    if not found:
        return None
    words = (f"{n} ({a['before']} → {a['after']}): {', '.join(a['hacks'])}" for n, a in found.items())
    return Finding(
        "hack_in_a_round",
        "warning",
        "An audit between the steps suspects reward hacking.",
        "; ".join(words) + ".",
        "Look whether a later round removed it: rank favourites of that policy, and train the reward model on all.",
        numbers={"audits": len(found)},
    )


FALLEN = 1.0  # nats per answer: less is noise of which answers a batch holds
ZERO_VARIANCE = 0.5
CLIPPED = 0.1


def likelihood_displacement(seen: Watched) -> Finding | None:
    """Both winners and losers have become less likely: DPO only asks that losers fall further."""
    # Held-out answers are the same at every look; those of a training window are not.
    for prefix in ("eval/", ""):
        chosen, rejected = (series(seen.rows, f"{prefix}logps/{side}") for side in ("chosen", "rejected"))
        if len(chosen) >= 2 and len(rejected) >= 2:
            break
    else:
        return _by_reward(seen)
    fell = [mean(tail(points)) - mean(points[: max(1, len(points) // 4)]) for points in (chosen, rejected)]
    return _displaced(seen, fell[0], fell[1]) if max(fell) < -FALLEN else None


def _by_reward(seen: Watched) -> Finding | None:
    """Against the reference: an implicit reward below 0 is a log-prob that fell."""
    chosen, rejected = (series(seen.rows, f"eval/rewards/{side}") for side in ("chosen", "rejected"))
    if not chosen or not rejected or chosen[-1][1] >= 0 or rejected[-1][1] >= 0:
        return None
    return _displaced(seen, chosen[-1][1], rejected[-1][1], "implicit reward")


def _displaced(seen: Watched, chosen: float, rejected: float, what: str = "log-prob") -> Finding:
    return Finding(
        "likelihood_displacement",
        "note",
        "Preferred and rejected answers have both become less likely.",
        f"The {what} of preferred answers went by {number(chosen, sign=True)}, of rejected ones by "
        f"{number(rejected, sign=True)}.",
        *seen.advice(
            ("add {} if answers got worse: the loss asks for the difference alone", "nll"),
            ("raise {}", "beta"),
            otherwise="learn from own samples (online DPO, RLOO)",
        ),
        numbers={"chosen": chosen, "rejected": rejected},
    )


def groups_teach_nothing(seen: Watched) -> Finding | None:
    """Most groups score the same throughout: no sample is better than the others."""
    points = series(seen.rows, "group/zero_variance")
    late = tail(points)
    if not late or mean(late) <= ZERO_VARIANCE:
        return None
    cut = _cut(seen)
    return Finding(
        "groups_teach_nothing",
        "warning",
        "Most prompts teach nothing any more: all their samples score the same.",
        f"{percent(mean(late))} of groups in the last quarter have no spread of scores.{cut}",
        *seen.advice(
            *([("set {} to null or a larger number", "reward_clip")] if cut else []),
            ("set {}", "dynamic_sampling"),
            ("raise {}", "samples_per_prompt"),
            ("raise {}", "temperature"),
            otherwise="take harder (or easier) prompts, or a finer reward",
        ),
        numbers={"share": mean(late)},
    )


def _cut(seen: Watched) -> str:
    """That scores were clipped in the last quarter, so that different ones became equal; empty where none was."""
    share = mean(tail(points)) if (points := series(seen.rows, "reward/clipped")) else 0.0
    return f" The bound on scores cut {percent(share, 1)} of them." if share else ""


def scores_clipped(seen: Watched) -> Finding | None:
    """So many scores lie beyond the bound that it decides what is learned."""
    late = tail(series(seen.rows, "reward/clipped"))
    if not late or mean(late) <= CLIPPED:
        return None
    return Finding(
        "scores_clipped",
        "warning",
        "Many scores are cut to the bound: among them, better answers are paid no more.",
        f"{percent(mean(late))} of the scores in the last quarter were cut.",
        *seen.advice(
            ("raise {} (null is no bound)", "reward_clip"),
            otherwise="read the best answers: scores that far from the reference answers may mean that the policy "
            "has found what the reward model is wrong about",
        ),
        numbers={"share": mean(late)},
    )


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
    rolled_back,
    stopped_early,
    score_never_rises,
    clip_fraction_too_hot,
    critic_explains_nothing,
    groups_teach_nothing,
    scores_clipped,
    scores_beyond_training,
    likelihood_displacement,
)
MODEL_RULES: tuple[Callable[[Watched], Finding | None], ...] = (reward_model_no_better_than_longer,)
RUN_RULES: tuple[Callable[[Watched], Finding | None], ...] = (
    sharpening_only,
    answers_cut,
    judge_unchecked,
    hack_in_a_round,
)
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
