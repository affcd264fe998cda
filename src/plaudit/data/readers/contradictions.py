"""Rows of one file that contradict each other: labels of an answer, pairs of answers, right answers of a prompt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from plaudit.data.readers.read_report import ReadReport
from plaudit.data.records import Labeled, Prompt, Ranking

# Metadata that says what the right answer of a prompt is.
TRUTHS = ("answer", "solution", "ground_truth", "target", "expected_output", "tests", "test_cases")


def note_contradictions(records: Sequence[Any], report: ReadReport) -> None:
    """Note how often rows say the opposite of other rows, which a run would learn side by side."""
    labels, wins = defaultdict[Any, set[Any]](set), defaultdict[Any, set[Any]](set)
    truths = defaultdict[Any, set[str]](set)
    for r in records:
        if isinstance(r, Labeled):
            labels[r.prompt.id, r.response.text].add(r.good)
        elif isinstance(r, Ranking) and len(r.responses) == len(r.groups) == 2 and r.rater is None:
            texts = [r.responses[group[0]].text for group in r.groups]
            wins[r.prompt.id, frozenset(texts)].add(texts[0])
        elif isinstance(r, Prompt):
            truths[r.id].add(repr([(k, r.metadata[k]) for k in TRUTHS if k in r.metadata]))
    for found, sentence in (
        (labels, "{} answers are labeled good in one row and bad in another"),
        (wins, "{} pairs of answers are in the file in both directions: each is once the better one"),
        (
            truths,
            "{} prompts are in several rows with different answers in their metadata; a run uses one row of each",
        ),
    ):
        if count := sum(len(said) > 1 for said in found.values()):
            report.note(sentence.format(f"{count:,}"))
