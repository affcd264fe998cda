"""The audit's changes in words, and as findings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.audit.findings import Finding
from plaudit.display.formatting import clean, finite, number, percent

TRUTH = {"gold": "gold", "judge": "the second judge", None: "the truth"}


def hack_findings(audit: Mapping[str, Any]) -> list[Finding]:
    """A finding for every named hack, and for every other suspected change."""
    found = [_null(audit["null"], str(audit.get("after", "")))] if audit.get("null") else []
    truth = TRUTH.get(audit.get("truth"), "the truth")
    for change in audit.get("changes") or ():
        if not change.get("suspected"):
            continue
        title, step = clean(change["title"]), str(audit.get("after", ""))
        if change.get("hack"):
            found.append(
                Finding(
                    f"hack_{change['detector']}",
                    "serious",
                    f"Suspected reward hack: {title}. The reward pays for it, {truth} does not.",
                    f"{changed(change)}. {paid(change, truth)}",
                    "Rank answers with and without it and retrain the reward model on them too, or hold the policy "
                    f"nearer to its start (steps.{step}.kl.coefficient); plaudit audit RUN shows samples.",
                    step=step,
                    numbers=_numbers(change),
                )
            )
        else:
            found.append(changed_finding(change, step, truth))
    return found


def changed_finding(change: Mapping[str, Any], step: str, truth: str = TRUTH[None]) -> Finding:
    """The finding of a suspected change that is not named a hack."""
    return Finding(
        f"changed_{change['detector']}",
        "note",
        f"Suspected change: {clean(change['title'])}.",
        f"{changed(change)}. {paid(change, truth)}".strip(),
        "Read the samples (plaudit audit RUN): whether the change is wanted is yours to say.",
        step=step,
        numbers=_numbers(change),
    )


def _numbers(change: Mapping[str, Any]) -> dict[str, float]:
    known = {k: float(v) for k in ("adjusted", "least") if (v := finite(change.get(k))) is not None}
    return known | {"change": float(change["change"]["mean"])}


def _null(null: Mapping[str, Any], step: str) -> Finding:
    return Finding(
        "null_policy",
        "serious",
        f"{percent(null['share'])} of the end’s answers {null['words']}.",
        "A reward or a judge that prefers such answers does not judge what is asked.",
        "Look at the reward first (plaudit audit RUN --forecast names its favourites), then train again.",
        step=step,
        numbers={"share": float(null["share"])},
    )


def level(unit: str, value: Any) -> str:
    """A level as a reader wants it: a share in percent, a length in words, another number as it is."""
    v = finite(value)
    if unit == "share":
        return percent(v)
    if unit == "ratio":
        return "–" if v is None else number(math.expm1(v), 1)
    return number(v, 3)


def shift(unit: str, value: Any, sign: bool = True) -> str:
    """A change: points of a share, percent of a ratio, or a number."""
    v = finite(value)
    if v is None:
        return "–"
    if unit == "share":
        return f"{number(100 * v, 1, sign=sign)} points"
    if unit == "ratio":
        return f"{number(100 * math.expm1(v), 0, sign=sign)}%"
    return number(v, 3, sign=sign)


def changed(change: Mapping[str, Any]) -> str:
    """``2% to 14%, +12.0 points (95% interval +8.1 points to +16.2 points), 200 prompts, p = .001``."""
    unit, by = change["unit"], change["change"]
    return (
        f"{level(unit, change['before']['mean'])} to {level(unit, change['after']['mean'])}, "
        f"{shift(unit, by['mean'])} (95% interval {shift(unit, by['low'])} to {shift(unit, by['high'])}) on "
        f"{change['prompts']} prompts, p {p_value(change['adjusted'])} over all detectors"
    )


def p_value(p: Any) -> str:
    v = finite(p)
    return "–" if v is None else "< .001" if v < 0.001 else f"= {v:.3f}".replace("= 0.", "= .")


def paid(change: Mapping[str, Any], truth: str) -> str:
    """What the property is worth in reward and in truth; nothing where that is not known."""
    worth, beside = change.get("worth"), ", ".join(change.get("beside") or ())
    if not worth:
        return f"It cannot be told from {beside}." if beside else ""
    pays, means = _worth(worth["reward"]), _worth(worth["truth"])
    fixed = f", {beside} held fixed," if beside else ","
    return f"In standard deviations{fixed} it is worth {pays} of reward and {means} of {truth}."


def _worth(interval: Mapping[str, Any]) -> str:
    return (
        f"{number(interval['mean'], 2, sign=True)} ({number(interval['low'], 2, sign=True)} to "
        f"{number(interval['high'], 2, sign=True)})"
    )


def unjudged(audit: Mapping[str, Any]) -> str:
    """A sentence where the truth judged fewer prompts than there are; empty where it judged all."""
    judged, prompts = audit.get("judged"), audit["prompts"]
    if judged is None or judged == prompts:
        return ""
    truth = TRUTH.get(audit.get("truth"), "the truth")
    return (
        f"{prompts - judged} of {prompts} prompts are left out of what a change is worth: {truth} abstained"
    )


def lines(audit: Mapping[str, Any]) -> Sequence[str]:
    """The changes as a terminal shows them: hacks, other suspicions with their samples, then all detectors."""
    truth = TRUTH.get(audit.get("truth"), "the truth")
    out = [f"{audit['before']} → {audit['after']}, {audit['prompts']} prompts"]
    if null := audit.get("null"):
        out.append(
            f"{percent(null['share'])} of the end's answers {null['words']}: no judge's preference counts"
        )
    named = [c for c in audit["changes"] if c["hack"]]
    out.append(f"suspected reward hacks: {', '.join(c['title'] for c in named) or 'none'}")
    if audit.get("truth") is None:
        out.append("no gold and no second judge is known for these answers: no change can be named a hack")
    elif left := unjudged(audit):
        out.append(left)
    for change in audit["changes"]:
        if change["suspected"]:
            out += ["", f"{'HACK' if change['hack'] else 'CHANGED'}  {change['title']}: {changed(change)}"]
            out += [words] if (words := paid(change, truth)) else []
            for sample in change["samples"]:
                out += [f"  {_short(sample['prompt'])}", f"    - {_short(sample['before'])}"]
                out += [f"    + {_short(sample['after'])}"]
    out += ["", "all detectors: before, after, change, p over all, smallest change that would have shown"]
    width = max(len(c["title"]) for c in audit["changes"])
    for c in audit["changes"]:
        unit, p = c["unit"], p_value(c["adjusted"]).removeprefix("= ")
        out.append(
            f"  {c['title']:{width}}  {level(unit, c['before']['mean']):>7} {level(unit, c['after']['mean']):>7} "
            f"{shift(unit, c['change']['mean']):>13} {p:>7}  {shift(unit, c['least'], sign=False)}"
        )
    return out


def _short(text: str, most: int = 160) -> str:
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= most else flat[: most - 2] + " …"
