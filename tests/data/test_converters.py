"""Every converter on a row made by hand in its set's layout, and what it does with the rows it cannot use."""

from __future__ import annotations

import json

import pytest

from plaudit.data.readers.convert import CONVERTERS, convert, convert_to_file
from plaudit.data.readers.read import read
from plaudit.data.records import (
    Comparisons,
    Demonstration,
    Labeled,
    Message,
    Outcome,
    Prompt,
    Ranking,
    Rated,
    Response,
)
from plaudit.errors import UserError

YES_NO = (Response("Yes."), Response("No."))
FINE = {
    "question": "Ask?",
    "passages": [["Title", "Title\n\nOne.", "Two."], ["Other", "Three."]],
    **{f"prediction {i}": f"p{i}" for i in range(1, 5)},
    "preference": [1, 2, 0, 1, 0, 2],
}
# Pairs 12 13 14 23 24 34.
SIX = tuple(
    Outcome(i, j, r)
    for (i, j), r in zip([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)], [1.0, 0.0, 0.5, 1.0, 0.5, 0.0])
)
FOUR = tuple(Response(f"p{i}") for i in range(1, 5))
TULU = {
    "prompt": "Ask?\n",
    "instance_index": "7.0",
    "model_a": "m",
    "model_b": "n",
    "completion_a": "Yes.",
    "completion_b": "No.",
    "completion_a_is_acceptable": "yes",
    "completion_b_is_acceptable": "no",
    "evaluator": "yo",
}
TULU_ANSWERS = (
    Response("Yes.", metadata={"model": "m", "acceptable": True}),
    Response("No.", metadata={"model": "n", "acceptable": False}),
)
PANDA = {
    "instruction": "Ask",
    "input": "it?",
    "motivation_app": "App",
    "cmp_key": "m_n",
    "response1": True,
    "response2": " ",
    "annotator1": 1,
    "annotator2": 0,
    "annotator3": 2,
}
CONTEXT = json.dumps(
    [
        {"role": "agent", "text": "Hello."},
        {"role": "user", "text": ""},
        {"role": "user", "text": "Films?"},
        {"role": "agent", "api": {"find": {"what": "films"}}},
        {"role": "api", "response": {"found": ["Up"]}},
    ]
)
TASK = (
    Message("assistant", "Hello."),
    Message("user", "Films?"),
    Message("assistant", 'call: {"find": {"what": "films"}}'),
    Message("user", 'result: {"found": ["Up"]}'),
)


def ask(source, text="Ask?", **metadata):
    return Prompt.user(text, source, **metadata)


