"""Did it get better? Gold, win rates, attributes, temperatures, the reward model and length, as figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from plaudit.report.attributes import GROUPS, describe
from plaudit.report.charts import calibration
from plaudit.report.folder import Run, dig
from plaudit.report.formatting import count, finite, number, percent, span, temperature, words
from plaudit.report.rows import Entry, interval_rows, place
from plaudit.report.verdict import sharpening

# Where a label of the gold scale may stand, best first, and its width in percent of a phone's screen.
LABEL_ROWS = ("below", "above", "below far", "above far")
LABEL_WIDTH = 17.0
PAIRS = {
    "fact": "Pairs that differ only in the fact",
    "verdict": "Pairs that differ only in the verdict",
    "unseen": "Facts it never saw",
}


def policies(run: Run) -> list[tuple[str, str]]:
    """Key and label of everything that answered, in the order of training."""
    return [("base", "Base"), ("sft", "SFT"), ("trained", run.title), ("perfect", "Perfect")]


def percent_span(value: Any) -> str:
    return span(value, as_percent=True)


def gold_scale(run: Run) -> dict[str, Any] | None:
    """Base, SFT, the trained policy and perfect on one line of gold, with the part of the gap that was closed."""
    entries = [Entry(label, key, run.get("gold", key)) for key, label in policies(run)]
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
    gap, win, kl = run.get("gap_closed"), run.get("win_rate", "trained_vs_sft"), run.get("kl")
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
    win, best = run.get("win_rate", "trained_vs_sft"), run.get("best_temperature")
    at = temperature(dig(best, "temperature"))
    found = interval_rows(
        [
            Entry(f"{run.title} against {run.start}", "trained", win),
            Entry(f"{run.title} against SFT", "trained", dig(best, "win_rate"), note=f"both at T = {at}"),
            Entry("Perfect against SFT", "perfect", run.get("win_rate", "perfect_vs_sft")),
            Entry("SFT against base", "sft", run.get("win_rate", "sft_vs_base")),
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
    stages = [(key, label) for key, label in policies(run) if isinstance(table.get(key), Mapping)]
    rows: dict[str, list[dict[str, Any]]] = {group: [] for group in GROUPS}
    for name in dict.fromkeys(str(n) for key, _ in stages for n in table[key]):
        values = [finite(table[key].get(name)) for key, _ in stages]
        known = [v for v in values if v is not None]
        if not known:
            continue
        share = all(0 <= v <= 1 for v in known)
        top = 1.0 if share else max(map(abs, known))
        about = describe(name)
        cells = [
            {
                "tone": key,
                "label": label,
                "text": percent(v) if share else number(v, 1),
                "bar": None if v is None else place(max(v, 0.0), 0.0, top),
            }
            for (key, label), v in zip(stages, values)
        ]
        less = about.more_is_better is False
        rows[about.group].append(
            {"label": about.label, "meaning": about.meaning, "less": less, "cells": cells}
        )
    groups = [{"name": name, "rows": found} for name, found in rows.items() if found]
    heads = [{"tone": key, "label": label} for key, label in stages]
    return {"stages": heads, "groups": groups} if groups else None


def best_temperature(run: Run) -> dict[str, Any] | None:
    """Gold of SFT and the trained policy at the run's temperature and at the one that is best for SFT."""
    best = run.mapping("best_temperature")
    if not best:
        return None
    at, usual = temperature(best.get("temperature")), temperature(run.get("temperature"))
    perfect = finite(run.get("gold", "perfect", "mean"))
    found = interval_rows(
        [
            Entry(f"SFT at T = {usual}", "sft", run.get("gold", "sft")),
            Entry(f"SFT at T = {at}", "sft", best.get("sft"), note="its best"),
            Entry(f"{run.title} at T = {usual}", "trained", run.get("gold", "trained")),
            Entry(f"{run.title} at T = {at}", "trained", best.get("trained")),
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
    judge = finite(dig(run.stages["judge"].record, "accuracy")) if "judge" in run.stages else None
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


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def length(run: Run) -> dict[str, Any] | None:
    """Tokens per answer by stage."""
    lengths = run.mapping("length")
    entries = []
    for key, label in policies(run):
        mean, finished, p90 = (finite(dig(lengths, key, k)) for k in ("mean", "finished", "p90"))
        notes = [f"{percent(finished)} finished"] if finished is not None else []
        notes += [f"90% within {number(p90, 0)}"] if p90 is not None else []
        entries.append(Entry(label, key, mean, note=", ".join(notes)))
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
    start, after = finite(dig(lengths, run.start.lower(), "mean")), finite(dig(lengths, "trained", "mean"))
    sentence = (
        f"{run.title}’s answers are {number(after / start)} times as long as the {run.start} model’s."
        if start and after
        else ""
    )
    return {**found, "sentence": sentence}
