"""The hub's usual preference layouts: each is read as its publishers mean it, and its label column decides alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plaudit.data.readers.read import read, scan
from plaudit.data.readers.sources import rows
from plaudit.data.records import Message
from plaudit.errors import UserError

LAYOUTS = Path(__file__).parent / "layouts"
# The made-up rows: to "What is i plus i?" the good answer is this one and comes first.
GOOD, BAD = "The sum is {}.", "I think it is {}, maybe."


def values_of(name):
    """The rows of a layout as plain values, read by no code of the reader's."""
    return [row.values for row in rows(LAYOUTS / name, lambda *a, **k: None)]


def firsts(records):
    """Of each record of two answers the share of the win that goes to its first."""
    return [o.result for r in records for o in r.comparisons().outcomes]


def written(values, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(v, default=str) + "\n" for v in values))
    return path


# The layout, and which answer its row prefers by its documentation: 1 the first, 0 the second, 0.5 a tie.
TWO = {
    "argilla_dpo_mix_7k.parquet": lambda v: 1.0,
    "distilabel_intel_orca.parquet": lambda v: 1.0,
    "hh_rlhf.parquet": lambda v: 1.0,
    "llamafactory_dpo.json": lambda v: 1.0,
    "openai_dpo.jsonl": lambda v: 1.0,
    "orca_dpo_pairs.jsonl": lambda v: 1.0,
    "rm_static_dahoas.parquet": lambda v: 1.0,
    "skywork_reward_preference.parquet": lambda v: 1.0,
    "trl_explicit_prompt_conv.jsonl": lambda v: 1.0,
    "tulu3_preference.parquet": lambda v: 1.0,
    "ultrafeedback_binarized.parquet": lambda v: 1.0,
    "ultrafeedback_cleaned_argilla.parquet": lambda v: 1.0,
    "shp.parquet": lambda v: float(v["labels"]),
    "helpsteer2_preference.parquet": lambda v: 0.5 - 0.5 * _sign(v["preference_strength"]),
    "helpsteer3_preference.parquet": lambda v: 0.5 - 0.5 * _sign(v["overall_preference"]),
    "pku_saferlhf.jsonl": lambda v: 1.0 - v["better_response_id"],
    "openai_webgpt.parquet": lambda v: 0.5 + 0.5 * _sign(v["score_0"] - v["score_1"]),
    "summarize_from_feedback.parquet": lambda v: 1.0 - v["choice"],
    "chatbot_arena_conversations.parquet": lambda v: {"model_a": 1.0, "model_b": 0.0}.get(v["winner"], 0.5),
    "label_studio_export.json": lambda v: float(_selected(v)["selected"] == "left"),
    "argilla_export.jsonl": lambda v: float(v["preference.responses"] == ["response_a"]),
}


def _sign(number):
    return (number > 0) - (number < 0)


def _selected(values):
    return values["annotations"][0]["result"][0]["value"]


@pytest.mark.parametrize("name", TWO)
def test_a_layout_of_pairs_is_read_as_its_publishers_mean_it(name):
    values = values_of(name)
    result = read(LAYOUTS / name, max_dropped=0)
    assert firsts(result.records) == [TWO[name](v) for v in values]
    for i, record in enumerate(result.records):
        assert record.prompt.messages[-1] == Message("user", f"What is {i} plus {i}?")
        assert [r.text for r in record.responses] == [GOOD.format(2 * i), BAD.format(2 * i + 1)]


def _swap(*columns):
    """The contents of two columns exchanged."""

    def flip(values):
        left, right = columns
        return {**values, left: values[right], right: values[left]}

    return flip


def _turned(column, turn):
    return lambda values: {**values, column: turn(values[column])}


def _turned_choice(values):
    other = "right" if _selected(values)["selected"] == "left" else "left"
    result = [{"type": "pairwise", "value": {"selected": other}}]
    return {**values, "annotations": [{"result": result}]}


OTHER = {"model_a": "model_b", "model_b": "model_a"}
FLIPS = {
    "shp.parquet": _turned("labels", lambda v: 1 - v),
    "helpsteer2_preference.parquet": _turned("preference_strength", lambda v: -v),
    "helpsteer3_preference.parquet": _turned("overall_preference", lambda v: -v),
    "pku_saferlhf.jsonl": _turned("better_response_id", lambda v: 1 - v),
    "openai_webgpt.parquet": _swap("score_0", "score_1"),
    "summarize_from_feedback.parquet": _turned("choice", lambda v: 1 - v),
    "chatbot_arena_conversations.parquet": _turned("winner", lambda v: OTHER.get(v, v)),
    "label_studio_export.json": _turned_choice,
    "argilla_export.jsonl": _turned(
        "preference.responses", lambda v: ["response_b" if v == ["response_a"] else "response_a"]
    ),
    "openai_dpo.jsonl": _swap("preferred_output", "non_preferred_output"),
    "llamafactory_dpo.json": _swap("chosen", "rejected"),
    "hh_rlhf.parquet": _swap("chosen", "rejected"),
    "ultrafeedback_binarized.parquet": _swap("chosen", "rejected"),
}


