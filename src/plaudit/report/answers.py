"""Every policy's answers to the same held-out prompts, for display side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.audit.run import Row, Run
from plaudit.display.attributes import vocabulary
from plaudit.display.formatting import clean, finite, nats, number
from plaudit.report.quality import policies

FIRST = 8
MEASURES = (("gold", "gold", "gold", number), ("proxy", "proxy", "proxy", number), ("kl", "kl", "KL", nats))
LONG = 900  # characters above which an answer scrolls in its own box


def answer(entry: Any, stage: str, label: str) -> dict[str, Any] | None:
    """One stage's answer with its numbers."""
    if not isinstance(entry, Mapping):
        return None
    text = clean(entry.get("text") or "").strip()
    measures = [
        {"term": term, "label": name, "value": form(entry.get(key))}
        for key, term, name, form in MEASURES
        if finite(entry.get(key)) is not None
    ]
    return {
        "stage": stage,
        "label": label,
        "text": text,
        "empty": not text,
        "long": len(text) > LONG,
        "cut": entry.get("finished") is False,
        "measures": measures,
    }


def cards(run: Run) -> dict[str, Any] | None:
    """All recorded prompts: a first choice that spans categories and scores, then the rest; None without any."""
    rows = run.stages["evaluate"].samples if "evaluate" in run.stages else ()
    rows = [row for row in rows if "prompt" in row]
    if not rows:
        return None
    names = list(dict.fromkeys(str(row.get("category") or "") for row in rows))
    first = set(spread(rows, names, FIRST))
    spoken = vocabulary(run.get("kind"))
    shown = [p for p in policies(run) if p.key != "perfect" and any(p.key in row for row in rows)]
    main, between = [p for p in shown if p.main], [p for p in shown if not p.main]
    made: list[dict[str, Any]] = []
    for i, row in enumerate(rows):
        perfect = row.get("perfect")
        made.append(
            {
                "first": i in first,
                "category": names.index(str(row.get("category") or "")),
                "name": spoken.category(str(row.get("category") or "")),
                "prompt": clean(row["prompt"]),
                "long": len(str(row["prompt"])) > LONG,
                "answers": [a for p in main if (a := answer(row.get(p.key), p.tone, p.label))],
                "between": [a for p in between if (a := answer(row.get(p.key), p.tone, p.label))],
                "greedy": [a for p in shown if (a := answer(_greedy(row, p.key), p.tone, p.label))],
                "perfect": clean(perfect["text"])
                if isinstance(perfect, Mapping) and perfect.get("text")
                else "",
            }
        )
    return {
        "cards": [c for c in made if c["first"]] + [c for c in made if not c["first"]],
        "between": [p.label for p in between],
        "measured": [term for _, term, _, _ in MEASURES if any(term in _terms(card) for card in made)],
        "count": len(made),
        "shown": len(first),
        "categories": [
            {
                "id": i,
                "name": spoken.category(name) or "Other",
                "count": sum(c["category"] == i for c in made),
            }
            for i, name in enumerate(names)
        ]
        if len(names) > 1
        else [],
    }


def _terms(card: Mapping[str, Any]) -> set[str]:
    """What is measured of a card's answers."""
    return {measure["term"] for shown in card["answers"] for measure in shown["measures"]}


def _greedy(row: Row, step: str) -> Any:
    """The same policy's answer at temperature 0, where it was kept."""
    entry = row.get(step)
    return entry.get("greedy") if isinstance(entry, Mapping) else None


def spread(rows: Sequence[Row], names: Sequence[str], count: int) -> list[int]:
    """Indices of ``count`` rows: categories in turn, and within each evenly over its order, which is by score.

    The first look must show failures beside successes, so each category starts at another place of its ranking.
    """
    places = {n: [i for i, row in enumerate(rows) if str(row.get("category") or "") == n] for n in names}
    chosen: list[int] = []
    turn = 0
    while len(chosen) < min(count, len(rows)):
        for offset, name in enumerate(names):
            left = [i for i in places[name] if i not in chosen]
            if left and len(chosen) < count:
                share = ((offset + 2 * turn) % 5) / 4
                chosen.append(left[round(share * (len(left) - 1))])
        turn += 1
    return sorted(chosen)


def training_samples(run: Run, step: str) -> list[dict[str, Any]]:
    """What a policy wrote while it learned: answers of the first and last recorded iteration, score / kl / total."""
    rows = [r for r in run.samples(step) if isinstance(r.get("step"), int)]
    if not rows:
        return []
    steps = sorted({row["step"] for row in rows})
    return [
        {
            "step": row["step"],
            "prompt": clean(row.get("prompt", "")),
            "response": clean(row.get("response", "")),
            "score": number(row.get("score"), 2, sign=True),
            "kl": number(row.get("kl"), 2, sign=True),
            "total": number(row.get("total"), 2, sign=True),
        }
        for row in rows
        if row["step"] in (steps[0], steps[-1])
    ]
