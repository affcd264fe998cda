"""Columns that label or rate answers are used as they are, or the user is asked; none is ignored silently."""

from __future__ import annotations

import csv
import json

import pytest

from plaudit.data.readers.labels.column_names import label_name_of
from plaudit.data.readers.read import read, scan
from plaudit.data.records import Demonstration, Labeled, Ranking, Rated
from plaudit.errors import UserError


def rows(column, marks, n=8):
    return [{"prompt": f"Ask {i}?", "response": f"Yes {i}.", column: marks[i % len(marks)]} for i in range(n)]


# A column, its marks, and what each of them says; None where it says nothing.
LABELS = {
    "true and false": ("label", [True, False], [True, False]),
    "0 and 1": ("is_correct", [1, 0], [True, False]),
    "0.0 and 1.0": ("label", [1.0, 0.0], [True, False]),
    "0 and 1 as text": ("accepted", ["1", "0"], [True, False]),
    "1 and -1": ("vote", [1, -1], [True, False]),
    "1, 0 and -1": ("thumbs", [1, 0, -1], [True, None, False]),
    "yes and no": ("approved", ["yes", "No"], [True, False]),
    "thumbs": ("thumb", ["up", "down"], [True, False]),
    "thumbs in words": ("feedback", ["thumbs-up", "Thumbs Down"], [True, False]),
    "thumbs of any color": ("reaction", ["👍🏽", "👎"], [True, False]),
    "ticks": ("verdict", ["✅", "❌"], [True, False]),
    "good, neutral and bad": ("quality", ["good", "neutral", "bad"], [True, None, False]),
    "safe in another case": ("isSafe", [True, False], [True, False]),
    "safe and unsafe": ("safety_label", ["safe", "unsafe"], [True, False]),
    "harm": ("is_harmful", [True, False], [False, True]),
    "harm as 0 and 1": ("toxic", [1, 0], [False, True]),
    "flags": ("flagged", [False, True], [True, False]),
    "a name turned around": ("not_helpful", [True, False], [False, True]),
    "a word that says it by itself": ("toxicity", ["safe", "toxic"], [True, False]),
    "a thumb down": ("thumbs_down", [False, True], [True, False]),
    "a tag of LLaMA-Factory": ("kto_tag", [True, False], [True, False]),
    "the best": ("is_best", [True, False], [True, False]),
    "to keep": ("keep", ["yes", "no"], [True, False]),
    "usable": ("usable", [1, 0], [True, False]),
    "not ok": ("not_ok", [True, False], [False, True]),
    "errors": ("has_error", [1, 0], [False, True]),
    "to exclude": ("exclude", [True, False], [False, True]),
    "moderation in words": ("moderation", ["approved", "rejected"], [True, False]),
    "signs": ("vote", ["+", "-"], [True, False]),
    "a dash for nothing": ("label", ["good", "bad", "-"], [True, False, None]),
    "null for some": ("approved", [True, None, False, ""], [True, None, False, None]),
    "rejected or not": ("rejected", [False, True], [True, False]),
    "is rejected": ("is_rejected", [0, 1], [True, False]),
    "a jailbreak": ("jailbreak", [False, True], [True, False]),
    "passing the tests": ("passes", [1, 0], [True, False]),
    "excellent and poor": ("quality", ["excellent", "poor"], [True, False]),
    "a truth inside an object": ("feedback", [{"thumb": "up"}, {"thumb": "down"}], [True, False]),
}


@pytest.mark.parametrize("case", LABELS)
def test_a_mark_that_says_good_or_bad_is_a_label(jsonl, case):
    column, marks, meant = LABELS[case]
    path = jsonl(*rows(column, marks))
    expected = [m for i in range(8) if (m := meant[i % len(meant)]) is not None]
    result = read(path)
    assert all(isinstance(r, Labeled) for r in result.records)
    assert [r.good for r in result.records] == expected
    assert sum(result.report.left_out.values()) == 8 - len(expected)
    imitated = read(path, kind="demonstrations").records
    good = [i for i in range(8) if meant[i % len(meant)]]
    assert [r.response.text for r in imitated] == [f"Yes {i}." for i in good]
    assert any(column in note for note in result.report.notes)


