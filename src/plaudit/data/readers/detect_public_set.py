"""Public sets whose own columns no reader understands: which converter reads a file that has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from plaudit.data.readers.columns import normal

# What the columns of a set are, as `normal` has them; the name is the converter's.
COLUMNS: dict[str, frozenset[str]] = {
    name: frozenset(columns.split())
    for name, columns in {
        "finegrained_rlhf": "question passages prediction_1 prediction_2 preference",
        "pandalm": "response1 response2 annotator1 annotator2 annotator3",
        "gsm8k_solutions": "question 6b_finetuning 175b_verification",
        "self_instruct": "instruction instances",
        "taskmaster_reward": "context generation reward conversation_id",
        "topical_chat_rated": "turns conv_rating",
        "truthfulqa": "question correct_answers incorrect_answers",
        "xstest": "prompt completion final_label annotation_1",
        "harmbench": "behavior contextstring semanticcategory",
        "advbench": "goal target",
        "strongreject": "forbidden_prompt category",
        "vicuna80": "review_id answer1_id answer2_id",
    }.items()
}
# Of these even the prompts are not whole, or not there, without the converter.
PROMPTS = frozenset(COLUMNS) - {"gsm8k_solutions", "truthfulqa", "xstest", "pandalm"}


def converter_of(rows: Sequence[Mapping[str, Any]], kind: str | None) -> str | None:
    """The name of the converter that reads these rows, or None."""
    columns = {normal(c) for row in rows[:1] for c in row}
    name = next((n for n, needed in COLUMNS.items() if needed <= columns), None)
    if name is None:
        return _by_values(rows, columns)
    return name if kind != "prompts" or name in PROMPTS else None


def _by_values(rows: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> str | None:
    """Sets whose columns are called as everybody's, and whose values give them away."""
    if set(columns) == {"prompt", "completion"} and all(
        str(r["prompt"]).startswith("Q: ") and str(r["completion"]).strip() in ("yes", "no") for r in rows
    ):
        return "truthfulqa_labels"
    if "turns" in columns and all(_has_keys(r.get("turns"), {"s", "t"}) for r in rows):
        return "taskmaster_dialogues"
    if {"turns", "id"} <= set(columns) and all(_texts(r.get("turns")) for r in rows):
        return "sgd_dialogues"
    return None


def _has_keys(turns: Any, keys: set[str]) -> bool:
    return (
        isinstance(turns, list) and bool(turns) and all(isinstance(t, dict) and keys <= set(t) for t in turns)
    )


def _texts(turns: Any) -> bool:
    return isinstance(turns, list) and bool(turns) and all(isinstance(t, str) for t in turns)
