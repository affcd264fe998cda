"""Everything the page shows, computed: the template only lays it out."""

from __future__ import annotations

from typing import Any

from plaudit.report import quality, record
from plaudit.report.answers import cards, training_samples
from plaudit.report.charts import Chart, svg
from plaudit.report.comparison import comparison
from plaudit.report.curves import direct_charts, earlier_charts, rl_charts, table
from plaudit.report.folder import Run
from plaudit.report.formatting import clean
from plaudit.report.glossary import GLOSSARY
from plaudit.report.health import RULES, examine
from plaudit.report.verdict import verdict


def drawn(chart: Chart) -> dict[str, Any]:
    """A chart with its drawing and its numbers."""
    return {"chart": chart, "svg": svg(chart), "table": table(chart)}


def view(run: Run) -> dict[str, Any]:
    """The context of the page's template."""
    compared = comparison(run)
    for part in [compared, *compared["siblings"]] if compared else []:
        part["charts"] = [drawn(c) for c in part["charts"]]
    return {
        "name": clean(run.summary.get("name") or run.record.get("name") or "run"),
        "facts": record.facts(run),
        "start": run.start,
        "trained": run.title,
        "judge": run.get("judge"),
        "no_gold": "" if run.get("gold") else clean(run.get("gold_reason") or ""),
        "scale": quality.gold_scale(run),
        "verdict": verdict(run),
        "figures": quality.figures(run),
        "findings": examine(run.metrics("trained"), run.summary, run.method, run.title),
        "rule_count": len(RULES),
        "checks": record.checks(run),
        "answers": cards(run),
        "wins": quality.wins(run),
        "attributes": quality.attributes(run),
        "best": quality.best_temperature(run),
        "curves": [
            drawn(c) for c in (*rl_charts(run.metrics("trained")), *direct_charts(run.metrics("trained")))
        ],
        "training_samples": training_samples(run),
        "earlier": [drawn(c) for c in earlier_charts(run)],
        "reward": quality.reward_model(run),
        "length": quality.length(run),
        "comparison": compared,
        "time": record.time(run),
        "labels": record.labels(run),
        "settings": record.settings(run),
        "versions": record.versions(run),
        "glossary": GLOSSARY,
    }