NUMBERS = {
    "a rating": ("rating", [1, 5, 3], [1, 5, 3]),
    "a rating of 5": ("rating", ["1/5", "5/5"], [1, 5]),
    "stars": ("stars", ["★★☆☆☆", "★★★★★"], [2, 5]),
    "stars in words": ("stars", ["4 stars", "1 star"], [4, 1]),
    "a score in text": ("judge_score", ["0.5", "2"], [0.5, 2]),
    "upvotes": ("upvotes", [0, 12], [0, 12]),
    "a reward": ("reward", [-0.5, 1.25], [-0.5, 1.25]),
    "a side of quality": ("helpfulness", [0, 4, 2], [0, 4, 2]),
    "of which less is better": ("toxicity", [0.25, 0.5], [-0.25, -0.5]),
    "a number inside an object": ("scores", [{"overall": 3}, {"overall": 4}], None),
    "overall": ("overall", [1, 5, 3], [1, 5, 3]),
    "errors, counted": ("error_count", [0, 3], [0, -3]),
    "a place in a ranking": ("ranking", [1, 2], [-1, -2]),
    "with its scale": ("Rating (1-5)", [1, 5], [1, 5]),
    "with its scale in words": ("rank_1_to_5", [1, 5], [-1, -5]),
    "out of ten": ("quality/10", [4, 9], [4, 9]),
    "two sides inside an object": ("scores", [{"honesty": 3, "helpfulness": 1}], [2]),
    "inside metadata as text": ("metadata", ['{"rating": 3}', '{"rating": 4}'], [3, 4]),
    "two levels inside metadata": ("meta", [{"scores": {"quality": 3}}, {"scores": {"quality": 4}}], [3, 4]),
    "inside metadata": ("metadata", [{"rating": 3}, {"rating": 4}], [3, 4]),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_a_number_that_marks_an_answer_rates_it(jsonl, case):
    column, marks, meant = NUMBERS[case]
    path = jsonl(*rows(column, marks))
    if meant is None:
        with pytest.raises(UserError, match="looks like a label or rating"):
            read(path)
        return
    records = read(path).records
    assert all(isinstance(r, Rated) for r in records)
    assert [r.score for r in records] == [meant[i % len(meant)] for i in range(8)]
    with pytest.raises(UserError, match="the worst of them would be learned as well as the best"):
        read(path, kind="demonstrations")


QUESTIONS = {
    "1 and 2": ("label", [1, 2], "--labels CODE=good"),
    "a scale under the name of a label": ("label", [1, 2, 3, 4], "--fields rating=label"),
    "topics": ("label", ["math", "sport"], "--fields ignore=label"),
    "a text": ("feedback", ["It was too long for me.", "Thanks a lot!"], "--fields ignore=feedback"),
    "notes in letters": ("grade", ["A", "B", "F"], "--fields ignore=grade"),
    "a scale in words": ("quality", ["excellent", "fair"], "CODE=bad"),
    "a list of notes": ("ratings", [[1, 2], [4, 5]], "--fields rating=ratings"),
    "reviews": ("reviews", [[{"rating": 2}], [{"rating": 5}]], "--fields ignore=reviews"),
    "a name that is half known": ("edu_score", [1.5, 2.5], "--fields rating=edu_score"),
    "a word that says it under any name": ("status", ["approved", "rejected"], "--fields label=status"),
    "a remark of one word": ("category", ["good", "bad"], "--fields label=category"),
    "a side of quality in words": ("usefulness", ["high", "low"], "--fields rating=usefulness"),
    "refusals": ("is_refusal", [True, False], "--fields label=is_refusal"),
    "very few": ("feedback", ["up", *[None] * 7], "uses only these answers"),
    "gold of 0 and 1": ("gold", [1, 0], "--fields label=gold"),
    "a target that is true or false": ("target", [True, False], "--fields label=target"),
    "y as text": ("y", ["0", "1.0"], "--fields label=y"),
    "a class that is 1 in the first rows": ("Class", [1], "--fields label=Class"),
    "both sides in the name": ("pass_fail", [1, 0], "--labels 1=bad,0=good"),
    "both sides with a slash": ("Correct/Incorrect", [True, False], "--fields label=Correct/Incorrect"),
    "accepted or rejected": ("accepted_rejected", ["1", "0"], "--fields label=accepted_rejected"),
    "both sides of a quality": ("helpful_harmful", [1, 0], "--fields label=helpful_harmful"),
    "a side and its negation": ("safe_not_safe", ["yes", "no"], "--fields label=safe_not_safe"),
    "moderation": ("moderation", [True, False], "--fields label=moderation"),
    "refusals as numbers": ("refuses", [1, 0], "--fields label=refuses"),
    "a word that is not known": ("wellformed", [True, False], "--fields label=wellformed"),
    "what is known only in part": ("code_runs", ["yes", "no"], "--labels 1=bad,0=good"),
    "an answer to the question": ("question_answered", [1, 0], "--fields label=question_answered"),
    "a place": ("place", [1, 2], "rating=-place"),
    "a cost": ("cost", [0.5, 2], "rating=-cost"),
    "a mean": ("avg", [3.5, 2], "--fields rating=avg"),
    "a jailbreak that succeeds": ("jailbreak", ["success", "fail"], "--labels CODE=good"),
    "a positive test": ("toxicity", ["positive", "negative"], "--labels CODE=good"),
    "valid or not, of a violation": ("violation", ["valid", "invalid"], "--labels CODE=good"),
    "signs of harm": ("harmful", ["+", "-"], "--labels CODE=good"),
    "a rater's number": ("rating_1", [1, 5], "--fields rating=rating_1"),
    "a rater's letter": ("feedback_b", ["yes", "no"], "--fields label=feedback_b"),
    "a number without a break": ("score2", [2, 7], "--fields rating=score2"),
    "a scale that falls": ("Rating (5-1)", [2, 5], "rating=-Rating (5-1)"),
    "a scale that is explained": ("label (1=good, 0=bad)", [1, 0], "--fields label=label (1=good, 0=bad)"),
    "a truth in words, with gaps": ("truth", ["True", "false", "True", None], "--labels 1=bad"),
}


@pytest.mark.parametrize("case", QUESTIONS)
@pytest.mark.parametrize("kind", [None, "demonstrations"])
def test_a_mark_that_could_mean_two_things_is_asked_about(jsonl, case, kind):
    column, marks, remedy = QUESTIONS[case]
    path = jsonl(*rows(column, marks))
    with pytest.raises(UserError) as caught:
        read(path, kind=kind)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.field) == (str(path), 1, column)
    assert remedy in (problem.remedy or "")
    asked = read(path, kind=kind, fields={"ignore": column}).records
    assert all(isinstance(r, Demonstration) for r in asked)
    assert len(asked) == 8
    given = rows(column, marks)
    assert [r.prompt.metadata.get(column) for r in asked] == [row[column] for row in given]