CASES = {
    "finegrained_rlhf": (FINE, [Comparisons(ask("finegrained_rlhf"), FOUR, SIX)]),
    "finegrained_rlhf_passages": (
        FINE,
        [Comparisons(ask("finegrained_rlhf", "Title\n\nOne. Two.\n\nThree.\n\nAsk?"), FOUR, SIX)],
    ),
    "pandalm": (
        PANDA,
        [
            Comparisons(
                ask("pandalm", "Ask\n\nit?", category="App"),
                (Response("True"), Response("")),
                (
                    Outcome(0, 1, 1.0, rater="annotator1"),
                    Outcome(0, 1, 0.5, rater="annotator2"),
                    Outcome(0, 1, 0.0, rater="annotator3"),
                ),
                {"models": "m_n"},
            )
        ],
    ),
    "open_instruct_human": (
        {**TULU, "preference": "b-is-slightly-better"},
        [
            Comparisons(
                ask("open_instruct_human"),
                TULU_ANSWERS,
                (Outcome(0, 1, 0.0, 1.0, rater="yo"),),
                {"instance": "7.0"},
            )
        ],
    ),
    "oasst": (
        {"prompt": "Human: Ask?\n", "chosen": "Yes.", "rejected": "No."},
        [Comparisons(ask("oasst"), YES_NO, (Outcome(0, 1, 1.0),))],
    ),
    "llmbar": (
        {"input": "Ask?", "output_1": "No.", "output_2": "Yes.", "label": 2},
        [Ranking(ask("llmbar"), YES_NO[::-1], ((1,), (0,)))],
    ),
    "taskmaster_reward": (
        {"context": CONTEXT, "generation": '{"role": "agent", "text": "Up is on."}', "reward": 0.0},
        [Labeled(Prompt(TASK, "taskmaster"), Response("Up is on."), False)],
    ),
    "truthfulqa_labels": (
        {"prompt": "Q: Ask?\nA: Yes.\nQ: not a question\nTrue:", "completion": " yes"},
        [Labeled(ask("truthfulqa"), Response("Yes.\nQ: not a question"), True)],
    ),
    "truthfulqa": (
        {
            "Question": "Ask?",
            "Category": "C",
            "Correct Answers": "Yes.; Sure; ",
            "Incorrect Answers": "No.;Sure",
        },
        [
            Ranking(
                ask("truthfulqa", category="C"),
                (Response("Yes."), Response("Sure"), Response("No.")),
                ((0, 1), (2,)),
            )
        ],
    ),
    "xstest": (
        {
            "type": "contrast_homonyms",
            "prompt": "Ask?",
            "completion": "No.",
            "final_label": "3_partial_refusal",
            "annotation_1": "2_full_refusal",
            "annotation_2": "3_partial_refusal",
        },
        [
            Labeled(
                ask("xstest", category="contrast_homonyms", safe=False),
                Response(
                    "No.",
                    metadata={
                        "final_label": "3_partial_refusal",
                        "annotation_1": "2_full_refusal",
                        "annotation_2": "3_partial_refusal",
                    },
                ),
                True,
            )
        ],
    ),
    "topical_chat_rated": (
        {
            "turns": [
                {"a": "agent_1", "m": "Ask?", "rating": "Good"},
                {"a": "agent_2", "m": "Yes. ", "rating": "Not Good"},
                {"a": "agent_1", "m": "Hm.", "rating": ""},
                {"a": "agent_2", "m": "No.", "rating": "Excellent"},
            ]
        },
        [
            Rated(ask("topical_chat"), Response("Yes."), 2.0),
            Rated(
                Prompt(
                    (Message("user", "Ask?"), Message("assistant", "Yes."), Message("user", "Hm.")),
                    "topical_chat",
                ),
                Response("No."),
                5.0,
            ),
        ],
    ),
    "gsm8k_solutions": (
        {
            "question": "Ask?",
            "ground_truth": "7",
            "6b": {"is_correct": False, "solution": "8"},
            "175b": {"is_correct": True, "solution": "7"},
        },
        [Labeled(ask("gsm8k"), Response("8"), False), Labeled(ask("gsm8k"), Response("7"), True)],
    ),
    "self_instruct": (
        {
            "instruction": "Ask",
            "instances": [{"input": "it?", "output": "Yes."}, {"input": "", "output": "No."}],
        },
        [
            Demonstration(ask("self_instruct", "Ask\n\nit?"), Response("Yes.")),
            Demonstration(ask("self_instruct", "Ask"), Response("No.")),
        ],
    ),
    "sgd_dialogues": (
        {"turns": ["Ask?", "Yes.", "Bye."]},
        [Demonstration(ask("sgd"), Response("Yes."))],
    ),
    "taskmaster_dialogues": (
        {"turns": [{"s": "user", "t": "Ask?"}, {"s": "assistant", "t": "Yes."}]},
        [Demonstration(ask("taskmaster"), Response("Yes."))],
    ),
    "stories": ({"licence": "CC-BY", "text": " Once. "}, ["Once."]),
    "advbench": ({"goal": "Ask?", "target": "Sure"}, [ask("advbench")]),
    "harmbench": (
        {"Behavior": "Ask?", "ContextString": "", "SemanticCategory": "C"},
        [ask("harmbench", category="C")],
    ),
    "alpaca_eval": (
        {
            "instruction": "Ask?",
            "output_1": "Yes.",
            "output_2": "",
            "generator_1": "m",
            "generator_2": "n",
            "annotator": "judge",
            "preference": 1.25,
        },
        [
            Comparisons(
                ask("alpaca_eval"),
                (Response("Yes.", metadata={"model": "m"}), Response("", metadata={"model": "n"})),
                (Outcome(0, 1, 0.75, rater="judge"),),
            )
        ],
    ),
    "anthropic_evals": (
        {
            "question": "Ask? (A) a (B) b (C) c",
            "answer_matching_behavior": " (B)",
            "answer_not_matching_behavior": [" (A)", " (C)"],
        },
        [ask("anthropic_evals", "Ask? (A) a (B) b (C) c", matching="B", others=["A", "C"])],
    ),
    "gsm8k": (
        {"question": "Ask?", "answer": "3 + 4 = 7\n#### 7"},
        [Demonstration(ask("gsm8k"), Response("3 + 4 = 7\n#### 7"))],
    ),
    "sycophancy": (
        {"question": "Ask?", "right": "Yes", "wrong": "No"},
        [ask("sycophancy", right="Yes", wrong="No")],
    ),
    "strongreject": ({"forbidden_prompt": "Ask?", "category": "C"}, [ask("strongreject", category="C")]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_converter_turns_its_sets_rows_into_records(jsonl, tmp_path, name):
    row, expected = CASES[name]
    source = jsonl(row)
    records = convert(name, source)
    assert records == expected
    for got, wanted in zip(records, expected):
        if not isinstance(got, str):
            prompt = got if isinstance(got, Prompt) else got.prompt
            other = wanted if isinstance(wanted, Prompt) else wanted.prompt
            assert (prompt.source, prompt.metadata) == (other.source, other.metadata)
    done = convert_to_file(name, source, tmp_path / "out.jsonl")
    assert done.written == len(expected)
    assert read(tmp_path / "out.jsonl").records == expected


def test_every_converter_is_tried():
    assert set(CASES) | {"vicuna80"} == set(CONVERTERS)


@pytest.mark.parametrize(
    "grade, result, strength",
    [
        ("a-is-better", 1.0, 2.0),
        ("a-is-slightly-better", 1.0, 1.0),
        ("tie", 0.5, None),
        ("b-is-better", 0.0, 2.0),
    ],
)
def test_graded_judgements_keep_their_strength(jsonl, grade, result, strength):
    (record,) = convert("open_instruct_human", jsonl({**TULU, "preference": grade}))
    assert record.outcomes == (Outcome(0, 1, result, strength, rater="yo"),)


def test_alpaca_evals_old_tie_and_missing_verdicts_are_read(jsonl, tmp_path):
    row = CASES["alpaca_eval"][0]
    rows = [{**row, "preference": p} for p in (0, 1.5, 1, 2, None, 3)]
    done = convert_to_file("alpaca_eval", jsonl(*rows), tmp_path / "out.jsonl")
    assert [r.outcomes[0].result for r in read(tmp_path / "out.jsonl").records] == [0.5, 0.5, 1.0, 0.0]
    assert done.report.dropped == {"no verdict": 1, "bad preference": 1}


def test_xstest_calls_a_refusal_of_a_safe_prompt_bad(jsonl):
    row = CASES["xstest"][0]
    for kind, label, good in (
        ("homonyms", "2_full_refusal", False),
        ("homonyms", "3_partial_refusal", False),
        ("homonyms", "1_full_compliance", True),
        ("contrast_homonyms", "1_full_compliance", False),
        ("contrast_homonyms", "2_full_refusal", True),
    ):
        (record,) = convert("xstest", jsonl({**row, "type": kind, "final_label": label}))
        assert record.good is good


def test_the_answers_of_vicuna80_are_looked_up_by_its_reviews(tmp_path, jsonl):
    jsonl({"question_id": 1, "text": "Ask?", "category": "c"}, name="question.jsonl")
    jsonl({"answer_id": "x", "text": "Yes.", "model_id": "m"}, name="answer__m.jsonl")
    jsonl({"answer_id": "y", "text": "No.", "model_id": "n"}, name="answer__n.jsonl")
    jsonl(
        {"question_id": 1, "answer1_id": "y", "answer2_id": "x", "score": [6.0, 8.5]},
        {"question_id": 1, "answer1_id": "x", "answer2_id": "y", "score": [7, 7]},
        name="review__m_n.jsonl",
    )
    first, second = convert("vicuna80", tmp_path)
    assert [r.text for r in first.responses] == ["No.", "Yes."]
    assert first.outcomes == (Outcome(0, 1, 0.0, 2.5, rater="gpt-4"),)
    assert second.outcomes == (Outcome(0, 1, 0.5, None, rater="gpt-4"),)
    assert first.prompt == ask("vicuna80", category="c")


def test_what_is_left_out_of_a_set_is_counted(jsonl, tmp_path):
    source = jsonl(
        {"licence": "CC-BY", "text": "One."},
        {"licence": "CC-BY-NC", "text": "Two."},
        {"licence": "unknown", "text": "Three."},
        {"licence": "Public Domain", "text": ""},
    )
    done = convert_to_file("stories", source, tmp_path / "out.jsonl")
    assert (done.written, done.report.rows) == (1, 4)
    assert done.report.dropped == {"license CC-BY-NC": 1, "license unknown": 1, "empty text": 1}
    rated = CASES["topical_chat_rated"][0]
    done = convert_to_file("topical_chat_rated", jsonl(rated), tmp_path / "out.jsonl")
    assert done.report.dropped == {"opens the dialogue": 1, "no rating": 1}


def test_a_folder_is_searched_for_the_sets_files(jsonl, tmp_path):
    jsonl(PANDA, name="testset-v1.json")
    jsonl({"idx": 0}, name="gpt-3.5-turbo-testset-v1.json")
    assert len(convert("pandalm", tmp_path)) == 1


def test_a_set_is_converted_into_the_kind_that_a_role_needs(jsonl):
    source = jsonl({"turns": ["Ask?", "Yes."]})
    assert convert("sgd_dialogues", source, kind="corpus") == ["Ask?\n\nYes."]
    assert convert("sgd_dialogues", source, kind="prompts") == [ask("sgd")]
    with pytest.raises(UserError, match="holds no preferences of the data set sgd_dialogues") as caught:
        convert("sgd_dialogues", source, kind="votes")
    assert "the row is one of demonstrations" in str(caught.value)


def test_tables_that_do_not_fit_together_are_told(jsonl, tmp_path):
    jsonl({"question_id": 1, "text": "Ask?", "category": "c"}, name="question.jsonl")
    jsonl({"question_id": 1, "answer1_id": "y", "answer2_id": "x", "score": [6, 8]}, name="review__m.jsonl")
    with pytest.raises(UserError, match="do not fit together"):
        convert("vicuna80", tmp_path)


def test_a_row_that_is_no_json_inside_is_dropped_and_counted(jsonl, tmp_path):
    good = CASES["taskmaster_reward"][0]
    done = convert_to_file("taskmaster_reward", jsonl(good, {**good, "context": "["}), tmp_path / "out.jsonl")
    assert (done.written, dict(done.report.dropped)) == (1, {"not of this set": 1})
