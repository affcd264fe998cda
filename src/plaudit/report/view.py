"""Everything the page shows, computed: the template only lays it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.report.answers import cards, training_samples
from plaudit.report.attributes import HEADLINE, describe
from plaudit.report.charts import Chart, calibration, svg
from plaudit.report.comparison import comparison
from plaudit.report.curves import earlier_charts, ppo_charts, table
from plaudit.report.folder import Run, dig
from plaudit.report.formatting import (
    clean,
    count,
    date,
    duration,
    finite,
    number,
    percent,
    span,
    stage_name,
    temperature,
    words,
)
from plaudit.report.glossary import GLOSSARY
from plaudit.report.health import RULES, examine
from plaudit.report.rows import Entry, interval_rows, place
from plaudit.report.verdict import sharpening, verdict

POLICIES = (("base", "Base"), ("sft", "SFT"), ("ppo", "PPO"), ("perfect", "Perfect"))
DEVICES = {"cpu": "a CPU", "cuda": "a GPU", "mps": "a Mac’s GPU"}
STAGE_TONES = {
    "pretrain": "base",
    "base": "base",
    "verdict": "sft",
    "sft": "sft",
    "votes": "reward",
    "rank": "reward",
    "reward": "reward",
    "ppo": "ppo",
}


def drawn(chart: Chart) -> dict[str, Any]:
    """A chart with its drawing and its numbers."""
    return {"chart": chart, "svg": svg(chart), "table": table(chart)}


def _percent_span(value: Any) -> str:
    return span(value, as_percent=True)


def view(run: Run) -> dict[str, Any]:
    """The context of the page's template."""
    compared = comparison(run)
    if compared:
        compared["charts"] = [drawn(c) for c in compared["charts"]]
        for part in compared["siblings"]:
            part["charts"] = [drawn(c) for c in part["charts"]]
    return {
        "name": clean(run.summary.get("name") or run.record.get("name") or "run"),
        "facts": facts(run),
        "scale": gold_scale(run),
        "no_gold": "" if run.get("gold") else clean(run.get("gold_reason") or ""),
        "judge": run.get("judge"),
        "verdict": verdict(run),
        "figures": figures(run),
        "findings": examine(run.metrics("ppo"), run.summary),
        "rule_count": len(RULES),
        "checks": checks(run),
        "answers": cards(run),
        "wins": wins(run),
        "attributes": attributes(run),
        "best": best_temperature(run),
        "curves": [drawn(c) for c in ppo_charts(run.metrics("ppo"))],
        "earlier": [drawn(c) for c in earlier_charts(run)],
        "training_samples": training_samples(run),
        "reward": reward_model(run),
        "length": length(run),
        "comparison": compared,
        "time": time(run),
        "labels": labels(run),
        "settings": settings(run),
        "versions": versions(run),
        "glossary": GLOSSARY,
    }


def facts(run: Run) -> list[str]:
    """The line under the title."""
    kind = {"pocket": "a simulated world with a known truth", "real": "real data"}.get(str(run.get("kind")))
    parameters = next((p for s in run.stages.values() if (p := finite(s.record.get("parameters")))), None)
    seconds = [v for v in map(finite, (run.get("seconds") or {}).values()) if v is not None]
    device = dig(run.record, "resolved", "device")
    found = [kind]
    if parameters:
        size = (
            f"{number(parameters / 1e9, 1)} billion"
            if parameters >= 1e9
            else f"{number(parameters / 1e6, 1)} million"
        )
        found.append(f"{size} parameters")
    if (seed := finite(run.get("seed"))) is not None:
        found.append(f"seed {seed:.0f}")
    if seconds:
        found.append(duration(sum(seconds)) + (f" on {DEVICES.get(device, device)}" if device else ""))
    found.append(date(run.record.get("created")))
    return [clean(f) for f in found if f]


