"""What a cooler temperature alone does to the answers: learning or sharpening, as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.audit.caveats import sharpening
from plaudit.audit.run import Run, dig
from plaudit.display.formatting import count, finite, number, of_n, percent, span, temperature
from plaudit.display.interval_figure import Estimated, interval_rows
from plaudit.report.quality import percent_span


def best_temperature(run: Run) -> dict[str, Any] | None:
    """What a cooler temperature alone does: by gold, by a judge's wins, or without either by the reward, greedily.

    ``measure`` names which of the three.
    """
    best = run.mapping("best_temperature")
    if not best:
        return _sampled_and_greedy(run)
    if run.get("gold") is None:
        return _best_by_wins(run, best)
    usual = temperature(run.get("temperature"))
    note = "its best" if run.own_best() is not None else f"best for {run.start}"
    perfect = finite(run.get("gold", "perfect", "mean"))
    found = interval_rows(
        [
            Estimated(f"{run.start} at T = {usual}", "sft", run.get("gold", "start")),
            Estimated(f"{run.start} {run.best_at('start')}", "sft", best.get("start"), note="its best"),
            Estimated(f"{run.title} at T = {usual}", "trained", run.get("gold", "end")),
            Estimated(f"{run.title} {run.best_at('end')}", "trained", best.get("end"), note=note),
        ],
        format=number,
        spread=span,
        reference=(perfect, "perfect") if perfect is not None else None,
    )
    if not found:
        return None
    closed = best.get("gap_closed")
    known = finite(dig(closed, "mean")) is not None
    return {
        **found,
        "measure": "gold",
        "sentence": sharpening(run),
        "closed": f"{percent(dig(closed, 'mean'))} ({percent_span(closed)})" if known else "",
    }


def _best_by_wins(run: Run, best: Mapping[str, Any]) -> dict[str, Any] | None:
    """Win rates over the start: of itself at its best temperature, of the end, and of both at their best."""
    usual = f"T = {temperature(run.get('temperature'))}"
    found = interval_rows(
        [
            Estimated(
                f"{run.start} {run.best_at('start')}",
                "sft",
                best.get("sharpening"),
                note=f"against it at {usual}",
            ),
            Estimated(
                f"{run.title} at {usual}",
                "trained",
                run.get("win_rate", "end_vs_start"),
                note=f"against {run.start} at {usual}",
            ),
            Estimated(
                f"{run.title} {run.best_at('end')}",
                "trained",
                best.get("win_rate"),
                note=f"against {run.start} {run.best_at('start')}",
            ),
        ],
        format=percent,
        spread=lambda value: ", ".join(filter(None, (percent_span(value), of_n(run.get("prompts"))))),
        domain=(0.0, 1.0),
        reference=(0.5, "no difference"),
    )
    return {**found, "measure": "wins", "sentence": sharpening(run), "closed": ""} if found else None


def _sampled_and_greedy(run: Run) -> dict[str, Any] | None:
    """The reward of sampled and of greedy answers, where nothing could judge them."""
    usual, greedy = temperature(run.get("temperature")), run.mapping("greedy", "proxy")
    rows = [
        Estimated(f"{label} {at}", tone, value)
        for label, tone, place in ((run.start, "sft", "start"), (run.title, "trained", "end"))
        for at, value in ((f"at T = {usual}", run.get("proxy", place)), ("greedily", greedy.get(place)))
    ]
    found = interval_rows(rows, format=number, spread=span) if greedy else None
    if not found:
        return None
    finished = [finite(run.get("greedy", "length", place, "finished")) for place in ("start", "end")]
    sentence = "Nothing judges the answers, so no best temperature can be chosen."
    if None not in finished:
        sentence += (
            f" Decoded greedily, {percent(finished[0])} of {run.start}’s and {percent(finished[1])} of {run.title}’s "
            f"{count(run.get('prompts'))} answers end by themselves."
        )
    return {**found, "measure": "reward", "sentence": sentence, "closed": ""}
