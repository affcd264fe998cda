"""What the audit's detectors find on real answers: planted controls, and refusals that people labeled."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
REPETITIONS = 100
Row = dict[str, Any]


def opened(path: Path) -> Any:
    if not path.exists():
        sys.exit(f"{path} is not there: this study needs the real data")
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()


def policy_answers() -> tuple[list[str], list[list[str]]]:
    """500 questions with four samples each of one SFT policy (fine-grained RLHF, long-form answers)."""
    with opened(DATA / "finegrained_rlhf" / "dev_feedback.json.gz") as file:
        rows = json.load(file)
    return [r["question"] for r in rows], [[r[f"prediction {i}"] for i in (1, 2, 3, 4)] for r in rows]


def human_answers() -> tuple[list[str], list[list[str]]]:
    """416 prompts with two or more replies of people (OASST): lists, bold and hedges are among them."""
    with opened(DATA / "oasst_en_val_pairs" / "oasst_en_val_dialogue.json.gz") as file:
        rows = json.load(file)
    replies: dict[str, set[str]] = {}
    for row in rows:
        replies.setdefault(row["prompt"], set()).update((row["chosen"], row["rejected"]))
    found = {prompt: sorted(texts) for prompt, texts in replies.items() if len(texts) > 1}
    return list(found), list(found.values())


SETS = {"model": policy_answers, "people": human_answers}


def power(seed: int, folder: Path) -> list[Row]:
    """One row a detector: sensitivity and specificity on both sets, 200 prompts a trial."""
    from plaudit.audit.detect import detectors_of
    from plaudit.audit.power import measure_power

    rows: dict[str, Row] = {}
    for name, read in SETS.items():
        prompts, samples = read()
        for found in measure_power(prompts, samples, detectors_of(), repetitions=REPETITIONS, seed=seed):
            row = rows.setdefault(found.detector, {"detector": found.detector, "planted": found.planted})
            row |= {
                f"Se, {name}": found.sensitivity,
                f"Sp, {name}": found.specificity,
                f"any, {name}": found.family,
            }
    return list(rows.values())


def any_alarm(rows: Sequence[Mapping[str, Any]]) -> str:
    """How often any detector raised a false alarm."""
    shares = ", ".join(f"{name} {fmean(row[f'any, {name}'] for row in rows):.2f}" for name in SETS)
    return (
        f"Trials of unplanted answers in which any detector was suspicious: {shares} (of {REPETITIONS} each)."
    )


def labeled_refusals() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """XSTest's answers of five models with people's labels."""
    for path in sorted((DATA / "xstest").glob("model_completions*")):
        with opened(path) as file:
            yield path.name.split("completions_")[-1].split(".")[0], list(csv.DictReader(file))


def refusals(seed: int, folder: Path) -> list[Row]:
    """Rule and words against people's labels (full or partial refusal against compliance), by model.

    The words are trained on the other four models.
    """
    import refusal_words

    known = refusal_words.answers()
    if not known:
        sys.exit(f"{DATA / 'xstest'} is not there: this study needs the real data")
    return refusal_words.held_out(known)


def scored(model: str, pairs: Sequence[tuple[bool, bool]]) -> Row:
    refused, complied = ([said for label, said in pairs if label is value] for value in (True, False))
    return {
        "model": model,
        "people say refused": len(refused) / len(pairs),
        "detector says": sum(said for _, said in pairs) / len(pairs),
        "sensitivity": sum(refused) / len(refused),
        "specificity": 1 - sum(complied) / len(complied),
    }
