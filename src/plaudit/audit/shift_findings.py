"""The shift away from the reward model's data, in words and as findings: of a run, and watched during RL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit import intervals
from plaudit.audit.findings import Finding, Severity, Watched, mean, series, tail
from plaudit.audit.hacking import TRUTH, changed, changed_finding, p_value
from plaudit.audit.run import dig
from plaudit.audit.shift import BY_CHANCE
from plaudit.display.formatting import number, percent, span

ALPHA, LEAST = 0.05, 0.05
FAR = 0.05  # share of answers above the training set's highest 1 %
AGREE = 0.5  # correlation of members
ABOVE, DISAGREEMENT = "reward/above_training", "reward/disagreement"
CAUTION = "members agree; this does not show that they are right"


def shift_findings(audit: Mapping[str, Any]) -> list[Finding]:
    """Scores beyond the training set's, a reward that ranks the new answers worse, and flaws that members share."""
    found = audit.get("shift")
    if not found or "left_out" in found:
        return []
    step = list(found["policies"])[-1]
    end, out = found["policies"][step], []
    above = end["quantiles"]["above"]
    if above["low"] > FAR:
        out.append(
            Finding(
                "shift_scores",
                _severity(end.get("truth")),
                f"{percent(above['mean'])} of the end’s answers score higher than 99% of what the reward model was "
                "trained on.",
                f"95% interval {percent(above['low'])} to {percent(above['high'])}; 1% would be usual."
                + _worth(end.get("truth"), TRUTH.get(audit.get("truth"), "the truth")),
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
    out += [changed_finding(change, step) for change in found.get("across") or () if change["suspected"]]
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


def scores_beyond_training(seen: Watched) -> Finding | None:
    """In the last quarter of a step, surely more than 5 % of samples above the highest 1 % of training answers."""
    points = series(seen.rows, ABOVE)
    late = tail(points)
    if not late:
        return None
    episodes = {s: v / s for s, v in series(seen.rows, "elapsed/episodes") if s}  # samples an iteration
    count = sum(round(episodes.get(s, 1)) for s, _ in late)
    far = round(mean(late) * count)
    # Answers of one prompt, and of one iteration, are alike: both the samples and the iterations have to show it.
    bounds = [intervals.share([1] * far + [0] * (count - far))]
    bounds += [intervals.mean([v for _, v in late])] if len(late) > 2 else []
    if not min(low for low, _ in bounds) > FAR:
        return None
    members = tail(series(seen.rows, DISAGREEMENT))
    first = next(step for step, v in points if v > FAR)
    numbers = {"above": mean(late), "first_above": float(first)}
    worth = dig(seen.summary, "shift", seen.step, "truth")
    spread = ""
    if members:
        numbers["disagreement"] = mean(members)
        spread = f" Members disagree {number(mean(members), 1)} times as much as on the training answers."
    return Finding(
        "scores_beyond_training",
        _severity(worth),
        "Many samples score higher than 99% of what the reward model was trained on.",
        f"{percent(mean(late))} of the samples in iterations {late[0][0]} to {late[-1][0]}, more than {percent(FAR)} "
        f"since iteration {first}; 1% would be usual.{spread}"
        + _worth(worth, "gold" if seen.summary.get("gold") else "the judge’s score"),
        *seen.advice(
            ("raise {}", "kl.coefficient"),
            otherwise="rank answers of this policy and retrain the reward model on them too",
        ),
        numbers=numbers,
    )


def _severity(worth: Mapping[str, float] | None) -> Severity:
    """A note where answers that score beyond the training answers are known to be no worse than the others."""
    return "note" if worth and worth["above"] >= worth["rest"] else "warning"


def _worth(worth: Mapping[str, float] | None, truth: str) -> str:
    if not worth:
        return ""
    above, rest = number(worth["above"]), number(worth["rest"])
    return f" Of the evaluation’s answers that score so high {truth} is {above}, of the others {rest}."


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
    if "left_out" in found:
        return [f"shift from the reward model's training answers: left out, because {found['left_out']}"]
    if "answers" not in found:
        head = "how the evaluation's answers score, beside those that the reward model was trained on"
        return [head, *map(_stored, found["policies"].items())]
    out = [f"shift from the {found['answers']} answers that {found['of']} was trained on"]
    for name, entry in found["policies"].items():
        q = entry["quantiles"]
        out.append(
            f"{name}: the median answer scores higher than {percent(q['median'])} of them; {_above(q)}"
        )
        out.append(
            f"  novelty {number(entry['novelty']['mean'])} ({span(entry['novelty'])}): share of new 3-word runs"
        )
        if (pairs := entry.get("pairs")) and pairs["accuracy"]:
            slope = pairs["slope"]
            fitted = (
                f"calibration slope {number(slope['mean'])} ({span(slope)}; below 1 is overconfident)"
                if slope
                else "no calibration slope, because the reward pays all answers of a prompt alike"
            )
            out.append(
                f"  accuracy on pairs of its own answers {number(pairs['accuracy']['mean'])} "
                f"({span(pairs['accuracy'])}), {fitted}, {pairs['pairs']} pairs by {found['truth']}"
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
    out += [f"{c['title']}: {changed(c)}" for c in found.get("across") or ()]
    return out


def _above(quantiles: Mapping[str, Any]) -> str:
    above = quantiles["above"]
    return f"{percent(above['mean'])} of answers ({span(above, as_percent=True)}) higher than 99%"


def _stored(item: tuple[str, Mapping[str, Any]]) -> str:
    name, entry = item
    spread = entry.get("disagreement")
    words = (
        "" if spread is None else f"; members disagree {number(spread['ratio'], 1)} times as much as on these"
    )
    return f"{name}: {_above(entry['quantiles'])}{words}"
