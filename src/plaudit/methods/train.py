"""The Python functions: pretraining, SFT and reward models on records in a few lines.

Each function renders records to token items, hands them to the one engine, and leaves metrics and
checkpoints in ``out`` (a folder, or a temporary one); run again on the same folder, it resumes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from plaudit.config import RewardSettings, Sft as SftSettings, Training
from plaudit.data.records import Comparisons, Demonstration, Preference, Ranking
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.errors import UserError
from plaudit.methods.arguments import (
    DEMONSTRATION,
    RANKING,
    expect_policy,
    expect_records,
    expect_reward_model,
    expect_settings,
)
from plaudit.methods.defaults import default_settings
from plaudit.methods.lengths import bounded, fitting
from plaudit.methods.reward_model import RewardModeling
from plaudit.methods.starting import announce_judgements
from plaudit.methods.supervised import Supervised
from plaudit.models.policy import Policy
from plaudit.models.reward_model import RewardModel
from plaudit.rewards import score_items
from plaudit.runs import Stage
from plaudit.runtime import Runtime, runtime_of
from plaudit.training import FitResult, fit


def stage_at(out: str | Path | Stage | None, runtime: Runtime) -> Stage:
    """Where a function writes: as given, else a temporary folder, the same one on every rank."""
    if isinstance(out, Stage):
        return out
    return Stage(Path(out or runtime.mesh.from_main(lambda: tempfile.mkdtemp(prefix="plaudit-"))))


def render_demonstrations(renderer: Renderer, records: Sequence[Demonstration]) -> list[TokenItem]:
    """Items of demonstrations, those that do not fit dropped and counted; faults that block are raised."""
    items = [item for record in records for item in renderer.demonstrations(record)]
    if not items:
        raise renderer.nothing_left(f"none of {len(records)} demonstrations can be trained on")
    spans = all("trained_span" in record.response.metadata for record in records)
    renderer.lint(items, ends=not spans)
    return items


def render_preferences(renderer: Renderer, records: Sequence[Preference]) -> list[TokenItem]:
    """Items of preferences, one item a prompt; those that do not fit dropped and counted."""
    items = [item for record in records if (item := renderer.preference(record)) is not None]
    if not items:
        raise renderer.nothing_left(f"none of {len(records)} preferences can be trained on")
    return items


def pretrain(
    policy: Policy,
    items: Sequence[TokenItem],
    settings: Training,
    *,
    out: str | Path | Stage | None = None,
    seed: int | None = None,
    held_out: Sequence[TokenItem] = (),
    label: str = "pretrain",
    runtime: Runtime | None = None,
) -> FitResult:
    """Train ``policy`` in place on the trained tokens of the items."""
    runtime = runtime_of(runtime, seed)
    return fit(
        Supervised(policy),
        items,
        settings,
        stage_at(out, runtime),
        modules={"policy": policy.model},
        held_out=held_out,
        label=label,
        runtime=runtime,
    )


def sft(
    policy: Policy,
    demonstrations: Sequence[Demonstration],
    settings: Training | None = None,
    *,
    out: str | Path | Stage | None = None,
    seed: int | None = None,
    held_out: Sequence[Demonstration] = (),
    renderer: Renderer | None = None,
    label: str = "sft",
    runtime: Runtime | None = None,
) -> FitResult:
    """Supervised fine-tuning of ``policy`` in place: cross-entropy on assistant tokens."""
    expect_policy(policy, "sft")
    expect_records(demonstrations, (Demonstration,), "sft", DEMONSTRATION)
    # Every section of settings that trains will do: rejection sampling imitates under its own.
    if not isinstance(settings, Training):
        expect_settings(settings, SftSettings, "sft")
    runtime = runtime_of(runtime, seed)
    renderer = bounded(renderer or Renderer(policy.tokenizer), policy.model)
    stage = stage_at(out, runtime)
    items = fitting(renderer, demonstrations, render_demonstrations, stage, runtime, label)
    held: Sequence[TokenItem] = ()
    if held_out:
        held = fitting(renderer, held_out, render_demonstrations, stage, runtime, f"{label}, held out")
    return pretrain(
        policy,
        items,
        settings or default_settings(SftSettings, "sft", policy),
        out=stage,
        held_out=held,
        label=label,
        runtime=runtime,
    )


def reward_model(
    model: RewardModel,
    preferences: Sequence[Preference],
    settings: RewardSettings | None = None,
    *,
    schedule: Training | None = None,
    out: str | Path | Stage | None = None,
    seed: int | None = None,
    held_out: Sequence[Preference] = (),
    renderer: Renderer | None = None,
    label: str = "reward",
    runtime: Runtime | None = None,
) -> FitResult:
    """Train a reward model in place on human preferences of any K.

    ``schedule`` replaces the optimization part of the settings (for a first stage on weaker votes).
    """
    expect_reward_model(model, "reward_model")
    expect_records(preferences, (Ranking, Comparisons), "reward_model", RANKING)
    expect_settings(settings, RewardSettings, "reward_model")
    runtime = runtime_of(runtime, seed)
    settings = settings or default_settings(RewardSettings, "reward", model)
    renderer = bounded(renderer or Renderer(model.tokenizer), model)
    # √n keeps the spread of a sum over n tokens equal: length alone then decides nothing.
    model.length_power = 0.5 if settings.length_normalised else 0.0
    stage = stage_at(out, runtime)
    items = fitting(renderer, preferences, render_preferences, stage, runtime, label)
    held: Sequence[TokenItem] = ()
    if held_out:
        held = fitting(renderer, held_out, render_preferences, stage, runtime, f"{label}, held out")
    method = RewardModeling(
        model,
        pad_id=_pad_id(model.tokenizer),
        loss=settings.loss,
        margin_scale=settings.margin_scale,
        strongest=announce_judgements(items, settings, stage, runtime, label),
        centering=settings.centering,
    )
    return fit(
        method,
        items,
        schedule or settings,
        stage,
        modules={"reward": model},
        held_out=held,
        score="-accuracy",
        label=label,
        runtime=runtime,
    )


def _pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    # Padding is never read, so any id will do for a tokenizer that names none.
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0)


def store_normalization(
    model: RewardModel,
    references: Sequence[Demonstration],
    *,
    renderer: Renderer | None = None,
    runtime: Runtime | None = None,
) -> None:
    """Store the mean and std of raw scores on reference answers: demonstrations then score 0 on average."""
    renderer = bounded(renderer or Renderer(model.tokenizer), model)
    items = []
    for record in references:
        if renderer.demonstration(record) is None:
            continue  # too long, as it would have been for training
        messages = record.prompt.messages
        ids = renderer.response_ids(messages, record.response)
        items.append(TokenItem(renderer.prompt(messages, room=len(ids)), (Segment.of(ids),)))
    scores = score_items(model, items, pad_id=_pad_id(model.tokenizer), runtime=runtime)
    if len(scores) < 2 or not np.isfinite(scores).all() or scores.std() == 0:
        raise UserError(
            f"the reward model cannot be normalized: its scores of {len(scores)} reference answers have no spread"
        )
    model.mean, model.std = float(scores.mean()), float(scores.std())
