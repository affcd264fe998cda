"""Did it get better? Gold, win rates, attributes, temperatures and length, as figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.audit.run import Run, dig
from plaudit.display.attributes import OTHER, vocabulary
from plaudit.display.formatting import count, finite, nats, number, of_n, percent, span, temperature
from plaudit.display.interval_figure import Estimated, interval_rows
from plaudit.display.scale import percent_of_width

# Where a label of the gold scale may stand, best first, and its width in percent of a phone's screen.
LABEL_ROWS = ("below", "above", "below far", "above far")
LABEL_WIDTH = 17.0


@dataclass(frozen=True)
class ShownPolicy:
    """A policy that answered: its key in the summary, what it is called, its color.

    ``main`` are base, start, end and the perfect policy: the others stand between them and are shown on request.
    """

    key: str
    label: str
    tone: str
    main: bool = True


def policies(run: Run) -> list[ShownPolicy]:
    """Everything that answered, in the order of training, and the perfect policy."""
    lengths = run.mapping("length")
    names = [n for n in run.steps if n in lengths] or list(dict.fromkeys(run.places.values()))
    main = set(run.places.values())
    found = [ShownPolicy(n, policy_label(run, n), policy_tone(run, n), n in main) for n in names]
    return [*found, ShownPolicy("perfect", "Perfect", "perfect")]


def policy_label(run: Run, step: str) -> str:
    """A policy in a word or two: Base, SFT, PPO."""
    return "Base" if step == run.places.get("base") else run.step_title(step)


def policy_tone(run: Run, step: str) -> str:
    """Its color: the places have colors of their own."""
    tones = {"base": "base", "start": "sft", "end": "trained"}
    return next((tone for place, tone in tones.items() if run.places.get(place) == step), "between")


def percent_span(value: Any) -> str:
    return span(value, as_percent=True)


def gold_scale(run: Run) -> dict[str, Any] | None:
    """All policies and perfect on one line of gold, with the part of the gap that was closed.

    Labels stand at the places of the run and at perfect; the policies between are dots, and listed.
    """
    known = [(m, p, e) for p in policies(run) if (m := (e := _gold(run, p)).mean) is not None]
    if len(known) < 2 or len({m for m, _, _ in known}) < 2:
        return None
    means = [m for m, _, _ in known]
    pad = 0.02 * (max(means) - min(means))
    low, high = min(means) - pad, max(means) + pad
    marks = [_mark(p, e, m, low, high) for m, p, e in sorted(known, key=lambda k: k[0])]
    _label_places([mark for mark in marks if mark["main"]])
    between = [f"{p.label} {number(m)}" for m, p, _ in known if not p.main]
    return {
        "marks": marks,
        "gap": _gap(run, {mark["key"]: mark["at"] for mark in marks}),
        "deep": any("far" in mark["place"] for mark in marks if mark["main"]),
        "between": ", ".join(between),
        "at": ", each at its own best temperature" if run.own_best() is not None else "",
    }


def _gold(run: Run, shown: ShownPolicy) -> Estimated:
    """Gold of a policy in the comparison that the headline speaks of; perfect answers have no temperature."""
    known = run.get("gold", shown.key)
    return Estimated(shown.label, shown.tone, (run.own_best(shown.key) or known) if known else None)


def _mark(shown: ShownPolicy, entry: Estimated, mean: float, low: float, high: float) -> dict[str, Any]:
    mark: dict[str, Any] = {
        "key": shown.key,
        "main": shown.main,
        "tone": shown.tone,
        "label": shown.label,
        "text": number(mean),
        "at": percent_of_width(mean, low, high),
    }
    if entry.bounds:
        start, end = (percent_of_width(v, low, high) for v in entry.bounds)
        mark |= {"start": start, "width": round(end - start, 2)}
    return mark


def _label_places(marks: Sequence[dict[str, Any]]) -> None:
    """Place the labels so that none overlap; ``marks`` are sorted by gold."""
    free = dict.fromkeys(LABEL_ROWS, -math.inf)
    for mark in marks:
        at = mark["at"]
        side = "start" if at < LABEL_WIDTH else "end" if at > 100 - LABEL_WIDTH else "middle"
        left = at - {"start": 0.0, "middle": LABEL_WIDTH / 2, "end": LABEL_WIDTH}[side]
        row = next((r for r in LABEL_ROWS if free[r] <= left), LABEL_ROWS[-1])
        free[row] = left + LABEL_WIDTH
        mark["place"] = f"{row} {side}"


def _gap(run: Run, where: Mapping[str, float]) -> dict[str, Any] | None:
    """The gap between start and perfect, and the part of it that the end closed or lost."""
    before, after = (run.places.get(p, "") for p in ("start", "end"))
    if before == after or not {before, after, "perfect"} <= set(where) or where["perfect"] <= where[before]:
        return None
    start, end = sorted((where[before], where[after]))
    return {
        "track": where[before],
        "track_width": round(where["perfect"] - where[before], 2),
        "start": start,
        "width": round(end - start, 2),
        "lost": where[after] < where[before],
    }


def figures(run: Run) -> list[dict[str, str]]:
    """The four numbers of the verdict; gap and wins are those of the headline's comparison."""
    gap = run.own_best("gap_closed") or run.get("gap_closed")
    win = run.own_best("win_rate") or run.get("win_rate", "end_vs_start")
    kl, model, n = run.kl_from_start, run.get("reward_model"), of_n(run.get("prompts"))
    at = ", best temperatures" if run.own_best() is not None else ""
    found = [
        ("gap", f"gap closed{at}", dig(gap, "mean"), percent, percent_span(gap), n),
        ("win_rate", f"wins against {run.start}{at}", dig(win, "mean"), percent, percent_span(win), n),
        ("kl_exact", f"nats of KL from {run.start}", kl.get("exact"), nats, _nats_span(kl), n),
        (
            "accuracy",
            "reward model accuracy",
            dig(model, "accuracy"),
            percent,
            percent_span(model),
            of_n(dig(model, "decided")),
        ),
    ]
    return [
        {"term": term, "label": label, "text": form(value), "note": ", ".join(filter(None, (note, n)))}
        for term, label, value, form, note, n in found
        if finite(value) is not None
    ]


