"""Measures of one labeler's judgements, or of all labelers': their names and how they are computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from plaudit.feedback.quality import rater_behavior
from plaudit.feedback.quality.bootstrap import Estimate
from plaudit.feedback.quality.gold_agreement import gold_score
from plaudit.feedback.quality.pairs import CodedJudgements
from plaudit.feedback.quality.records import Golds
from plaudit.feedback.quality.tables import Unit


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure's name, title, unit, and one sentence on how to read it."""

    name: str
    title: str
    unit: Unit
    help: str


MEASURES: Mapping[str, Measure] = {
    m.name: m
    for m in (
        Measure(
            "agreement",
            "Agreement",
            "share",
            "Share of two labelers' decisions on the same two answers that agree; ties left out. A coin reaches ½.",
        ),
        Measure(
            "agreement_with_ties",
            "Agreement, ties as a third verdict",
            "share",
            "As agreement, where a tie agrees with a tie only.",
        ),
        Measure(
            "kappa",
            "Fleiss' kappa",
            "score",
            "Agreement with ties beyond what chance gives: 0 chance, 1 perfect.",
        ),
        Measure("ac1", "Gwet's AC1", "score", "As kappa, but steady where nearly all pairs are tied."),
        Measure(
            "alpha",
            "Krippendorff's alpha",
            "score",
            "As kappa, where a tie lies halfway between the two decisions.",
        ),
        Measure(
            "gold_agreement",
            "Agreement with gold",
            "share",
            "Share of a gold item's decided pairs that were ordered like gold. Silent gold only; gold that ties all "
            "answers decides none and is left out.",
        ),
        Measure(
            "gold_exact",
            "Exactly as gold",
            "share",
            "Share of gold judgements that match an accepted ranking.",
        ),
        Measure(
            "calibration_agreement",
            "Agreement in calibration",
            "share",
            "As agreement with gold, on the items that teach: their answer is shown afterwards.",
        ),
        Measure(
            "self_consistency",
            "Self-consistency",
            "share",
            "Share of pairs decided the same way when the same labeler saw the item again.",
        ),
        Measure(
            "position_bias",
            "Position bias",
            "difference",
            "How much more often than half the answer shown first is preferred. 0 is none.",
        ),
        Measure(
            "longer_preferred",
            "Longer preferred",
            "share",
            "Share of decisions for the longer answer. Longer may also be better.",
        ),
        Measure(
            "length_bias",
            "Length coefficient",
            "log odds",
            "Log-odds of being preferred per e-fold of length; 0 where length says nothing.",
        ),
        Measure("tie_rate", "Ties", "share", "Share of pairs that are tied."),
        Measure(
            "untouched",
            "Left as shown",
            "share",
            "Share of rankings sent in the order in which answers were shown. By chance 1 in K!, of pairs half.",
        ),
        Measure("not_rankable", "Not rankable", "share", "Share of judgements that say: cannot be ranked."),
        Measure("all_bad", "All bad", "share", "Share of judgements that call all answers bad."),
        Measure("seconds", "Seconds", "seconds", "Median active time of a judgement."),
        Measure(
            "words_per_minute",
            "Words per minute",
            "per minute",
            "Median words of the answers per active minute.",
        ),
        Measure(
            "quick",
            "Very quick",
            "share",
            "Share of judgements faster than the shortest answer reads at 400 words a minute.",
        ),
        *(
            Measure(
                f"strength_{s}", f"Strength {s}", "share", f"Share of decided pairs with strength {s} of 4."
            )
            for s in (1, 2, 3, 4)
        ),
    )
}

# What a single labeler's judgements show without anybody else's.
OWN = tuple(MEASURES)[tuple(MEASURES).index("gold_agreement") :]


