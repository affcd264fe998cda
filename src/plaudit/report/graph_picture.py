"""The graph of a run as a picture: a box a step, an arrow for everything that it took, with this run's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from plaudit.audit.run import Run, dig
from plaudit.display.formatting import clean, count, duration, finite, number, percent

BOX_WIDTH, BOX_HEIGHT = 168, 46
GAP_X, GAP_Y = 58, 20
MARGIN = 12
LETTER = 6.2  # mean width of a letter of a label, in units of the drawing
LINES = ("policy", "records", "reward")


@dataclass(frozen=True)
class Arrow:
    """What one step took from another."""

    source: str
    target: str
    kind: str
    label: str


def graph_picture(run: Run) -> dict[str, Any] | None:
    """The drawing and the same as text; None where a run records no steps."""
    names = [n for n, s in run.steps.items() if "numbers" not in s["gives"]]
    if len(names) < 2 or not any(run.steps[n]["inputs"] for n in names):
        return None
    arrows = [a for n in names for a in _arrows(run, n) if a.source in names]
    places = _layout(names, arrows)
    text = "\n".join(_text(run, n, arrows) for n in names)
    return {"svg": Markup(_svg(run, names, arrows, places)), "text": text}


def _arrows(run: Run, name: str) -> list[Arrow]:
    step = run.steps[name]
    found = []
    if step["from"]:
        found.append(Arrow(step["from"], name, "policy", ""))
    for source in step["on"]:
        if source in step["inputs"] and source != step["from"]:
            made = finite(dig(run.stages[source].record, "rankings")) if source in run.stages else None
            found.append(Arrow(source, name, "records", f"{count(made)} rankings" if made else "records"))
    for reward in step["rewards"]:
        source = reward.removeprefix("step:")
        if source in step["inputs"]:
            accuracy = finite(run.get("reward_models", source, "accuracy"))
            found.append(
                Arrow(source, name, "reward", f"{percent(accuracy)} right" if accuracy else "reward")
            )
    return found


def _layout(names: list[str], arrows: list[Arrow]) -> dict[str, tuple[float, float]]:
    """A column is how many steps come before; a row is the next free one of its column."""
    column: dict[str, int] = {}
    for name in names:
        column[name] = max((column[a.source] + 1 for a in arrows if a.target == name), default=0)
    rows: dict[int, int] = {}
    places = {}
    for name in names:
        row = rows.get(column[name], 0)
        rows[column[name]] = row + 1
        places[name] = (
            MARGIN + column[name] * (BOX_WIDTH + GAP_X),
            MARGIN + row * (BOX_HEIGHT + GAP_Y),
        )
    return places


def _note(run: Run, name: str) -> str:
    """What a step's box says under its title: the numbers that this run has of it."""
    parts = []
    gold = finite(run.get("gold", name, "mean"))
    accuracy = finite(run.get("reward_models", name, "accuracy"))
    kl = finite(run.get("kl", "by_step", name, "exact"))
    if gold is not None:
        parts.append(f"gold {number(gold)}")
    if accuracy is not None:
        parts.append(f"accuracy {percent(accuracy)}")
    if kl is not None:
        parts.append(f"KL {number(kl)}")
    seconds = finite(dig(run.summary, "seconds", name))
    if seconds is not None and len(parts) < 2:
        parts.append(duration(seconds))
    return " · ".join(parts)


def _svg(run: Run, names: list[str], arrows: list[Arrow], places: Mapping[str, tuple[float, float]]) -> str:
    width = max(x for x, _ in places.values()) + BOX_WIDTH + MARGIN
    height = max(y for _, y in places.values()) + BOX_HEIGHT + MARGIN
    described = escape("; ".join(_text(run, n, arrows).strip() for n in names))
    parts = [
        f'<svg class="graph" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{described}" '
        f'style="min-width:{min(width, 700):g}px">'
    ]
    parts += [_arrow(a, places) for a in arrows]
    for name in names:
        x, y = places[name]
        title, tone = clean(run.step_title(name)), str(run.steps[name]["tone"])
        note = _note(run, name)
        at = 19 if note else 28
        parts.append(
            f'<g class="step {escape(tone)}"><rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" '
            f'rx="7"/><text x="{x + 12:g}" y="{y + at:g}" class="name">{escape(_fit(title))}</text>'
            + (
                f'<text x="{x + 12:g}" y="{y + 36:g}" class="note">{escape(_fit(note))}</text>'
                if note
                else ""
            )
            + "</g>"
        )
    return "".join([*parts, "</svg>"])


def _fit(text: str) -> str:
    most = int((BOX_WIDTH - 20) / LETTER)
    return text if len(text) <= most else text[: most - 1] + "…"


def _arrow(arrow: Arrow, places: Mapping[str, tuple[float, float]]) -> str:
    (x0, y0), (x1, y1) = places[arrow.source], places[arrow.target]
    start, end = (x0 + BOX_WIDTH, y0 + BOX_HEIGHT / 2), (x1, y1 + BOX_HEIGHT / 2)
    bend = max(GAP_X / 2, (end[0] - start[0]) / 2)
    curve = f"{start[0] + bend:g} {start[1]:g} {end[0] - bend:g} {end[1]:g} {end[0]:g} {end[1]:g}"
    path = f"M{start[0]:g} {start[1]:g}C{curve}"
    head = f"M{end[0] - 7:g} {end[1] - 4:g}L{end[0]:g} {end[1]:g}L{end[0] - 7:g} {end[1] + 4:g}"
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 - 5)
    label = (
        f'<text x="{middle[0]:g}" y="{middle[1]:g}" text-anchor="middle" class="note">{escape(arrow.label)}</text>'
        if arrow.label
        else ""
    )
    return f'<g class="arrow {arrow.kind}"><path d="{path}"/><path d="{head}"/>{label}</g>'


def _text(run: Run, name: str, arrows: list[Arrow]) -> str:
    taken = [
        f"{a.kind} of {run.step_title(a.source)}" + (f" ({a.label})" if a.label not in ("", a.kind) else "")
        for a in arrows
        if a.target == name
    ]
    data = [s for s in run.steps[name]["on"] if s not in run.steps[name]["inputs"]]
    taken += [f"data: {', '.join(data)}"] if data else []
    note = _note(run, name)
    return f"{clean(run.step_title(name))}{f' [{note}]' if note else ''}" + (
        f" ← {'; '.join(taken)}" if taken else ""
    )
