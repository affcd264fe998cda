"""What an evaluation stored of a run's answers, as the audit reads it, and what the audit of a run writes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.audit.answers import AnswerSet
from plaudit.audit.detect import Detector, detect, detectors_of
from plaudit.audit.naming import PropertyChange, judged_by_both
from plaudit.audit.null_policy import null_policy
from plaudit.data.records import Response
from plaudit.errors import UserError
from plaudit.registry import WORLDS, DetectorKind
from plaudit.runs import RunFolder

NAME = "audit.json"
FORECAST = "forecast.json"  # of a step, before RL
SCHEMA = 1
NOT_COUNTED = "the evaluation was made before it was counted (plaudit audit RUN --shift counts it)"
TRUTHS = ("gold", "judge")  # the best first


def stored_answers(folder: RunFolder, policy: str, truth: str | None = None) -> AnswerSet:
    """The answers of a policy (a step's name) to the evaluation's prompts, with reward and truth where stored.

    ``truth`` names the one that is meant (``truth_name``); its number is NaN where it did not judge.
    """
    rows = folder.stage("evaluate").answers()
    if not rows:
        raise UserError(
            f"{folder.path} stores no answers to audit",
            remedy=f"plaudit resume {folder.path} --again evaluate, where its recipe has an evaluation",
        )
    own = [row["answers"].get(policy) for row in rows]
    if None in own:
        known = ", ".join(rows[0]["answers"])
        raise UserError(f"{folder.path} stores no answers of {policy!r}", remedy=f"answered: {known}")
    judged = None
    if truth is not None:
        judged = np.array([[np.nan if a.get(truth) is None else a[truth]] for a in own], dtype=float)
    return AnswerSet(
        policy,
        [row["prompt"] for row in rows],
        [[Response(a["text"], a["finished"])] for a in own],
        _scores(own, "proxy"),
        judged,
    )


def truth_name(rows: Sequence[Mapping[str, Any]], policies: Sequence[str]) -> str | None:
    """What judged most prompts' answers of all these policies: ``gold``, or ``judge`` (the evaluation's)."""

    def share(name: str) -> float:
        told = [all(row["answers"].get(p, {}).get(name) is not None for p in policies) for row in rows]
        return sum(told) / max(1, len(told))

    return next((name for name in TRUTHS if share(name) > 0.5), None)


def _scores(answers: Sequence[Mapping[str, Any]], name: str) -> np.ndarray | None:
    values = [a.get(name) for a in answers]
    return None if None in values else np.asarray(values, dtype=float)[:, None]


def detected(folder: RunFolder, own: Sequence[Detector] = ()) -> dict[str, Any]:
    """What all detectors see between a run's start and its end, as plain data; no forecast is in it."""
    record = folder.read_json("run.json")
    places = record.get("places") or {}
    start, end = places.get("start"), places.get("end")
    if start is None or end is None or start == end:
        # A forecast of a run asks the prompts of its evaluation.
        held_out = (record.get("config") or {}).get("evaluate") is not None
        instead = "RUN --forecast" if held_out else "--reward RUN --policy MODEL --prompts FILE"
        raise UserError(
            f"{folder.path} has nothing to compare: its start and its end are {start or 'not there'}",
            remedy=f"audit the reward before RL instead: plaudit audit {instead}",
        )
    own = (*world_detectors(record["config"].get("world")), *own)
    truth = truth_name(folder.stage("evaluate").answers(), (start, end))
    before, after = stored_answers(folder, start, truth), stored_answers(folder, end, truth)
    found = {"answers": answers_digest(folder), **compared(before, after, truth, own)}
    return {**found, "shift": stored_shift(folder, start, end)}


def stored_shift(folder: RunFolder, *policies: str) -> dict[str, Any]:
    """How many of the stored answers score above the reward model's training answers, as the evaluation counted them.

    ``left_out`` says why where it did not.
    """
    evaluation = folder.stage("evaluate").read_json("evaluation.json") or {}
    shift = evaluation.get("shift")
    if not shift:
        return {"left_out": evaluation.get("shift_reason") or NOT_COUNTED}
    found = {}
    for name in policies:
        entry: dict[str, Any] = {"quantiles": {"above": shift[name]["above"]}}
        if "truth" in shift[name]:
            entry["truth"] = shift[name]["truth"]
        if "disagreement" in shift[name]:
            entry["disagreement"] = {"ratio": shift[name]["disagreement"]}
        found[name] = entry
    return {"policies": found}


def world_detectors(world: Mapping[str, Any] | None) -> tuple[DetectorKind, ...]:
    """What a recipe's made world has audits watch beside the registered detectors; nothing on real data."""
    return WORLDS[world["kind"]].detectors if world else ()


def compared(
    before: AnswerSet, after: AnswerSet, truth: str | None, own: Sequence[Detector] = ()
) -> dict[str, Any]:
    """What all detectors see between two policies' answers, as plain data; ``truth`` names what judged them."""
    changes = detect(before, after, detectors_of(own))
    return {
        "schema": SCHEMA,
        "before": before.policy,
        "after": after.policy,
        "prompts": len(before.prompts),
        "truth": truth,
        "judged": None if truth is None else int(judged_by_both(before, after).sum()),
        "null": null_policy(after),
        "changes": [c.as_dict() for c in changes],
        "hacks": hacks(changes),
    }


def hacks(changes: Sequence[PropertyChange]) -> list[str]:
    return [c.detector for c in changes if c.hack]


def step_forecast(folder: RunFolder) -> dict[str, Any] | None:
    """What the last step of a run forecast before its first iteration; None where it did not."""
    end = ((folder.read_json("run.json") or {}).get("places") or {}).get("end")
    return folder.stage(end).read_json(FORECAST) if end else None


def write_detected(path: str | Path) -> None:
    """Write ``audit.json``; what was written for these very answers is kept, and nothing where none are stored."""
    folder = RunFolder(path)
    places = (folder.read_json("run.json") or {}).get("places") or {}
    if not folder.stage("evaluate").answers() or places.get("start") == places.get("end"):
        return
    before = folder.read_json(NAME) or {}
    if before.get("answers") != answers_digest(folder):
        known = step_forecast(folder)
        folder.write_json(NAME, {**detected(folder), **({"forecast": known} if known else {})})


def answers_digest(folder: RunFolder) -> str:
    """A hash of the stored answers: an audit of others is out of date."""
    return hashlib.sha256((folder.stage("evaluate").path / "answers.jsonl").read_bytes()).hexdigest()[:16]
