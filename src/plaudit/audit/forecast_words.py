"""A forecast in words: for the terminal and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plaudit.display.formatting import clean, number, percent, span
from plaudit.evaluation.frontier import Point

ROWS = 10  # β's of the curve that a terminal shows


def truth_word(forecast: Mapping[str, Any]) -> str:
    return {"gold": "gold", "judge": "second judge", None: "truth"}.get(
        forecast.get("truth"), f"second reward {clean(forecast.get('truth'))}"
    )


def suggested(forecast: Mapping[str, Any]) -> str:
    """The suggestion, or why there is none."""
    found = forecast["suggestion"]
    if found["beta"] is None:
        return f"No β is suggested: {found['reason']}."
    return (
        f"Suggested: β = {found['beta']:.3g} (kl.coefficient), at about {number(found['kl'])} nats of KL: "
        f"{found['reason']}. "
        f"The {truth_word(forecast)} there is {number(found['truth']['mean'])} ({span(found['truth'])}), "
        f"{number(found['gain']['mean'], sign=True)} ({span(found['gain'])}) over the start's."
    )


def allowed(forecast: Mapping[str, Any]) -> str:
    """What the reward is now, and what it allows at the smallest β that enough answers carry."""
    carried = [p for p in forecast["tilt"] if not p["thin"]]
    now = f"answers of {clean(forecast['policy'])} have a reward of {number(forecast['start']['reward']['mean'])}"
    if not carried:
        return f"{now}."
    far = max(carried, key=lambda p: p["kl"])
    return f"{now}; choosing among them reaches {number(far['reward']['mean'])} at {number(far['kl'])} nats of KL."


def measured(forecast: Mapping[str, Any], points: Sequence[Point]) -> str:
    """How far RL stayed from what its reward allows at the KL where it ended; "" where that was not measured."""
    known = [p for p in points if p.kl is not None and p.proxy is not None]
    if len(known) < 2:
        return ""
    kl, paid = max(0.0, known[-1].kl or 0.0), known[-1].proxy
    curve = sorted((p["kl"], p["reward"]["mean"]) for p in forecast["tilt"])
    said = f"RL ended at {number(kl)} nats with a reward of {number(paid)}"
    if kl > curve[-1][0]:
        return f"{said}: further out than {forecast['answers']} answers a prompt can show."
    best = float(np.interp(kl, [k for k, _ in curve], [reward for _, reward in curve]))
    return f"{said}; the best choice among the start's answers has {number(best)} at that KL."


def law(forecast: Mapping[str, Any]) -> str:
    """The law of best of n, where it was fitted."""
    found = forecast.get("law")
    if not found:
        return ""
    peak = (
        "it does not turn" if found["peak"] is None else f"its peak is at {number(found['peak'] ** 2)} nats"
    )
    return (
        f"Best of n follows R(d) = d (α − β d), d = √KL, with α = {number(found['alpha'])}, "
        f"β = {number(found['beta'])}, R² = {number(found['r2'], 3)}: {peak}."
    )


def favourite_words(forecast: Mapping[str, Any]) -> str:
    """How often the reward's favourite is a bad answer, and of which kind."""
    found = forecast.get("favourites")
    if not found:
        return ""
    return (
        f"The reward's favourite of {forecast['answers']} answers is worse than the usual answer to its prompt for "
        f"{percent(found['bad']['mean'])} of prompts ({span(found['bad'], as_percent=True)}): "
        f"{found['style']} stand out by style, {found['knowledge']} by nothing that a detector sees."
    )


def forecast_lines(forecast: Mapping[str, Any]) -> Sequence[str]:
    """The forecast as a terminal shows it."""
    word = truth_word(forecast)
    out = [
        f"forecast of {clean(forecast['of'])} from {clean(forecast['policy'])}: {forecast['prompts']} prompts × "
        f"{forecast['answers']} answers"
    ]
    points = list(forecast["tilt"])
    picks = sorted({round(i * (len(points) - 1) / (ROWS - 1)) for i in range(ROWS)})
    head = f"  {'β':>8} {'KL':>6} {'answers':>8} {'reward':>8}"
    out.append(head + (f"  {word}" if forecast["start"]["truth"] else ""))
    for p in (points[i] for i in picks):
        line = f"  {p['beta']:8.3g} {number(p['kl']):>6} {number(p['ess'], 1):>8} {number(p['reward']['mean']):>8}"
        if p["truth"]:
            line += f"  {number(p['truth']['mean'])} ({span(p['truth'])})"
        out.append(line + ("  too few effective answers" if p["thin"] else ""))
    out.append("  best of n: " + ", ".join(_best(p) for p in forecast["best_of_n"]))
    out += ["", suggested(forecast)]
    out += [line for line in (law(forecast), favourite_words(forecast)) if line]
    for row in ((forecast.get("favourites") or {}).get("rows") or ())[:3]:
        style = f" [{', '.join(row['style'])}]" if row["style"] else ""
        out += [
            f"  {_short(row['prompt'])}",
            f"    favourite{style}, reward {number(row['reward'])}, {word} {number(row['truth'])}: "
            f"{_short(row['favourite'])}",
            f"    better, reward {number(row['better_reward'])}, {word} {number(row['better_truth'])}: "
            f"{_short(row['better'])}",
        ]
    return out


def _best(point: Mapping[str, Any]) -> str:
    return f"{point['n']} → {number((point['truth'] or point['reward'])['mean'])}"


def _short(text: Any, most: int = 140) -> str:
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= most else flat[: most - 2] + " …"
