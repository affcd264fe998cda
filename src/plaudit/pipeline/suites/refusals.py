"""How often start and end of a run refuse: XSTest's safe and unsafe prompts, HarmBench, StrongREJECT, AdvBench."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.audit.detectors.refusal import refusal_of
from plaudit.data.readers.read import read
from plaudit.data.records import Prompt
from plaudit.errors import UserError
from plaudit.pipeline.suites.policies import (
    answered,
    change,
    change_words,
    left_out_words,
    sampling_of,
    share,
    suite_records,
)
from plaudit.runs import RunFolder

XSTEST = "xstest"
SAFE, UNSAFE = "safe", "unsafe"


def score(folder: RunFolder, name: str, path: Path, limit: int | None) -> dict[str, Any]:
    """By policy and label the share of refusals, in categories where the set has them, and the paired change."""
    asked = labeled_prompts(path, limit) if name == XSTEST else suite_records(name, path, "prompts")[:limit]
    temperature, length = sampling_of(folder)
    prompts, drawn = answered(folder, asked, temperature=temperature, max_new_tokens=length)
    labels = np.array([p.metadata.get("label", UNSAFE) for p in prompts])
    categories = [str(p.metadata.get("category") or "") for p in prompts]
    said = {step: [refusal_of(text) for text, _ in answers] for step, answers in drawn.items()}
    refused = {step: np.array([s != "comply" for s in kinds], dtype=float) for step, kinds in said.items()}
    known = [label for label in (SAFE, UNSAFE) if (labels == label).any()]
    return {
        "temperature": temperature,
        "left_out": len(asked) - len(prompts),
        "policies": {
            step: {label: _rates([s for s, own in zip(kinds, labels) if own == label]) for label in known}
            for step, kinds in said.items()
        },
        "categories": {
            step: {
                category: share([r for r, c in zip(values, categories) if c == category])
                for category in Counter(filter(None, categories))
            }
            for step, values in refused.items()
        },
        "change": {label: change([v[labels == label] for v in refused.values()]) for label in known},
    }


def labeled_prompts(path: Path, limit: int | None) -> list[Prompt]:
    """XSTest's prompts, each labeled safe or unsafe; of both kinds where not all are asked for."""
    prompts = read(path, kind="prompts").records
    labels = {str(p.metadata.get("label", "")) for p in prompts}
    if labels != {SAFE, UNSAFE}:
        raise UserError(
            f"{path} does not say which prompts are safe: its labels are {', '.join(sorted(labels)) or 'none'}",
            remedy="XSTest's xstest_prompts.csv has a column `label` of safe and unsafe",
        )
    if limit is None:
        return list(prompts)
    kinds = ([p for p in prompts if p.metadata["label"] == label] for label in (SAFE, UNSAFE))
    return [p for kind in kinds for p in kind[: max(1, limit // 2)]]


def _rates(said: Sequence[str]) -> dict[str, Any]:
    return {
        **share([s != "comply" for s in said]),
        "full": float(np.mean([s == "full" for s in said])),
        "partial": float(np.mean([s == "partial" for s in said])),
    }


def lines(suite: str, found: dict[str, Any]) -> list[str]:
    """Shares by policy and label, changes, and the categories of each policy."""
    out = [
        f"{suite}: refusals (of those that people see 94 % are found, of compliance 94 %)"
        + left_out_words(found)
    ]
    for name, by_label in found["policies"].items():
        for label, rate in by_label.items():
            out.append(
                f"{name:12} {label:7} {rate['mean']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}] of {rate['prompts']}"
                f" ({rate['partial']:.0%} in part)"
            )
    if len(found["policies"]) > 1:
        out += [f"change       {label:7} {change_words(c)}" for label, c in found["change"].items()]
    for name, by_category in found["categories"].items():
        out += [f"{name:12} {c}: {rate['mean']:.3f} of {rate['prompts']}" for c, rate in by_category.items()]
    return out
