"""The model that a run is for, in the type that its source has, and what that type costs.

Between steps all weights are float32, so that no step loses what the one before learned. Where the source is in half
precision, the end is written once more in that type to ``RUN/model``, and ``RUN/export.json`` holds the change of the
log-probs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from plaudit.config import Pretrained
from plaudit.data.tokens.batching import collate
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.models.cards import policy_card
from plaudit.models.logprobs import log_probs
from plaudit.models.policy import Policy, load_policy, save_policy
from plaudit.pipeline.context import Context
from plaudit.training.cost_model import config_of

RECORD = "export.json"
# Sequences, and tokens of each, on which the change of the log-probs is measured.
SEQUENCES, LONGEST = 32, 512
MERGED = ("merged", "both")


def export_end(context: Context, key: str | None) -> None:
    """Write the run's end in its source's type (or in ``save_dtype``); nothing where that is what the step saved.

    ``key`` is that of the end's step: a model that was written under it is kept.
    """
    end = context.graph.places.get("end")
    config = context.config
    if end is None or not context.mesh.is_main or config.save not in MERGED:
        return
    dtype = wanted_type(context, end)
    folder = context.folder.path / "model"
    if dtype == torch.float32 or not context.graph[end].kind.starts:
        return
    name = str(dtype).removeprefix("torch.")
    asked = {"step": end, "key": key, "dtype": name}
    before = context.folder.read_json(RECORD) or {}
    if (folder / "config.json").exists() and {k: before.get(k) for k in asked} == asked:
        return
    policy = load_policy(context.folder.stage(end).model)
    items = _items(context, policy)
    exact = _log_probs(policy, items)
    policy.model.to(dtype)
    source = context.source_of(end)
    card = policy_card(
        f"{config.name}@{end}",
        f"The end of the run {config.name!r} (step {end}), as {name}.",
        _on_hub(source),
    )
    save_policy(policy, folder, card)
    policy.model.float()
    change = (_log_probs(policy, items) - exact).abs()
    context.folder.write_json(
        RECORD,
        {
            **asked,
            "largest_change": float(change.max()) if len(change) else None,
            "mean_change": float(change.mean()) if len(change) else None,
            "tokens": len(change),
            "sequences": len(items),
        },
    )


def wanted_type(context: Context, step: str) -> torch.dtype:
    """The type that the end is written in: as asked, else that of the model it came from."""
    asked = context.config.save_dtype
    if asked != "source":
        found: torch.dtype = getattr(torch, asked)
        return found
    source = context.source_of(step)
    known = getattr(config_of(source), "dtype", None) if isinstance(source, Pretrained) else None
    return known if known in (torch.bfloat16, torch.float16) else torch.float32


def _on_hub(source: Any) -> str | None:
    """The hub's name of the source, for the card."""
    from plaudit.runs.locate import hub_name

    named = hub_name(source.path) if isinstance(source, Pretrained) else None
    return named[0] if named else None


def _items(context: Context, policy: Policy) -> list[TokenItem]:
    """Some of the run's own texts as token sequences: prompt and first answer of its records."""
    renderer = context.renderer(policy.tokenizer)
    texts: list[Any] = []
    for role in ("preferences", "demonstrations", "labels"):
        texts += context.materials.records(role)[0][:SEQUENCES]
    items = []
    for record in texts or context.materials.prompts("train")[:SEQUENCES]:
        prompt = getattr(record, "prompt", record)
        answers = getattr(record, "responses", None) or [getattr(record, "response", None)]
        ids = list(renderer.prompt(prompt.messages))
        if answers[0] is not None:
            ids += list(renderer.response_ids(prompt.messages, answers[0]))
        ids = ids[:LONGEST]
        if len(ids) > 1:
            items.append(TokenItem(ids[:1], (Segment.of(ids[1:]),)))  # type: ignore[arg-type]
    return items[:SEQUENCES]


@torch.no_grad()
def _log_probs(policy: Policy, items: Sequence[TokenItem]) -> torch.Tensor:
    found = [log_probs(policy.model, collate([item], policy.pad_id)).log_prob for item in items]
    return torch.cat(found) if found else torch.zeros(0)
