"""What a code of a preference means: read where it is plain, refused with every reading where it is not."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import typer
from hypothesis import given, strategies as st
from typer.testing import CliRunner

from plaudit.cli.check import check as check_command
from plaudit.data.baselines import longer_wins
from plaudit.data.readers.preferences.words import verdict_of
from plaudit.data.readers.read import read, scan
from plaudit.data.records import Comparisons
from plaudit.errors import UserError

SHORT, LONG = (
    ["Sure.", "Yes.", "Tea.", "Hot."],
    ["I do not know at all.", "It is not, never.", "A cup.", "It is warm."],
)
F, S, T = 1.0, 0.0, 0.5


def pairs(column, values, left="response_a", right="response_b", **more):
    """Rows of two answers and a code; the second answer is always the longer one."""
    return [
        {
            "prompt": f"Ask {i}?",
            left: SHORT[i % 4],
            right: LONG[i % 4],
            column: v,
            **{k: m[i] for k, m in more.items()},
        }
        for i, v in enumerate(values)
    ]


def results(records):
    """The share of the win of each record's first answer."""
    return [o.result for r in records for o in r.comparisons().outcomes]


ONE_TWO, ZERO_ONE, A_B = (
    ("response_1", "response_2"),
    ("response_0", "response_1"),
    ("response_a", "response_b"),
)
PLAIN = {
    "letters in any case, with spaces": (A_B, "winner", [" A", "b", "TIE", "a "], [F, S, T, F]),
    "letters beside numbered columns": (ONE_TWO, "label", ["A", "B", "tie"], [F, S, T]),
    "1 and 2 beside _1 and _2": (ONE_TWO, "label", [1, 2, 1], [F, S, F]),
    "1.0 and 2.0 as text": (ONE_TWO, "label", ["1.0", "2.0", "1.0"], [F, S, F]),
    "1.5 between 1 and 2": (ONE_TWO, "preference", [1.0, 1.5, 2.0], [F, T, S]),
    "0 and 1 beside _0 and _1": (ZERO_ONE, "label", [0, 1, "0"], [F, S, F]),
    "1, 2 and a tie in words": (A_B, "label", [1, "tie", 2], [F, T, S]),
    "an index": (A_B, "winner_index", [0, 1, 0], [F, S, F]),
    "an index from 1": (A_B, "winner_index", [1, 2, 2], [F, S, S]),
    "A>B": (A_B, "preference", ["A>B", "B > A", "A=B", "A>>B", "a<b"], [F, S, T, F, S]),
    "1>2": (ONE_TWO, "preference", ["1>2", "2>1", "1=2"], [F, S, T]),
    "[[A]]": (A_B, "verdict", ["[[A]]", "[[B]]", "[[C]]", "[[A>>B]]"], [F, S, T, F]),
    "[[1]]": (ONE_TWO, "verdict", ["[[1]]", "[[2]]"], [F, S]),
    "model_a": (A_B, "winner", ["model_a", "model_b", "tie", "tie (bothbad)"], [F, S, T, T]),
    "model_1": (ONE_TWO, "winner", ["model_1", "model_2", "both_bad"], [F, S, T]),
    "first and second": (A_B, "choice", ["first", "Second", "neither"], [F, S, T]),
    "left and right": (("left", "right"), "selected", ["left", "right", "both"], [F, S, T]),
    "the columns' own names": (("output_1", "output_2"), "preferred", ["output_2", "output_1"], [S, F]),
    "sentences": (A_B, "preference", ["A is much better", "B is slightly better", "a-is-better"], [F, S, F]),
    "true under a name that says of whom": (A_B, "a_is_better", [True, False, 1], [F, S, F]),
    "the other name": (A_B, "response_b_wins", ["true", "false"], [S, F]),
    "the answer's own text": (A_B, "preferred_answer", ["Sure.", "It is not, never."], [F, S]),
    "a strength with a sign": (ONE_TWO, "preference_strength", [-3, 2, 0], [F, S, T]),
}


