"""Public test sets on a run: refusals of safe and unsafe requests, and how well its reward model ranks their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plaudit import intervals
from plaudit.audit.detectors.refusal import refusal_of
from plaudit.data.baselines import human_agreement
from plaudit.data.readers.convert import converted, converters
from plaudit.data.readers.read import read
from plaudit.data.readers.read_report import ReadReport
from plaudit.data.records import Comparisons, Preference, Prompt, Ranking
from plaudit.errors import UserError
from plaudit.runs import RunFolder

RECORD = "suites.json"
XSTEST = "xstest"
SAFE, UNSAFE = "safe", "unsafe"


def evaluate_suite(run: str | Path, suite: str, *, limit: int | None = None) -> dict[str, Any]:
    """A run on a public test set; kept in ``suites.json`` under the suite's name.

    ``suite``: ``xstest:FILE`` (a table of prompts labeled safe or unsafe: how often start and end refuse), or pairs
    with a known winner for the newest reward model: ``NAME:FILE`` by a converter (``llmbar``, ``truthfulqa``,
    ``pandalm``, …), or a file of preferences. At most ``limit`` prompts or rankings. UserError for what cannot be read
    or where the run has no such model.
    """
    folder = RunFolder.existing(run)
    record = folder.read_json("run.json")
    if "steps" not in record:
        raise UserError(f"{run} was made by an older plaudit", remedy="run its recipe again")
    name, path = _parted(suite)
    if name == XSTEST:
        found = _refusals(folder, record, _labeled_prompts(path, limit))
    else:
        found = _pairs(folder, _rankings(name, path, limit))
    kept = folder.read_json(RECORD) or {}
    folder.write_json(RECORD, {**kept, suite: found})
    return found


def _parted(suite: str) -> tuple[str | None, Path]:
    """The converter and the file of a suite; a file that is there is itself."""
    if Path(suite).exists():
        return None, Path(suite)
    name, separator, path = suite.partition(":")
    if not separator:
        raise UserError(
            f"there is no file {suite}", remedy="name FILE, or NAME:FILE such as llmbar:dataset.json"
        )
    if not Path(path).exists():
        raise UserError(f"there is no file {path}", remedy=f"name the file of {name}")
    if name not in converters():
        raise UserError(f"there is no suite {name!r}", remedy=f"one of: {', '.join(converters())}")
    return name, Path(path)


def _labeled_prompts(path: Path, limit: int | None) -> list[Prompt]:
    prompts = read(path, kind="prompts").records
    labels = {str(p.metadata.get("label", "")) for p in prompts}
    if labels != {SAFE, UNSAFE}:
        raise UserError(
            f"{path} does not say which prompts are safe: its labels are {', '.join(sorted(labels)) or 'none'}",
            remedy="XSTest's xstest_prompts.csv has a column `label` of safe and unsafe",
        )
    if limit is None:
        return list(prompts)
    # Both kinds, in turn as the file has them.
    return [p for label in (SAFE, UNSAFE) for p in _of(prompts, label)[: max(1, limit // 2)]]


def _of(prompts: Sequence[Prompt], label: str) -> list[Prompt]:
    return [p for p in prompts if p.metadata["label"] == label]


def _refusals(folder: RunFolder, record: dict[str, Any], prompts: list[Prompt]) -> dict[str, Any]:
    """How often the start and the end refuse, by rule, what is safe and what is not."""
    from plaudit.generation.chat import LocalChatModel

    settings, places = record["config"].get("evaluate") or {}, record["places"]
    temperature, length = settings.get("temperature", 1.0), settings.get("max_new_tokens", 128)
    policies: dict[str, Any] = {}
    for name in dict.fromkeys((places["start"], places["end"])):
        model = LocalChatModel(name, folder.stage(name).model)
        drawn = model.draw(
            [p.messages for p in prompts],
            temperature=temperature,
            max_new_tokens=length,
            seed=record["config"]["seed"],
        )
        said = [refusal_of(group[0][0]) for group in drawn]
        policies[name] = {
            label: _rates([s for s, p in zip(said, prompts) if p.metadata["label"] == label])
            for label in (SAFE, UNSAFE)
        }
    return {"kind": "refusals", "temperature": temperature, "policies": policies}


def _rates(said: Sequence[str]) -> dict[str, Any]:
    refused = np.array([s != "comply" for s in said], dtype=float)
    low, high = intervals.share(refused)
    return {
        "mean": float(refused.mean()),
        "low": low,
        "high": high,
        "full": float(np.mean([s == "full" for s in said])),
        "partial": float(np.mean([s == "partial" for s in said])),
        "prompts": len(said),
    }


def _rankings(name: str | None, path: Path, limit: int | None) -> list[Preference]:
    if name is None:
        return read(path, kind="preferences", limit=limit).records
    report = ReadReport(str(path), f"converted by {name}")
    found = converted(name, path, report, kind="preferences")
    return [r for r in found if isinstance(r, Comparisons | Ranking)][:limit]


def _pairs(folder: RunFolder, rankings: list[Preference]) -> dict[str, Any]:
    """The newest reward model on pairs with a known winner, beside what needs no model."""
    from plaudit.evaluation.calibration import pair_report
    from plaudit.models.reward_model import load_reward_model
    from plaudit.pipeline.finished_run import context_of
    from plaudit.pipeline.steps.reward_evaluation import score_differences

    context = context_of(folder)
    if not context.graph.reward_models:
        raise UserError(f"{folder.path} trained no reward model to test", remedy="name a run that did")
    step = context.graph.reward_models[-1]
    with context.runtime.computing():
        models = [load_reward_model(p).to(context.device) for p in context.reward_folders(step)]
        delta, outcome, longer, groups = score_differences(context, models, rankings)
    report = pair_report(delta, outcome, longer, groups=groups)
    kept = ("accuracy", "low", "high", "longer_wins", "when_longer", "when_shorter", "decided", "ties")
    found = {key: report[key] for key in kept}
    found["left_out"] = sum(len(r.comparisons().outcomes) for r in rankings) - len(delta)
    return {"kind": "pairs", "step": step, **found, "human_agreement": human_agreement(rankings)}


def suite_lines(suite: str, found: dict[str, Any]) -> list[str]:
    """A suite's numbers, one a line."""
    if found["kind"] == "pairs":
        return [
            f"{suite}: reward model {found['step']} on {found['decided']} pairs"
            + (f"; {found['left_out']} are too long for it" if found["left_out"] else ""),
            f"accuracy            {found['accuracy']:.3f} [{found['low']:.3f}, {found['high']:.3f}]",
            f"longer wins         {found['longer_wins']:.3f}",
            *([f"two people agree    {found['human_agreement']:.3f}"] if found["human_agreement"] else []),
        ]
    lines = [f"{suite}: refusals by rule (of people's labels it finds 90 %, and of compliance 95 %)"]
    for name, by_label in found["policies"].items():
        for label, rate in by_label.items():
            lines.append(
                f"{name:12} {label:7} {rate['mean']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}] of {rate['prompts']}"
                f" ({rate['partial']:.0%} in part)"
            )
    return lines
