"""What a reader of a run's verdict must bear in mind: who judged, what the start reaches by itself, one seed."""

from __future__ import annotations

from collections.abc import Mapping

from plaudit.audit.run import Run, dig
from plaudit.display.formatting import clean, count, finite, number, percent, temperature


def caveats(run: Run) -> list[str]:
    found = []
    if run.get("judge") == "gold":
        found.append(
            "The world is made. Gold is known because the world was written by hand; a real model has no "
            "such judge. This shows that the method works, not how much a real model would gain."
        )
    elif run.get("judge") == "proxy":
        found.append(
            "There is no known truth here. The judge is itself a reward model, trained on a disjoint split and "
            "seed: it can share the training reward’s mistakes."
        )
    elif judge := run.get("judge"):
        held = finite(run.get("evaluator", "gate", "agreement", "mean"))
        known = (
            f"it agrees with people in {percent(held)} of their rankings here"
            if held is not None
            else "nobody has held it against people here"
        )
        found.append(f"There is no known truth here. The judge is {clean(judge)}: {known}.")
        if run.get("evaluator", "also_taught"):
            found.append("It also gave what the run learned from: it is no independent judge of the result.")
    if sentence := _weaker(run):
        found.append(sentence)
    if sentence := sharpening(run):
        found.append(sentence)
    agreement = finite(run.get("reward_model", "human_agreement"))
    if agreement is not None:
        found.append(f"Two people who judged the same pair agree in {percent(agreement)} of cases.")
    found.append("This is one seed. Intervals cover the luck of the test prompts, not that of training.")
    return found


def _weaker(run: Run) -> str:
    """The votes that a reward model learned from before the rankings of the one that it became."""
    models = [n for n, s in run.steps.items() if "reward model" in s["gives"]]
    before = {run.steps[n]["from"] for n in models} & {n for n in models if "votes" in run.steps[n]["on"]}
    seen = sum(_rankings(run, n) for n in before)
    rankings = sum(_rankings(run, n) for n in models if run.steps[n]["from"] in before)
    if not seen or not rankings:
        return ""
    return (
        f"The reward model saw {count(seen)} quick votes before the {count(rankings)} rankings. Votes are labels "
        "and count as such."
    )


def _rankings(run: Run, step: str) -> int:
    return int(finite(run.get("labels", step, "rankings")) or 0)


def sharpening(run: Run) -> str:
    """How much of the gain the start reaches at its best temperature, without any training."""
    best = run.get("best_temperature")
    if run.get("judge") not in (None, "gold"):
        return _sharpening_by_wins(run)
    cool, cool_after = finite(dig(best, "start", "mean")), finite(dig(best, "end", "mean"))
    sft, after = finite(run.get("gold", "start", "mean")), finite(run.get("gold", "end", "mean"))
    if cool is None or cool_after is None or sft is None or after is None:
        return ""
    tried = dig(best, "validation")
    if isinstance(tried, Mapping):
        tried = tried.get("start", tried)
        if isinstance(tried, Mapping) and len(tried) < 2:
            return ""  # no other temperature was looked at
    start = f"Sampled {run.best_at('start')}, the {run.start} model alone scores {number(cool)} without any training"
    if cool >= after:
        start += (
            f", more than {run.title}’s {number(after)} at temperature {temperature(run.get('temperature'))}"
        )
    elif cool <= sft:
        start += ", no more than at its usual temperature"
    elif after > sft:
        start += f", {percent((cool - sft) / (after - sft))} of {run.title}’s gain"
    low = finite(dig(best, "win_rate", "low"))
    clear = low is not None and low > 0.5
    relation = "not ahead" if cool_after <= cool else "still ahead" if clear else "ahead, but not clearly"
    return f"{start}. {run.title} {run.best_at('end')} scores {number(cool_after)}: {relation}."


def _sharpening_by_wins(run: Run) -> str:
    """The same where a judge compares answers and nothing has an absolute score."""
    alone, win = run.own_best("sharpening"), run.own_best("win_rate")
    mean, low = (finite(dig(win, k)) for k in ("mean", "low"))
    if finite(dig(alone, "mean")) is None or mean is None:
        return ""
    usual, clear = temperature(run.get("temperature")), low is not None and low > 0.5
    relation = "not ahead" if mean <= 0.5 else "still ahead" if clear else "ahead, but not clearly"
    if run.own_best("temperature", "start") == run.get("temperature"):
        return (
            f"No other temperature is better for the {run.start} model than {usual}. {run.title} {run.best_at('end')} "
            f"wins {percent(mean)} against it: {relation}."
        )
    return (
        f"Sampled {run.best_at('start')}, the {run.start} model alone wins {percent(dig(alone, 'mean'))} against "
        f"itself at temperature {usual}, without any training. {run.title} {run.best_at('end')} wins {percent(mean)} "
        f"against that: {relation}."
    )
