"""Answers of a policy to prompts, and simulated raters' rankings of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plaudit.data.records import Prompt, Response
from plaudit.methods.lengths import bounded
from plaudit.methods.rollouts import respond
from plaudit.models.policy import Policy
from plaudit.progress import Progress
from plaudit.rewards import Sample
from plaudit.rollout.native import NativeSampler
from plaudit.rollout.protocol import SamplingSettings
from plaudit.runs import Stage

# Streams of random numbers that must not meet those of training iterations (0, 1, 2, …).
EVALUATION_STEP = 1_000_000
RANKING_STEP = 2_000_000


def answer(
    context: Any,
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    temperature: float,
    max_new_tokens: int,
    n: int = 1,
    step: int = EVALUATION_STEP,
    label: str = "answers",
) -> list[Sample]:
    """n answers to each prompt, in order."""
    with Progress(len(prompts) * n, label, unit="answer") as bar:
        rollouts = respond(
            prompts,
            renderer=bounded(context.renderer(policy.tokenizer), policy.model),
            sampler=NativeSampler(policy),
            settings=SamplingSettings(max_new_tokens=max_new_tokens, temperature=temperature),
            samples_per_prompt=n,
            seed=context.seed,
            step=step,
            progress=lambda done, _: bar.update(done),
        )
    return rollouts.samples


def rank(context: Any, stage: Stage) -> Mapping[str, Any]:
    """Roll out the SFT policy, add scripted candidates, and let the raters rank K of them."""
    from plaudit.data.splits import uniform
    from plaudit.data.writers import write_jsonl
    from plaudit.pocket.questions import bare

    settings, materials = context.config.rank, context.materials
    policy = context.load(context.sft_stage())
    prompts = materials.prompts[: settings.prompts]
    # As many as the longest ranking shows of the model's own; rarely missing ones are scripted.
    drawn = max(1, round(settings.high * (1 - settings.scripted_share)))
    samples = answer(
        context,
        policy,
        prompts,
        temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens,
        n=drawn,
        step=RANKING_STEP,
        label="rollouts",
    )
    rankings = []
    for i, prompt in enumerate(prompts):
        rng = np.random.default_rng([context.seed, int(prompt.id, 16)])
        k = int(rng.integers(settings.low, settings.high + 1))
        own = [s.response for s in samples[i * drawn : (i + 1) * drawn]]
        scripted = [Response(text) for text in materials.world.candidates(prompt, rng)]
        responses = _choose(own, scripted, k, settings.scripted_share, rng)
        rankings.append(materials.raters.rank(prompt, responses))
    # By question, not by prompt: behind another opening a held-out question would not be held out.
    questions = {bare(r.prompt.text) for r in rankings}
    chosen = {q for q in questions if uniform(q, "held out", context.seed) < settings.validation}
    trained = [r for r in rankings if bare(r.prompt.text) not in chosen]
    held_out = [r for r in rankings if bare(r.prompt.text) in chosen]
    if context.ranks.is_main:
        write_jsonl(trained, stage.path / "train.jsonl")
        write_jsonl(held_out, stage.path / "held_out.jsonl")
    context.ranks.barrier()
    return {
        "rankings": len(trained),
        "held_out": len(held_out),
        "mean_k": float(np.mean([len(r.responses) for r in rankings])),
    }


def _choose(
    own: Sequence[Response], scripted: Sequence[Response], k: int, share: float, rng: Any
) -> tuple[Response, ...]:
    """K different answers, about ``share`` of them scripted, in random order."""
    wanted = min(int(rng.binomial(k, share)), len(scripted))
    pool = [scripted[j] for j in rng.permutation(len(scripted))[:wanted]]
    rest = list(own) + [scripted[j] for j in rng.permutation(len(scripted))]
    chosen: dict[tuple[str, bool], Response] = {(r.text, r.finished): r for r in pool}
    for response in rest:
        if len(chosen) == k:
            break
        if response.text.strip():
            chosen.setdefault((response.text, response.finished), response)
    values = list(chosen.values())
    return tuple(values[j] for j in rng.permutation(len(values)))
