"""What the pages say: values in words, the pace, and the summary."""

from __future__ import annotations

from typing import Any

import pytest

from plaudit.display.units import interval_text, plural, value_text
from plaudit.feedback.project_progress import ProjectProgress
from plaudit.feedback.quality.tables import Table, TableColumn, estimate_columns
from plaudit.web.api.item_models import ItemJudgement
from plaudit.web.manage.dashboard import shown_table
from plaudit.web.manage.items import address, in_words, told
from plaudit.web.manage.summary import summary
from plaudit.web.manage.throughput import DAY, Throughput, by_day, histogram, per_day

NOW = 100 * DAY + 3600.0


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.684, "share", "68%"),
        (0.123, "difference", "+12 points"),
        (-0.05, "difference", "−5 points"),
        (0.4567, "score", "0.46"),
        (-0.4567, "log odds", "−0.46"),
        (1234, "count", "1,234"),
        (32.7, "seconds", "33 s"),
        (186.4, "per minute", "186"),
        (True, "flag", "yes"),
        ("labeler-001", "text", "labeler-001"),
        (None, "share", "–"),
    ],
)
def test_values_in_words(value: Any, unit: str, text: str):
    assert value_text(value, unit) == text


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (0.63, 0.744, "share", "63–74%"),
        (-0.02, 0.11, "difference", "−2 to +11"),
        (-0.1, 0.4, "score", "−0.10 to 0.40"),
        (12.2, 40.0, "seconds", "12 to 40"),
        (None, 0.4, "share", ""),
    ],
)
def test_intervals_in_words(low: Any, high: Any, unit: str, text: str):
    assert interval_text(low, high, unit) == text


def test_a_table_puts_an_estimate_and_its_interval_in_one_cell():
    columns = (
        TableColumn("labeler", "Labeler", "text"),
        *estimate_columns("agreement", "Agreement", "share"),
    )
    row: dict[str, Any] = dict(zip((c.name for c in columns), ("labeler-001", 0.7, 0.6, 0.8, 12)))
    none: dict[str, Any] = dict(zip((c.name for c in columns), ("labeler-002", None, None, None, 0)))
    found = shown_table(Table("t", "T", columns, (row, none)), "labeler", "agreement", "not there")
    assert [c.name for c in found.columns] == ["labeler", "agreement"]
    assert (found.rows[0]["agreement"].text, found.rows[0]["agreement"].beside) == ("70%", "60–80%")
    assert found.rows[0]["agreement"].sort == 0.7
    assert (found.rows[1]["agreement"].text, found.rows[1]["agreement"].sort) == ("–", None)


def test_one_and_many():
    assert plural(1, "item") == "1 item"
    assert plural(2000, "item") == "2,000 items"
    assert plural(0, "item") == "0 items"


def test_days_have_no_gaps_and_end_today():
    found = by_day([NOW - 3 * DAY, NOW - 3 * DAY + 5, NOW - DAY], now=NOW)
    assert [n for _, n in found] == [2, 0, 1, 0]
    assert found[-1][0] == 100 * DAY
    assert by_day([], now=NOW) == ()


def test_the_pace_is_of_the_last_days_and_never_of_less_than_one():
    hour = [NOW - i * 60 for i in range(30)]
    assert per_day(hour, now=NOW) == 30
    assert per_day(hour[:9], now=NOW) is None
    long = [NOW - i * DAY / 2 for i in range(40)]  # two a day, for twenty days
    assert per_day(long, now=NOW) == pytest.approx(2, abs=0.1)
    assert Throughput((), 2.0, ()).days_left(10) == 5
    assert Throughput((), None, ()).days_left(10) is None
    assert Throughput((), None, ()).days_left(0) == 0


def test_seconds_are_counted_in_steps_without_empty_ends():
    assert histogram([12, 14, 33, 700]) == (
        ("10–15 s", 2),
        ("15–20 s", 0),
        ("20–30 s", 0),
        ("30–45 s", 1),
        ("45–60 s", 0),
        ("60–90 s", 0),
        ("1.5–2 min", 0),
        ("2–3 min", 0),
        ("3–5 min", 0),
        ("5–10 min", 0),
        ("10+ min", 1),
    )
    assert histogram([]) == ()


def test_rankings_and_judgements_in_words():
    assert in_words([[1], [2, 0]]) == "2 > 1 = 3"
    assert (
        address({"purpose": "gold", "search": "a&b", "state": ""}, 50) == "?purpose=gold&search=a%26b&at=50"
    )
    said = ItemJudgement(
        labeler="labeler-001",
        purpose="repeat",
        revision=2,
        groups=[[1], [0]],
        order=[1, 0],
        strength=3,
        all_bad=True,
        not_rankable=False,
        untouched=True,
        surplus=False,
        confidence=None,
        rationale="",
        attributes={"helpful": {"0": 2, "1": 5}, "safe": {"*": 4}},
        active_seconds=75,
        guideline=1,
        created=0,
    )
    found = told(said)
    assert (found.ranking, found.order, found.strength) == ("2 > 1", "2, 1", "clearly better")
    assert found.marks == ("all bad", "left as shown", "revision 2", "repeat")
    assert found.attributes == (("helpful", "1: 2, 2: 5"), ("safe", "4"))
    assert told(said.model_copy(update={"not_rankable": True, "groups": []})).ranking == "cannot be ranked"