def gold_scale(run: Run) -> dict[str, Any] | None:
    """Base, SFT, PPO and perfect on one line of gold, with the part of the gap that was closed."""
    entries = [Entry(label, key, run.get("gold", key)) for key, label in POLICIES]
    known = [(e, m) for e in entries if (m := e.mean) is not None]
    if len(known) < 2:
        return None
    values = [m for _, m in known]
    if max(values) <= min(values):
        return None
    pad = 0.02 * (max(values) - min(values))
    low, high = min(values) - pad, max(values) + pad
    at = {e.tone: place(m, low, high) for e, m in known}
    marks = []
    for i, (e, m) in enumerate(sorted(known, key=lambda k: k[1])):
        mark = {
            "tone": e.tone,
            "label": e.label,
            "text": number(m),
            "spread": span(e.value),
            "at": at[e.tone],
            "below": i % 2 == 0,
        }
        if e.bounds:
            start, end = (place(v, low, high) for v in e.bounds)
            mark |= {"start": start, "width": round(end - start, 2)}
        marks.append(mark)
    gap = None
    if {"sft", "ppo", "perfect"} <= set(at) and at["perfect"] > at["sft"]:
        start, end = sorted((at["sft"], at["ppo"]))
        gap = {
            "track": at["sft"],
            "track_width": round(at["perfect"] - at["sft"], 2),
            "start": start,
            "width": round(end - start, 2),
            "lost": at["ppo"] < at["sft"],
            "text": percent(run.get("gap_closed", "mean")),
        }
    return {"marks": marks, "gap": gap}


def figures(run: Run) -> list[dict[str, str]]:
    """The four numbers of the verdict."""
    found = []

    def add(term: str, label: str, value: Any, text: str, note: str) -> None:
        if finite(value) is not None:
            found.append({"term": term, "label": label, "text": text, "note": note})

    gap, win = run.get("gap_closed"), run.get("win_rate", "ppo_vs_sft")
    add("gap", "gap closed", dig(gap, "mean"), percent(dig(gap, "mean")), _percent_span(gap))
    add("win_rate", "wins against SFT", dig(win, "mean"), percent(dig(win, "mean")), _percent_span(win))
    kl = run.get("kl")
    add("kl_exact", "nats of KL", dig(kl, "exact"), number(dig(kl, "exact")), span(kl))
    model = run.get("reward_model")
    accuracy = dig(model, "accuracy")
    add("accuracy", "reward model accuracy", accuracy, percent(accuracy), _percent_span(model))
    return found


def checks(run: Run) -> dict[str, Any] | None:
    rows = run.get("checks")
    if not isinstance(rows, list) or not rows:
        return None
    signs = {">=": "at least", "<=": "at most"}
    made = [
        {
            "name": clean(row.get("name", "")),
            "value": number(row.get("value"), 3),
            "bar": f"{signs.get(str(row.get('comparison')), 'bar')} {number(row.get('bar'))}",
            "ok": bool(row.get("ok")),
        }
        for row in rows
        if isinstance(row, Mapping)
    ]
    return {"rows": made, "met": sum(r["ok"] for r in made), "count": len(made)}


def wins(run: Run) -> dict[str, Any] | None:
    start = "SFT"
    at = finite(run.get("best_temperature", "temperature"))
    entries = [
        Entry(f"PPO against {start}", "ppo", run.get("win_rate", "ppo_vs_sft")),
        Entry(f"Perfect against {start}", "perfect", run.get("win_rate", "perfect_vs_sft")),
        Entry("SFT against base", "sft", run.get("win_rate", "sft_vs_base")),
    ]
    if at is not None:
        entries.insert(
            1,
            Entry(
                f"PPO against {start}, both at T = {temperature(at)}",
                "ppo",
                run.get("best_temperature", "win_rate"),
            ),
        )
    found = interval_rows(
        entries, format=percent, spread=_percent_span, domain=(0.0, 1.0), reference=(0.5, "no difference")
    )
    if found:
        win = run.get("win_rate", "ppo_vs_sft")
        shares = [finite(dig(win, k)) for k in ("wins", "ties", "losses")]
        found["shares"] = [percent(s) for s in shares] if None not in shares else None
    return found


