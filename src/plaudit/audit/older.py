"""Convert runs recorded before recipes were graphs to today's form, for reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.registry import STEPS

SFT, VOTES, REWARD = "sft", "votes", "reward"
# Stages that are no kind of step any more, and what they were.
FORMER = {"verdict": SFT, VOTES: REWARD, "judge": "proxy"}


def modern(
    record: Mapping[str, Any],
    summary: Mapping[str, Any],
    stages: Sequence[str],
    samples: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Record with steps and places, summary by place, and rows of answers by step name."""
    steps = {name: _step(name, stages) for name in stages if _kind(name) in STEPS}
    policies = [n for n, s in steps.items() if "policy" in s["gives"]]
    learned = [n for n in policies if steps[n]["preference"]]
    base = policies[0] if policies else "base"
    end = learned[-1] if learned else policies[-1] if policies else base
    start = SFT if SFT in policies and end != SFT else base
    places = {"base": base, "start": start, "end": end} if policies else {}
    names = {"base": base}
    rows = [{names.get(k, k): v for k, v in row.items()} for row in samples]
    return {**record, "steps": steps, "places": places}, _summary(summary, places), rows


def _kind(name: str) -> str:
    return FORMER.get(name, name)


def _step(name: str, stages: Sequence[str]) -> dict[str, Any]:
    kind = STEPS[_kind(name)]
    title = kind.title if name == kind.name else f"{kind.title} ({name})"
    return {
        "kind": kind.name,
        "title": title,
        "tone": kind.tone,
        "gives": list(kind.gives),
        "preference": kind.preference,
        "from": VOTES if name == REWARD and VOTES in stages else None,
        "on": [name] if name == VOTES else [],
        "rewards": [],
        "inputs": [],
    }


def _summary(summary: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    found = dict(summary)
    if not found or not places:
        return found
    found["policies"] = dict(places)
    for key in ("gold", "attributes", "length", "proxy"):
        if isinstance(found.get(key), Mapping):
            values = {(places["base"] if k == "base" else k): v for k, v in found[key].items()}
            found[key] = values | {place: values[step] for place, step in places.items() if step in values}
    end = places["end"]
    wins = found.get("win_rate")
    if isinstance(wins, Mapping):
        renamed = {
            f"{end}_vs_sft": "end_vs_start",
            "perfect_vs_sft": "perfect_vs_start",
            "sft_vs_base": "start_vs_base",
        }
        found["win_rate"] = {renamed.get(k, k): v for k, v in wins.items()}
    best = found.get("best_temperature")
    if isinstance(best, Mapping):
        found["best_temperature"] = {{SFT: "start", end: "end"}.get(k, k): v for k, v in best.items()}
    if found.get("reward_model"):
        found["reward_models"] = {REWARD: found["reward_model"]}
    if isinstance(found.get("stopped"), str):
        found["stopped"] = {end: found["stopped"]}
    labels = found.get("labels")
    if isinstance(labels, Mapping):
        owner = {"demonstrations": SFT, VOTES: VOTES, "rankings": REWARD, "pairs": REWARD}
        found["labels"] = {}
        for key, value in labels.items():
            found["labels"].setdefault(owner.get(key, key), {})["rankings" if key == VOTES else key] = value
    return found
