"""Charts draw the numbers they were given, where those numbers belong."""

import json
import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st
from made_runs import PLACES, graph

from plaudit.audit.run import Run
from plaudit.display.calibration_chart import calibration
from plaudit.display.interval_figure import Estimated, interval_rows
from plaudit.display.line_chart import (
    HEIGHT,
    WIDTH,
    Chart,
    Series,
    _apart,
    _x_ticks,
    describe,
    svg,
)
from plaudit.display.scale import nice_ticks, percent_of_width
from plaudit.report.curves import MOST_POINTS, table, thin
from plaudit.report.quality import LABEL_WIDTH, gold_scale
from plaudit.report.reward_models import one_model

number = st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: round(v, 4))


@given(number, number)
def test_ticks_are_few_even_and_cover_the_values(a, b):
    low, high = min(a, b), max(a, b)
    ticks = nice_ticks(low, high)
    steps = [y - x for x, y in pairwise(ticks)]
    assert 2 <= len(ticks) <= 8
    assert max(steps) - min(steps) <= 1e-6 * max(steps)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert ticks[0] <= low + slack and ticks[-1] >= high - slack


def drawing(chart):
    root = ET.fromstring(str(svg(chart)))
    return root, {e.get("class"): e for e in root.iter() if e.get("class")}


def test_points_stand_where_their_values_belong():
    chart = Chart("t", "step", [Series("a", "ppo", [(0, 0.0), (5, 50.0), (10, 100.0)])])
    root, parts = drawing(chart)
    points = [tuple(map(float, p.split(","))) for p in parts["line ppo"].get("points").split()]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11) and y0 - y1 == pytest.approx(y1 - y2, abs=0.11)
    assert x0 < x2 and y2 < y0
    labels = {t.text: float(t.get("y")) for t in root.iter("text") if t.get("class") == "tick"}
    assert labels["100"] - 3.5 == pytest.approx(y2, abs=0.11) and max(y0, y2) <= HEIGHT and x2 <= WIDTH


def test_a_square_root_axis_spreads_small_values():
    points = [(0.0, 0.0), (1.0, 1.0), (4.0, 2.0), (16.0, 4.0)]
    _, parts = drawing(Chart("t", "KL", [Series("a", "ppo", points)], square_root=True))
    xs = [float(p.split(",")[0]) for p in parts["line ppo"].get("points").split()]
    assert [round((x - xs[0]) / (xs[-1] - xs[0]), 2) for x in xs] == [0.0, 0.25, 0.5, 1.0]


def test_a_band_lies_around_its_line():
    band = [(1, 0.0, 2.0), (2, 1.0, 3.0)]
    _, parts = drawing(Chart("t", "step", [Series("a", "ppo", [(1, 1.0), (2, 2.0)], band)]))
    corners = [tuple(map(float, p.split(","))) for p in parts["band ppo"].get("points").split()]
    line = [tuple(map(float, p.split(","))) for p in parts["line ppo"].get("points").split()]
    assert len(corners) == 4
    assert corners[0][1] < line[0][1] < corners[3][1] and corners[0][0] == corners[3][0] == line[0][0]


@pytest.mark.parametrize(
    "points", [[(3, 2.0)], [(1, 5.0), (2, 5.0)], [(1, 0.0), (2, 0.0)], [(1, -1e-9), (2, 1e9)]]
)
def test_flat_single_and_wild_curves_are_drawn(points):
    text = str(svg(Chart("t", "step", [Series("a", "ppo", points)])))
    assert "nan" not in text and "inf" not in text
    ET.fromstring(text)


def test_names_and_data_are_escaped():
    chart = Chart(
        '<b>"t"</b>', "x<y", [Series("</svg><script>", "ppo", [(1, 1.0)]), Series("b", "sft", [(1, 2.0)])]
    )
    text = str(svg(chart))
    assert "<script" not in text and "<b>" not in text
    root = ET.fromstring(text)
    data = json.loads(root.get("data-chart"))
    assert data["series"][0]["name"] == "</svg><script>"


