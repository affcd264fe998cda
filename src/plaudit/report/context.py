"""The context of the report's template: everything the page shows, computed."""

from __future__ import annotations

from typing import Any

from plaudit.audit.health import RULES
from plaudit.audit.run import Run
from plaudit.audit.verdict import verdict
from plaudit.audit.write import findings
from plaudit.display.formatting import clean
from plaudit.display.glossary import glossary_of
from plaudit.display.line_chart import Chart, svg
from plaudit.report import provenance, quality
from plaudit.report.answers import cards, training_samples
from plaudit.report.audit import audited
from plaudit.report.comparison import comparison
from plaudit.report.curves import direct_charts, earlier_charts, rl_charts, table
from plaudit.report.graph_picture import graph_picture
from plaudit.report.judged import judged_beside
from plaudit.report.reward_models import reward_models
from plaudit.report.temperatures import best_temperature


def drawn(chart: Chart) -> dict[str, Any]:
    """A chart with its drawing and its numbers."""
    return {"chart": chart, "svg": svg(chart), "table": table(chart)}


def training(run: Run, step: str) -> dict[str, Any] | None:
    """The curves of one step that learned from preferences or rewards."""
    rows = run.metrics(step)
    charts = [drawn(c) for c in (*rl_charts(rows), *direct_charts(rows))]
    samples = training_samples(run, step)
    title = run.step_title(step)
    return {"title": title, "curves": charts, "samples": samples} if charts or samples else None


def page_context(run: Run) -> dict[str, Any]:
    """The context of the page's template."""
    compared = comparison(run)
    trainings = [t for step in run.trained if (t := training(run, step))]
    for part in [compared, *compared["siblings"]] if compared else []:
        part["charts"] = [drawn(c) for c in part["charts"]]
    audit = audited(run)
    if audit and audit["forecast"]:
        audit["forecast"]["charts"] = [drawn(c) for c in audit["forecast"]["charts"]]
    return {
        "name": clean(run.summary.get("name") or run.record.get("name") or "run"),
        "facts": provenance.facts(run),
        "start": run.start,
        "trained": run.title,
        "judge": run.get("judge"),
        "no_gold": "" if run.get("gold") else clean(run.get("gold_reason") or ""),
        "scale": quality.gold_scale(run),
        "verdict": verdict(run),
        "figures": quality.figures(run),
        "findings": findings(run),
        "step_titles": {n: run.step_title(n) for n in run.steps} if len(run.trained) > 1 else {},
        "rule_count": len(RULES),
        "checks": provenance.checks(run),
        "answers": cards(run),
        "wins": quality.wins(run),
        "judged": judged_beside(run),
        "attributes": quality.attributes(run),
        "best": best_temperature(run),
        "trainings": trainings,
        "unrecorded": bool(run.trained) and not trainings,
        "graph": graph_picture(run),
        "earlier": [drawn(c) for c in earlier_charts(run)],
        "reward": reward_models(run),
        "length": quality.length(run),
        "audit": audit,
        "comparison": compared,
        "time": provenance.time(run),
        "exported": provenance.exported(run),
        "labels": provenance.labels(run),
        "other_code": provenance.other_code(run),
        "settings": provenance.settings(run),
        "versions": provenance.versions(run),
        "glossary": glossary_of(run.get("kind")),
    }
