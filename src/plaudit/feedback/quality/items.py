"""Tables by item (with its disagreement), by rated attribute, and by gold item."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from plaudit.display.units import Value
from plaudit.feedback.quality.agreement import agreeing_pairs, krippendorff_alpha, pairwise_agreement
from plaudit.feedback.quality.bootstrap import ratio, summed
from plaudit.feedback.quality.measures import gold_scores
from plaudit.feedback.quality.pairs import TIE, CodedJudgements
from plaudit.feedback.quality.records import Golds
from plaudit.feedback.quality.tables import (
    Table,
    TableColumn,
    estimate_columns,
    estimate_values,
    plain,
    table,
)


def item_table(data: CodedJudgements) -> Table:
    """Items with a work judgement, those that divide labelers most first."""
    columns = (
        TableColumn("item", "Item", "text"),
        TableColumn("judgements", "Judgements", "count"),
        TableColumn("rankings", "Rankings", "count", "Judgements that rank the answers."),
        TableColumn(
            "agreement", "Agreement", "share", "Over pairs of answers; a tie agrees by half with a decision."
        ),
        TableColumn("agreement_decided", "Agreement, ties left out", "share"),
        TableColumn("tie_rate", "Ties", "share"),
        TableColumn("not_rankable", "Not rankable", "count"),
        TableColumn("all_bad", "All bad", "count"),
        TableColumn("seconds", "Median seconds", "seconds"),
    )
    size = len(data.items)
    pairs = data.pairs_of(data.counted)
    counts, weights, items = pairs.counts()
    with np.errstate(divide="ignore", invalid="ignore"):
        half = ratio(summed(agreeing_pairs(counts, "half") * weights[:, None], items, size))
        decided = ratio(summed(agreeing_pairs(counts, "excluded") * weights[:, None], items, size))
        tied = np.stack([pairs.weight * (pairs.verdict == TIE), pairs.weight], axis=1)
        ties = ratio(summed(tied, pairs.item, size))
    seen: dict[int, list[int]] = defaultdict(list)
    for i in np.flatnonzero(data.counted):
        seen[int(data.item[i])].append(int(i))
    rows: list[dict[str, Value]] = []
    for item, places in seen.items():
        judged = [data.judged[i] for i in places]
        times = [j.active_ms / 1000 for j in judged if j.active_ms > 0]
        rows.append(
            {
                "item": data.items[item],
                "judgements": len(judged),
                "rankings": sum(bool(j.groups) for j in judged),
                "agreement": plain(half[item]),
                "agreement_decided": plain(decided[item]),
                "tie_rate": plain(ties[item]),
                "not_rankable": sum(j.not_rankable for j in judged),
                "all_bad": sum(j.all_bad for j in judged),
                "seconds": plain(float(np.median(times))) if times else None,
            }
        )
    return table("items", "Items", columns, sorted(rows, key=_most_divided))


def _most_divided(row: dict[str, Value]) -> tuple[float, float, str]:
    agreement, judgements = row["agreement"], row["judgements"]
    lowest = math.inf if agreement is None else float(agreement)
    return lowest, -float(judgements or 0), str(row["item"])


def attribute_table(data: CodedJudgements, *, resamples: int, seed: int) -> Table:
    """Attributes rated in work judgements; a unit is an answer of an item, or the item as a whole."""
    columns = (
        TableColumn("attribute", "Attribute", "text"),
        TableColumn("ratings", "Ratings", "count"),
        TableColumn("labelers", "Labelers", "count"),
        TableColumn("mean", "Mean", "score"),
        *estimate_columns("alpha", "Krippendorff's alpha, ordinal", "score", "0 is chance, 1 is perfect."),
        *estimate_columns("same", "Same value", "share", "Share of two labelers' ratings that are equal."),
    )
    ratings: dict[str, list[Rating]] = defaultdict(list)
    for i in np.flatnonzero(data.counted):
        for name, given in data.judged[i].attributes.items():
            ratings[name] += [(int(data.item[i]), a, int(data.labeler[i]), v) for a, v in given.items()]
    rows = [_attribute(name, given, resamples, seed) for name, given in sorted(ratings.items()) if given]
    return table("attributes", "Rated attributes", columns, rows)


Rating = tuple[int, str, int, int]  # item, answer or "*", labeler, value


def _attribute(name: str, given: list[Rating], resamples: int, seed: int) -> dict[str, Value]:
    units = sorted({(r[0], r[1]) for r in given})
    values = sorted({r[3] for r in given})
    unit, value = {u: n for n, u in enumerate(units)}, {v: n for n, v in enumerate(values)}
    counts = np.zeros((len(units), len(values)))
    for r in given:
        counts[unit[r[0], r[1]], value[r[3]]] += 1
    items = np.asarray([u[0] for u in units])
    weights = 1 / np.bincount(items)[items]  # the answers of an item share its weight
    alpha = krippendorff_alpha(
        counts, level="ordinal", weights=weights, items=items, resamples=resamples, seed=seed
    )
    same = pairwise_agreement(
        counts, ties="category", weights=weights, items=items, resamples=resamples, seed=seed
    )
    return {
        "attribute": name,
        "ratings": len(given),
        "labelers": len({r[2] for r in given}),
        "mean": float(np.mean([r[3] for r in given])),
        **estimate_values("alpha", alpha),
        **estimate_values("same", same),
    }


def _mean(values: np.ndarray) -> float | None:
    """The mean of the finite values; None without any."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def gold_table(data: CodedJudgements, golds: Golds) -> Table:
    """Gold and calibration items, the most often missed first: gold that many miss may itself be wrong."""
    columns = (
        TableColumn("item", "Item", "text"),
        TableColumn("purpose", "Purpose", "text", "gold is silent, calibration shows its answer afterwards"),
        TableColumn("judgements", "Judgements", "count"),
        TableColumn("agreement", "Agreement with gold", "share", "of the pairs that gold decides"),
        TableColumn("exact", "Exactly as gold", "share"),
    )
    rows: list[dict[str, Value]] = []
    for purpose in ("gold", "calibration"):
        judgements, shares, exact = gold_scores(data, data.chosen(purpose), golds)
        items = data.item[judgements]
        for item in np.unique(items):
            mine = items == item
            rows.append(
                {
                    "item": data.items[item],
                    "purpose": purpose,
                    "judgements": int(mine.sum()),
                    "agreement": _mean(shares[mine]),
                    "exact": float(exact[mine].mean()),
                }
            )
    return table("golds", "Gold items", columns, sorted(rows, key=_most_divided))
