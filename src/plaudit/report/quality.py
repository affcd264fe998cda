"""Did it get better? Gold, win rates, attributes, temperatures, the reward model and length, as figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plaudit.audit.run import Run, dig
from plaudit.audit.verdict import sharpening
from plaudit.display.attributes import OTHER, vocabulary
from plaudit.display.formatting import count, finite, number, percent, span, temperature, words
from plaudit.report.charts import calibration
from plaudit.report.rows import Entry, interval_rows, place

# Where a label of the gold scale may stand, best first, and its width in percent of a phone's screen.
LABEL_ROWS = ("below", "above", "below far", "above far")
LABEL_WIDTH = 17.0
PAIRS = {
    "fact": "Pairs that differ only in the fact",
    "verdict": "Pairs that differ only in the verdict",
    "unseen": "Facts it never saw",
}


@dataclass(frozen=True)
class Shown:
    """A policy that answered: its key in the summary, what it is called, its color."""

    key: str
    label: str
    tone: str


def policies(run: Run) -> list[Shown]:
    """Everything that answered, in the order of training, and the perfect policy."""
    lengths = run.mapping("length")
    names = [n for n in run.steps if n in lengths] or list(dict.fromkeys(run.places.values()))
    found = [Shown(n, policy_label(run, n), policy_tone(run, n)) for n in names]
    return [*found, Shown("perfect", "Perfect", "perfect")]


def policy_label(run: Run, step: str) -> str:
    """A policy in a word or two: Base, SFT, PPO."""
    return "Base" if step == run.places.get("base") else run.step_title(step)


def policy_tone(run: Run, step: str) -> str:
    """Its color: the places have colors of their own."""
    tones = {"base": "base", "start": "sft", "end": "trained"}
    return next((tones[p] for p in ("end", "start", "base") if run.places.get(p) == step), "hot")


def percent_span(value: Any) -> str:
    return span(value, as_percent=True)


def gold_scale(run: Run) -> dict[str, Any] | None:
    """All policies and perfect on one line of gold, with the part of the gap that was closed."""
    entries = [Entry(p.label, p.tone, run.get("gold", p.key)) for p in policies(run)]
    known = sorted(((m, e) for e in entries if (m := e.mean) is not None), key=lambda k: k[0])
    if len(known) < 2 or known[-1][0] <= known[0][0]:
        return None
    pad = 0.02 * (known[-1][0] - known[0][0])
    low, high = known[0][0] - pad, known[-1][0] + pad
    marks = []
    free = dict.fromkeys(LABEL_ROWS, -math.inf)
    for m, e in known:
        at = place(m, low, high)
        side = "start" if at < LABEL_WIDTH else "end" if at > 100 - LABEL_WIDTH else "middle"
        left = at - {"start": 0.0, "middle": LABEL_WIDTH / 2, "end": LABEL_WIDTH}[side]
        row = next((r for r in LABEL_ROWS if free[r] <= left), LABEL_ROWS[-1])
        free[row] = left + LABEL_WIDTH
        mark: dict[str, Any] = {
            "tone": e.tone,
            "label": e.label,
            "text": number(m),
            "at": at,
            "place": f"{row} {side}",
        }
        if e.bounds:
            start, end = (place(v, low, high) for v in e.bounds)
            mark |= {"start": start, "width": round(end - start, 2)}
        marks.append(mark)
    where = {mark["tone"]: mark["at"] for mark in marks}
    gap = None
    if {"sft", "trained", "perfect"} <= set(where) and where["perfect"] > where["sft"]:
        start, end = sorted((where["sft"], where["trained"]))
        gap = {
            "track": where["sft"],
            "track_width": round(where["perfect"] - where["sft"], 2),
            "start": start,
            "width": round(end - start, 2),
            "lost": where["trained"] < where["sft"],
        }
    return {"marks": marks, "gap": gap, "deep": any("far" in mark["place"] for mark in marks)}


def figures(run: Run) -> list[dict[str, str]]:
    """The four numbers of the verdict."""
    gap, win, kl = run.get("gap_closed"), run.get("win_rate", "end_vs_start"), run.get("kl")
    model = run.get("reward_model")
    found = [
        ("gap", "gap closed", dig(gap, "mean"), percent, percent_span(gap)),
        ("win_rate", f"wins against {run.start}", dig(win, "mean"), percent, percent_span(win)),
        ("kl_exact", "nats of KL", dig(kl, "exact"), number, span(kl)),
        ("accuracy", "reward model accuracy", dig(model, "accuracy"), percent, percent_span(model)),
    ]
    return [
        {"term": term, "label": label, "text": form(value), "note": note}
        for term, label, value, form, note in found
        if finite(value) is not None
    ]


def wins(run: Run) -> dict[str, Any] | None:
    """The trained policy's win rate with the perfect policy's beside it."""
    win, best = run.get("win_rate", "end_vs_start"), run.get("best_temperature")
    at = temperature(dig(best, "temperature"))
    found = interval_rows(
        [
            Entry(f"{run.title} against {run.start}", "trained", win),
            Entry(
                f"{run.title} against {run.start}", "trained", dig(best, "win_rate"), note=f"both at T = {at}"
            ),
            Entry(f"Perfect against {run.start}", "perfect", run.get("win_rate", "perfect_vs_start")),
            Entry(f"{run.start} against base", "sft", run.get("win_rate", "start_vs_base")),
        ],
        format=percent,
        spread=percent_span,
        domain=(0.0, 1.0),
        reference=(0.5, "no difference"),
    )
    if found:
        shares = [finite(dig(win, k)) for k in ("wins", "ties", "losses")]
        found["shares"] = [percent(s) for s in shares] if None not in shares else None
    return found


def attributes(run: Run) -> dict[str, Any] | None:
    """Every attribute by stage, in groups: helpful, honest, harmless, follows instructions, other."""
    table = run.mapping("attributes")
    stages = [p for p in policies(run) if isinstance(table.get(p.key), Mapping)]
    spoken = vocabulary(run.get("kind"))
    rows: dict[str, list[dict[str, Any]]] = {group: [] for group in (*spoken.groups, OTHER)}
    for name in dict.fromkeys(str(n) for p in stages for n in table[p.key]):
        values = [finite(table[p.key].get(name)) for p in stages]
        known = [v for v in values if v is not None]
        if not known:
            continue
        share = all(0 <= v <= 1 for v in known)
        top = 1.0 if share else max(map(abs, known))
        about = spoken.describe(name)
        cells = [
            {
                "tone": p.tone,
                "label": p.label,
                "text": percent(v) if share else number(v, 1),
                "bar": None if v is None else place(max(v, 0.0), 0.0, top),
            }
            for p, v in zip(stages, values)
        ]
        less = about.more_is_better is False
        rows[about.group].append(
            {"label": about.label, "meaning": about.meaning, "less": less, "cells": cells}
        )
    groups = [{"name": name, "rows": found} for name, found in rows.items() if found]
    heads = [{"tone": p.tone, "label": p.label} for p in stages]
    return {"stages": heads, "groups": groups} if groups else None


def best_temperature(run: Run) -> dict[str, Any] | None:
    """Gold of the start and the end at the run's temperature and at the one that is best for the start."""
    best = run.mapping("best_temperature")
    if not best:
        return None
    at, usual = temperature(best.get("temperature")), temperature(run.get("temperature"))
    perfect = finite(run.get("gold", "perfect", "mean"))
    found = interval_rows(
        [
            Entry(f"{run.start} at T = {usual}", "sft", run.get("gold", "start")),
            Entry(f"{run.start} at T = {at}", "sft", best.get("start"), note="its best"),
            Entry(f"{run.title} at T = {usual}", "trained", run.get("gold", "end")),
            Entry(f"{run.title} at T = {at}", "trained", best.get("end")),
        ],
        format=number,
        spread=span,
        reference=(perfect, "perfect") if perfect is not None else None,
    )
    if not found:
        return None
    closed = best.get("gap_closed")
    known = finite(dig(closed, "mean")) is not None
    return {
        **found,
        "sentence": sharpening(run),
        "closed": f"{percent(dig(closed, 'mean'))} ({percent_span(closed)})" if known else "",
    }


