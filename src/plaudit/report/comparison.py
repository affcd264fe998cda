"""The same run with one thing changed, beside the run itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from plaudit.evaluation.frontier import over_optimisation
from plaudit.report.answers import answer
from plaudit.report.attributes import describe
from plaudit.report.charts import Chart
from plaudit.report.curves import frontier, proxy_and_gold
from plaudit.report.folder import Row, Run, Sibling, dig
from plaudit.report.formatting import clean, finite, number, percent, words
from plaudit.report.health import examine

KNOWN = {
    "no-leash": ("Without the leash", "The KL coefficient is 0; everything else is as in the run above."),
    "biased-raters": (
        "Biased raters",
        "The raters also like long, flattering and agreeing answers, as people do; everything else is as above.",
    ),
}
EXAMPLES = 3


def title(sibling: Sibling) -> tuple[str, str]:
    return KNOWN.get(sibling.name, (words(sibling.name).capitalize(), ""))


def _range(charts: Sequence[Chart]) -> tuple[float, float]:
    values = [y for c in charts for s in c.series for _, y in s.points]
    return min(values), max(values)


def _path_sentence(rows: Sequence[Row], run: Run) -> str:
    found = over_optimisation(
        rows, sft=finite(run.get("gold", "sft", "mean")), perfect=finite(run.get("gold", "perfect", "mean"))
    )
    gold, proxy = found["gold"], found["proxy"]
    if not gold or not proxy:
        return ""
    sentence = (
        f"The proxy went from {number(proxy['start'])} to {number(proxy['end'])}. Gold peaked at "
        f"{number(gold['peak'])} after {gold['peak_at']} updates and ended at {number(gold['end'])}"
    )
    if found["fall_share"] is not None:
        sentence += f", a fall of {percent(found['fall_share'])} of the gap between SFT and perfect"
    return sentence + "."


def _table(run: Run, siblings: Sequence[Sibling]) -> dict[str, Any]:
    """SFT, this run's PPO and each sibling's PPO, by the numbers that a changed reward moves."""
    heads = ["SFT", "PPO", *(title(s)[0] for s in siblings)]
    summaries = [(run.summary, "sft"), (run.summary, "ppo"), *((s.summary, "ppo") for s in siblings)]
    lines: list[tuple[str, list[str]]] = []

    def add(label: str, values: Sequence[Any], form: Any) -> None:
        if sum(finite(v) is not None for v in values) > 1:
            lines.append((label, [form(v) for v in values]))

    add("Gold", [dig(s, "gold", stage, "mean") for s, stage in summaries], number)
    add("Proxy", [dig(s, "proxy", stage, "mean") for s, stage in summaries], number)
    win = [dig(s, "win_rate", "ppo_vs_sft", "mean") if stage == "ppo" else None for s, stage in summaries]
    add("Wins against SFT", win, percent)
    kl = [dig(s, "kl", "exact") if stage == "ppo" else None for s, stage in summaries]
    add("Exact KL", kl, number)
    add(
        "Tokens per answer",
        [dig(s, "length", stage, "mean") for s, stage in summaries],
        lambda v: number(v, 1),
    )
    attributes = dig(run.summary, "attributes", "ppo")
    for name in attributes if isinstance(attributes, Mapping) else ():
        values = [dig(s, "attributes", stage, name) for s, stage in summaries]
        known = [v for v in map(finite, values) if v is not None]
        if known and all(0 <= v <= 1 for v in known):
            add(describe(name).label, values, percent)
    return {"heads": heads, "lines": lines}


def _examples(run: Run, sibling: Sibling) -> list[dict[str, Any]]:
    """Prompts whose PPO answer changed most by gold, this run's beside the sibling's."""
    own = {
        r["prompt"]: r
        for r in (run.stages["evaluate"].samples if "evaluate" in run.stages else ())
        if "prompt" in r
    }
    found = []
    for row in sibling.samples:
        before = own.get(row.get("prompt"))
        if before is None or dig(before, "ppo", "text") == dig(row, "ppo", "text"):
            continue
        change = (finite(dig(before, "ppo", "gold")) or 0.0) - (finite(dig(row, "ppo", "gold")) or 0.0)
        pair = [answer(before.get("ppo"), "ppo", "PPO"), answer(row.get("ppo"), "hot", title(sibling)[0])]
        if all(pair):
            found.append((-change, clean(row["prompt"]), pair, str(row.get("category") or "")))
    found.sort(key=lambda f: f[:2])
    chosen: list[dict[str, Any]] = []
    seen: set[str] = set()
    for _, prompt, pair, category in found:
        if category not in seen and len(chosen) < EXAMPLES:
            seen.add(category)
            chosen.append({"prompt": prompt, "answers": pair})
    return chosen


def comparison(run: Run) -> dict[str, Any] | None:
    """This run and its siblings on common scales; None where there is nothing to lay side by side."""
    rows = run.metrics("ppo")
    own = [c for c in (proxy_and_gold(rows, "This run"), frontier(rows, "This run, by KL")) if c]
    if not run.siblings:
        return (
            {"charts": own, "sentence": _path_sentence(rows, run), "siblings": [], "table": None}
            if own
            else None
        )
    parts = []
    for sibling in run.siblings:
        name, change = title(sibling)
        pairs = [
            (proxy_and_gold(rows, "This run"), proxy_and_gold(sibling.metrics, name)),
            (frontier(rows, "This run, by KL"), frontier(sibling.metrics, f"{name}, by KL")),
        ]
        charts: list[Chart] = []
        for left, right in pairs:
            if left and right:
                both = _range([left, right])
                charts += [_with_range(left, both), _with_range(right, both)]
            elif right:
                charts.append(right)
        parts.append(
            {
                "name": name,
                "change": change,
                "charts": charts,
                "sentence": _path_sentence(sibling.metrics, run),
                "findings": examine(sibling.metrics, sibling.summary),
                "examples": _examples(run, sibling),
            }
        )
    return {
        "charts": [],
        "sentence": _path_sentence(rows, run),
        "siblings": parts,
        "table": _table(run, run.siblings),
    }


def _with_range(chart: Chart, y_range: tuple[float, float]) -> Chart:
    return replace(chart, y_range=y_range)