def test_the_readout_gets_every_point_with_its_band():
    chart = Chart("t", "step", [Series("a", "ppo", [(1, 1.0), (2, 2.5)], [(2, 2.0, 3.0)])])
    data = json.loads(ET.fromstring(str(svg(chart))).get("data-chart"))
    assert [p[2:] for p in data["series"][0]["points"]] == [["1", "1.00"], ["2", "2.50 (2.00 to 3.00)"]]


def test_a_chart_can_be_told_in_words():
    words = describe(Chart("Score", "step", [Series("score", "ppo", [(1, 0.5), (2, -1.0), (3, 0.25)])]))
    assert words == "Score. score: from 0.50 to 0.25, lowest −1.00, highest 0.50."


@given(st.lists(st.floats(0, 200), min_size=1, max_size=6))
def test_labels_are_kept_apart_and_in_order(wanted):
    placed = _apart(wanted, 14, 0, 200)
    assert all(-1e-9 <= p <= 200 + 1e-9 for p in placed)
    pairs = sorted(zip(wanted, placed))
    ordered = sorted(placed)
    assert all(b - a >= 14 - 1e-6 for a, b in pairwise(ordered))
    for (w1, p1), (w2, p2) in pairwise(pairs):
        assert w1 == w2 or p1 <= p2


def test_a_long_curve_is_thinned_but_keeps_its_ends():
    found = thin([(i, float(i)) for i in range(100_000)])
    assert len(found) == MOST_POINTS and found[0] == (0, 0.0) and found[-1] == (99_999, 99_999.0)
    assert thin([(1, 2.0)]) == [(1, 2.0)]


def test_the_table_beside_a_chart_holds_its_numbers():
    chart = Chart("t", "step", [Series("a", "ppo", [(1, 0.5), (2, 1.0)]), Series("b", "sft", [(2, -3.0)])])
    assert table(chart) == {"head": ["step", "a", "b"], "rows": [["1", "0.50", ""], ["2", "1.00", "−3.00"]]}
    long = Chart("t", "step", [Series("a", "ppo", [(i, 0.0) for i in range(500)])])
    assert len(table(long)["rows"]) == 24 and table(long)["rows"][-1][0] == "499"


def test_intervals_are_placed_on_their_common_scale():
    entries = [
        Estimated("a", "ppo", {"mean": 0.5, "low": 0.25, "high": 0.75}),
        Estimated("b", "sft", None),
        Estimated("c", "base", 1.0),
    ]
    found = interval_rows(
        entries, format=str, spread=lambda v: "", domain=(0.0, 1.0), reference=(0.5, "half")
    )
    a, c = (ET.fromstring(str(row["figure"])) for row in found["rows"])
    whisker = next(e for e in a if e.get("class") == "whisker ppo")
    dot = next(e for e in a if e.get("class") == "dot ppo")
    # 3 % of the width is kept free at either end: 3 + 94 · share.
    assert (dot.get("cx"), whisker.get("x1"), whisker.get("x2")) == ("50%", "26.5%", "73.5%")
    assert next(e for e in a if e.get("class") == "none").get("x1") == "50%"
    assert [e.get("cx") for e in c if e.tag == "circle"] == ["97%"]
    assert not any("whisker" in e.get("class", "") for e in c)
    (flag,) = ET.fromstring(str(found["reference"]))
    assert (flag.get("x"), flag.text) == ("50%", "half")
    bars = interval_rows(entries, format=str, spread=str, domain=(0.0, 1.0), bars=True)
    bar = next(e for e in ET.fromstring(str(bars["rows"][0]["figure"])) if e.get("class") == "bar ppo")
    assert (bar.get("x"), bar.get("width")) == ("3%", "47%")
    assert interval_rows([Estimated("b", "sft", None)], format=str, spread=str) is None
    missed = [*entries, Estimated("d", "ink", None, missed=True)]
    rows = interval_rows(missed, format=str, spread=str, domain=(0.0, 1.0), bars=True)["rows"]
    assert [r["label"] for r in rows] == ["a", "c", "d"]
    assert rows[-1]["text"] == "unknown" and "bar ink" not in str(rows[-1]["figure"])


