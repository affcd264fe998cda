"""A run's start and end on the prompts of a suite, and the change between them, paired by prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from plaudit import intervals
from plaudit.data.readers.convert import converted
from plaudit.data.readers.read_report import ReadReport
from plaudit.data.records import Demonstration, Prompt
from plaudit.errors import UserError
from plaudit.evaluation.paired_change import paired_change, smallest_change
from plaudit.runs import RunFolder

Answers = list[tuple[str, bool]]
R = TypeVar("R", Prompt, Demonstration)


def suite_records(name: str, path: Any, kind: str | None) -> list[Any]:
    """The records of a suite's file by its converter, as one kind; UserError where the file is of another layout."""
    return list(converted(name, path, ReadReport(str(path), f"converted by {name}"), kind=kind))


def compared(folder: RunFolder) -> list[str]:
    """The steps at a run's start and end, once where they are one."""
    places = folder.record("places")["places"]
    return list(dict.fromkeys((places["start"], places["end"])))


def sampling_of(folder: RunFolder) -> tuple[float, int]:
    """Temperature and longest answer of a run's evaluation."""
    settings = folder.read_json("run.json")["config"].get("evaluate") or {}
    return settings.get("temperature", 1.0), settings.get("max_new_tokens", 128)


def answered(
    folder: RunFolder, records: Sequence[R], *, temperature: float, max_new_tokens: int
) -> tuple[list[R], dict[str, Answers]]:
    """The prompts that fit into the policies' contexts, and by step one answer to each and whether it is finished."""
    from plaudit.generation.chat import LocalChatModel
    from plaudit.pipeline.finished_run import runtime_of

    seed, runtime = folder.read_json("run.json")["config"]["seed"], runtime_of(folder)
    models = [LocalChatModel(step, folder.stage(step).model, runtime=runtime) for step in compared(folder)]
    asked = {id(r): (r if isinstance(r, Prompt) else r.prompt).messages for r in records}
    kept = [r for r in records if all(m.fits(asked[id(r)], max_new_tokens) for m in models)]
    if not kept:
        raise UserError("no prompt fits into the policy's context", remedy="name a set of shorter prompts")
    conversations = [asked[id(r)] for r in kept]
    drawn = {
        m.name: m.draw(conversations, temperature=temperature, max_new_tokens=max_new_tokens, seed=seed)
        for m in models
    }
    return kept, {name: [group[0] for group in groups] for name, groups in drawn.items()}


def left_out_words(found: Mapping[str, Any]) -> str:
    """How many prompts are too long, as the end of a line."""
    return f"; {found['left_out']} prompts are too long for the policy" if found["left_out"] else ""


def share(values: Any) -> dict[str, float]:
    """A share with its interval over prompts."""
    found = np.asarray(values, dtype=float)
    low, high = intervals.share(found)
    return {"mean": float(found.mean()), "low": low, "high": high, "prompts": len(found)}


def change(by_policy: Sequence[Any], *, tests: int = 1, unit: float | None = 1.0) -> dict[str, float] | None:
    """What changed from the first policy to the last, both [P]; None where there is one.

    ``least`` is the change that so many prompts would have shown with a chance of 90 % beside ``tests`` − 1 others;
    ``unit`` is the size of one prompt's change, None where it has none (a probability).
    """
    if len(by_policy) < 2:
        return None
    before, after = (np.asarray(v, dtype=float) for v in (by_policy[0], by_policy[-1]))
    return {**paired_change(before, after), "least": smallest_change(after - before, tests=tests, unit=unit)}


def change_words(found: dict[str, float] | None) -> str:
    """A change as text."""
    if found is None:
        return "there is one policy, so nothing to compare"
    return (
        f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}], p = {found['p']:.2g}; "
        f"{found['least']:.3f} would have been found"
    )
