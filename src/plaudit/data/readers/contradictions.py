"""Rows of one file that contradict each other (labels, pairs, right answers), and rows that repeat others."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
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


def note_repeats(records: Sequence[Any], report: ReadReport) -> None:
    """Note how many records repeat an earlier one; metadata such as an id may differ. Prompts are counted elsewhere."""
    seen: set[bytes] = set()
    judged = [r for r in records if not isinstance(r, Prompt)]
    for r in judged:
        said = (
            [getattr(r, f.name) for f in fields(r) if f.name not in ("prompt", "metadata")]
            if is_dataclass(r)
            else r
        )
        whole = repr((getattr(getattr(r, "prompt", None), "id", ""), said))
        seen.add(hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=16).digest())
    if repeats := len(judged) - len(seen):
        report.note(
            f"{repeats:,} of {len(judged):,} records repeat an earlier one word for word, and are learned as often as "
            "they occur: remove copies that are no judgements of their own"
        )