def reward_model(run: Run) -> dict[str, Any] | None:
    """Held-out accuracy beside its baselines, by kind of pair, and calibration."""
    model = run.mapping("reward_model")
    if not model:
        return None
    own = {"mean": model.get("accuracy"), "low": model.get("low"), "high": model.get("high")}
    options: dict[str, Any] = {
        "format": percent,
        "spread": percent_span,
        "domain": (0.0, 1.0),
        "reference": (0.5, "chance"),
        "bars": True,
    }
    main = interval_rows(
        [
            Entry("Reward model", "reward", own, "accuracy"),
            Entry("Longer wins", "muted", model.get("longer_wins"), "longer_wins"),
            Entry("Noise ceiling", "perfect", model.get("ceiling"), "ceiling"),
            Entry("Human agreement", "ink", model.get("human_agreement"), "human_agreement"),
        ],
        **options,
    )
    pairs = run.mapping("reward_model", "pairs")
    kinds = [Entry(PAIRS.get(str(k), words(str(k)).capitalize()), "reward", v) for k, v in pairs.items()]
    keys = ("predicted", "observed", "count")
    found = [[finite(dig(b, k)) for k in keys] for b in _list(model.get("bins"))]
    bins = [(p, o, int(n)) for p, o, n in found if p is not None and o is not None and n is not None]
    longer, shorter = model.get("when_longer"), model.get("when_shorter")
    known = finite(longer) is not None and finite(shorter) is not None
    judge = next((finite(run.stages[n].record.get("accuracy")) for n in run.steps if _is_proxy(run, n)), None)
    return {
        "main": main,
        "kinds": interval_rows(kinds, **options),
        "decided": count(model.get("decided")) if finite(model.get("decided")) is not None else "",
        "ece": number(model.get("ece"), 3),
        "ece_noise": number(model.get("ece_noise"), 3) if finite(model.get("ece_noise")) is not None else "",
        "calibration": calibration(bins) if bins else None,
        "bins": [(percent(p), percent(o), count(n)) for p, o, n in bins],
        "lean": {"longer": percent(longer), "shorter": percent(shorter)} if known else None,
        "judge": percent(judge, 1) if judge is not None else "",
    }


def _is_proxy(run: Run, step: str) -> bool:
    return run.steps[step]["kind"] == "proxy" and step in run.stages


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def length(run: Run) -> dict[str, Any] | None:
    """Tokens per answer by stage."""
    lengths = run.mapping("length")
    entries = []
    for shown in policies(run):
        mean, finished, p90 = (finite(dig(lengths, shown.key, k)) for k in ("mean", "finished", "p90"))
        notes = [f"{percent(finished)} finished"] if finished is not None else []
        notes += [f"90% within {number(p90, 0)}"] if p90 is not None else []
        entries.append(Entry(shown.label, shown.tone, mean, note=", ".join(notes)))
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