def own_measures(
    data: CodedJudgements, chosen: np.ndarray, golds: Golds, *, resamples: int, seed: int
) -> dict[str, Estimate]:
    """The measures in ``OWN`` of the judgements that a mask [J] chooses.

    Work judgements are read, unless the measure is about gold, calibration or repeats; position bias reads repeats
    too, which are shown in the reverse of the first order.
    """
    again = {"resamples": resamples, "seed": seed}
    work = chosen & data.counted
    pairs = data.pairs_of(work)
    repeats = data.pairs_of(chosen & data.chosen("repeat"))
    found = gold_measures(data, chosen, golds, **again)
    found["self_consistency"] = rater_behavior.self_consistency(pairs, repeats, **again)
    both = data.pairs_of(work | (chosen & data.chosen("repeat")))
    found["position_bias"] = rater_behavior.position_bias(both, **again)
    found["longer_preferred"] = rater_behavior.longer_preferred(pairs, data.words, **again)
    found["length_bias"] = rater_behavior.length_bias(pairs, data.words, **again)
    found["tie_rate"] = rater_behavior.tie_rate(pairs, **again)
    judged, item = [data.judged[i] for i in np.flatnonzero(work)], data.item[work]
    ranked = np.asarray([bool(j.groups) for j in judged], dtype=bool)
    for name in ("untouched", "not_rankable", "all_bad"):
        flags = np.asarray([getattr(j, name) for j in judged], dtype=float)
        # What was not ranked was not left as shown either.
        whole = ranked.astype(float) if name == "untouched" else None
        found[name] = rater_behavior.share(
            flags * (ranked if name == "untouched" else 1), item, whole, **again
        )
    found |= _speed(data, work, **again)
    stated = np.asarray([j.strength or 0 for j in judged])
    for s in (1, 2, 3, 4):
        found[f"strength_{s}"] = rater_behavior.share(stated == s, item, (stated > 0).astype(float), **again)
    return found


def gold_measures(
    data: CodedJudgements, chosen: np.ndarray, golds: Golds, *, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Agreement with silent gold, pairwise and exact, and with calibration items."""
    found: dict[str, Estimate] = {}
    for purpose, name in (("gold", "gold_agreement"), ("calibration", "calibration_agreement")):
        judgements, shares, exact = gold_scores(data, chosen & data.chosen(purpose), golds)
        items, decides = data.item[judgements], np.isfinite(shares)
        found[name] = rater_behavior.share(shares[decides], items[decides], resamples=resamples, seed=seed)
        if purpose == "gold":
            found["gold_exact"] = rater_behavior.share(exact, items, resamples=resamples, seed=seed)
    return found


def gold_scores(
    data: CodedJudgements, chosen: np.ndarray, golds: Golds
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Judgements of items with gold: their places, the share ordered alike, whether they match exactly.

    The share is NaN where gold ties all answers (``gold.gold_score``).
    """
    rows = []
    for i in np.flatnonzero(chosen):
        j = data.judged[i]
        score = gold_score(j.groups, golds.get(j.item, ()))
        if score is not None:
            rows.append((i, np.nan if score.share is None else score.share, score.exact))
    if not rows:
        return np.zeros(0, dtype=int), np.zeros(0), np.zeros(0)
    places, shares, exact = zip(*rows)
    return np.asarray(places), np.asarray(shares), np.asarray(exact, dtype=float)


def _speed(data: CodedJudgements, work: np.ndarray, *, resamples: int, seed: int) -> dict[str, Estimate]:
    """Speed, from judgements with a recorded active time."""
    timed = work & np.isfinite(data.seconds)
    seconds, items = data.seconds[timed], data.item[timed]
    quick = rater_behavior.too_quick(seconds, data.shortest[timed])
    again = {"resamples": resamples, "seed": seed}
    return {
        "seconds": rater_behavior.median(seconds, items, **again),
        "words_per_minute": rater_behavior.median(data.words_shown[timed] / (seconds / 60), items, **again),
        "quick": rater_behavior.share(quick, items, **again),
    }