def test_what_is_asked_can_be_answered(jsonl):
    path = jsonl(*rows("label", [1, 2]))
    told = read(path, fields={"label": "label"}, labels={1: "bad", 2: "good"}).records
    assert [r.good for r in told] == [False, True] * 4
    assert read(path, labels={1: "bad", 2: "good"}).records == told
    assert [r.score for r in read(path, fields={"rating": "-label"}).records] == [-1, -2] * 4
    few = jsonl(*rows("feedback", ["up", *[None] * 7]))
    assert [r.good for r in read(few, fields={"label": "feedback"}).records] == [True]
    lists = jsonl(*rows("ratings", [[1, 2], [4, 5]]))
    assert [r.score for r in read(lists, fields={"rating": "ratings"}).records] == [1.5, 4.5] * 4
    inside = jsonl(*rows("scores", [{"overall": 3}, {"overall": 4}]))
    assert [r.score for r in read(inside, fields={"rating": "scores.overall"}).records] == [3, 4] * 4


def test_a_word_that_depends_on_the_column_is_never_read_by_itself(jsonl):
    given = rows("jailbreak", ["success", "fail"])
    told = read(jsonl(*given), labels={"success": "bad", "fail": "good"}).records
    assert [r.good for r in told] == [False, True] * 4
    late = [*rows("jailbreak", [True, False], 100), given[0]]
    report = scan(jsonl(*late)).report
    assert (report.kept, dict(report.dropped)) == (100, {"bad label": 1})
    assert "--labels success=good" in (report.problems[0].remedy or "")