def _nats_span(kl: Mapping[str, Any]) -> str:
    low, high = finite(kl.get("low")), finite(kl.get("high"))
    return "" if low is None or high is None else f"{nats(low)} to {nats(high)}"


def wins(run: Run) -> dict[str, Any] | None:
    """The trained policy's win rate with the perfect policy's beside it."""
    win, best, n = run.get("win_rate", "end_vs_start"), run.get("best_temperature"), of_n(run.get("prompts"))
    cool = run.own_best() is not None
    at = "each at its best temperature" if cool else f"both {run.best_at('start')}"
    usual = f"both at temperature {temperature(run.get('temperature'))}"
    # Where no temperature could be chosen, greedy answers stand beside the sampled ones.
    greedy = None if best else run.get("greedy", "win_rate")
    found = interval_rows(
        [
            Estimated(f"{run.title} against {run.start}", "trained", win, note=usual),
            Estimated(f"{run.title} against {run.start}", "trained", greedy, note="both greedily"),
            Estimated(f"{run.title} against {run.start}", "trained", dig(best, "win_rate"), note=at),
            Estimated(f"Perfect against {run.start}", "perfect", run.get("win_rate", "perfect_vs_start")),
            Estimated(f"Perfect against {run.start}", "perfect", run.own_best("perfect_win_rate"), note=at),
            Estimated(f"{run.start} against base", "sft", run.get("win_rate", "start_vs_base")),
        ],
        format=percent,
        spread=lambda value: ", ".join(filter(None, (percent_span(value), n))),
        domain=(0.0, 1.0),
        reference=(0.5, "no difference"),
    )
    if found:
        shares = [finite(dig(win, k)) for k in ("wins", "ties", "losses")]
        found["shares"] = [percent(s) for s in shares] if None not in shares else None
    return found


def attributes(run: Run) -> dict[str, Any] | None:
    """Every attribute by policy, in groups: helpful, honest, harmless, follows instructions, other.

    ``stages`` and ``groups`` are those of the main policies; ``all`` is a plain table of every policy where there are
    more.
    """
    table = run.mapping("attributes")
    every = [p for p in policies(run) if isinstance(table.get(p.key), Mapping)]
    stages = [p for p in every if p.main]
    spoken = vocabulary(run.get("kind"))
    rows: dict[str, list[dict[str, Any]]] = {group: [] for group in (*spoken.groups, OTHER)}
    lines = []
    for name in dict.fromkeys(str(n) for p in every for n in table[p.key]):
        values = {p.key: finite(table[p.key].get(name)) for p in every}
        known = [v for v in values.values() if v is not None]
        if not known:
            continue
        share = all(0 <= v <= 1 for v in known)
        about = spoken.describe(name)
        cells = [_cell(p, values[p.key], share, 1.0 if share else max(map(abs, known))) for p in every]
        rows[about.group].append(
            {
                "label": about.label,
                "meaning": about.meaning,
                "less": about.more_is_better is False,
                "cells": [cell for p, cell in zip(every, cells) if p.main],
            }
        )
        lines.append((about.label, [cell["text"] for cell in cells]))
    groups = [{"name": name, "rows": found} for name, found in rows.items() if found]
    if not groups:
        return None
    return {
        "stages": _heads(stages),
        "groups": groups,
        "all": {"heads": _heads(every), "lines": lines} if len(every) > len(stages) else None,
    }


def _heads(shown: Sequence[ShownPolicy]) -> list[dict[str, str]]:
    return [{"tone": p.tone, "label": p.label} for p in shown]


def _cell(shown: ShownPolicy, value: float | None, share: bool, top: float) -> dict[str, Any]:
    return {
        "tone": shown.tone,
        "label": shown.label,
        "text": percent(value) if share else number(value, 1),
        "bar": None if value is None else percent_of_width(max(value, 0.0), 0.0, top or 1.0),
    }


def length(run: Run) -> dict[str, Any] | None:
    """Tokens per answer by stage."""
    lengths, entries = run.mapping("length"), []
    of = f" of {count(run.get('prompts'))}" if finite(run.get("prompts")) is not None else ""
    for shown in policies(run):
        mean, finished, p90 = (finite(dig(lengths, shown.key, k)) for k in ("mean", "finished", "p90"))
        notes = [f"{percent(finished)}{of} finished"] if finished is not None else []
        notes += [f"90% within {number(p90, 0)}"] if p90 is not None else []
        entries.append(Estimated(shown.label, shown.tone, mean, note=", ".join(notes)))
    top = max((e.mean or 0.0 for e in entries), default=0.0)
    found = interval_rows(
        entries,
        format=lambda v: number(v, 1),
        tick=count,
        spread=lambda v: "",
        domain=(0.0, top or 1.0),
        bars=True,
    )
    if not found:
        return None
    start, after = finite(dig(lengths, "start", "mean")), finite(dig(lengths, "end", "mean"))
    sentence = (
        f"{run.title}’s answers are {number(after / start)} times as long as the {run.start} model’s."
        if start and after and run.places.get("start") != run.places.get("end")
        else ""
    )
    return {**found, "sentence": sentence}
