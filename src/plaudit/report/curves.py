"""The training curves of a run, as charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plaudit.audit.findings import series
from plaudit.audit.run import Row, Run
from plaudit.display.formatting import number, percent
from plaudit.display.line_chart import Chart, Series
from plaudit.evaluation.frontier import points

MOST_POINTS = 240
KL_AXIS = "KL, nats per response (√ scale)"


def _digits(digits: int) -> dict[str, Any]:
    return {"y_format": lambda v: number(v, digits)}


SHARE: dict[str, Any] = {"y_format": percent, "y_range": (0.0, 1.0)}
ZERO: dict[str, Any] = {"include_zero": True}
# Title, key of metrics.jsonl, label, tone, term of the glossary, and how the chart is drawn.
DIAGNOSTICS: tuple[tuple[str, str, str, str, str, dict[str, Any]], ...] = (
    ("Total reward", "objective/rlhf_reward", "total reward", "trained", "rlhf_reward", {}),
    ("Entropy", "objective/entropy", "entropy", "trained", "entropy", ZERO),
    ("Response length", "objective/response_length", "tokens", "trained", "length", ZERO | _digits(1)),
    ("Finished answers", "objective/finished", "finished", "trained", "finished", SHARE),
    (
        *("Scores above 99% of the training answers", "reward/above_training", "share of samples", "hot"),
        *("above_training", SHARE),
    ),
    ("Disagreement of the members", "reward/disagreement", "times the usual", "reward", "disagreement", ZERO),
    ("Groups without spread", "group/zero_variance", "share of prompts", "hot", "zero_variance", SHARE),
    (
        *("Clip fraction", "policy/clipfrac", "clip fraction", "trained", "clip_fraction"),
        ZERO | {"y_format": lambda v: percent(v, 1)},
    ),
    (
        *("Approximate KL of an update", "policy/approxkl", "approximate KL", "trained", "approx_kl"),
        ZERO | _digits(4),
    ),
    ("Value loss", "val/loss", "value loss", "reward", "value_loss", ZERO),
    ("Explained variance", "val/var_explained", "explained variance", "reward", "explained_variance", ZERO),
    ("KL coefficient", "objective/kl_coef", "β", "trained", "kl_coef", ZERO | _digits(4)),
)


def thin(found: Sequence[Any]) -> list[Any]:
    """At most ``MOST_POINTS`` of them, evenly, first and last kept: a long run's curve stays a small file."""
    if len(found) <= MOST_POINTS:
        return list(found)
    last = len(found) - 1
    return [found[round(i * last / (MOST_POINTS - 1))] for i in range(MOST_POINTS)]


def band(rows: Sequence[Row], low: str, high: str) -> list[tuple[float, float, float]]:
    """(step, low, high) where both were recorded."""
    lows, highs = dict(series(rows, low)), dict(series(rows, high))
    return thin([(step, lows[step], highs[step]) for step in lows if step in highs])


def _line(
    rows: Sequence[Row], key: str, label: str, tone: str, *, dashed: bool = False, spread: bool = False
) -> Series | None:
    found = thin(series(rows, key))
    if not found:
        return None
    edges = band(rows, f"{key}_low", f"{key}_high") if spread else []
    return Series(label, tone, found, edges, dashed=dashed)


def _chart(
    title: str, lines: Sequence[Series | None], x_label: str = "iteration", **options: Any
) -> Chart | None:
    known = [line for line in lines if line is not None]
    return Chart(title, x_label, known, **options) if known else None


def rl_charts(rows: Sequence[Row]) -> list[Chart]:
    """Score and KL with their ranges first, then the diagnostics of the optimization."""
    first = [
        _chart(
            "Score",
            [_line(rows, "objective/scores", "score", "reward", spread=True)],
            note="Mean of the sampled answers; the band holds the middle 80%.",
            term="score",
        ),
        _chart(
            "KL from the start",
            [
                _line(rows, "objective/kl", "KL", "trained", spread=True),
                _line(rows, "objective/kl_k3", "k3", "muted", dashed=True),
            ],
            note="Nats per response; the band holds the middle 80% of answers.",
            term="kl",
            **ZERO,
        ),
        proxy_and_gold(rows),
    ]
    fixed = len({v for _, v in series(rows, "objective/kl_coef")}) < 2
    charts = first + [
        _chart(title, [_line(rows, key, label, tone)], term=term, **options)
        for title, key, label, tone, term, options in DIAGNOSTICS
        if not (fixed and term == "kl_coef")
    ]
    return [c for c in charts if c is not None]