@pytest.mark.parametrize("column", ["gold", "y", "target", "class", "truth"])
def test_a_binary_column_of_an_unclear_name_is_read_either_way_as_the_user_says(jsonl, column):
    path = jsonl(*rows(column, [1, 0]))
    good = read(path, fields={"label": column}).records
    assert [r.good for r in good] == [True, False] * 4
    bad = read(path, fields={"label": column}, labels={1: "bad", 0: "good"}).records
    assert [r.good for r in bad] == [False, True] * 4
    imitated = read(path, fields={"label": column}, kind="demonstrations").records
    assert [r.response.text for r in imitated] == ["Yes 0.", "Yes 2.", "Yes 4.", "Yes 6."]


@pytest.mark.parametrize("column", ["pass_fail", "Bad or Good", "contains_hallucination"])
def test_the_options_of_a_question_do_what_the_question_says(jsonl, column):
    path = jsonl(*rows(column, [True, False]))
    with pytest.raises(UserError) as caught:
        read(path)
    remedy = caught.value.problems[0].remedy or ""
    first = remedy.startswith("1 or true is a good answer")
    assert first or remedy.startswith("1 or true is a bad answer")
    assert [r.good for r in read(path, fields={"label": column}).records] == [first, not first] * 4
    other = {"true": "bad", "false": "good"} if first else {"true": "good", "false": "bad"}
    turned = read(path, fields={"label": column}, labels=other).records
    assert [r.good for r in turned] == [not first, first] * 4


@pytest.mark.parametrize(
    "column, values",
    [
        ("target", [72, 5]),
        ("gold", ["42", "17"]),
        ("truth", ["Paris", "Rome"]),
        ("y", [0, 1, 2]),
        ("class", [-1, 1]),
    ],
)
def test_the_right_answer_of_a_task_stays_metadata(jsonl, column, values):
    given = rows(column, values)
    result = read(jsonl(*given))
    assert {type(r) for r in result.records} == {Demonstration}
    assert [r.prompt.metadata[column] for r in result.records] == [row[column] for row in given]


def test_a_binary_column_beside_prompts_or_pairs_stays_metadata(jsonl):
    prompts = read(jsonl(*rows("gold", [1, 0])), kind="prompts").records
    assert [p.metadata["gold"] for p in prompts] == [1, 0] * 4
    pairs = [{"prompt": f"Ask {i}?", "chosen": "Yes.", "rejected": "No.", "gold": i % 2} for i in range(4)]
    records = read(jsonl(*pairs)).records
    assert [type(r) for r in records] == [Ranking] * 4
    assert [r.prompt.metadata["gold"] for r in records] == [0, 1, 0, 1]


def test_a_binary_gold_that_begins_far_into_the_file_stops_it(jsonl):
    plain = [{"prompt": f"Ask {i}?", "response": "Yes.", "gold": None} for i in range(120)]
    with pytest.raises(UserError) as caught:
        read(jsonl(*plain, plain[0] | {"gold": 0}))
    assert (caught.value.problems[0].line, caught.value.problems[0].field) == (121, "gold")
    assert len(read(jsonl(*plain, plain[0] | {"gold": "Paris"}, plain[1] | {"gold": 1})).records) == 122


