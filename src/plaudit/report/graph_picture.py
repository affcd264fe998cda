"""The graph of a run as SVG: one row per step in execution order, one arrow per input.

An arrow from the row above is straight. Every other one leaves its source to the left, runs down in a lane of the
source's own, and enters its target from the left, with its number before the head. So no arrow crosses a box and no
label lies on one, whatever the graph; the drawing is as narrow as a phone and grows downwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from plaudit.audit.run import Run, dig
from plaudit.display.formatting import clean, count, duration, finite, nats, number, percent

MODEL, RECORDS, REWARD, JUDGE = "model", "records", "reward", "judge"
STEP = "step:"
# What a step that makes records counts of them.
COUNTED = ("rankings", "demonstrations", "records")

MARGIN = 6
# Widths that the mean letter of a title (13 px, bold) and of a note (11.5 px) stays below in wide fonts.
TITLE_LETTER, NOTE_LETTER = 8.4, 6.5
MOST_LETTERS = 30  # of a title; a longer one is cut, and whole in the text
BOX_HEIGHT, PAD = 46, 12
SLOT, LANE, ROW_GAP = 19, 14, 30
PLATE = 15  # height of a label
STUB = 22  # between a label and its box: the arrow's head
BEND = 6
SMALLEST, LARGEST = 0.8, 1.2  # how far the drawing follows the width of the screen


@dataclass(frozen=True)
class Box:
    """Position of a step's box, and the sources of the arrows that enter it from the left, top to bottom."""

    name: str
    x: float
    y: float
    width: float
    height: float
    entries: tuple[str, ...]
    leaves: bool

    @property
    def places(self) -> int:
        """How many lines meet its left side: what enters, and below it what leaves."""
        return len(self.entries) + self.leaves

    def slot(self, i: int) -> float:
        """The height of the ``i``-th of them."""
        return self.y + self.height / 2 + (i - (self.places - 1) / 2) * SLOT


@dataclass(frozen=True)
class GraphLayout:
    """Boxes by step, and the lane of every source that has one: its horizontal place."""

    boxes: Mapping[str, Box]
    lanes: Mapping[str, float]
    width: float
    height: float


def graph_picture(run: Run) -> dict[str, Any] | None:
    """The drawing and the same as text; None where a run records no steps that took something from one another."""
    names = drawn_steps(run)
    arrows = [a for n in names for a in arrows_of(run, n) if a.source in names]
    if not arrows:
        return None
    placed = layout(run, names, arrows)
    text = "\n".join(in_words(run, n) for n in names)
    return {"svg": Markup(_svg(run, arrows, placed, text)), "text": text}


def layout(run: Run, names: Sequence[str], arrows: Sequence[Arrow]) -> GraphLayout:
    """A row for every step; lanes to the left of the boxes, as few as do not touch."""
    row = {name: i for i, name in enumerate(names)}
    far = [a for a in arrows if row[a.target] != row[a.source] + 1]
    lane = _lanes(far, row)
    zone = max((_note_width(a.label) for a in far if a.label), default=0.0)
    x = MARGIN + LANE * (max(lane.values(), default=-1) + 1) + (zone + STUB if far else 0.0)
    width = max(_box_width(run, n) for n in names)
    boxes, y = {}, float(MARGIN)
    for name in names:
        entries = tuple(a.source for a in far if a.target == name)
        height = max(BOX_HEIGHT, SLOT * (len(entries) + (name in lane)) + PAD)
        boxes[name] = Box(name, x, y, width, height, entries, name in lane)
        y += height + ROW_GAP
    places_of = {name: MARGIN + LANE * i + LANE / 2 for name, i in lane.items()}
    return GraphLayout(boxes, places_of, x + width + MARGIN, y - ROW_GAP + MARGIN)


