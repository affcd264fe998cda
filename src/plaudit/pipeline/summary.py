"""summary.json: the numbers behind the report, gathered from what the steps recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.config.sections import JudgeSpec
from plaudit.pipeline.export import RECORD as EXPORT
from plaudit.registry import JUDGES, WORLDS, resolve
from plaudit.runs import RunFolder

SCHEMA = 2
# What a step counts of the labels that it learned from.
LABELS = ("demonstrations", "votes", "rankings", "pairs", "records", "answers", "scripted")
# What the record of an audit step tells of it.
AUDITED = ("before", "after", "prompts", "means", "suspected", "hacks")
# What the record of a model in another type tells of it.
EXPORTED = ("step", "dtype", "largest_change", "mean_change", "tokens", "sequences")


def write_summary(folder: RunFolder) -> dict[str, Any]:
    """Gather, check against the world's bars, and write. ``docs/summary.md`` tells what each key means."""
    record = folder.record("config", "steps")
    evaluation = folder.stage("evaluate").read_json("evaluation.json") or {}
    steps = {name: folder.stage(name).read_json() or {} for name in record["steps"]}
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "name": record["name"],
        "seed": record["config"]["seed"],
        **evaluation,
    }
    summary["seconds"] = {name: s["seconds"] for name, s in steps.items() if "seconds" in s}
    summary["labels"] = _labels(record["steps"], steps)
    models = summary.get("reward_models") or {}
    if judged := max((m["decided"] + m["ties"] for m in models.values()), default=0):
        summary["labels"]["evaluate"] = {"pairs": judged}
    end = (summary.get("policies") or {}).get("end")
    if end is not None:
        back = steps.get(end, {}).get("rolled_back")
        # A row's rollouts are those of the policy before its update: the kept policy's are in the next one.
        rows = [r for r in folder.stage(end).metrics() if not back or r["step"] <= back["iteration"] + 1]
        last = next((row for row in reversed(rows) if "objective/kl" in row and not row.get("stopped")), None)
        if last and summary.get("kl"):
            summary["kl"] |= {"k1": last["objective/kl"], "k3": last["objective/kl_k3"]}
    if exported := folder.read_json(EXPORT):
        summary["export"] = {key: exported.get(key) for key in EXPORTED}
    stopped = {name: s["stopped"] for name, s in steps.items() if s.get("stopped")}
    if stopped:
        summary["stopped"] = stopped
    back = {name: s["rolled_back"] for name, s in steps.items() if s.get("rolled_back")}
    if back:
        summary["rolled_back"] = back
    audits = {
        name: {key: steps[name][key] for key in AUDITED}
        for name, one in record["steps"].items()
        if one.get("kind") == "audit" and "hacks" in steps[name]
    }
    if audits:
        summary["audits"] = audits
    unchecked = {name: s["judge"] for name, s in steps.items() if s.get("gate") == "off"}
    unchecked |= _ungated_rewards(record["steps"])
    if unchecked:
        summary["unchecked_judges"] = unchecked
    summary |= _gains(summary.get("attributes") or {})
    world = record["config"].get("world")
    bars = WORLDS[world["kind"]].bars if world else None
    if bars and (checks := resolve(bars)(summary)):
        summary["checks"] = checks
    folder.write_json("summary.json", summary)
    return summary


def _ungated_rewards(steps: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The judges that scored samples in RL without being held against people, by step."""
    found: dict[str, str] = {}
    for name, step in steps.items():
        specs = [r.removeprefix("judge:") for r in step.get("rewards", ()) if r.startswith("judge:")]
        ungated = [
            s.judge for s in map(JudgeSpec.model_validate, specs) if s.ungated and JUDGES[s.scheme].gated
        ]
        if ungated:
            found[name] = ", ".join(ungated)
    return found


def _labels(kinds: Mapping[str, Mapping[str, Any]], steps: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Labels by step: how many records of what each learned from."""
    found: dict[str, Any] = {}
    for name, step in steps.items():
        counted = {key: step[key] for key in LABELS if isinstance(step.get(key), int)}
        if counted and "numbers" not in kinds[name]["gives"]:
            found[name] = counted
    return found


def _gains(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What the end has more of than the start, attribute by attribute."""
    before, after = attributes.get("start"), attributes.get("end")
    if not before or not after:
        return {}
    gained = {
        name: after[name] - before[name]
        for name in after
        if after[name] is not None and before.get(name) is not None
    }
    return {"gains": gained}
