"""The Python functions of methods that learn from judgements directly: DPO and its relatives, and KTO.

See ``methods/train.py`` for the conventions.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from plaudit.config import Cpo, Dpo, Kto, Orpo, Simpo
from plaudit.data.records import Comparisons, Labeled, Preference, Ranking, Rated
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.item import TokenItem
from plaudit.methods.arguments import LABELED, RANKING, expect_policy, expect_records, expect_settings
from plaudit.methods.defaults import default_settings
from plaudit.methods.direct import DirectPreference, Settings
from plaudit.methods.kto import (
    KTO,
    attach_mismatched_reference,
    balance,
    labels_of,
    shortened_mismatches,
    with_mismatches,
)
from plaudit.methods.lengths import bounded, fitting
from plaudit.methods.options import PreferenceOptions
from plaudit.methods.reference_log_probs import frozen_reference, precompute
from plaudit.methods.starting import announce, announce_judgements
from plaudit.methods.train import render_preferences, stage_at
from plaudit.models.policy import Policy
from plaudit.runs import Stage
from plaudit.runtime import Runtime, runtime_of
from plaudit.training import FitResult, fit

logger = logging.getLogger(__name__)


def dpo(
    policy: Policy,
    preferences: Sequence[Preference],
    settings: Dpo | None = None,
    **options: Unpack[PreferenceOptions],
) -> FitResult:
    """DPO and its variants: improve ``policy`` in place."""
    expect_settings(settings, Dpo, "dpo")
    settings = settings or default_settings(Dpo, "dpo", policy)
    return preference(policy, preferences, settings, label="dpo", **options)


def simpo(
    policy: Policy,
    preferences: Sequence[Preference],
    settings: Simpo | None = None,
    **options: Unpack[PreferenceOptions],
) -> FitResult:
    """SimPO, without a reference."""
    expect_settings(settings, Simpo, "simpo")
    settings = settings or default_settings(Simpo, "simpo", policy)
    return preference(policy, preferences, settings, label="simpo", **options)


def cpo(
    policy: Policy,
    preferences: Sequence[Preference],
    settings: Cpo | None = None,
    **options: Unpack[PreferenceOptions],
) -> FitResult:
    """CPO, without a reference."""
    expect_settings(settings, Cpo, "cpo")
    settings = settings or default_settings(Cpo, "cpo", policy)
    return preference(policy, preferences, settings, label="cpo", **options)


def orpo(
    policy: Policy,
    preferences: Sequence[Preference],
    settings: Orpo | None = None,
    **options: Unpack[PreferenceOptions],
) -> FitResult:
    """ORPO, without a reference."""
    expect_settings(settings, Orpo, "orpo")
    settings = settings or default_settings(Orpo, "orpo", policy)
    return preference(policy, preferences, settings, label="orpo", **options)


def preference(
    policy: Policy,
    preferences: Sequence[Preference],
    settings: Settings,
    *,
    out: str | Path | Stage | None = None,
    seed: int | None = None,
    held_out: Sequence[Preference] = (),
    renderer: Renderer | None = None,
    label: str = "dpo",
    runtime: Runtime | None = None,
) -> FitResult:
    """Train ``policy`` in place on pairs and rankings of any K; the reference is what it is now."""
    expect_policy(policy, label)
    expect_records(preferences, (Ranking, Comparisons), label, RANKING)
    runtime = runtime_of(runtime, seed)
    renderer = bounded(renderer or Renderer(policy.tokenizer), policy.model)
    stage = stage_at(out, runtime)
    items = fitting(renderer, preferences, render_preferences, stage, runtime, label)
    held: list[TokenItem] = []
    if held_out:
        held = fitting(renderer, held_out, render_preferences, stage, runtime, f"{label}, held out")
    live = None
    if isinstance(settings, Dpo):
        if settings.reference == "live":
            live = frozen_reference(policy)
        else:
            both = precompute(
                policy, [*items, *held], stage, token_budget=settings.token_budget, runtime=runtime
            )
            items, held = both[: len(items)], both[len(items) :]
    strongest = announce_judgements(items, settings, stage, runtime, label)
    return fit(
        DirectPreference(policy, settings, reference=live, strongest=strongest),
        items,
        settings,
        stage,
        modules={"policy": policy.model},
        held_out=held,
        label=label,
        runtime=runtime,
    )


def kto(
    policy: Policy,
    records: Sequence[Labeled | Rated | Preference],
    settings: Kto | None = None,
    *,
    out: str | Path | Stage | None = None,
    seed: int | None = None,
    held_out: Sequence[Labeled | Rated | Preference] = (),
    renderer: Renderer | None = None,
    label: str = "kto",
    runtime: Runtime | None = None,
) -> FitResult:
    """KTO on thumbs, ratings (by ``threshold``) or rankings: improve ``policy`` in place."""
    expect_policy(policy, "kto")
    expect_records(records, (Labeled, Rated, Ranking, Comparisons), "kto", LABELED)
    expect_settings(settings, Kto, "kto")
    settings = settings or default_settings(Kto, "kto", policy)
    runtime = runtime_of(runtime, seed)
    renderer = bounded(renderer or Renderer(policy.tokenizer), policy.model)
    stage = stage_at(out, runtime)
    labels = labels_of(records, settings.threshold)
    items = fitting(renderer, labels, render_labels, stage, runtime, label, what="labels")
    held: list[TokenItem] = []
    if held_out:
        apart = labels_of(held_out, settings.threshold)
        held = fitting(renderer, apart, render_labels, stage, runtime, f"{label}, held out", what="labels")
    limit = renderer.max_length
    items = with_mismatches(items, seed=runtime.seed, max_length=limit)
    # A held-out part with one prompt alone borrows the answers of training, which are to other prompts.
    held = with_mismatches(held, seed=runtime.seed, max_length=limit, answers=items) if held else []
    for part, name in ((items, label), (held, f"{label}, held out")):
        if shortened := shortened_mismatches(part):
            announce(
                stage,
                runtime,
                "mismatches",
                f"{name}: {shortened} of {len(part)} answers to other prompts, from which KTO's KL is estimated, are "
                f"cut to fit {limit} tokens",
                shortened=shortened,
                labels=len(part),
            )
    if (words := balance(items, settings)) is not None:
        logger.warning("%s", words)
    live = None
    if settings.reference == "live":
        live = frozen_reference(policy)
    else:
        every = [*items, *held]
        # One pass over both: what is asked twice is computed once.
        known = precompute(
            policy,
            [*every, *(item.payload for item in every)],
            stage,
            token_budget=settings.token_budget,
            runtime=runtime,
        )
        own = attach_mismatched_reference(known[: len(every)], known[len(every) :])
        items, held = own[: len(items)], own[len(items) :]
    return fit(
        KTO(policy, settings, reference=live),
        items,
        settings,
        stage,
        modules={"policy": policy.model},
        held_out=held,
        label=label,
        runtime=runtime,
    )


def render_labels(renderer: Renderer, records: Sequence[Labeled]) -> list[TokenItem]:
    """Items of single labels; those that do not fit dropped and counted."""
    items = [item for record in records if (item := renderer.labeled(record)) is not None]
    if not items:
        raise renderer.nothing_left(f"none of {len(records)} labels can be trained on")
    return items