def standing(**more: Any) -> ProjectProgress:
    known: dict[str, Any] = {
        "state": "open", "items": 100, "finished": 10, "wanted": 300, "given": 150, "judgements": 160,
        "surplus": 0, "leased": 1, "skipped": 0, "skip_reasons": {}, "labelers": 5, "by_purpose": {"work": 100},
    }  # fmt: skip
    return ProjectProgress(**{**known, **more})


def tables(golds: tuple[dict[str, Any], ...] = (), **measures: Any) -> dict[str, Any]:
    """The project's table with ``name=(unit, value, low, high, n)``."""
    rows = []
    for name, (unit, value, low, high, n) in measures.items():
        row = {"measure": name, "unit": unit, "value": value, "low": low, "high": high, "n": n}
        references = {"agreement": (0.69, 0.81)}.get(name, (None, None))
        rows.append({**row, "reference_low": references[0], "reference_high": references[1]})
    return {"project": Table("project", "", (), tuple(rows)), "golds": Table("golds", "", (), golds)}


def says(far: ProjectProgress, per_day: float | None = None, **more: Any) -> list[tuple[str, str]]:
    return [(s.tone, s.text) for s in summary(tables(**more), far, Throughput((), per_day, ()))]


def test_the_summary_says_how_far_and_how_long():
    assert says(standing(), 30)[0] == (
        "ok",
        "50% of the judgements wanted are there: 150 of 300. At the pace of the last days the rest takes about 5 days.",
    )
    assert "less than a day" in says(standing(), 400)[0][1]
    assert says(standing(), None)[0][0] == "base"
    assert says(standing(given=300))[0][1] == "All judgements wanted are there."
    assert says(standing(items=0, judgements=0)) == [("base", "There are no items to judge yet.")]


@pytest.mark.parametrize(
    ("low", "value", "high", "tone", "words"),
    [
        (0.63, 0.68, 0.74, "ok", "comparable to what published projects report (69–81%)"),
        (0.50, 0.55, 0.60, "warn", "below what published projects report (69–81%)"),
        (0.85, 0.90, 0.95, "ok", "above what published projects report (69–81%)"),
    ],
)
def test_agreement_is_told_beside_the_literature(
    low: float, value: float, high: float, tone: str, words: str
):
    found = says(
        standing(),
        agreement=("share", value, low, high, 60),
        items_shared=("count", 60, None, None, None),
    )
    assert any(t == tone and words in text for t, text in found)


def test_too_little_is_said_to_be_too_little():
    few = says(standing(), agreement=("share", 1.0, 0.2, 1.0, 4), items_shared=("count", 4, None, None, None))
    assert any(tone == "base" and "too few to say how well they agree" in text for tone, text in few)
    assert not any("comparable" in text for _, text in few)
    assert "Only one item was judged" in says(standing(), items_shared=("count", 1, None, None, None))[1][1]


def test_biases_are_told_only_where_they_can_be_seen():
    def position(low: float, high: float) -> str:
        found = says(standing(), position_bias=("difference", (low + high) / 2, low, high, 50))
        return next(text for _, text in found if "order" in text.lower() or "first" in text)

    assert "shown first is preferred more often than chance (+10 points, +5 to +15)" in position(0.05, 0.15)
    assert "makes no difference that matters" in position(-0.03, 0.04)
    assert "cannot be said yet" in position(-0.2, 0.2)
    longer = says(standing(), longer_preferred=("share", 0.6, 0.55, 0.65, 50))
    assert any("The longer answer is preferred in 60%" in text for _, text in longer)
    unsure = says(standing(), longer_preferred=("share", 0.52, 0.45, 0.6, 50))
    assert not any("longer" in text for _, text in unsure)


def test_gold_that_most_miss_haste_and_skips_are_pointed_at():
    golds = (
        {"item": "a", "judgements": 5, "agreement": 0.2},
        {"item": "b", "judgements": 2, "agreement": 0.0},
    )
    found = says(
        standing(skipped=40, skip_reasons={"unsure": 40}),
        golds=golds,
        gold_agreement=("share", 0.8, 0.7, 0.9, 12),
        quick=("share", 0.2, 0.1, 0.3, 80),
    )
    warned = [text for tone, text in found if tone == "warn"]
    assert (
        "A gold or calibration item is missed by most: check whether the accepted ranking is right." in warned
    )
    assert any(text.startswith("20% of judgements took less time") for text in warned)
    assert any(text.startswith("20% of what is offered is skipped") for text in warned)
