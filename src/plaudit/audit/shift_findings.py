"""The shift away from the reward model's data, in words and as findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.audit.findings import Finding
from plaudit.audit.hacking import p_value
from plaudit.audit.shift import BY_CHANCE
from plaudit.display.formatting import number, percent, span

ALPHA, LEAST = 0.05, 0.05
FAR = 0.05  # share of answers above the training set's highest 1 %
AGREE = 0.5  # correlation of members
CAUTION = "members agree; this does not show that they are right"


def shift_findings(audit: Mapping[str, Any]) -> list[Finding]:
    """Scores beyond the training set's, a reward that ranks the new answers worse, and flaws that members share."""
    found = audit.get("shift")
    if not found:
        return []
    step = list(found["policies"])[-1]
    end, out = found["policies"][step], []
    above = end["quantiles"]["above"]
    if above["low"] > FAR:
        out.append(
            Finding(
                "shift_scores",
                "warning",
                f"{percent(above['mean'])} of the end’s answers score higher than 99% of what the reward model was "
                "trained on.",
                f"95% interval {percent(above['low'])} to {percent(above['high'])}; 1% would be usual.",
                _advice(step),
                step=step,
                numbers={"above": above["mean"]},
            )
        )
    worse = (found.get("change") or {}).get("accuracy")
    if worse and worse["p"] <= ALPHA and worse["mean"] <= -LEAST:
        out.append(
            Finding(
                "shift_accuracy",
                "warning",
                "The reward ranks the end’s answers worse than those of the start.",
                f"{number(worse['mean'], 3, sign=True)} accuracy on pairs of one prompt (95% interval {span(worse)}), "
                f"p {p_value(worse['p'])}.",
                _advice(step),
                step=step,
                numbers={"accuracy": worse["mean"]},
            )
        )
    members = end.get("disagreement")
    if members and shared(members):
        bad = members["favourites"]["bad"]
        out.append(
            Finding(
                "shared_flaw",
                "warning",
                f"Suspected shared flaw: {CAUTION}.",
                f"{percent(bad['mean'])} of the favourites are worse than their prompt’s usual answer, all members "
                f"like {percent(members['favourites']['liked_by_all'])} of these, and they disagree no more about them "
                f"({_auc(members['favourites']['auc'])}).",
                "Members that share their base, their votes or their order share their flaws: give them their own, "
                "and rank the favourites anew.",
                step=step,
                numbers={"bad": bad["mean"]},
            )
        )
    return out


def shared(members: Mapping[str, Any]) -> bool:
    """Whether members like bad favourites together: many are bad, most are liked by all, and no disagreement tells."""
    found = members.get("favourites")
    if not found or found["auc"] is None:
        return False
    return bool(
        found["bad"]["low"] > 0.1 and found["liked_by_all"] > 0.5 and found["auc"]["low"] <= BY_CHANCE
    )


def _advice(step: str) -> str:
    return (
        "Rank answers of this policy and retrain the reward model on them too, or hold the policy nearer to its start "
        f"(steps.{step}.kl.coefficient)."
    )


def _auc(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "too few for an AUC"
    return f"AUC {number(found['mean'])}, 95% interval {span(found)}"


def shift_lines(found: Mapping[str, Any]) -> list[str]:
    """The shift as a terminal shows it."""
    out = [f"shift from the {found['answers']} answers that {found['of']} was trained on"]
    for name, entry in found["policies"].items():
        q = entry["quantiles"]
        out.append(
            f"{name}: the median answer scores higher than {percent(q['median'])} of them; "
            f"{percent(q['above']['mean'])} of answers ({span(q['above'], as_percent=True)}) higher than 99%"
        )
        out.append(
            f"  novelty {number(entry['novelty']['mean'])} ({span(entry['novelty'])}): share of new 3-word runs"
        )
        if (pairs := entry.get("pairs")) and pairs["accuracy"]:
            out.append(
                f"  accuracy on pairs of its own answers {number(pairs['accuracy']['mean'])} "
                f"({span(pairs['accuracy'])}), calibration slope {number(pairs['slope']['mean'])} "
                f"({span(pairs['slope'])}; below 1 is overconfident), {pairs['pairs']} pairs by {found['truth']}"
            )
        if members := entry.get("disagreement"):
            out.append(
                f"  {found['members']} members: correlation within prompts {number(members['correlation'])}, spread "
                f"{number(members['spread'])} (on the training answers {number(members['training'])})"
            )
            if favourites := members.get("favourites"):
                out.append(
                    f"  favourites worse than the prompt's usual answer: {percent(favourites['bad']['mean'])}; "
                    f"disagreement finds them with {_auc(favourites['auc'])}"
                )
            if members["correlation"] > AGREE:
                out.append(f"  {CAUTION}")
    change = found.get("change") or {}
    names = {"novelty": "novelty", "accuracy": "accuracy of the reward"}
    out += [
        f"change in {names[key]}: {number(v['mean'], 3, sign=True)} ({span(v)}), p {p_value(v['p'])}"
        for key, v in change.items()
    ]
    return out
