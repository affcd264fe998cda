"""Rows that contradict themselves or each other are told or dropped, never learned in silence."""

from __future__ import annotations

import pytest

from plaudit.data.readers.read import read, scan

TALK = [{"role": "user", "content": "Other?"}, {"role": "assistant", "content": "Yes."}]

TOLD = {
    "an answer labeled good and bad": (
        [{"prompt": "A", "response": "x", "label": good} for good in (True, False, True)],
        "1 answers are labeled good in one row and bad in another",
    ),
    "a pair in both directions": (
        [{"prompt": "A", "chosen": "x", "rejected": "y"}, {"prompt": "A", "chosen": "y", "rejected": "x"}],
        "1 pairs of answers are in the file in both directions",
    ),
    "two right answers to a prompt": (
        [{"prompt": "A", "answer": 4}, {"prompt": "A", "answer": 5}, {"prompt": "B", "answer": 4}],
        "1 prompts are in several rows with different answers in their metadata; a run uses one row of each",
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_rows_that_say_the_opposite_of_others_are_told(jsonl, case):
    rows, note = TOLD[case]
    assert note in " ".join(read(jsonl(*rows)).report.notes)
    assert not any(
        "in several rows" in n or "another" in n or "both directions" in n
        for n in read(jsonl(*rows[:1] * 2)).report.notes
    )


REPEATED = {
    "demonstrations": {"prompt": "Ask?", "response": "Yes."},
    "pairs": {"prompt": "Ask?", "chosen": "Yes.", "rejected": "No."},
    "labels": {"prompt": "Ask?", "response": "Yes.", "label": True},
    "text": {"text": "Once there was a cat."},
}


@pytest.mark.parametrize("case", REPEATED)
def test_records_that_occur_several_times_are_told(jsonl, case):
    row = REPEATED[case]
    other = {k: f"{v} Or not." if isinstance(v, str) else v for k, v in row.items()}
    notes = read(jsonl(row, other, row | {"id": 3}, row)).report.notes
    assert sum(note.startswith("2 of 4 records repeat an earlier one word for word") for note in notes) == 1
    assert not any("repeat" in note for note in read(jsonl(row, other)).report.notes)


def test_what_several_people_said_is_no_repeat(jsonl):
    pair = REPEATED["pairs"]
    notes = read(jsonl(*(pair | {"rater": name} for name in ("ann", "bob")))).report.notes
    assert not any("repeat" in note for note in notes)


DROPPED = {
    "equal answers with different places": {"prompt": "A", "responses": ["a", "a", "b"], "ranks": [1, 3, 2]},
    "the same with scores": {"prompt": "A", 
                             "responses": [{"text": t, "score": s} for t, s in zip("aba", (1, 2, 3))]},
    "a prompt that nobody answered": {"prompt": "What is 3?", "chosen": TALK,
                                      "rejected": [TALK[0], {**TALK[1], "content": "No."}]},
    "a negative weight": {"prompt": "A", "chosen": "x", "rejected": "y", "weight": -2},
    "a negative weight of an answer": {"prompt": "A", "response": "x", "weight": "-1"},
    "answers that differ by a mark of no width": {"prompt": "A", "chosen": "Yes", "rejected": "\ufeffYes"},
    "an answer of no width": {"prompt": "A", "response": "\u200b"},
    "tools that cannot be read": {"messages": TALK, "tools": "search and weather"},
}  # fmt: skip
REASONS = [
    "contradiction",
    "contradiction",
    "prompts differ",
    "bad weight",
    "bad weight",
    "identical answers",
    "empty answer",
    "bad tools",
]


@pytest.mark.parametrize("case, reason", zip(DROPPED, REASONS))
def test_a_row_that_contradicts_itself_is_dropped(jsonl, case, reason):
    assert dict(scan(jsonl(DROPPED[case])).report.dropped) == {reason: 1}


def test_equal_answers_in_one_place_are_kept(jsonl):
    (found,) = read(jsonl({"prompt": "A", "responses": ["a", "a", "b"], "ranks": [1, 1, 2]})).records
    assert found.groups == ((0, 1), (2,))