def test_a_sign_that_begins_far_into_the_file_stops_it_if_a_0_was_read_as_bad(jsonl):
    path = jsonl(*rows("label", [0, 1], 120), *rows("label", [-1], 2))
    with pytest.raises(UserError, match="beside it, 0 says neither good nor bad") as caught:
        read(path)
    assert (caught.value.problems[0].line, caught.value.problems[0].field) == (121, "label")
    told = read(path, fields={"label": "label"}, labels={1: "good", 0: "drop", -1: "bad"}).records
    assert [r.good for r in told] == [True] * 60 + [False] * 2
    part = read(path, fields={"label": "label"}, labels={1: "good", -1: "bad"}, max_dropped=1)
    assert [r.good for r in part.records] == [True] * 60 + [False] * 2
    sorted_by_label = jsonl(*rows("label", [1], 120), *rows("label", [-1, 0], 2))
    assert [r.good for r in read(sorted_by_label).records] == [True] * 120 + [False]


def test_two_marks_that_disagree_are_asked_about_and_two_that_agree_are_one(jsonl):
    safe = [row | {"is_helpful": i % 3 == 0} for i, row in enumerate(rows("is_safe", [True, False]))]
    with pytest.raises(UserError, match="'is_safe' and 'is_helpful' label or rate the answers"):
        read(jsonl(*safe))
    twice = [row | {"unsafe": not row["is_safe"]} for row in rows("is_safe", [True, False])]
    assert [r.good for r in read(jsonl(*twice)).records] == [True, False] * 4
    counted = [row | {"total_correct": 3} for row in rows("num_correct", [1, 3])]
    with pytest.raises(UserError, match="'num_correct' and 'total_correct' label or rate the answers"):
        read(jsonl(*counted))
    liked = [row | {"dislikes": 3} for row in rows("likes", [1, 7])]
    with pytest.raises(UserError, match="rating=likes or rating=-dislikes"):
        read(jsonl(*liked))


def test_a_text_beside_a_clear_mark_is_a_comment_on_it(jsonl):
    marked = [row | {"feedback": "Too long, I think."} for row in rows("rating", [1, 5])]
    result = read(jsonl(*marked))
    assert {type(r) for r in result.records} == {Rated}
    assert result.report.unused == ("feedback",)
    assert result.records[0].prompt.metadata == {"feedback": "Too long, I think."}


def test_a_mark_that_begins_far_into_the_file_stops_it(jsonl):
    plain = [{"prompt": f"Ask {i}?", "response": "Yes."} for i in range(120)]
    with pytest.raises(UserError) as caught:
        read(jsonl(*plain, plain[0] | {"feedback": "thumbs_down"}))
    (problem,) = caught.value.problems
    assert (problem.line, problem.field) == (121, "feedback")
    empty = [row | {"feedback": None} for row in plain]
    assert len(read(jsonl(*empty)).records) == 120


@pytest.mark.parametrize(
    "column",
    [
        "correct_answer",
        "best_answer",
        "rating_id",
        "language_score",
        "complexity",
        "label_text",
        "good_to_know",
    ],
)
def test_names_that_only_look_like_marks_are_none(jsonl, column):
    result = read(jsonl(*rows(column, ["42", "17"])))
    assert {type(r) for r in result.records} == {Demonstration}
    assert result.report.unused == (column,)


@pytest.mark.parametrize(
    "column",
    ["is_multi_turn", "has_code", "is_english", "synthetic", "prompt_harmful", "uses_tools", "model_id"],
)
@pytest.mark.parametrize("marks", [[True, False], [1, 0], ["yes", "no"]])
def test_what_the_task_is_like_is_no_mark_of_an_answer(jsonl, column, marks):
    result = read(jsonl(*rows(column, marks)))
    assert {type(r) for r in result.records} == {Demonstration}
    assert result.report.unused == (column,)


def test_an_unknown_truth_beside_a_label_or_the_same_for_all_answers_is_no_question(jsonl):
    beside = [row | {"wellformed": i < 3, "cost": i} for i, row in enumerate(rows("label", [True, False]))]
    assert {type(r) for r in read(jsonl(*beside)).records} == {Labeled}
    assert {type(r) for r in read(jsonl(*rows("wellformed", [True]))).records} == {Demonstration}
    assert {type(r) for r in read(jsonl(*rows("place", ["Paris", "Rome"]))).records} == {Demonstration}