def attributes(run: Run) -> dict[str, Any] | None:
    """Every attribute by stage: the four of the headline first."""
    table_ = run.get("attributes")
    if not isinstance(table_, Mapping):
        return None
    stages = [(key, label) for key, label in POLICIES if isinstance(table_.get(key), Mapping)]
    names = list(dict.fromkeys(n for key, _ in stages for n in table_[key]))
    rows = []
    for name in sorted(names, key=lambda n: (n not in HEADLINE, HEADLINE.index(n) if n in HEADLINE else 0)):
        about = describe(str(name))
        values = [finite(table_[key].get(name)) for key, _ in stages]
        known = [v for v in values if v is not None]
        if not known:
            continue
        share = all(0 <= v <= 1 for v in known)
        top = 1.0 if share else max(map(abs, known)) or 1.0
        cells = [
            {
                "tone": key,
                "label": label,
                "text": percent(v) if share else number(v, 1),
                "bar": None if v is None else place(max(v, 0.0), 0.0, top),
            }
            for (key, label), v in zip(stages, values)
        ]
        rows.append(
            {
                "label": about.label,
                "meaning": about.meaning,
                "more": about.more_is_better,
                "main": name in HEADLINE,
                "cells": cells,
            }
        )
    return {"stages": [{"tone": k, "label": lb} for k, lb in stages], "rows": rows} if rows else None


def best_temperature(run: Run) -> dict[str, Any] | None:
    best = run.get("best_temperature")
    at, usual = temperature(dig(best, "temperature")), temperature(run.get("temperature"))
    found = interval_rows(
        [
            Entry(f"SFT at T = {usual}", "sft", run.get("gold", "sft")),
            Entry(f"SFT at T = {at}", "sft", dig(best, "sft"), note="its best"),
            Entry(f"PPO at T = {usual}", "ppo", run.get("gold", "ppo")),
            Entry(f"PPO at T = {at}", "ppo", dig(best, "ppo")),
        ],
        format=number,
        spread=span,
        reference=(p, "perfect") if (p := finite(run.get("gold", "perfect", "mean"))) is not None else None,
    )
    if not found or not best:
        return None
    closed = finite(dig(best, "gap_closed", "mean"))
    found["sentence"] = sharpening(run)
    found["closed"] = (
        f"{percent(closed)} ({_percent_span(dig(best, 'gap_closed'))})" if closed is not None else ""
    )
    return found


def reward_model(run: Run) -> dict[str, Any] | None:
    model = run.get("reward_model")
    if not isinstance(model, Mapping):
        return None
    pairs = model.get("pairs") if isinstance(model.get("pairs"), Mapping) else {}
    kinds = {
        "fact": "Pairs that differ only in the fact",
        "verdict": "Pairs that differ only in the verdict",
        "unseen": "Facts it never saw",
    }
    own = {"mean": model.get("accuracy"), "low": model.get("low"), "high": model.get("high")}
    entries = [
        Entry("Reward model", "reward", own, "accuracy"),
        Entry("Longer wins", "muted", model.get("longer_wins"), "longer_wins"),
        Entry("Noise ceiling", "perfect", model.get("ceiling"), "ceiling"),
        Entry("Human agreement", "ink", model.get("human_agreement"), "human_agreement"),
    ]
    options: dict[str, Any] = {"format": percent, "spread": _percent_span, "domain": (0.0, 1.0), "bars": True}
    main = interval_rows(entries, reference=(0.5, "chance"), **options)
    kind_rows = interval_rows(
        [Entry(kinds.get(str(k), words(str(k)).capitalize()), "reward", v) for k, v in pairs.items()],
        reference=(0.5, "chance"),
        **options,
    )
    bins = [
        (p, o, int(n))
        for b in model.get("bins") or []
        if isinstance(b, Mapping)
        and (p := finite(b.get("predicted"))) is not None
        and (o := finite(b.get("observed"))) is not None
        and (n := finite(b.get("count"))) is not None
    ]
    lean = None
    if finite(model.get("when_longer")) is not None and finite(model.get("when_shorter")) is not None:
        lean = {"longer": percent(model["when_longer"]), "shorter": percent(model["when_shorter"])}
    return {
        "main": main,
        "kinds": kind_rows,
        "ece": number(model.get("ece"), 3),
        "calibration": calibration(bins) if bins else None,
        "bins": [(percent(p), percent(o), f"{n:,}") for p, o, n in bins],
        "lean": lean,
        "judge": percent(finite(dig(run.stages["judge"].record, "accuracy")), 1)
        if "judge" in run.stages
        else "",
    }


