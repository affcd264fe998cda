"""The verdict in plain words: headline, what got better, what did not, caveats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from plaudit.audit.caveats import caveats
from plaudit.audit.run import Run, dig
from plaudit.display.attributes import vocabulary
from plaudit.display.formatting import clean, count, finite, nats, number, percent, span, temperature

NOTICEABLE = 0.05  # a change of an attribute below five points is not worth a line
MOST_CHANGES = 7
MOST_NAMED = 3
ONLY_TRAINING = "Only what training recorded is shown."


@dataclass(frozen=True)
class Change:
    """An attribute, before and after."""

    label: str
    before: str
    after: str


@dataclass
class Verdict:
    """Sentences, ready to print."""

    headline: str
    lead: list[str] = field(default_factory=list)
    better: list[Change] = field(default_factory=list)
    worse: list[Change] = field(default_factory=list)
    level: list[Change] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)


def verdict(run: Run) -> Verdict:
    """Judge a run by its summary alone."""
    if _without_evaluation(run):
        return Verdict("This run was not evaluated: its recipe has no evaluation.", [ONLY_TRAINING])
    if not run.summary:
        return Verdict(
            "This run has not been evaluated yet.", [f"Its summary.json is missing. {ONLY_TRAINING}"]
        )
    if run.audit.get("null"):
        return Verdict(_headline(run), caveats=caveats(run))
    result = Verdict(_headline(run), _lead(run))
    _changes(run, result)
    result.remarks = _remarks(run)
    result.caveats = caveats(run)
    return result


def _without_evaluation(run: Run) -> bool:
    config = run.record.get("config")
    return isinstance(config, Mapping) and "evaluate" in config and config["evaluate"] is None


def _headline(run: Run) -> str:
    if _same(run):
        right = finite(run.get("reward_model", "accuracy"))
        if right is not None:
            pairs = finite(run.get("reward_model", "decided"))
            of = f"{percent(right)} of {count(pairs)}" if pairs is not None else f"{percent(right)} of"
            return f"This run trained a reward model and no policy: it is right on {of} held-out pairs."
        return "This run trained no policy beyond its start, so there is no after to judge."
    if null := run.audit.get("null"):
        return (
            f"{percent(null['share'])} of {run.title}’s answers {null['words']}: whatever their scores, "
            "this is no improvement."
        )
    gap = run.own_best("gap_closed") or run.get("gap_closed")
    closed, low, high = (finite(dig(gap, k)) for k in ("mean", "low", "high"))
    who = _together(run)
    if closed is not None:
        if low is None or high is None:
            return (
                f"The {run.start} model is so near to perfect answers that what {who} closed cannot be told."
            )
        if low <= 0 <= high:
            return f"{who} made no clear difference: the interval holds zero."
        if closed < 0:
            return f"{who} made the answers worse."
        if closed >= 1:
            return f"{run.title}’s answers score as well as perfect ones."
        return (
            f"{who} closed {percent(closed)} of the gap between the {run.start} model and a perfect answer."
        )
    best = run.own_best("win_rate")
    win = best or run.get("win_rate", "end_vs_start")
    mean, low, high = (finite(dig(win, k)) for k in ("mean", "low", "high"))
    if mean is None:
        return f"Nothing has judged {run.title}’s answers in this run."
    judge = (
        "A proxy judge"
        if run.get("judge") == "proxy"
        else f"The judge {clean(run.get('judge') or '')}".rstrip()
    )
    at = ", each at its own best temperature" if best else ""
    if low is not None and high is not None and low <= 0.5 <= high:
        return f"{judge} sees no clear difference between {run.title} and the {run.start} model{at}."
    if mean < 0.5:
        return f"{judge} prefers the {run.start} model’s answers to {run.title}’s{at}."
    return f"{judge} prefers {run.title}’s answers in {percent(mean)} of {_prompts(run)}comparisons{at}."


def _prompts(run: Run) -> str:
    """The number of evaluated prompts before a word, empty where it is not known."""
    found = finite(run.get("prompts"))
    return f"{count(found)} " if found is not None else ""


def _together(run: Run) -> str:
    """Who made the difference between start and end: one method, or several steps one after another."""
    titles = [run.step_title(n) for n in run.way]
    if len(titles) < 2:
        return run.title
    if len(titles) > MOST_NAMED:
        return f"{len(titles)} steps, from {titles[0]} to {titles[-1]}, together"
    return f"{', '.join(titles[:-1])} and {titles[-1]} together"


def _same(run: Run) -> bool:
    """Whether the run ends with the policy that it began with: there is no before and after."""
    return run.places.get("start") == run.places.get("end")


def _lead(run: Run) -> list[str]:
    if _same(run):
        return []
    lead = [*_gold_said(run), *_wins_said(run)]
    exact = finite(run.kl_from_start.get("exact"))
    if exact is not None:
        sentence = f"For that it moved {nats(exact)} nats per response away from the {run.start} model"
        own, origin = finite(run.get("kl", "exact")), run.get("kl", "from")
        if len(run.way) > 1 and own is not None and isinstance(origin, str):
            sentence += f"; {nats(own)} is how far its last step is from {run.step_title(origin)}"
        lead.append(f"{sentence}.")
    return lead


def _gold_said(run: Run) -> list[str]:
    """Gold before and after, each policy at its own best temperature where that was looked for."""
    cool = run.own_best() is not None
    gold = run.own_best if cool else lambda *path: run.get("gold", *path)
    sft, after = (finite(gold(place, "mean")) for place in ("start", "end"))
    perfect = finite(run.get("gold", "perfect", "mean"))
    if sft is None or after is None or perfect is None:
        return []
    at = " with each policy at its own best temperature," if cool else ""
    before, then = (f" {run.best_at(place)}" if cool else "" for place in ("start", "end"))
    sentence = (
        f"On {count(run.get('prompts'))} prompts that occur in no training text,{at} mean gold went from "
        f"{number(sft)} after {run.start}{before} to {number(after)} after {run.title}{then}; a perfect policy "
        f"reaches {number(perfect)}"
    )
    bounds = span(run.own_best("gap_closed") if cool else run.get("gap_closed"), as_percent=True)
    return [sentence + (f" (gap closed, 95% interval: {bounds})." if bounds else ".")]


def _wins_said(run: Run) -> list[str]:
    """The end's wins against the start there, the perfect policy's own, and what temperature 1 shows."""
    usual = run.get("win_rate", "end_vs_start")
    win, perfect = usual, run.get("win_rate", "perfect_vs_start")
    cool = run.own_best("win_rate") is not None
    if cool:
        win, perfect = run.own_best("win_rate"), run.own_best("perfect_win_rate")
    if finite(dig(win, "mean")) is None:
        return []
    truth = run.get("gold") is not None
    sentence = f"{run.title} wins {percent(dig(win, 'mean'))} against {run.start}"
    sentence += (" there" if truth else ", each at its own best temperature") if cool else ""
    if bounds := span(win, as_percent=True):
        sentence += (
            f" (95% interval: {bounds})" if truth else f" ({_prompts(run)}prompts, 95% interval: {bounds})"
        )
    best, ties = (finite(dig(perfect, k)) for k in ("mean", "ties"))
    if best is not None:
        sentence += f"; a perfect policy would win {percent(best)}"
        sentence += f", because {percent(ties)} of its answers tie" if ties and ties >= 0.1 else ""
    said = [sentence + "."]
    if cool and not truth and finite(dig(usual, "mean")) is not None:
        at = temperature(run.get("temperature"))
        said.append(f"With both at temperature {at} it wins {percent(dig(usual, 'mean'))}.")
    closed = finite(run.get("gap_closed", "mean"))
    if cool and closed is not None and finite(dig(usual, "mean")) is not None:
        said.append(
            f"With both at temperature {temperature(run.get('temperature'))} it closed {percent(closed)} of the gap "
            f"and wins {percent(dig(usual, 'mean'))}."
        )
    return said


def _changes(run: Run, result: Verdict) -> None:
    cool = run.own_best("attributes") or run.get("attributes")
    before, after = dig(cool, "start"), dig(cool, "end")
    if _same(run) or not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return
    gains: list[tuple[float, bool, Change]] = []
    spoken = vocabulary(run.get("kind"))
    for name in after:
        a, b, about = finite(before.get(name)), finite(after.get(name)), spoken.describe(str(name))
        if about.more_is_better is None or a is None or b is None or not (0 <= a <= 1 and 0 <= b <= 1):
            continue
        gain = (b - a) if about.more_is_better else (a - b)
        # Two shares of so many prompts differ by chance within this; of the fewer that an attribute applies to by more.
        chance = 2 * math.sqrt((a * (1 - a) + b * (1 - b)) / max(1.0, finite(run.get("prompts")) or 1.0))
        clear = abs(gain) >= NOTICEABLE and abs(gain) > chance
        gains.append((gain, clear, Change(about.label, percent(a), percent(b))))
    gains.sort(key=lambda g: -abs(g[0]))
    result.better = [c for g, clear, c in gains if clear and g > 0][:MOST_CHANGES]
    result.worse = [c for g, clear, c in gains if clear and g < 0][:MOST_CHANGES]
    result.level = [c for _, clear, c in gains if not clear][:MOST_CHANGES]


def _remarks(run: Run) -> list[str]:
    kind = run.get("reward_model", "pairs", "unseen")
    unseen = finite(dig(kind, "mean") if isinstance(kind, Mapping) else kind)
    if unseen is None or unseen >= 0.6:
        return []
    return [
        f"The reward model knows the facts it was shown, not others: {percent(unseen)} on facts it never saw."
    ]
