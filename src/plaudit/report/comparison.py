"""The same run with one thing changed, beside the run itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from plaudit.evaluation.frontier import over_optimisation
from plaudit.report.answers import answer
from plaudit.report.attributes import describe
from plaudit.report.charts import Chart
from plaudit.report.curves import frontier, gold_by_kl, proxy_and_gold
from plaudit.report.folder import Row, Run, Sibling, dig
from plaudit.report.formatting import after, clean, finite, number, percent, words
from plaudit.report.health import examine

EXAMPLES = 3


@dataclass(frozen=True)
class Experiment:
    """What a sibling run changed."""

    title: str
    short: str
    change: str = ""


KNOWN = {
    "leashed": Experiment(
        "As long, on the leash",
        "leashed",
        "As many iterations as without the leash, at the KL coefficient and settings of the run above.",
    ),
    "no-leash": Experiment(
        "Without the leash",
        "no leash",
        "The KL coefficient is 0; everything else is as in the leashed run of the same length.",
    ),
    "biased-raters": Experiment(
        "Biased raters",
        "biased",
        "The raters also like long, flattering and agreeing answers, as people do; everything else is as in the "
        "run above.",
    ),
}


def experiment(sibling: Sibling) -> Experiment:
    name = words(sibling.name)
    return KNOWN.get(sibling.name) or Experiment(name.capitalize(), name[:14])


def _path_sentence(rows: Sequence[Row], run: Run) -> str:
    sft, perfect = finite(run.get("gold", "sft", "mean")), finite(run.get("gold", "perfect", "mean"))
    found = over_optimisation(rows, sft=sft, perfect=perfect)
    gold, proxy = found["gold"], found["proxy"]
    if not gold or not proxy:
        return ""
    sentence = f"The proxy went from {number(proxy['start'])} to {number(proxy['end'])}. Gold "
    if gold["peak_at"] == gold["end_at"]:
        return sentence + f"went from {number(gold['start'])} to {number(gold['end'])} and ended at its peak."
    sentence += (
        f"peaked at {number(gold['peak'])} {after(gold['peak_at'])} and ended at {number(gold['end'])}"
    )
    if found["fall_share"] is not None:
        sentence += f", lower by {percent(found['fall_share'])} of the gap between SFT and perfect"
    return sentence + "."


def _table(run: Run, siblings: Sequence[Sibling]) -> dict[str, Any]:
    """SFT, this run's policy and each sibling's, by the numbers that a changed reward moves."""
    heads = [("SFT", "sft"), (run.title, "trained"), *((experiment(s).title, "hot") for s in siblings)]
    summaries = [(run.summary, "sft"), (run.summary, "trained"), *((s.summary, "trained") for s in siblings)]
    lines: list[tuple[str, list[str]]] = []

    def add(label: str, values: Sequence[Any], form: Any) -> None:
        if sum(finite(v) is not None for v in values) > 1:
            lines.append((label, [form(v) for v in values]))

    add("Gold", [dig(s, "gold", stage, "mean") for s, stage in summaries], number)
    add("Proxy", [dig(s, "proxy", stage, "mean") for s, stage in summaries], number)
    win = [
        dig(s, "win_rate", "trained_vs_sft", "mean") if stage == "trained" else None for s, stage in summaries
    ]
    add("Wins against SFT", win, percent)
    kl = [dig(s, "kl", "exact") if stage == "trained" else None for s, stage in summaries]
    add("Exact KL", kl, number)
    add(
        "Tokens per answer",
        [dig(s, "length", stage, "mean") for s, stage in summaries],
        lambda v: number(v, 1),
    )
    attributes = dig(run.summary, "attributes", "trained")
    for name in attributes if isinstance(attributes, Mapping) else ():
        values = [dig(s, "attributes", stage, name) for s, stage in summaries]
        known = [v for v in map(finite, values) if v is not None]
        if known and all(0 <= v <= 1 for v in known):
            add(describe(str(name)).label, values, percent)
    return {"heads": heads, "lines": lines}


def _examples(run: Run, sibling: Sibling) -> list[dict[str, Any]]:
    """Prompts whose answer lost most gold, this run's beside the sibling's, one of a category."""
    recorded = run.stages["evaluate"].samples if "evaluate" in run.stages else ()
    own = {str(row["prompt"]): row for row in recorded if "prompt" in row}
    found = []
    for row in sibling.samples:
        before = own.get(str(row.get("prompt")))
        if before is None or dig(before, "trained", "text") == dig(row, "trained", "text"):
            continue
        change = (finite(dig(before, "trained", "gold")) or 0.0) - (
            finite(dig(row, "trained", "gold")) or 0.0
        )
        left, right = (
            answer(before.get("trained"), "trained", run.title),
            answer(row.get("trained"), "hot", experiment(sibling).title),
        )
        if left and right:
            found.append((-change, clean(row["prompt"]), [left, right], str(row.get("category") or "")))
    found.sort(key=lambda f: f[:2])
    chosen: list[dict[str, Any]] = []
    seen: set[str] = set()
    for _, prompt, pair, category in found:
        if (category not in seen or not category) and len(chosen) < EXAMPLES:
            seen.add(category)
            chosen.append({"prompt": prompt, "answers": pair})
    return chosen


def _side_by_side(run: Run, sibling: Sibling) -> list[Chart]:
    """Proxy and gold of both runs on one scale, and gold of both against KL."""
    rows, about = run.metrics("trained"), experiment(sibling)
    left, right = proxy_and_gold(rows, "This run"), proxy_and_gold(sibling.metrics, about.title)
    by_kl = gold_by_kl(rows, sibling.metrics, about.short)
    charts = [c for c in (left, right) if c]
    if charts:
        values = [y for c in charts for s in c.series for _, y in s.points]
        charts = [replace(c, y_range=(min(values), max(values))) for c in charts]
    return [*charts, *([by_kl] if by_kl else [])]


def comparison(run: Run) -> dict[str, Any] | None:
    """This run and its siblings on common scales; None where nothing was recorded to show."""
    rows = run.metrics("trained")
    sentence = _path_sentence(rows, run)
    if not run.siblings:
        chart = frontier(rows)
        return {"charts": [chart], "sentence": sentence, "siblings": [], "table": None} if chart else None
    parts = [
        {
            "name": experiment(sibling).title,
            "change": experiment(sibling).change,
            "charts": _side_by_side(run, sibling),
            "sentence": _path_sentence(sibling.metrics, run),
            "findings": examine(sibling.metrics, sibling.summary, run.method, run.title),
            "examples": _examples(run, sibling),
        }
        for sibling in run.siblings
    ]
    return {"charts": [], "sentence": sentence, "siblings": parts, "table": _table(run, run.siblings)}
