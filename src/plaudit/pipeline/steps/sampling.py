"""Answers of a policy to prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from plaudit.data.records import Prompt
from plaudit.data.rendering.renderer import Renderer
from plaudit.methods.lengths import bounded
from plaudit.methods.rollouts import respond
from plaudit.models.policy import Policy
from plaudit.progress import Progress
from plaudit.rewards import Sample
from plaudit.rollout.native import NativeSampler
from plaudit.rollout.protocol import SamplingSettings
from plaudit.runtime import Mesh

# Streams of random numbers that must not meet those of training iterations (0, 1, 2, …).
EVALUATION_STEP = 1_000_000
RANKING_STEP = 2_000_000
REVISION_STEP = 3_000_000
FORECAST_STEP = 6_000_000


class Draws(Protocol):
    """Settings of a step that samples."""

    @property
    def temperature(self) -> float: ...

    @property
    def max_new_tokens(self) -> int: ...


def answer(
    context: Any,
    policy: Policy,
    prompts: Sequence[Prompt],
    settings: Draws,
    *,
    temperature: float | None = None,
    n: int = 1,
    step: int = EVALUATION_STEP,
    label: str = "answers",
) -> list[Sample]:
    """n answers to each prompt of a run, in order, by ``settings`` or at another ``temperature``."""
    return sampled(
        policy,
        prompts,
        renderer=context.renderer(policy.tokenizer),
        temperature=settings.temperature if temperature is None else temperature,
        max_new_tokens=settings.max_new_tokens,
        n=n,
        seed=context.seed,
        step=step,
        label=label,
        mesh=context.mesh,
    )


def sampled(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    renderer: Renderer,
    temperature: float,
    max_new_tokens: int,
    n: int,
    seed: int,
    step: int,
    label: str,
    mesh: Mesh | None = None,
) -> list[Sample]:
    """n answers to each prompt, in order."""
    mesh = mesh or Mesh()
    count = len(mesh.share(prompts)) * n
    with Progress(count, label, unit="answer", quiet=not mesh.is_main) as bar:
        rollouts = respond(
            prompts,
            renderer=bounded(renderer, policy.model),
            sampler=NativeSampler(policy),
            settings=SamplingSettings(max_new_tokens=max_new_tokens, temperature=temperature),
            samples_per_prompt=n,
            seed=seed,
            step=step,
            mesh=mesh,
            progress=lambda done, _: bar.update(done),
        )
    return rollouts.samples
