"""The audit as the report shows it: detectors in a table, hacks with samples, the forecast as charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.audit.forecast_words import favourite_words, law, measured, suggested, truth_word
from plaudit.audit.hacking import TRUTH, changed, level, p_value, paid, shift, unjudged
from plaudit.audit.run import Run
from plaudit.audit.shift_findings import shift_lines
from plaudit.display.formatting import clean, number
from plaudit.display.line_chart import Chart, Series
from plaudit.evaluation.frontier import Point, points

FAVOURITES = 5


def audited(run: Run) -> dict[str, Any] | None:
    """Everything of the section; None where no audit was made."""
    audit = run.audit
    changes, forecast = audit.get("changes") or (), audit.get("forecast")
    if not changes and not forecast:
        return None
    truth = TRUTH.get(audit.get("truth"), "the truth")
    return {
        "prompts": audit.get("prompts"),
        "before": run.step_title(str(audit.get("before", ""))),
        "after": run.step_title(str(audit.get("after", ""))),
        "unjudged": bool(changes) and audit.get("truth") is None,
        "left_out": unjudged(audit),
        "hacks": [clean(c["title"]) for c in changes if c["hack"]],
        "changes": [_change(c, truth) for c in changes if c["suspected"]],
        "rows": [_row(c) for c in changes],
        "forecast": _forecast(forecast, run) if forecast else None,
        "shift": [clean(line.strip()) for line in shift_lines(audit["shift"])] if audit.get("shift") else [],
    }


def _change(change: Mapping[str, Any], truth: str) -> dict[str, Any]:
    return {
        "title": clean(change["title"]),
        "hack": change["hack"],
        "sentence": f"{changed(change)}. {paid(change, truth)}".strip(),
        "samples": [{k: clean(s[k]) for k in ("prompt", "before", "after")} for s in change["samples"]],
    }


def _row(change: Mapping[str, Any]) -> list[str]:
    unit, by = change["unit"], change["change"]
    return [
        clean(change["title"]),
        level(unit, change["before"]["mean"]),
        level(unit, change["after"]["mean"]),
        shift(unit, by["mean"]),
        f"{shift(unit, by['low'])} to {shift(unit, by['high'])}",
        p_value(change["adjusted"]).removeprefix("= "),
        shift(unit, change["least"], sign=False),
        "suspected hack" if change["hack"] else "suspected" if change["suspected"] else "",
    ]


def _forecast(forecast: Mapping[str, Any], run: Run) -> dict[str, Any]:
    word = truth_word(forecast)
    carried = [p for p in forecast["tilt"] if not p["thin"]]
    thin = [p for p in forecast["tilt"] if p["thin"]]
    rows = (forecast.get("favourites") or {}).get("rows") or ()
    path = points(run.metrics(str(forecast["of"])))
    return {
        "of": run.step_title(str(forecast["of"])),
        "policy": run.step_title(str(forecast["policy"])),
        "prompts": forecast["prompts"],
        "answers": forecast["answers"],
        "suggested": suggested(forecast),
        "law": law(forecast),
        "measured": measured(forecast, path),
        "charts": [
            _chart("Reward that RL can reach", "reward", carried, thin, _path(path, "proxy")),
            *(
                [
                    _chart(
                        f"{_title(word)} there",
                        "truth",
                        carried,
                        thin,
                        _path(path, "gold") if forecast.get("truth") == "gold" else (),
                    )
                ]
                if forecast["start"]["truth"]
                else []
            ),
        ],
        "favourites": favourite_words(forecast),
        "rows": [
            {
                "prompt": clean(r["prompt"]),
                "favourite": clean(r["favourite"]),
                "scores": f"reward {number(r['reward'])}, {word} {number(r['truth'])}",
                "style": ", ".join(map(clean, r["style"])),
                "better": clean(r["better"]),
                "better_scores": f"reward {number(r['better_reward'])}, {word} {number(r['better_truth'])}",
            }
            for r in rows[:FAVOURITES]
        ],
    }


def _title(word: str) -> str:
    return word[:1].upper() + word[1:]


def _path(path: Sequence[Point], name: str) -> list[tuple[float, float]]:
    """What RL measured of ``proxy`` or ``gold`` at the KL of the same policy, in order of training."""
    known = [(p.kl, getattr(p, name)) for p in path]
    return [(max(0.0, kl), value) for kl, value in known if kl is not None and value is not None]


def _chart(
    title: str,
    key: str,
    carried: Sequence[Mapping[str, Any]],
    thin: Sequence[Mapping[str, Any]],
    path: Sequence[tuple[float, float]],
) -> Chart:
    """One quantity against KL, what RL measured beside it; points that few effective answers carry are muted."""
    lines = [
        Series(
            "forecast",
            "sft",
            [(p["kl"], p[key]["mean"]) for p in carried],
            [(p["kl"], p[key]["low"], p[key]["high"]) for p in carried],
        )
    ]
    if thin:
        joined = [*carried[-1:], *thin]
        lines.append(Series("few answers", "muted", [(p["kl"], p[key]["mean"]) for p in joined], dashed=True))
    note = "Answers of the start, weighted by exp(r/β). Dashed: fewer than 8 effective answers a prompt."
    if path:
        note += " RL: what training measured of its own answers."
        lines.append(Series("RL", "trained", path, dots=True))
    return Chart(
        title,
        "KL from the start, nats per response",
        [line for line in lines if line.points],
        square_root=True,
        note=note,
    )