def _lanes(far: Sequence[Arrow], row: Mapping[str, int]) -> dict[str, int]:
    """A lane for every source of a long arrow, free from its row to its last target's; short ones are innermost."""
    ends: dict[str, int] = {}
    for arrow in far:
        ends[arrow.source] = max(ends.get(arrow.source, 0), row[arrow.target])
    lanes: list[list[tuple[int, int]]] = []
    found = {}
    for name in sorted(ends, key=lambda n: (row[n] - ends[n], row[n])):
        span = row[name], ends[name]
        free = (i for i, taken in enumerate(lanes) if all(b < span[0] or a > span[1] for a, b in taken))
        at = next(free, len(lanes))
        if at == len(lanes):
            lanes.append([])
        lanes[at].append(span)
        found[name] = at
    return found


def _note_width(text: str) -> float:
    return len(text) * NOTE_LETTER + 8


def _box_width(run: Run, name: str) -> float:
    title = _cut(run.step_title(name))
    return max(len(title) * TITLE_LETTER, len(note(run, name)) * NOTE_LETTER) + 2 * PAD


def _cut(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"


def _svg(run: Run, arrows: Sequence[Arrow], placed: GraphLayout, text: str) -> str:
    size = f"width:min(100%, {LARGEST * placed.width:g}px);min-width:{SMALLEST * placed.width:g}px"
    parts = [
        f'<svg class="graph" viewBox="0 0 {placed.width:g} {placed.height:g}" role="img" '
        f'aria-label="The graph of this run. {escape(text)}" style="{size}">'
    ]
    for name in placed.boxes:
        parts += _leaving(run, name, [a for a in arrows if a.source == name], placed)
    parts += [_label(a, placed) for a in arrows if a.label]
    parts += [_box(run, box) for box in placed.boxes.values()]
    return "".join([*parts, "</svg>"])


def _box(run: Run, box: Box) -> str:
    said, title = note(run, box.name), run.step_title(box.name)
    middle = box.y + box.height / 2
    lines = _text(box.x + PAD, middle - 3 if said else middle + 4.5, "name", _cut(title))
    lines += _text(box.x + PAD, middle + 14, "note", said) if said else ""
    return (
        f'<g class="step {escape(run.steps[box.name]["tone"])}" data-step="{escape(clean(box.name))}">'
        f'<title>{escape(title)}</title><rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" '
        f'height="{box.height:g}" rx="7"/>{lines}</g>'
    )


def _text(x: float, y: float, kind: str, text: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(text)}</text>'


def _leaving(run: Run, name: str, arrows: Sequence[Arrow], placed: GraphLayout) -> list[str]:
    """All arrows of one source: first what parts them from the lines that they cross, then the lines themselves."""
    paths = [_path(arrow, placed) for arrow in arrows]
    tone = escape(run.steps[name]["tone"])
    parts = [f'<path class="halo" d="{path}"/>' for path, _ in paths]
    for arrow, (path, head) in zip(arrows, paths):
        facts = f'data-from="{escape(clean(arrow.source))}" data-to="{escape(clean(arrow.target))}"'
        drawn = f'<path class="shaft" d="{path}"/><path d="{head}"/>'
        parts.append(f'<g class="arrow of-{arrow.kind} {tone}" {facts}>{drawn}</g>')
    return parts


def _path(arrow: Arrow, placed: GraphLayout) -> tuple[str, str]:
    """The line of an arrow and its head."""
    source, target = placed.boxes[arrow.source], placed.boxes[arrow.target]
    if arrow.source in target.entries:
        y = target.slot(target.entries.index(arrow.source))
        head = f"M{target.x - 6:g} {y - 4:g}L{target.x:g} {y:g}L{target.x - 6:g} {y + 4:g}"
        return _through_lane(placed.lanes[arrow.source], source, target, y), head
    x = target.x + 2 * PAD
    head = f"M{x - 4:g} {target.y - 6:g}L{x:g} {target.y:g}L{x + 4:g} {target.y - 6:g}"
    return f"M{x:g} {source.y + source.height:g}V{target.y:g}", head


def _through_lane(lane: float, source: Box, target: Box, y: float) -> str:
    start = source.slot(len(source.entries))
    return (
        f"M{source.x:g} {start:g}H{lane + BEND:g}Q{lane:g} {start:g} {lane:g} {start + BEND:g}"
        f"V{y - BEND:g}Q{lane:g} {y:g} {lane + BEND:g} {y:g}H{target.x:g}"
    )


def _label(arrow: Arrow, placed: GraphLayout) -> str:
    """The number of an arrow on a plate of the page's color: before the head, or beside a straight arrow."""
    target = placed.boxes[arrow.target]
    width = _note_width(arrow.label)
    if arrow.source in target.entries:
        x, y = target.x - STUB - width + PAD / 2, target.slot(target.entries.index(arrow.source))
    else:
        x, y = target.x + 2 * PAD + 5, target.y - ROW_GAP / 2
    return (
        f'<g class="label"><rect x="{x:g}" y="{y - PLATE / 2:g}" width="{width:g}" height="{PLATE}"/>'
        f"{_text(x + 4, y + 4, 'note', arrow.label)}</g>"
    )


@dataclass(frozen=True)
class Arrow:
    """An input of one step from another; ``label`` is a number of it, or empty."""

    source: str
    target: str
    kind: str
    label: str = ""


def drawn_steps(run: Run) -> list[str]:
    """The steps of the picture in the order of work: all but the evaluation, which looks at every one."""
    return [n for n, s in run.steps.items() if "numbers" not in s["gives"]]


def arrows_of(run: Run, name: str) -> list[Arrow]:
    """One arrow for every step that this one took something from, in the order of its inputs."""
    step = run.steps[name]
    rewards = [r.removeprefix(STEP) for r in step["rewards"] if r.startswith(STEP)]
    found = []
    for source in step["inputs"]:
        if source == step["from"]:
            arrow = Arrow(source, name, MODEL, _kl(run, name, source))
        elif source in step["on"]:
            arrow = Arrow(source, name, RECORDS, _counted(run, source))
        elif source in rewards:
            arrow = Arrow(source, name, REWARD, _right(run, source))
        else:
            arrow = Arrow(source, name, JUDGE, _right(run, source))
        found.append(arrow)
    return found


def _kl(run: Run, name: str, source: str) -> str:
    measured = run.mapping("kl", "by_step", name)
    exact = finite(measured.get("exact"))
    if exact is None or measured.get("from") != source:
        return ""
    return f"KL {nats(exact)}"


def _counted(run: Run, source: str) -> str:
    record: Mapping[str, object] = run.stages[source].record if source in run.stages else {}
    return next((f"{count(v)} {key}" for key in COUNTED if (v := finite(record.get(key)))), "")


def _right(run: Run, source: str) -> str:
    accuracy = finite(run.get("reward_models", source, "accuracy"))
    return "" if accuracy is None else f"{percent(accuracy)} right"


def note(run: Run, name: str) -> str:
    """The text under a step's title: its gold score, its accuracy, its duration."""
    gold, accuracy = (
        finite(v) for v in (run.get("gold", name, "mean"), run.get("reward_models", name, "accuracy"))
    )
    seconds = finite(dig(run.summary, "seconds", name))
    parts = [
        f"gold {number(gold)}" if gold is not None else "",
        f"accuracy {percent(accuracy)}" if accuracy is not None else "",
        duration(seconds) if seconds is not None else "",
    ]
    return " · ".join(filter(None, parts))


def in_words(run: Run, name: str) -> str:
    """One step, its numbers, and everything that it took."""
    taken = [_arrow_in_words(run, a) for a in arrows_of(run, name)]
    data = [s for s in run.steps[name]["on"] if s not in run.steps[name]["inputs"]]
    taken += [f"data: {clean(', '.join(data))}"] if data else []
    said = note(run, name)
    return run.step_title(name) + (f" [{said}]" if said else "") + (f" ← {'; '.join(taken)}" if taken else "")


def _arrow_in_words(run: Run, arrow: Arrow) -> str:
    return f"{arrow.kind} of {run.step_title(arrow.source)}" + (f" ({arrow.label})" if arrow.label else "")