@pytest.mark.parametrize("column", ["score_chosen", "is_response_0_safe", "rating_a", "prompt_toxicity"])
def test_a_mark_of_one_of_two_answers_or_of_the_prompt_is_no_mark_of_this_answer(column):
    assert label_name_of(column) is None


def test_two_raters_of_one_answer_are_asked_about_and_marks_of_two_answers_are_not(jsonl):
    twice = [row | {"rating_2": i % 3} for i, row in enumerate(rows("rating_1", [1, 5]))]
    with pytest.raises(UserError) as caught:
        read(jsonl(*twice))
    assert [p.field for p in caught.value.problems] == ["rating_1", "rating_2"]
    chosen = {"role": "assistant", "content": "Yes."}
    pair = {"prompt": "A?", "chosen": "Yes.", "rejected": "No.", "score_chosen": 2, "score_rejected": 1}
    talk = pair | {"messages": [{"role": "user", "content": "A?"}, chosen]}
    assert [type(r) for r in read(jsonl(talk)).records] == [Ranking]
    assert [type(r) for r in read(jsonl(talk), kind="demonstrations").records] == [Demonstration]


def test_answers_that_are_labeled_rank_each_other_where_preferences_are_asked_for(jsonl):
    given = [
        {"prompt": p, "response": r, "is_correct": good}
        for p, r, good in [("A?", "1", 1), ("A?", "2", 0), ("A?", "3", 1), ("B?", "4", 0), ("C?", "5", 1)]
    ]
    result = read(jsonl(*given), kind="preferences")
    (ranking,) = result.records
    assert isinstance(ranking, Ranking)
    assert ([r.text for r in ranking.responses], ranking.groups) == (["1", "2", "3"], ((0, 2), (1,)))
    assert result.report.left_out == {"the only answer to its prompt": 2}
    assert {type(r) for r in read(jsonl(*given)).records} == {Labeled}


def test_several_peoples_ratings_of_an_answer_count_by_their_mean(jsonl):
    given = [
        {"prompt": "A?", "response": r, "rating": s} for r, s in [("x", 1), ("x", 4), ("y", 2), ("z", 2.5)]
    ]
    (ranking,) = read(jsonl(*given)).records
    assert ranking.groups == ((0, 2), (1,))
    assert ranking.metadata == {"scores": [2.5, 2.0, 2.5]}


def test_a_limit_counts_rankings_and_cuts_none(jsonl):
    given = [{"prompt": f"Ask {i}?", "response": f"{k}", "score": k} for i in range(5) for k in range(3)]
    records = read(jsonl(*given), limit=2).records
    assert [len(r.responses) for r in records] == [3, 3]


def test_marks_of_a_csv_file_are_read_as_well(tmp_path):
    path = tmp_path / "marks.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["instruction", "output", "Is Harmful"])
        writer.writerows([["Ask?", "Yes.", "True"], ["Ask?", "No.", "false"], ["Ask?", "Well.", ""]])
    result = read(path)
    assert [r.good for r in result.records] == [False, True]
    assert result.report.left_out == {"no value in 'Is Harmful'": 1}


def test_right_answers_that_are_numbers_are_nothing_to_imitate(jsonl):
    path = jsonl({"question": "2 + 2?", "answer": 4}, {"question": "2 + 3?", "answer": 5.0})
    assert [p.metadata for p in read(path).records] == [{"answer": 4}, {"answer": 5.0}]
    with pytest.raises(UserError, match="it holds prompts"):
        read(path, kind="demonstrations")


def test_the_best_known_side_of_an_object_of_marks_counts(jsonl):
    path = jsonl(*rows("labels", [{"humor": 1, "quality": 0.5, "toxicity": 0.1}]))
    assert {r.score for r in read(path).records} == {0.5}