def length(run: Run) -> dict[str, Any] | None:
    lengths = run.get("length")
    if not isinstance(lengths, Mapping):
        return None
    entries = []
    for key, label in POLICIES:
        mean = finite(dig(lengths, key, "mean"))
        if mean is None:
            continue
        notes = []
        if finite(dig(lengths, key, "finished")) is not None:
            notes.append(f"{percent(dig(lengths, key, 'finished'))} finished")
        if finite(dig(lengths, key, "p90")) is not None:
            notes.append(f"90% within {number(dig(lengths, key, 'p90'), 0)}")
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
    sft, ppo = finite(dig(lengths, "sft", "mean")), finite(dig(lengths, "ppo", "mean"))
    if found:
        found["sentence"] = (
            f"PPO’s answers are {number(ppo / sft)} times as long as the SFT model’s." if sft and ppo else ""
        )
    return found


def time(run: Run) -> dict[str, Any] | None:
    recorded = run.get("seconds")
    source = (
        recorded
        if isinstance(recorded, Mapping)
        else {n: s.record.get("seconds") for n, s in run.stages.items()}
    )
    order = {name: i for i, name in enumerate(run.stages)}
    stages = [(n, v) for n, s in source.items() if (v := finite(s)) is not None and v >= 0]
    stages.sort(key=lambda s: order.get(s[0], len(order)))
    total = sum(v for _, v in stages)
    if not total:
        return None
    rows = [
        {
            "name": stage_name(n),
            "tone": STAGE_TONES.get(n, "muted"),
            "text": duration(v),
            "share": percent(v / total),
            "width": round(100 * v / total, 2),
        }
        for n, v in stages
    ]
    return {"rows": rows, "total": duration(total)}


def labels(run: Run) -> list[str]:
    found = run.get("labels")
    return (
        [f"{count(v)} {words(str(k))}" for k, v in found.items() if finite(v)]
        if isinstance(found, Mapping)
        else []
    )


def settings(run: Run) -> str:
    import yaml

    config = run.record.get("config")
    return clean(yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=88)) if config else ""


def versions(run: Run) -> list[tuple[str, str]]:
    """What the run ran on, as far as it was recorded."""
    found: list[tuple[str, Any]] = []
    hardware = dig(run.record, "resolved", "hardware") or {}
    for key in ("cpu", "cores", "accelerator", "machine", "system"):
        found.append((words(key), dig(hardware, key)))
    for key in ("device", "threads", "precision"):
        found.append((key, dig(run.record, "resolved", key)))
    numbers = dig(run.record, "resolved", "versions")
    found += [(str(k), v) for k, v in numbers.items()] if isinstance(numbers, Mapping) else []
    commit = dig(run.record, "git", "commit")
    if commit:
        found.append(
            ("commit", f"{commit}{' with local changes' if dig(run.record, 'git', 'dirty') else ''}")
        )
    return [(clean(k), clean(v)) for k, v in found if v not in (None, "")]
