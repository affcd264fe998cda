"""Provenance of a run: time, labels, settings, versions, and the bars it had to meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.audit.run import Run, dig
from plaudit.display.formatting import (
    clean,
    count,
    date,
    duration,
    finite,
    number,
    percent,
    words,
)

REAL, MADE = "real data", "a made world with a known truth"
DEVICES = {"cpu": "a CPU", "cuda": "a GPU", "mps": "a Mac’s GPU"}


def facts(run: Run) -> list[str]:
    """The line under the title."""
    kind = run.get("kind")
    found = [None if kind is None else REAL if kind == "real" else MADE]
    parameters = next((p for s in run.stages.values() if (p := finite(s.record.get("parameters")))), None)
    if parameters and parameters >= 1e9:
        found.append(f"{number(parameters / 1e9, 1)} billion parameters")
    elif parameters and parameters >= 1e6:
        found.append(f"{number(parameters / 1e6, 1)} million parameters")
    elif parameters:
        found.append(f"{count(parameters)} parameters")
    if (seed := finite(run.get("seed"))) is not None:
        found.append(f"seed {seed:.0f}")
    total = sum(seconds for _, seconds in _seconds(run))
    if total:
        device = str(dig(run.record, "resolved", "device") or "")
        found.append(duration(total) + (f" on {DEVICES.get(device, device)}" if device else ""))
    found.append(date(run.record.get("created")))
    return [clean(f) for f in found if f]


def _seconds(run: Run) -> list[tuple[str, float]]:
    """(stage, seconds) in the order in which the stages began."""
    source = run.mapping("seconds") or {n: s.record.get("seconds") for n, s in run.stages.items()}
    order = {name: i for i, name in enumerate(run.stages)}
    found = [(str(n), v) for n, s in source.items() if (v := finite(s)) is not None and v >= 0]
    return sorted(found, key=lambda s: order.get(s[0], len(order)))


def time(run: Run) -> dict[str, Any] | None:
    """Seconds of every stage and its share of the whole."""
    stages = _seconds(run)
    total = sum(v for _, v in stages)
    if not total:
        return None
    rows = [
        {
            "name": run.step_title(n),
            "tone": str(dig(run.steps, n, "tone") or "muted"),
            "text": duration(v),
            "share": percent(v / total),
            "width": round(100 * v / total, 2),
        }
        for n, v in stages
    ]
    return {"rows": rows, "total": duration(total)}


def labels(run: Run) -> list[str]:
    """How much human (or simulated) judgement each step was given."""
    found = []
    for step, counts in run.mapping("labels").items():
        pairs = counts.items() if isinstance(counts, Mapping) else ()
        known = [
            f"{count(v)} {'of them scripted' if k == 'scripted' else words(str(k))}"
            for k, v in pairs
            if finite(v)
        ]
        if known:
            found.append(f"{run.step_title(str(step))}: {', '.join(known)}")
    return found


def other_code(run: Run) -> list[str]:
    """Steps that were kept although other code or libraries made them."""
    found = run.record.get("other_code")
    return [clean(f"{name}: {why}") for name, why in found.items()] if isinstance(found, Mapping) else []


def settings(run: Run) -> str:
    """The resolved configuration as YAML."""
    import yaml

    config = run.record.get("config")
    return clean(yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=88)) if config else ""


def versions(run: Run) -> list[tuple[str, str]]:
    """What the run ran on, as far as it was recorded."""
    resolved = run.record.get("resolved")
    found: list[tuple[str, Any]] = [
        (key, dig(resolved, "hardware", key)) for key in ("cpu", "cores", "accelerator", "machine", "system")
    ]
    found += [(key, dig(resolved, key)) for key in ("device", "threads", "precision")]
    numbers = dig(resolved, "versions")
    found += [(str(k), v) for k, v in numbers.items()] if isinstance(numbers, Mapping) else []
    commit = dig(run.record, "git", "commit")
    if commit:
        found.append(
            ("commit", f"{commit}{' with local changes' if dig(run.record, 'git', 'dirty') else ''}")
        )
    return [(clean(k), clean(v)) for k, v in found if v not in (None, "")]


def checks(run: Run) -> dict[str, Any] | None:
    """The bars of the summary, met or missed."""
    rows = run.get("checks")
    signs = {">=": "at least", "<=": "at most"}
    made = [
        {
            "name": clean(row.get("name", "")),
            "value": number(row.get("value"), 3),
            "bar": f"{signs.get(str(row.get('comparison')), 'bar')} {number(row.get('bar'))}",
            "ok": row.get("ok") is True,
        }
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, Mapping)
    ]
    return {"rows": made, "met": sum(r["ok"] for r in made), "count": len(made)} if made else None
