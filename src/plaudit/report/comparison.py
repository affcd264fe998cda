"""The same run with one thing changed, beside the run itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from plaudit.audit.run import Row, Run, Sibling, dig
from plaudit.audit.write import findings
from plaudit.display.attributes import vocabulary
from plaudit.display.formatting import after, clean, finite, number, percent, words
from plaudit.display.line_chart import Chart
from plaudit.evaluation.frontier import over_optimization
from plaudit.report.answers import answer
from plaudit.report.curves import frontier, gold_by_kl, proxy_and_gold

EXAMPLES = 3


@dataclass(frozen=True)
class Experiment:
    """What a sibling run changed."""

    title: str
    short: str
    change: str = ""


KNOWN = {
    "leashed": Experiment(
        "As long, with the KL penalty",
        "with penalty",
        "As long as without the KL penalty and on the same rankings, which hold the model’s own answers alone.",
    ),
    "no-leash": Experiment(
        "Without the KL penalty",
        "no penalty",
        "The KL coefficient is 0; everything else is as in the run of the same length with it.",
    ),
    "rounds": Experiment(
        "Hack and repair, in rounds",
        "rounds",
        "The rankings hold the model’s own answers alone and the KL penalty is weak, so that ppo hacks the reward. "
        "ppo-2 goes on from it with the hacked answers ranked alone. ppo-3 starts from SFT again, with the answers of "
        "both ranked beside SFT’s.",
    ),
    "skilled-writers": Experiment(
        "Skilled writers",
        "skilled",
        "The demonstrations are written by people with hardly a habit; everything else is as in the run above. "
        "Where the most frequent answer is good already, imitation at a cool temperature needs no feedback.",
    ),
    "small-beats-large": Experiment(
        "A small model with feedback",
        "small",
        "A model of a quarter of the size is pretrained, imitates the same demonstrations and is trained by PPO "
        "against the reward model of the run above.",
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
    sft, perfect = finite(run.get("gold", "start", "mean")), finite(run.get("gold", "perfect", "mean"))
    found = over_optimization(rows, sft=sft, perfect=perfect)
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
        sentence += f", lower by {percent(found['fall_share'])} of the gap to perfect"
    return sentence + "."


def _table(run: Run, siblings: Sequence[Sibling]) -> dict[str, Any]:
    """The start, this run's end and each sibling's, by the numbers that a changed reward moves."""
    heads = [(run.start, "sft"), (run.title, "trained"), *((experiment(s).title, "hot") for s in siblings)]
    shown = [(run.summary, "start"), (run.summary, "end"), *((s.run.summary, "end") for s in siblings)]
    lines: list[tuple[str, list[str]]] = []

    def add(label: str, values: Sequence[Any], form: Any) -> None:
        if sum(finite(v) is not None for v in values) > 1:
            lines.append((label, [form(v) for v in values]))

    def of_end(*path: str) -> list[Any]:
        return [dig(s, *path) if place == "end" else None for s, place in shown]

    add("Gold", [dig(s, "gold", place, "mean") for s, place in shown], number)
    add("Proxy", [dig(s, "proxy", place, "mean") for s, place in shown], number)
    add(f"Wins against {run.start}", of_end("win_rate", "end_vs_start", "mean"), percent)
    add("Exact KL", of_end("kl", "exact"), number)
    add("Tokens per answer", [dig(s, "length", p, "mean") for s, p in shown], lambda v: number(v, 1))
    spoken = vocabulary(run.get("kind"))
    for name in run.mapping("attributes", "end"):
        values = [dig(s, "attributes", place, name) for s, place in shown]
        known = [v for v in map(finite, values) if v is not None]
        if known and all(0 <= v <= 1 for v in known):
            add(spoken.describe(str(name)).label, values, percent)
    return {"heads": heads, "lines": lines}


def _examples(run: Run, sibling: Sibling) -> list[dict[str, Any]]:
    """Prompts whose answer lost most gold, this run's beside the sibling's, one of a category."""
    end, changed = run.places.get("end", ""), sibling.run.places.get("end", "")
    own = {str(row["prompt"]): row for row in run.samples("evaluate") if "prompt" in row}
    found = []
    for row in sibling.run.samples("evaluate"):
        before = own.get(str(row.get("prompt")))
        if before is None or dig(before, end, "text") == dig(row, changed, "text"):
            continue
        change = (finite(dig(before, end, "gold")) or 0.0) - (finite(dig(row, changed, "gold")) or 0.0)
        left, right = (
            answer(before.get(end), "trained", run.title),
            answer(row.get(changed), "hot", experiment(sibling).title),
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
    rows, about = run.metrics("end"), experiment(sibling)
    left, right = proxy_and_gold(rows, "This run"), proxy_and_gold(sibling.run.metrics("end"), about.title)
    by_kl = gold_by_kl(rows, sibling.run.metrics("end"), about.short)
    charts = [c for c in (left, right) if c]
    if charts:
        values = [y for c in charts for s in c.series for _, y in s.points]
        charts = [replace(c, y_range=(min(values), max(values))) for c in charts]
    return [*charts, *([by_kl] if by_kl else [])]


def comparison(run: Run) -> dict[str, Any] | None:
    """This run and its siblings on common scales; None where nothing was recorded to show."""
    rows = run.metrics("end")
    sentence = _path_sentence(rows, run)
    if not run.siblings:
        chart = frontier(rows)
        return {"charts": [chart], "sentence": sentence, "siblings": [], "table": None} if chart else None
    parts = [
        {
            "name": experiment(sibling).title,
            "change": experiment(sibling).change,
            "charts": _side_by_side(run, sibling),
            "sentence": _path_sentence(sibling.run.metrics("end"), run),
            "findings": findings(sibling.run),
            "examples": _examples(run, sibling),
        }
        for sibling in run.siblings
    ]
    return {"charts": [], "sentence": sentence, "siblings": parts, "table": _table(run, run.siblings)}