def direct_charts(rows: Sequence[Row]) -> list[Chart]:
    """What methods without a reward model record: log-probs of both sides apart, then their implicit rewards."""

    def both(key: str, title: str, term: str, note: str = "") -> Chart | None:
        lines = [
            _line(rows, f"{key}/chosen", "preferred", "trained"),
            _line(rows, f"{key}/rejected", "rejected", "hot"),
        ]
        return _chart(title, lines, "step", note=note, term=term)

    charts = [
        both(
            "logps",
            "Log-probs of the answers",
            "log_prob",
            "Nats per answer. Both may fall: see the warning signs.",
        ),
        both("rewards", "Implicit rewards", "implicit_reward"),
        _chart(
            "Implicit reward accuracy",
            [
                _line(rows, "rewards/accuracy", "training", "trained"),
                _line(rows, "eval/rewards/accuracy", "held out", "ink", dashed=True),
            ],
            "step",
            y_format=percent,
            term="implicit_reward",
        ),
        _chart(
            "KL estimate of KTO", [_line(rows, "kto/kl", "z", "reward")], "step", include_zero=True, term="kl"
        ),
    ]
    return [c for c in charts if c is not None]


def proxy_and_gold(rows: Sequence[Row], title: str = "Proxy and gold", **options: Any) -> Chart | None:
    """What training raises beside what it should raise, each value at the policy it belongs to."""
    found = points(rows)
    gold = [(float(p.updates), p.gold) for p in found if p.gold is not None]
    if len(gold) < 2:
        return None
    proxy = [(float(p.updates), p.proxy) for p in found if p.proxy is not None]
    return Chart(
        title,
        "updates made",
        [Series("proxy", "reward", thin(proxy)), Series("gold", "gold", thin(gold), dots=len(gold) < 40)],
        note="Gold is measured on validation prompts; training never sees it.",
        term="over_optimization",
        **options,
    )


def _by_kl(rows: Sequence[Row], name: str) -> list[tuple[float, float]]:
    """(KL, proxy or gold) of every policy that has both; an estimate of KL below 0 is drawn at 0."""
    found = [(p.kl, getattr(p, name)) for p in points(rows)]
    return thin([(max(kl, 0.0), value) for kl, value in found if kl is not None and value is not None])


def frontier(rows: Sequence[Row]) -> Chart | None:
    """Proxy and gold of one run against the KL that they cost."""
    proxy, gold = _by_kl(rows, "proxy"), _by_kl(rows, "gold")
    if len(proxy) < 2:
        return None
    lines = [Series("proxy", "reward", proxy, dots=True)]
    lines += [Series("gold", "gold", gold, dots=True)] if gold else []
    return Chart("Reward by KL", KL_AXIS, lines, square_root=True, note="Each dot is one policy.", term="kl")


def gold_by_kl(rows: Sequence[Row], changed: Sequence[Row], label: str) -> Chart | None:
    """What each nat of KL bought in gold: a run beside a changed one."""
    own, other = _by_kl(rows, "gold"), _by_kl(changed, "gold")
    if not own or not other:
        return None
    lines = [Series("this run", "trained", own, dots=True), Series(label, "hot", other, dots=True)]
    return Chart("Gold by KL", KL_AXIS, lines, square_root=True, note="Each dot is one policy.", term="kl")


def earlier_charts(run: Run) -> list[Chart]:
    """Loss of every step that learned from records, held-out loss beside it, pair accuracy where there are pairs."""
    charts: list[Chart | None] = []
    for step, facts in run.steps.items():
        if facts["preference"]:
            continue
        title, tone, rows = run.step_title(step), str(facts["tone"]), run.metrics(step)
        held = series(rows, "eval/loss")
        lines = [_line(rows, "loss", "training", tone)]
        if len(held) > 1:
            lines.append(_line(rows, "eval/loss", "held out", "ink", dashed=True))
        note = f"Held-out loss at the end: {number(held[-1][1], 3)}." if len(held) == 1 else ""
        charts.append(_chart(f"{title}: loss", lines, "step", note=note, term="loss"))
        held = series(rows, "eval/accuracy")
        lines = [_line(rows, "accuracy", "training", tone)]
        if len(held) > 1:
            lines.append(_line(rows, "eval/accuracy", "held out", "ink", dashed=True))
        note = f"Held-out accuracy at the end: {percent(held[-1][1], 1)}." if len(held) == 1 else ""
        charts.append(
            _chart(f"{title}: accuracy on pairs", lines, "step", y_format=percent, note=note, term="accuracy")
        )
    return [c for c in charts if c is not None]


def table(chart: Chart, rows: int = 24) -> dict[str, Any]:
    """The chart's numbers for reading: at most ``rows`` of them, evenly spaced."""
    xs = sorted({x for s in chart.series for x, _ in s.points})
    if len(xs) > rows:
        xs = [xs[round(i * (len(xs) - 1) / (rows - 1))] for i in range(rows)]
    columns = [dict(s.points) for s in chart.series]
    return {
        "head": [chart.x_label, *(s.label for s in chart.series)],
        "rows": [
            [
                number(x, 0 if x == int(x) else 2),
                *(chart.y_format(c[x]) if x in c else "" for c in columns),
            ]
            for x in xs
        ],
    }