def test_a_human_ceiling_that_nobody_measured_is_said_to_be_unknown():
    found = {"accuracy": 0.7, "decided": 50}
    rows = {r["label"]: r["text"] for r in one_model(found)["main"]["rows"]}
    assert rows["Human agreement"] == "unknown" and "Noise ceiling" not in rows
    rows = {r["label"]: r["text"] for r in one_model({**found, "ceiling": 0.86})["main"]["rows"]}
    assert "Human agreement" not in rows and rows["Noise ceiling"].startswith("86")


def test_values_outside_the_scale_stay_on_the_page():
    assert percent_of_width(7.0, 0.0, 1.0) == 100 and percent_of_width(-7.0, 0.0, 1.0) == 0


def test_the_calibration_plot_holds_each_bin():
    root = ET.fromstring(str(calibration([(0.1, 0.2, 10), (0.9, 0.8, 30)])))
    dots = [(float(c.get("cx")), float(c.get("cy")), float(c.get("r"))) for c in root.iter("circle")]
    assert dots[0][0] < dots[1][0] and dots[0][1] > dots[1][1] and dots[0][2] < dots[1][2]
    assert "stated 10%, right 20%" in root.get("aria-label")


GOLD = st.floats(-2, 2).map(lambda v: round(v, 2))


@given(GOLD, GOLD, GOLD, GOLD, st.integers(0, 6))
def test_labels_of_the_gold_scale_never_cover_one_another(base, sft, ppo, perfect, between):
    gold = {k: {"mean": v} for k, v in zip(("pretrain", "sft", "ppo", "perfect"), (base, sft, ppo, perfect))}
    # Steps between are dots without a label: they cannot crowd it, however many there are.
    gold |= {f"ppo-{i}": {"mean": base + i / 100} for i in range(between)}
    steps = graph(pretrain={"kind": "pretrain"}, sft={"kind": "sft"}, ppo={"kind": "ppo"})
    steps |= graph(**{f"ppo_{i}": {"kind": "ppo"} for i in range(between)})
    summary = {"gold": gold, "length": {name: {} for name in steps if name != "evaluate"}}
    scale = gold_scale(Run({"steps": steps, "places": PLACES}, summary))
    if scale is None:
        assert len({v["mean"] for v in gold.values()}) == 1
        return
    assert len(scale["marks"]) == 4 + between and scale["between"].count("PPO") == between
    labeled = [mark for mark in scale["marks"] if mark["main"]]
    assert len(labeled) == 4
    spans = {}
    for mark in labeled:
        row, side = mark["place"].rsplit(" ", 1)
        left = mark["at"] - {"start": 0, "middle": LABEL_WIDTH / 2, "end": LABEL_WIDTH}[side]
        assert left >= -1e-9 and left + LABEL_WIDTH <= 100 + 1e-9
        spans.setdefault(row, []).append(left)
    for lefts in spans.values():
        assert all(b - a >= LABEL_WIDTH - 1e-9 for a, b in pairwise(sorted(lefts)))


@given(st.floats(1e-4, 1e3))
def test_ticks_of_a_square_root_axis_are_round_and_do_not_crowd(high):
    chart = Chart("t", "KL", [Series("a", "ppo", [(0.0, 0.0), (high, 1.0)])], square_root=True)
    ticks = _x_ticks(chart, 0.0, high)
    roots = [math.sqrt(t / high) for t in ticks]
    assert ticks[0] == 0 and 2 <= len(ticks) <= 5 and ticks[-1] <= high * (1 + 1e-9)
    assert all(b - a > 0.149 for a, b in pairwise(roots))
    leading = [t / 10 ** math.floor(math.log10(t) + 1e-9) for t in ticks[1:]]
    assert all(abs(digit - round(digit)) < 1e-6 for digit in leading)
