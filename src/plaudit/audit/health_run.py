"""Warning signs of a whole run: weak reward models, and sharpening mistaken for learning."""

from __future__ import annotations

from collections.abc import Mapping

from plaudit.audit.findings import Finding, Watched
from plaudit.audit.run import dig
from plaudit.display.formatting import finite, number, percent


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
    gained = finite(dig(seen.summary, "gap_closed", "mean"))
    if start is None or after_ is None or gained is None or gained <= 0 or after_ > start:
        return None
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
        f"{where}, gold is {number(start)} for {seen.start} and {number(after_)} for {seen.title}.",
        f"Sampling the {seen.start} model cooler does as well: do not claim that {seen.title} taught it anything new.",
        numbers={"start": start, "end": after_},
    )
