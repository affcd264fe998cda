"""The answers of an evaluation: all of them for the audit, some for reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plaudit.pipeline.context import Context
from plaudit.rewards import Sample


def rows_to_show(
    context: Context,
    prompts: Sequence[Any],
    answers: Mapping[str, list[Sample]],
    proxies: Mapping[str, np.ndarray],
    gold: Mapping[str, np.ndarray],
    kl: np.ndarray,
    count: int,
    greedy: Mapping[str, list[Sample]] | None = None,
) -> list[dict[str, Any]]:
    """Prompts spread evenly over the ranking of the last policy's scores, by category in turn; answers by step name.

    ``greedy`` are the same policies' answers at temperature 0, kept beside the sampled ones.
    """
    end = context.graph.places["end"]
    key = gold.get(end, proxies.get(end, np.zeros(len(prompts))))
    groups: dict[str, list[int]] = {}
    for i in np.argsort(-key, kind="stable"):
        groups.setdefault(str(prompts[i].metadata.get("category", "")), []).append(int(i))
    picks: list[int] = []
    share = -(-count // max(1, len(groups)))
    for members in groups.values():
        places = np.unique(np.linspace(0, len(members) - 1, min(share, len(members))).round().astype(int))
        picks += [members[p] for p in places]
    rows = []
    for i in picks[:count] if len(groups) == 1 else picks:
        row: dict[str, Any] = {
            "prompt": prompts[i].conversation,
            "category": prompts[i].metadata.get("category", ""),
        }
        for name, samples in answers.items():
            entry: dict[str, Any] = {"text": samples[i].answer, "finished": samples[i].finish != "length"}
            if name in gold:
                entry["gold"] = float(gold[name][i])
            if name in proxies:
                entry["proxy"] = float(proxies[name][i])
            if name == end:
                entry["kl"] = float(kl[i])
            if greedy:
                cold = greedy[name][i]
                entry["greedy"] = {"text": cold.answer, "finished": cold.finish != "length"}
            row[name] = entry
        if context.world is not None:
            row["perfect"] = {"text": context.world.perfect(prompts[i])}
        rows.append(row)
    return rows


def answer_rows(
    prompts: Sequence[Any],
    answers: Mapping[str, list[Sample]],
    scores: Mapping[str, Mapping[str, np.ndarray]],
) -> list[dict[str, Any]]:
    """Every prompt with every policy's answer to it; ``scores`` by name (``gold``, ``judge``, ``proxy``) and policy."""
    rows = []
    for i, prompt in enumerate(prompts):
        found: dict[str, Any] = {}
        for policy, samples in answers.items():
            known = {name: float(by[policy][i]) for name, by in scores.items() if policy in by}
            known = {name: score for name, score in known.items() if not np.isnan(score)}  # no verdict
            ended = samples[i].finish != "length"
            found[policy] = {"text": samples[i].answer, "finished": ended, **known}
        category = prompt.metadata.get("category", "")
        rows.append({"prompt": prompt.conversation, "category": category, "answers": found})
    return rows
