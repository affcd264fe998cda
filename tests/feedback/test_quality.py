"""The tables of a project: their shape, what enters them, and that they are plain values in any case."""

from __future__ import annotations

import json
import random
import time

import pytest

from plaudit.feedback.quality.measures import MEASURES, OWN
from plaudit.feedback.quality.records import JudgementRecord, RatedAnswer
from plaudit.feedback.quality.references import REFERENCES, span
from plaudit.feedback.quality.report import quality
from plaudit.feedback.quality.tables import TableColumn, table

ANSWERS = {a: RatedAnswer(a, f"model-{a}", n) for a, n in {"a": 10, "b": 20, "c": 40}.items()}
AB, BA, TIE = (("a",), ("b",)), (("b",), ("a",)), (("a", "b"),)


def judge(item, labeler, groups=AB, purpose="work", **more):
    more.setdefault("shown", ("a", "b"))
    key = f"{item}/{labeler}/{purpose}"
    return JudgementRecord(key, item, labeler, groups, purpose=purpose, active_ms=20_000, **more)


def project():
    """Three labelers; l and m agree on all but item 3, n judges one item and is taught another."""
    judged = [judge(str(i), w, AB if i % 2 else BA, strength=2) for i in range(3) for w in "lm"]
    judged += [judge("3", "l", AB, strength=4), judge("3", "m", BA, strength=1, surplus=True)]
    judged += [judge("4", "n", (), not_rankable=True), judge("5", "l", TIE, all_bad=True)]
    judged += [judge("g", "l", AB, "gold"), judge("g", "m", BA, "gold"), judge("t", "n", AB, "calibration")]
    judged += [judge("0", "l", BA, "repeat", round=2), judge("1", "m", BA, "repeat", round=2)]
    return judged, {"g": [AB], "t": [AB]}


def by(rows, key):
    return {row[key]: row for row in rows}


def test_every_table_is_plain_and_has_its_columns():
    tables = quality(*((j := project())[0], ANSWERS, j[1]), resamples=50).tables()
    assert list(tables) == ["project", "labelers", "pairs", "models", "wins", "items", "attributes", "golds"]
    for name, t in tables.items():
        assert t.name == name and t.title
        names = [c.name for c in t.columns]
        assert len(set(names)) == len(names)
        assert all(c.title for c in t.columns) and all(c.of in ("", *names) for c in t.columns)
        for row in t.rows:
            assert list(row) == names
            assert all(v is None or type(v) in (str, int, float, bool) for v in row.values()), row
        json.dumps(t.rows, allow_nan=False)


def test_the_project_by_hand():
    judged, golds = project()
    rows = by(quality(judged, ANSWERS, golds, resamples=50).project.rows, "measure")
    assert list(rows)[6:] == list(MEASURES)
    counts = {
        k: rows[k]["value"] for k in ("judgements", "work", "surplus", "labelers", "items", "items_shared")
    }
    assert counts == {
        "judgements": 15,
        "work": 10,
        "surplus": 1,
        "labelers": 3,
        "items": 6,
        "items_shared": 4,
    }
    expected = {
        "agreement": 3 / 4,
        "agreement_with_ties": 3 / 4,
        "kappa": 1 / 2,
        "ac1": 2 / 3,  # three verdicts could be given: P_e = ¼
        "gold_agreement": 1 / 2,
        "gold_exact": 1 / 2,
        "calibration_agreement": 1,
        "self_consistency": 1 / 2,
        "tie_rate": 1 / 9,
        "not_rankable": 1 / 10,
        "all_bad": 1 / 10,
        "seconds": 20,
        "words_per_minute": 90,
        "quick": 0,
        "strength_2": 6 / 8,
        "strength_4": 1 / 8,
        "longer_preferred": 5 / 8,
    }
    found = {k: rows[k]["value"] for k in expected}
    assert found == {k: pytest.approx(v) for k, v in expected.items()}
    assert rows["agreement"]["reference_low"] == 0.69 and "Ouyang" in rows["agreement"]["reference"]
    assert rows["tie_rate"]["reference"] is None and rows["agreement"]["n"] == 4


def test_labelers_by_hand():
    judged, golds = project()
    found = quality(judged, ANSWERS, golds, resamples=50)
    rows = by(found.labelers.rows, "labeler")
    assert [rows["l"][k] for k in ("judgements", "work", "gold", "repeat", "colleagues")] == [7, 5, 1, 1, 1]
    assert rows["m"]["surplus"] == 1 and rows["n"]["calibration"] == 1
    assert (rows["l"]["gold_agreement"], rows["m"]["gold_agreement"], rows["n"]["gold_agreement"]) == (
        1,
        0,
        None,
    )
    assert (rows["l"]["self_consistency"], rows["m"]["self_consistency"]) == (1, 0)
    assert rows["n"]["calibration_agreement"] == 1 and rows["n"]["not_rankable"] == 1
    assert rows["l"]["agreement"] == rows["m"]["agreement"] == 0.75 and rows["n"]["agreement"] is None
    assert rows["l"]["kappa"] == pytest.approx(0.5) and rows["n"]["kappa"] is None
    pair = by(found.pairs.rows, "labeler")["l"]
    assert (pair["colleague"], pair["kappa"], pair["kappa_n"]) == ("m", pytest.approx(0.5), 4)
    estimates = {c.of for c in found.labelers.columns} - {""}
    assert estimates == {"agreement", *OWN}


