"""Figures: where marks stand, and that names cannot break out of them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from plaudit.display.bar_chart import MOST_LABELS, bars, shade
from plaudit.display.interval_figure import interval, published, tick_labels
from plaudit.display.scale import PAD, SHARES, Scale, scale_of


def test_a_scale_leaves_room_at_both_ends_and_holds_what_lies_beyond():
    assert SHARES.at(0) == PAD == 3
    assert SHARES.at(1) == 97
    assert SHARES.at(0.5) == 50
    assert SHARES.at(0.25) == 26.5  # 3 + 0.25 · 94
    assert SHARES.at(-4) == 3 and SHARES.at(9) == 97


def test_a_scale_of_values_has_round_ends_and_reaches_at_least_so_far():
    assert scale_of([0.03, 0.06], least=0.2) == Scale(-0.2, 0.2, (-0.2, -0.1, 0.0, 0.1, 0.2))
    assert scale_of([None, float("nan"), -1.2, 2.1]).low <= -1.2
    assert scale_of([None, float("nan"), -1.2, 2.1]).high >= 2.1


def test_an_interval_has_its_dot_whisker_band_and_line_in_place():
    found = ElementTree.fromstring(interval(SHARES, 0.5, 0.25, 0.75, none=0.5, band=(0.6, 0.8), tone="hot"))
    whisker = next(e for e in found if e.get("class") == "whisker hot")
    assert (whisker.get("x1"), whisker.get("x2")) == ("26.5%", "73.5%")
    dot = next(e for e in found if e.get("class") == "dot hot")
    assert dot.get("cx") == "50%"
    band = next(e for e in found if e.get("class") == "published")
    assert (band.get("x"), band.get("width")) == ("59.4%", "18.8%")
    none = next(e for e in found if e.get("class") == "none")
    assert none.get("x1") == none.get("x2") == "50%"
    assert [e.get("x1") for e in found if e.get("class") == "grid"] == ["3%", "26.5%", "50%", "73.5%", "97%"]
    assert found.get("aria-hidden") == "true"


def test_what_is_not_known_is_not_drawn():
    found = str(interval(SHARES, None, None, None))
    assert "dot" not in found and "whisker" not in found
    assert "whisker" not in str(interval(SHARES, 0.5))


def test_a_published_value_is_a_bar_or_a_point():
    assert "whisker base" in published(SHARES, 0.7, 0.74)
    assert "dot base" in published(SHARES, 0.72, 0.72)


def test_bars_are_as_high_as_their_share_of_the_highest():
    found = ElementTree.fromstring(f"<p>{bars([('a', 10), ('b', 5), ('c', 0)], title='Things')}</p>")
    heights = [float(e.get("height", "").rstrip("%")) for e in found.iter("rect")]
    assert heights == [82.0, 41.0, 0.0]
    tops = [float(e.get("y", "").rstrip("%")) for e in found.iter("rect")]
    assert tops == [18.0, 59.0, 100.0]
    assert found[0].get("aria-label") == "Things. a: 10; b: 5; c: 0."
    assert bars([], title="Nothing") == ""


def test_of_many_bars_the_last_is_named_and_most_are_not():
    found = ElementTree.fromstring(f"<p>{bars([(f'd{i}', 1) for i in range(30)], title='Days')}</p>")
    names = [e.text for e in found[1]]
    assert names[-1] == "d29"
    assert len(names) <= MOST_LABELS


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '" onload="x', "a & b", "</svg>"])
def test_names_are_text(name: str):
    made = str(bars([(name, 1)], title=name)) + str(tick_labels(SHARES, lambda _: name))
    assert "<script" not in made
    assert not re.search(r'" onload="', made)
    found = ElementTree.fromstring(f"<p>{made}</p>")
    assert [e.text for e in found[1]] == [name]
    assert found[0].get("aria-label", "").startswith(f"{name}.")


def test_shades_run_from_none_to_full():
    assert shade(0) == "h0" and shade(1) == "h10" and shade(0.5) == "h5"
    assert shade(-0.4) == "h0" and shade(1.7) == "h10"
    assert shade(None) == "" and shade(float("nan")) == ""