def preferred(records):
    """(prompt, preferred answer) of each record, by their texts; None for a tie."""
    found = []
    for record in records:
        (o,) = record.comparisons().outcomes
        better = None if o.result == 0.5 else record.responses[o.left if o.result == 1 else o.right].text
        found.append((record.prompt.id, better))
    return found


@pytest.mark.parametrize("name", FLIPS)
def test_flipping_the_label_column_flips_every_preference(name, tmp_path):
    before = read(LAYOUTS / name, max_dropped=0).records
    after = read(written(map(FLIPS[name], values_of(name)), tmp_path), max_dropped=0).records
    assert len(before) == len(after)
    for (prompt, was), (same, now), record in zip(preferred(before), preferred(after), before):
        assert prompt == same
        others = [r.text for r in record.responses if r.text != was]
        assert [now] == (others if was is not None else [None])


def test_safer_answers_are_read_on_request():
    safer = read(LAYOUTS / "pku_saferlhf.jsonl", fields={"preferred": "safer_response_id"})
    assert firsts(safer.records) == [1.0 - v["safer_response_id"] for v in values_of("pku_saferlhf.jsonl")]
    assert "'safer_response_id'" in safer.report.notes[0]


def test_a_strength_with_a_sign_keeps_its_size():
    records = read(LAYOUTS / "helpsteer2_preference.parquet").records
    values = values_of("helpsteer2_preference.parquet")
    assert [r.strength for r in records] == [abs(v["preference_strength"]) or None for v in values]


def test_answers_with_ranks_are_rankings():
    for record in read(LAYOUTS / "nectar.parquet", max_dropped=0).records:
        assert [record.responses[i].text[-2:] for (i,) in record.groups] == [f"v{i}" for i in range(7)]
    result = read(LAYOUTS / "ultrafeedback_raw.jsonl", max_dropped=0)
    assert result.report.notes == ["answers are ranked by their 'overall_score' (more is better)"]
    for values, record in zip(values_of("ultrafeedback_raw.jsonl"), result.records):
        scores = [c["overall_score"] for c in values["completions"]]
        order = sorted(range(4), key=lambda i: -scores[i])
        assert record.groups == tuple((i,) for i in order)


def test_answers_without_an_overall_score_are_ranked_by_the_mean_of_their_aspects(tmp_path):
    values = values_of("ultrafeedback_raw.jsonl")
    for row in values:
        for k, completion in enumerate(row["completions"]):
            del completion["overall_score"], completion["fine_grained_score"]
            completion["annotations"]["honesty"]["Rating"] = "N/A" if k == 0 else str(k)
            completion["annotations"]["helpfulness"]["Rating"] = str(1 + k)
    result = read(written(values, tmp_path), max_dropped=0)
    (note,) = result.report.notes
    assert note.startswith(
        "answers are ranked by the mean of the ratings in 'annotations' (helpfulness, honesty"
    )
    # Means: (1 + 5 + 5) / 3, then three times 11 / 4.
    assert {r.groups for r in result.records} == {((0,), (1, 2, 3))}


@pytest.mark.parametrize("name", ["prm800k.jsonl", "trl_prm800k.parquet"])
def test_labels_of_steps_are_refused_by_name(name):
    with pytest.raises(UserError, match="labels are about the steps of a solution") as caught:
        read(LAYOUTS / name)
    assert len(caught.value.problems) == 1


def test_scores_inside_the_answers_are_compared_too(tmp_path):
    row = {"prompt": "Ask?", "chosen": {"content": "a", "score": 1}, "rejected": {"content": "b", "score": 2}}
    (note,) = read(written([row], tmp_path)).report.notes
    assert "contradict the choice in 1 of 1" in note


@pytest.mark.parametrize("column", ["margin", "strength"])
def test_a_negative_margin_beside_chosen_and_rejected_is_counted_and_the_choice_is_used(tmp_path, column):
    margins = [2.0, -1.0, 0.0, -3, None]
    rows = [
        {"prompt": f"Ask {i}?", "chosen": "Yes.", "rejected": "No.", column: m} for i, m in enumerate(margins)
    ]
    result = read(written(rows, tmp_path))
    assert [r.groups for r in result.records] == [((0,), (1,))] * 5
    assert [r.responses[0].text for r in result.records] == ["Yes."] * 5
    assert [r.strength for r in result.records] == [2.0, None, 0.0, None, None]
    assert result.report.notes == [
        "the margin or strength beside the answers is negative in 2 of 4 judgements, which contradicts the choice; "
        "the choice is used, without a strength there"
    ]
    assert read(written([rows[0], rows[2]], tmp_path)).report.notes == []


def test_scores_that_contradict_the_choice_are_counted(tmp_path):
    values = values_of("ultrafeedback_binarized.parquet")
    assert scan(written(values, tmp_path)).report.notes == []
    for row in values[:5]:
        row["score_chosen"], row["score_rejected"] = row["score_rejected"], row["score_chosen"]
    result = read(written(values, tmp_path))
    assert firsts(result.records) == [1.0] * 12
    assert result.report.notes == [
        "the scores of the answers contradict the choice in 5 of 12 judgements; the choice is used"
    ]