def test_items_that_divide_come_first():
    judged, golds = project()
    found = quality(judged, ANSWERS, golds, resamples=50)
    rows = found.items.rows
    assert rows[0]["item"] == "3" and rows[0]["agreement"] == 0
    assert [r["agreement"] for r in rows] == [0, 1, 1, 1, None, None]
    assert by(rows, "item")["4"]["not_rankable"] == 1 and by(rows, "item")["5"]["tie_rate"] == 1
    gold = found.golds.rows
    assert [(r["item"], r["purpose"], r["judgements"], r["agreement"]) for r in gold] == [
        ("g", "gold", 2, 0.5),
        ("t", "calibration", 1, 1.0),
    ]


def test_models_and_wins():
    judged, golds = project()
    found = quality(judged, ANSWERS, golds, resamples=50)
    wins = {(r["model"], r["against"]): r for r in found.wins.rows}
    # Of nine comparisons b won five and one is a tie; gold and repeats do not enter.
    assert wins["model-b", "model-a"]["wins"] == 5 and wins["model-a", "model-b"]["wins"] == 3
    assert wins["model-b", "model-a"]["win_rate"] == pytest.approx(5.5 / 9)
    assert [r["model"] for r in found.models.rows] == ["model-b", "model-a"]
    assert sum(r["log_odds"] for r in found.models.rows) == pytest.approx(0)


def test_attributes():
    """Two labelers rate both answers of twenty items; item-wide ratings have one unit."""
    judged = []
    for i in range(20):
        for w in "lm":
            rated = {"helpful": {"a": 1 + i % 5, "b": 5 - i % 5}, "safe": {"*": 1 + (i + (w == "m")) % 2}}
            judged.append(judge(str(i), w, attributes=rated))
    rows = by(quality(judged, ANSWERS, {}, resamples=50).attributes.rows, "attribute")
    assert rows["helpful"]["alpha"] == 1 and rows["helpful"]["same"] == 1
    assert rows["helpful"]["ratings"] == 80 and rows["helpful"]["alpha_n"] == 20
    assert rows["safe"]["same"] == 0 and rows["safe"]["alpha"] < -0.9


def test_attributes_are_ordinal():
    """Krippendorff's own example (2011, section D), each unit an item: .815."""
    rows = "1233214 12...|12332241 25.3|.33323422 51.|123324412 51.".replace(" ", "")
    judged = [
        judge(str(i), f"observer-{w}", attributes={"scale": {"*": int(v)}})
        for w, row in enumerate(rows.split("|"))
        for i, v in enumerate(row)
        if v != "."
    ]
    (row,) = quality(judged, ANSWERS, {}, resamples=20).attributes.rows
    assert row["alpha"] == pytest.approx(0.815, abs=5e-4)


def test_rated_answers_of_an_item_share_its_weight():
    """Both answers of one item are rated alike, the one of another item is not: half."""
    judged = [judge("1", w, attributes={"good": {"a": 1, "b": 2}}) for w in "lm"]
    judged += [judge("2", w, attributes={"good": {"a": v}}) for w, v in (("l", 1), ("m", 2))]
    (row,) = quality(judged, ANSWERS, {}, resamples=20).attributes.rows
    assert (row["same"], row["same_n"]) == (pytest.approx(1 / 2), 2)


def test_repeats_in_reverse_balance_position():
    """Who prefers a both times it is shown, first and last, has no position bias."""
    judged = [judge("1", "l", AB), judge("1", "l", AB, "repeat", round=2, shown=("b", "a"))]
    rows = by(quality(judged, ANSWERS, {}, resamples=20).project.rows, "measure")
    assert rows["position_bias"]["value"] == 0


def test_order_and_names_of_labelers_do_not_matter():
    judged, golds = project()
    mixed = list(judged)
    random.Random(1).shuffle(mixed)
    first, second = (quality(j, ANSWERS, golds, resamples=50) for j in (judged, mixed))
    assert first == second


@pytest.mark.parametrize(
    "judged",
    [
        [],
        [judge("1", "l")],
        [judge("1", "l", ())],
        [judge("1", "l", shown=("a",), groups=(("a",),))],
        [judge("1", w, TIE) for w in "lm"],
        [judge("g", "l", AB, "gold"), judge("r", "l", AB, "repeat", round=2)],
    ],
)
def test_little_or_nothing_is_no_error(judged):
    for t in quality(judged, ANSWERS, {"g": [AB]}, resamples=20).tables().values():
        json.dumps(t.rows, allow_nan=False)


def test_tables_refuse_what_has_no_column():
    with pytest.raises(ValueError, match="no column 'y'"):
        table("t", "T", (TableColumn("x", "X", "text"),), [{"x": 1, "y": 2}])


def test_references_name_known_measures():
    assert REFERENCES.keys() <= MEASURES.keys()
    for name, known in REFERENCES.items():
        low, high = span(name)
        assert low <= high and all(r.low <= r.high and r.what and r.source for r in known)
    assert span("tie_rate") is None


def test_twenty_thousand_judgements_take_seconds():
    """A bound far above what it takes (1.5 s on one core), so that a loop over pairs in Python would show."""
    rng = random.Random(0)
    answers, judged = {}, []
    for i in range(6667):
        ids = [f"{i}-{k}" for k in range(4)]
        answers |= {a: RatedAnswer(a, f"m{rng.randrange(5)}", rng.randrange(20, 200)) for a in ids}
        for w in rng.sample(range(30), 3):
            order, shown = rng.sample(ids, 4), tuple(rng.sample(ids, 4))
            groups = tuple((a,) for a in order)
            judged.append(
                JudgementRecord(
                    f"{i}/{w}", str(i), f"l{w}", groups, shown, active_ms=rng.randrange(9999, 99999)
                )
            )
    start = time.process_time()
    quality(judged, answers, {})
    assert time.process_time() - start < 12
