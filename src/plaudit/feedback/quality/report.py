"""Label quality of a project as tables: the project, its labelers, items, models, attributes and gold items.

A number here informs people. None of them blocks a labeler or deletes a judgement: dropping the labels of those who
agree less did not help reward models (Stiennon et al. 2020 appendix C.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from plaudit.display.units import Value
from plaudit.feedback.quality import agreement
from plaudit.feedback.quality.bootstrap import RESAMPLES, Estimate, estimate
from plaudit.feedback.quality.items import attribute_table, gold_table, item_table
from plaudit.feedback.quality.labelers import Meetings, alike_of_says, kappa_of_says, meetings
from plaudit.feedback.quality.measures import MEASURES, OWN, own_measures
from plaudit.feedback.quality.pairs import CodedJudgements, coded_judgements
from plaudit.feedback.quality.records import Golds, JudgementRecord, RatedAnswer
from plaudit.feedback.quality.references import REFERENCES, span
from plaudit.feedback.quality.strengths import Strengths, strengths
from plaudit.feedback.quality.tables import (
    Table,
    TableColumn,
    Unit,
    estimate_columns,
    estimate_values,
    plain,
    table,
)


@dataclass(frozen=True, slots=True)
class Quality:
    """The tables of a project; each has plain values, None where not defined."""

    project: Table
    labelers: Table
    pairs: Table
    models: Table
    wins: Table
    items: Table
    attributes: Table
    golds: Table

    def tables(self) -> dict[str, Table]:
        """All tables by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def quality(
    judged: Sequence[JudgementRecord],
    answers: Mapping[str, RatedAnswer],
    golds: Golds,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Quality:
    """Every statistic of a labeling project, computed once.

    Work judgements enter, also those beyond the overlap that was asked for, each labeler's first of an item; gold,
    calibration and repeats have measures of their own. Intervals are 95 %, over items. Raises ValueError where a
    judgement does not fit ``answers`` (see ``coded``).
    """
    data = coded_judgements(judged, answers)
    met = meetings(data.pairs_of(data.counted))
    between = _between(met, resamples, seed)
    found = strengths(data.pairs_of(data.counted), data.answers, resamples=resamples, seed=seed)
    return Quality(
        project=_project(data, golds, resamples, seed),
        labelers=_labelers(data, golds, met, between, resamples, seed),
        pairs=_pairs(data, between),
        models=_models(found),
        wins=_wins(found),
        items=item_table(data),
        attributes=attribute_table(data, resamples=resamples, seed=seed),
        golds=gold_table(data, golds),
    )


def _project(data: CodedJudgements, golds: Golds, resamples: int, seed: int) -> Table:
    again: Any = {"resamples": resamples, "seed": seed}
    counts, weights, items = data.pairs_of(data.counted).counts()
    both, half, twice = agreement.mirrored(counts, weights, items)
    # AC1 asks how many verdicts there could have been: where nobody tied, ties were hardly offered.
    possible = both if both[:, 1].any() else both[:, ::2]
    found = {
        "agreement": agreement.pairwise_agreement(counts, weights=weights, items=items, **again),
        "agreement_with_ties": agreement.pairwise_agreement(
            counts, ties="category", weights=weights, items=items, **again
        ),
        "kappa": agreement.fleiss_kappa(both, weights=half, items=twice, **again),
        "ac1": agreement.gwet_ac1(possible, weights=half, items=twice, **again),
        "alpha": agreement.krippendorff_alpha(
            both, level="interval", values=(0, 0.5, 1), weights=half, items=twice, **again
        ),
        **own_measures(data, np.ones(len(data.judged), dtype=bool), golds, **again),
    }
    columns = (
        TableColumn("measure", "Measure", "text"),
        TableColumn("title", "Title", "text"),
        TableColumn("unit", "Unit", "text", "What the values are: a share is between 0 and 1."),
        TableColumn("value", "Value", "score"),
        TableColumn("low", "From", "score", "Lower end of the 95 % interval.", of="value"),
        TableColumn("high", "To", "score", "Upper end of the 95 % interval.", of="value"),
        TableColumn(
            "n", "Items", "count", "How many items (for counts: judgements) it rests on.", of="value"
        ),
        TableColumn(
            "reference_low", "Published, from", "score", "The lowest value that the literature reports."
        ),
        TableColumn(
            "reference_high", "Published, to", "score", "The highest value that the literature reports."
        ),
        TableColumn("reference", "Published", "text", "What was measured, and where it is reported."),
        TableColumn("help", "Meaning", "text"),
    )
    return table("project", "The project", columns, [*_counts(data), *_project_rows(found)])


def _counts(data: CodedJudgements) -> Iterator[dict[str, Value]]:
    several = np.bincount(data.item[data.counted], minlength=len(data.items)) > 1
    rows: tuple[tuple[str, str, int, str], ...] = (
        ("judgements", "Judgements", len(data.judged), "All of them, whatever their purpose."),
        ("work", "Work judgements", int(data.counted.sum()), "What enters agreement: each labeler's first."),
        (
            "surplus",
            "Surplus judgements",
            sum(data.judged[i].surplus for i in np.flatnonzero(data.counted)),
            "Work judgements beyond the overlap that was asked for. They count like all others.",
        ),
        ("labelers", "Labelers", len(data.labelers), ""),
        ("items", "Items", len(np.unique(data.item[data.counted])), "Items with a work judgement."),
        ("items_shared", "Shared items", int(several.sum()), "Items that two or more labelers judged."),
    )
    for name, title, value, text in rows:
        yield {"measure": name, "title": title, "unit": "count", "value": value, "help": text}


def _project_rows(found: Mapping[str, Estimate]) -> Iterator[dict[str, Value]]:
    for name, m in MEASURES.items():
        e, published = found[name], span(name) or (None, None)
        yield {
            "measure": name,
            "title": m.title,
            "unit": m.unit,
            "value": plain(e.value),
            "low": plain(e.low),
            "high": plain(e.high),
            "n": e.n,
            "reference_low": published[0],
            "reference_high": published[1],
            "reference": "; ".join(f"{r.what} ({r.source})" for r in REFERENCES.get(name, ())) or None,
            "help": m.help,
        }


Between = list[tuple[int, int, Estimate, Estimate]]  # two labelers, their κ, their agreement


def _between(met: Meetings, resamples: int, seed: int) -> Between:
    return [
        (
            a,
            b,
            estimate(kappa_of_says, says, resamples=resamples, seed=seed),
            alike_of_says(says, resamples=resamples, seed=seed),
        )
        for a, b, says in met.each()
    ]


def _labelers(
    data: CodedJudgements, golds: Golds, met: Meetings, between: Between, resamples: int, seed: int
) -> Table:
    count: Unit = "count"
    columns = [
        TableColumn("labeler", "Labeler", "text"),
        TableColumn("judgements", "Judgements", count, "All of them, whatever their purpose."),
        TableColumn("work", "Work", count, "Work judgements, the first of each item."),
        TableColumn("surplus", "Surplus", count, "Work judgements beyond the overlap that was asked for."),
        TableColumn("gold", "Gold", count),
        TableColumn("calibration", "Calibration", count),
        TableColumn("repeat", "Repeats", count),
        TableColumn("colleagues", "Colleagues", count, "How many others judged some of the same items."),
        TableColumn(
            "kappa", "Mean kappa", "score", "Cohen's kappa with each colleague, weighted by shared items."
        ),
    ]
    for name in ("agreement", *OWN):
        m = MEASURES[name]
        columns += estimate_columns(m.name, m.title, m.unit, m.help)
    rows = []
    for number, name in enumerate(data.labelers):
        mine = data.labeler == number
        kappas = [(k.value, k.n) for a, b, k, _ in between if number in (a, b) and np.isfinite(k.value)]
        found = {
            "agreement": met.agreement_of(number, resamples=resamples, seed=seed),
            **own_measures(data, mine, golds, resamples=resamples, seed=seed),
        }
        row: dict[str, Value] = {
            "labeler": name,
            "judgements": int(mine.sum()),
            "work": int((mine & data.counted).sum()),
            "surplus": sum(data.judged[i].surplus for i in np.flatnonzero(mine & data.counted)),
            **{p: int((mine & data.chosen(p)).sum()) for p in ("gold", "calibration", "repeat")},
            "colleagues": sum(number in (a, b) for a, b, _, _ in between),
            "kappa": sum(k * n for k, n in kappas) / sum(n for _, n in kappas) if kappas else None,
        }
        for measure, e in found.items():
            row |= estimate_values(measure, e)
        rows.append(row)
    return table("labelers", "Labelers", columns, rows)


def _pairs(data: CodedJudgements, between: Between) -> Table:
    columns = (
        TableColumn("labeler", "Labeler", "text"),
        TableColumn("colleague", "Colleague", "text"),
        *estimate_columns(
            "kappa", "Cohen's kappa", "score", "Over pairs of answers, ties as a third verdict."
        ),
        *estimate_columns("agreement", "Agreement", "share", MEASURES["agreement"].help),
    )
    rows: list[dict[str, Value]] = [
        {
            "labeler": data.labelers[a],
            "colleague": data.labelers[b],
            **estimate_values("kappa", kappa),
            **estimate_values("agreement", alike),
        }
        for a, b, kappa, alike in between
    ]
    return table("pairs", "Labelers with each other", columns, rows)


def _models(found: Strengths | None) -> Table:
    columns = (
        TableColumn("model", "Model", "text"),
        *estimate_columns("log_odds", "Strength", "log odds", "Bradley–Terry; the mean over models is 0."),
        *estimate_columns("win_rate", "Expected win rate", "share", "Against another model drawn at random."),
        TableColumn("comparisons", "Comparisons", "count", "Pairs of answers in which the model took part."),
        TableColumn(
            "group",
            "Group",
            "count",
            "Models of one group reach each other by chains of wins; how far apart groups lie is not known.",
        ),
    )
    rows = [] if found is None else [_model(found, i) for i in range(len(found.models))]
    return table("models", "Models", columns, rows)


def _model(found: Strengths, i: int) -> dict[str, Value]:
    return {
        "model": found.models[i],
        **estimate_values("log_odds", found.log_odds[i]),
        **estimate_values("win_rate", found.win_rate[i]),
        "comparisons": int(found.compared[i].sum()),
        "group": found.group[i],
    }


def _wins(found: Strengths | None) -> Table:
    columns = (
        TableColumn("model", "Model", "text"),
        TableColumn("against", "Against", "text"),
        TableColumn("win_rate", "Win rate", "share", "Observed; a tie is half a win."),
        TableColumn("wins", "Wins", "score", "Weighted: all pairs of one ranking together count one."),
        TableColumn("ties", "Ties", "score", "Weighted in the same way."),
        TableColumn("comparisons", "Comparisons", "count", "Pairs of answers."),
    )
    rows: list[dict[str, Value]] = []
    if found is not None:
        observed = found.observed()
        for i, j in zip(*np.nonzero(found.compared)):
            rows.append(
                {
                    "model": found.models[i],
                    "against": found.models[j],
                    "win_rate": plain(observed[i, j]),
                    "wins": float(found.wins[i, j]),
                    "ties": float(found.ties[i, j]),
                    "comparisons": int(found.compared[i, j]),
                }
            )
    return table("wins", "Who beats whom", columns, rows)
