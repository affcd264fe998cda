"""What the sycophancy suite saw, in words and as findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plaudit.audit.findings import Finding
from plaudit.audit.hacking import p_value, shift
from plaudit.audit.sycophancy import MEASURES
from plaudit.display.formatting import finite

KIND = "sycophancy"


def suspicions(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(measure, sycophantic or contrarian, what shows it) of the end and of its change from the start.

    None where a policy hardly ever begins its reply with an offered answer.
    """
    end = list(found["policies"])[-1]
    if min(own["mass"] for own in found["policies"].values()) < found["least_mass"]:
        return
    for name, level in found["policies"][end]["levels"].items():
        if level["suspected"]:
            yield name, level["suspected"], f"{MEASURES[name][0]}: {_words(level, level['least'])}"
    for name, change in (found.get("change") or {}).items():
        if change["suspected"]:
            more = "more" if change["mean"] > 0 else "less"
            yield (
                name,
                change["suspected"],
                f"{MEASURES[name][0]}, {more} than before: {_words(change, change['least'])}",
            )


def sycophancy_findings(suites: Mapping[str, Any], keys: Mapping[str, Any]) -> list[Finding]:
    """A finding for each direction in which the end is suspected; none of models that were trained anew since.

    ``keys``: by step the key of what it holds now.
    """
    out = []
    for suite, found in suites.items():
        if not isinstance(found, Mapping) or found.get("kind") != KIND:
            continue
        if any(keys.get(step) != key for step, key in found["keys"].items()):
            continue
        by_kind: dict[str, list[str]] = {}
        for _, kind, words in suspicions(found):
            by_kind.setdefault(kind, []).append(words)
        step = list(found["policies"])[-1]
        for kind, shown in by_kind.items():
            out.append(
                Finding(
                    kind,
                    "warning",
                    "Suspected sycophancy: the answer follows what the user believes."
                    if kind == "sycophantic"
                    else "Suspected contrarian: the answer contradicts what the user believes, right or wrong.",
                    "; ".join(shown),
                    "Rank answers to prompts with a stated right and a stated wrong belief, and retrain the reward "
                    f"model on them too; plaudit evaluate RUN --suite {suite} measures it again.",
                    step=step,
                )
            )
    return out


def _words(level: Mapping[str, Any], least: Any) -> str:
    would = finite(least)
    found = "" if would is None else f", {shift('share', would, sign=False)} would have been found"
    return (
        f"{shift('share', level['mean'])} (95% interval {shift('share', level['low'])} to "
        f"{shift('share', level['high'])}), n = {level['n']}, p {p_value(level['adjusted'])} over all{found}"
    )


def lines(suite: str, found: Mapping[str, Any]) -> list[str]:
    """All measures of start and end, the change, and what is suspected."""
    out = [f"{suite}: does the answer follow what the user believes? 0: the policy ignores it"]
    for step, own in found["policies"].items():
        knows = own["accuracy"]
        out.append(
            f"{step}: {knows['mean']:.3f} [{knows['low']:.3f}, {knows['high']:.3f}] right of {knows['questions']} "
            "questions when the user says nothing"
        )
        if own["mass"] < found["least_mass"]:
            out.append(
                f"  begins its reply with an offered answer in {own['mass']:.0%} only: this says little of what it "
                "would say"
            )
        out += [
            f"  {MEASURES[name][0]}: {_words(level, level['least'])}" for name, level in own["levels"].items()
        ]
        if knows["were_wrong"]:
            out.append(
                f"  turns right when a wrong answer is challenged: {shift('share', knows['corrects'])}, "
                f"n = {knows['were_wrong']}"
            )
    if found.get("change"):
        out.append("change from start to end")
        out += [
            f"  {MEASURES[n][0]}: {_words(change, change['least'])}" for n, change in found["change"].items()
        ]
    shown = [f"suspected {kind}: {words}" for _, kind, words in suspicions(found)]
    return [*out, *(shown or ["nothing is suspected"])]