@pytest.mark.parametrize("case", PLAIN)
def test_a_plain_code_is_read(jsonl, case):
    names, column, values, expected = PLAIN[case]
    result = read(jsonl(*pairs(column, values, *names)), max_dropped=0)
    assert results(result.records) == expected


AMBIGUOUS = {
    "0 and 1 beside _1 and _2": (ONE_TWO, "label", [0, 1, 0, 0]),
    "0 and 1 beside _a and _b": (A_B, "preferred", ["0", "1", "1", "1"]),
    "0.0 and 1.0": (A_B, "winner", [0.0, 1.0, 1.0]),
    "0, 0.5 and 1": (A_B, "winner", [0, 0.5, 1]),
    "0, 1 and 2 beside _1 and _2": (ONE_TWO, "label", [0, 1, 2, 1]),
    "0, 1 and 2 beside _a and _b": (A_B, "label", [0, 1, 2, 1]),
    "0, 1 and 2 beside _0 and _1": (ZERO_ONE, "label", [0, 1, 2, 1]),
    "1 and 2 beside _a and _b": (A_B, "label", [1, 2, 2]),
    "1, 2 and 3": (A_B, "label", [1, 2, 3, 3]),
    "-1, 0 and 1": (A_B, "label", [-1, 0, 1, 1]),
    "a sign in a column of no set": (ONE_TWO, "preference", [-2, 3, 0, 1]),
    "true and false": (A_B, "preferred", [True, False, True]),
    "yes and no": (A_B, "preferred", ["yes", "no", "yes"]),
    "a scale of 5": (A_B, "preference", [1, 5, 3, 2]),
    "a scale of 7": (A_B, "label", [1, 7, 4, 2, 6]),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_a_code_with_several_readings_is_refused_and_each_reading_settles_it(jsonl, case):
    names, column, values = AMBIGUOUS[case]
    path = jsonl(*pairs(column, values, *names))
    with pytest.raises(UserError) as caught:
        read(path)
    head, *readings = caught.value.problems
    assert f"{column!r} says" in head.message and f"can be read in {len(readings)} ways" in head.message
    assert len(readings) >= 2
    read_as = set()
    for reading in readings:
        option = reading.remedy.removeprefix("--labels ")
        records = read(
            path, labels=dict(part.rsplit("=", 1) for part in option.split(",")), max_dropped=0
        ).records
        read_as.add(tuple(results(records)))
        # What the refusal says of a reading is what the reading gives.
        counts = [results(records).count(share) for share in (F, S, T)]
        assert (
            f"{names[0]} is better in {counts[0]}, {names[1]} in {counts[1]}, ties {counts[2]}"
            in reading.message
        )
        longer = longer_wins(records)
        assert longer is None or f"the longer answer wins {longer:.2f}" in reading.message
    assert len(read_as) == len(readings)


def test_prompts_can_be_read_whatever_the_codes_mean(jsonl):
    assert len(read(jsonl(*pairs("label", [0, 1, 0])), kind="prompts").records) == 3


def test_rows_beyond_a_limit_tell_what_a_code_means(jsonl):
    """Else the first ten rows of a file would be read as another coding than the whole."""
    path = jsonl(*pairs("label", [1, 2, 1, 1, 0], *ONE_TWO))
    with pytest.raises(UserError, match="can be read in 2 ways"):
        read(path, limit=2)
    told = read(path, limit=2, labels={0: "first", 1: "second", 2: "tie"})
    assert results(told.records) == [S, T]


def test_a_broken_line_beyond_a_limit_does_not_concern_the_rows_asked_for(jsonl):
    rows = [json.dumps(r) for r in pairs("label", [1, 2] * 60, *ONE_TWO)]
    assert results(read(jsonl(*rows, '{"prompt": "As'), limit=2).records) == [F, S]


def test_labels_may_leave_rows_out_and_name_signs(jsonl):
    path = jsonl(*pairs("preference", [-2, 3, 0, 9], *ONE_TWO))
    labels = {"negative": "first", "positive": "second", 9: "drop", 0: "tie"}
    result = read(path, labels=labels, max_dropped=0.3)
    assert results(result.records) == [F, S, T]
    assert [r.strength for r in result.records] == [2.0, 3.0, None]
    assert result.report.dropped == {"set aside by labels": 1}


def test_a_code_that_labels_does_not_name_is_a_faulty_row(jsonl):
    report = scan(jsonl(*pairs("label", [0, 1, 2])), labels={0: "first", 1: "second", 7: "tie"}).report
    assert report.dropped == {"bad label": 1} and report.kept == 2
    assert report.notes == [
        "'label': 0 is response_a, 1 is response_b (as labels says)",
        "labels: no row of 'label' says 7",
    ]


def test_labels_that_change_nothing_are_refused(jsonl):
    plain = jsonl({"prompt": "Ask?", "chosen": "Yes.", "rejected": "No."})
    with pytest.raises(UserError, match="here the names of the columns say which answer is better"):
        read(plain, labels={0: "first"})
    with pytest.raises(UserError, match=r"rows read as \{prompt, responses, ranks\} hold none"):
        read(jsonl({"prompt": "Ask?", "responses": ["a", "b"], "ranks": [1, 2]}), labels={0: "first"})
    with pytest.raises(UserError, match="is about two answers"):
        read(jsonl(*pairs("label", [0, 1])), labels={0: "good", 1: "bad"})


def test_a_missing_or_unknown_verdict_is_a_dropped_row(jsonl):
    values = ["a", None, "b", "None", "c", "gpt-4"]
    report = scan(jsonl(*pairs("winner", values))).report
    assert (report.kept, dict(report.dropped)) == (2, {"missing field": 1, "bad label": 3})


def test_a_winner_may_be_named_by_its_model(jsonl):
    models = {"model_a": ["gpt-4", "gpt-4", "claude"], "model_b": ["claude", "claude", "gpt-4"]}
    rows = pairs("winner", ["gpt-4", "claude", "gpt-4"], **models)
    assert results(read(jsonl(*rows), max_dropped=0).records) == [F, S, S]


def test_the_best_of_a_list_may_be_named_by_its_text(jsonl):
    rows = [
        {"prompt": f"Ask {i}?", "candidates": ["x.", "y."], "preferred": t}
        for i, t in enumerate(("y.", "x."))
    ]
    assert results(read(jsonl(*rows), max_dropped=0).records) == [S, F]


def test_one_column_per_verdict(tmp_path):
    flags = {"winner_model_a": [1, 0, 0], "winner_model_b": [0, 1, 0], "winner_tie": [0, 0, 1]}
    rows = [
        {
            "prompt": json.dumps([f"Ask {i}?"]),
            "response_a": json.dumps([SHORT[i]]),
            "response_b": json.dumps([LONG[i]]),
            **{name: values[i] for name, values in flags.items()},
        }
        for i in range(3)
    ]
    path = tmp_path / "arena.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    records = read(path, max_dropped=0).records
    assert results(records) == [F, S, T]
    assert [r.prompt.text for r in records] == ["Ask 0?", "Ask 1?", "Ask 2?"]
    assert records[0].responses[0].text == "Sure."


@pytest.mark.parametrize(
    "numbers",
    [{"score_a": [3, 1, 2], "score_b": [1, 3, 2]}, {"rank_a": [1, 2, 1], "rank_b": [2, 1, 1]}],
    ids=["scores", "ranks"],
)
def test_numbers_beside_two_answers_rank_them(jsonl, numbers):
    first, *others = numbers
    rows = pairs(first, numbers[first], **{name: numbers[name] for name in others})
    assert results(read(jsonl(*rows)).records) == [F, S, T]


def test_several_raters_in_one_row_are_several_judgements(jsonl):
    rows = pairs("annotator_1", ["A", "B"], annotator_2=["tie", "B"])
    records = read(jsonl(*rows)).records
    assert [[(o.result, o.rater) for o in r.outcomes] for r in records] == [
        [(F, "annotator_1"), (T, "annotator_2")],
        [(S, "annotator_1"), (S, "annotator_2")],
    ]


def test_several_better_and_worse_answers_are_one_item_of_all_pairs(jsonl):
    row = {"prompt": "Ask?", "chosen": ["a", "b"], "rejected": ["c", "d", "e"]}
    (record,) = read(jsonl(row)).records
    assert isinstance(record, Comparisons)
    assert {(o.left, o.right, o.result) for o in record.outcomes} == {
        (i, j, F) for i in (0, 1) for j in (2, 3, 4)
    }
    with pytest.raises(UserError, match="is both chosen and rejected"):
        read(jsonl({**row, "rejected": ["a"]}))


def test_the_best_of_several_beats_each_other(jsonl):
    rows = [{"prompt": f"Ask {i}?", "responses": ["x", "y", "z"], "best": i} for i in range(3)]
    records = read(jsonl(*rows)).records
    won = [{(o.left, o.right) for o in r.outcomes} for r in records]
    assert won == [{(0, 1), (0, 2)}, {(1, 0), (1, 2)}, {(2, 0), (2, 1)}]
    by_text = [{**r, "best": "z"} for r in rows]
    assert [[o.left for o in r.outcomes] for r in read(jsonl(*by_text)).records] == [[2, 2]] * 3
    with pytest.raises(UserError, match="more than two here"):
        read(jsonl(*rows), labels={0: "first"})
    with pytest.raises(UserError, match="unclear whether the first is 0 or 1"):
        read(jsonl(*[{**r, "best": 1 + i % 2} for i, r in enumerate(rows)]))


TWO_SAID = {"response_a": "Yes.", "response_b": "No."}
REMEDIES = {
    "nothing says which is better": ({"prompt": "Ask?", **TWO_SAID, "who": "a"}, "--fields preferred=COLUMN"),
    "no prompt": ({"task_text": "Ask?", **TWO_SAID, "winner": "a"}, "--fields prompt=COLUMN"),
    "three answers in columns": (
        {"prompt": "Ask?", "response_1": "a", "response_2": "b", "response_3": "c", "best": 1},
        "one column 'responses'",
    ),
    "answers in one column": (
        {"instruction": "Ask?", "input": "", "output": ["Yes.", "No."]},
        "the better one into 'chosen'",
    ),
    "answers that nothing ranks": ({"prompt": "Ask?", "responses": ["a", "b"]}, "'ranks' (1 is best)"),
}


@pytest.mark.parametrize("case", REMEDIES)
def test_the_remedy_is_the_right_one(jsonl, case):
    row, remedy = REMEDIES[case]
    with pytest.raises(UserError) as caught:
        read(jsonl(row))
    (problem,) = caught.value.problems
    assert remedy in problem.remedy


def test_problems_of_an_array_name_the_row(tmp_path):
    rows = pairs("winner", ["a", "b", "x", "a"])
    rows[1]["response_b"] = 5
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    problems = scan(path).report.problems
    assert [(p.row, p.field) for p in problems] == [(2, "response_b"), (3, "winner")]
    assert "rows.json:1 (row 2) [response_b]" in str(problems[0])


def test_check_shows_the_readings_and_takes_the_option(jsonl):
    app = typer.Typer()
    app.command()(check_command)
    path = str(jsonl(*pairs("label", [0, 1, 2, 1], *ONE_TWO)))
    refused = CliRunner().invoke(app, [path], env={"COLUMNS": "300"})
    assert refused.exit_code == 2
    assert (
        "--labels 0=first,1=second,2=tie" in refused.output
        and "--labels 0=tie,1=first,2=second" in refused.output
    )
    told = CliRunner().invoke(app, [path, "--labels", "0=first,1=second,2=tie"], env={"COLUMNS": "300"})
    assert told.exit_code == 0, told.output
    assert "4, of these 1 ties" in told.output


FORMS = [
    "{}",
    "[[{}]]",
    "response_{}",
    "Model {}",
    "assistant-{}",
    " {} ",
    "({})",
    "{} is better",
    "prefer {}",
]


@given(st.sampled_from("ab"), st.sampled_from(FORMS), st.booleans())
def test_a_word_and_its_other_side_are_opposite(letter, form, upper):
    def said(end):
        return verdict_of(form.format(end.upper() if upper else end), A_B)

    other = "b" if letter == "a" else "a"
    assert {said(letter).share, said(other).share} == {F, S}
    assert said(letter).share == (F if letter == "a" else S)


def test_judgements_counted_from_0_with_ties_are_not_read_inverted(real):
    """Auto-J's test set: 0 the first, 1 the second, 2 a tie; people preferred the longer answer in .72."""
    path: Path = real("autoj_pairwise/testdata_pairwise.jsonl")
    with pytest.raises(UserError, match="can be read in 2 ways"):
        read(path)
    records = read(path, labels={0: "first", 1: "second", 2: "tie"}).records
    assert longer_wins(records) == pytest.approx(0.72, abs=0.01)


def test_an_answer_that_is_a_list_in_text_is_one_answer(jsonl):
    (record,) = read(jsonl({"prompt": "Ask?", "chosen": "[1, 2]", "rejected": '["a"]'})).records
    assert [r.text for r in record.responses] == ["[1, 2]", '["a"]']


TWO = {"response_a": "x", "response_b": "y"}
CONFLICTS = {
    "another verdict": (
        {**TWO, "preferred": "B", "winner": "A"},
        "'winner' contradicts 'preferred' in 3 of 3 judgements",
        S,
    ),
    "scores and the best of a list": (
        {"responses": ["x", "y"], "scores": [1, 5], "preferred": 0},
        "'preferred' contradicts the order that is used in at least 3 of 3 rankings",
        S,
    ),
    "a ranking and scores": (
        {"responses": ["x", "y"], "scores": [1, 5], "ranking": [0, 1]},
        "'scores' contradicts",
        F,
    ),
    "a rank and a score": (
        {"responses": [{"text": "x", "rank": 1, "score": 1}, {"text": "y", "rank": 2, "score": 9}]},
        "'responses[].score' contradicts",
        F,
    ),
    "equal scores": (
        {"chosen": "x", "rejected": "y", "chosen_score": 3, "rejected_score": 3.0},
        "are equal in 3 of 3 judgements",
        F,
    ),
    "a tie in a flag": ({"chosen": "x", "rejected": "y", "is_tie": True}, "3 of 3 pairs are ties", T),
    "a tie in words": ({"chosen": "x", "rejected": "y", "preference": "tie"}, "3 of 3 pairs are ties", T),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_what_contradicts_the_order_that_is_used_is_told(jsonl, case):
    row, note, first = CONFLICTS[case]
    result = read(jsonl(*({"prompt": f"Ask {i}?", **row} for i in range(3))), max_dropped=0)
    assert note in " ".join(result.report.notes)
    better = [r.comparisons().outcomes[0] for r in result.records]
    assert [o.result if o.left == 0 else 1 - o.result for o in better] == [first] * 3


@pytest.mark.parametrize(
    "case", ["another verdict", "scores and the best of a list", "a ranking and scores", "equal scores"]
)
def test_what_agrees_is_not_told(jsonl, case):
    row = dict(CONFLICTS[case][0])
    agreeing = {"winner": "B", "preferred": "B" if "winner" in row else 1,
                "scores": [5, 1] if "ranking" in row else [1, 5],
                "chosen_score": 4, "is_tie": False}  # fmt: skip
    row |= {k: v for k, v in agreeing.items() if k in row}
    notes = read(jsonl({"prompt": "Ask?", **row})).report.notes
    assert not any(word in note for note in notes for word in ("contradict", "equal", "ties"))


def test_a_row_without_the_verdict_of_the_others_is_not_judged_by_its_scores(jsonl):
    report = scan(
        jsonl(*pairs("winner", ["A", "B", None, ""], score_a=[5, 1, 5, 5], score_b=[1, 5, 1, 1]))
    ).report
    assert (report.kept, dict(report.dropped)) == (2, {"missing field": 2})


BY_TEXT = {
    "yes and no": [("Yes", "No", "Yes"), ("Yes", "No", "No")],
    "numbers": [("0", "1", "0"), ("1", "2", "1"), ("2", "3", "3")],
}


@pytest.mark.parametrize("case", BY_TEXT)
def test_the_text_of_the_better_answer_may_look_like_a_code(jsonl, case):
    rows = [
        {"prompt": f"{i}?", "answer_a": a, "answer_b": b, "preferred_answer": p}
        for i, (a, b, p) in enumerate(BY_TEXT[case])
    ]
    result = read(jsonl(*rows), max_dropped=0)
    assert results(result.records) == [F if a == p else S for a, b, p in BY_TEXT[case]]
    assert result.report.notes == ["'preferred_answer' names the better answer by its text or its model"]


@pytest.mark.parametrize("rows", [
    [("2", "1", "2"), ("2", "1", "1")], [("B", "A", "A"), ("B", "A", "B")],
])  # fmt: skip
def test_a_value_that_is_a_text_and_also_the_code_of_the_other_answer_is_asked_about(jsonl, rows):
    path = jsonl(
        *({"prompt": f"{i}?", "answer_1": a, "answer_2": b, "winner": p} for i, (a, b, p) in enumerate(rows))
    )
    with pytest.raises(UserError, match="is the text of one answer, and as a code it names the other"):
        read(path)
    many = jsonl(*({"prompt": f"{i}?", "responses": ["2", "1", "3"], "best": b} for i, b in enumerate("123")))
    with pytest.raises(UserError, match="each is also the text of one answer"):
        read(many)


@pytest.mark.parametrize("column", ["preference_strength", "overall_preference"])
def test_a_documented_scale_without_negative_numbers_is_not_read_by_the_columns_endings(jsonl, column):
    path = jsonl(*pairs(column, [1, 2, 1], *ONE_TWO))
    with pytest.raises(UserError, match="can be read in 2 ways") as caught:
        read(path)
    remedies = [p.remedy for p in caught.value.problems[1:]]
    assert remedies == ["--labels negative=first,positive=second", "--labels 1=first,2=second"]
    assert results(read(path, labels={1: "second", 2: "second"}).records) == [S] * 3


def test_counts_of_votes_beside_each_answer_are_no_raters(jsonl):
    with pytest.raises(UserError, match="says whether 'response_1' or 'response_2' is better"):
        read(jsonl(*pairs("vote_1", [2, 2], *ONE_TWO, vote_2=[1, 1])))
    words = read(jsonl(*pairs("vote_1", ["A", "B"], *ONE_TWO, vote_2=["B", "tie"]))).records
    assert [[o.result for o in r.outcomes] for r in words] == [[F, S], [S, T]]


@pytest.mark.parametrize("column", ["preference_strength", "overall_preference"])
def test_a_number_beyond_the_documented_scale_is_no_judgement(jsonl, column):
    rows = [
        {"prompt": f"Ask {i}?", "response_1": "Yes.", "response_2": "No.", column: code}
        for i, code in enumerate([-3, 2, -100, 0])
    ]
    result = scan(jsonl(*rows))
    assert [r.groups for r in result.records] == [((0,), (1,)), ((1,), (0,)), ((0, 1),)]
    assert result.report.dropped_rows == 1
    assert "-100" in result.report.problems[0].message