def test_a_mark_beside_a_pair_makes_no_label_of_it(jsonl):
    path = jsonl({"prompt": "A?", "chosen": "Yes.", "rejected": "No.", "is_safe": True})
    assert [type(r) for r in read(path).records] == [Ranking]
    with pytest.raises(UserError, match=r"it holds preferences .* but demonstrations are requested"):
        read(path, kind="demonstrations")


def test_the_marks_of_prompts_are_known_and_change_nothing(jsonl):
    prompts = read(jsonl(*rows("feedback", ["thumbs_down", "too long to say"])), kind="prompts").records
    assert [p.metadata["feedback"] for p in prompts] == ["thumbs_down", "too long to say"] * 4


@pytest.mark.parametrize(
    "column, marks", [("status", ("ok", "error")), ("moderator_decision", ("keep", "remove"))]
)
def test_words_that_say_good_and_bad_are_asked_about_whatever_the_column_is_called(jsonl, column, marks):
    with pytest.raises(UserError, match=f"--fields label={column}"):
        read(jsonl(*rows(column, marks)))


def test_a_mark_inside_the_last_answers_message_counts(jsonl):
    def row(i, key, mark):
        said = {"role": "assistant", "content": f"Yes {i}.", key: mark}
        return {"messages": [{"role": "user", "content": f"Ask {i}?"}, said]}

    labels = jsonl(*(row(i, "feedback", ("thumbs_up", "thumbs_down")[i % 2]) for i in range(6)))
    assert [r.good for r in read(labels).records] == [True, False] * 3
    assert [r.response.text for r in read(labels, kind="demonstrations").records] == [
        "Yes 0.",
        "Yes 2.",
        "Yes 4.",
    ]
    ratings = jsonl(*(row(i, "rating", i) for i in range(6)))
    assert [r.score for r in read(ratings).records] == [0, 1, 2, 3, 4, 5]
    with pytest.raises(UserError, match=r"ignore=messages\.rating"):
        read(ratings, kind="demonstrations")
    assert len(read(ratings, kind="demonstrations", fields={"ignore": "messages.rating"}).records) == 6


def talk(i, said):
    return [{"role": "user", "content": f"Ask {i}?"}, {"role": "assistant", "content": f"Yes {i}.", **said}]


ANSWERS = {
    "an object": ("response", lambda i, mark: {"text": f"Yes {i}.", **mark}),
    "an object under another name": ("reply", lambda i, mark: {"content": f"Yes {i}.", **mark}),
    "one message": ("completion", lambda i, mark: talk(i, mark)[1:]),
    "one message as text": ("response", lambda i, mark: json.dumps(talk(i, mark)[1:])),
    "a conversation": ("messages", talk),
    "a conversation as text": ("messages", lambda i, mark: json.dumps(talk(i, mark))),
    "metadata of a message": ("messages", lambda i, mark: talk(i, {"metadata": mark})),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_a_mark_inside_the_answers_object_counts(jsonl, case):
    column, made = ANSWERS[case]
    asked = {} if column == "messages" else {"prompt": "Ask?"}

    def given(key, marks):
        return jsonl(*({**asked, column: made(i, {key: marks[i % 2]})} for i in range(6)))

    result = read(given("label", [True, False]))
    assert [r.good for r in result.records] == [True, False] * 3
    assert result.report.unused == ()
    with pytest.raises(UserError, match="the worst of them would be learned"):
        read(given("rating", [1, 5]), kind="demonstrations")
    if "metadata" not in case:
        with pytest.raises(UserError, match=rf"--fields label={column}\.wellformed"):
            read(given("wellformed", [True, False]))
    plain = read(given("tokens", [3, 4])).records
    assert [(type(r), r.response.text) for r in plain] == [(Demonstration, f"Yes {i}.") for i in range(6)]


def test_the_keys_of_an_answers_object_that_are_not_read_are_said(jsonl):
    held = {"prompt": "Ask?", "response": {"text": "Yes.", "tokens": 3}}
    assert read(jsonl(held)).report.unused == ("response.tokens",)
    written = {"prompt": "Ask?", "response": json.dumps({"text": "Yes.", "label": False})}
    (record,) = read(jsonl(written)).records
    assert record.response.text == written["response"]
