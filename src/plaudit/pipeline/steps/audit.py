"""The audit as a step: two policies answer the same validation prompts, and detectors, reward and gold compare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plaudit.audit.answers import AnswerSet
from plaudit.audit.stored import NAME, compared, world_detectors
from plaudit.config.graph import Node
from plaudit.config.sections import AuditSettings
from plaudit.errors import UserError
from plaudit.methods.lengths import bounded, fitting_prompts
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.evaluation_prompts import more
from plaudit.pipeline.steps.sampling import answer
from plaudit.pipeline.steps.scoring import asked_reward
from plaudit.rewards import Reward, Sample, checked
from plaudit.runs import Stage


def audit(context: Context, step: Node, stage: Stage) -> Mapping[str, Any]:
    """What changed from the policy that the step names to the newest one, and what reward and gold make of it."""
    settings: AuditSettings = step.settings
    assert step.start is not None
    names = (settings.against or step.judged[0], step.start)
    policies = [context.load(name) for name in names]
    renderer = bounded(context.renderer(policies[1].tokenizer), *(p.model for p in policies))
    known = context.materials.prompts("validation")
    if not known:
        raise UserError(
            f"{step.name} has no validation prompts to audit on",
            remedy=more(context),
        )
    length = settings.max_new_tokens
    prompts = fitting_prompts(renderer, known, length, None, context.runtime, step.name)[: settings.prompts]
    reward = asked_reward(context, step, policies[1])
    sets = []
    for name, policy in zip(names, policies, strict=True):
        samples = answer(context, policy, prompts, settings, label=f"{step.name}: {name}")
        sets.append(_answers(context, name, samples, reward))
    before, after = sets
    world = context.config.world
    own = world_detectors(world.model_dump() if world else None)
    found = compared(before, after, None if before.truth is None else "gold", own)
    if context.mesh.is_main:
        stage.write_json(NAME, found)
    numbers = {
        name: [float(getattr(one, name).mean()) for one in sets]
        for name in ("reward", "truth")
        if getattr(before, name) is not None
    }
    suspected = [c["detector"] for c in found["changes"] if c["suspected"]]
    context.say(_words(step.name, names, numbers, suspected, found["hacks"]))
    return {
        "before": names[0],
        "after": names[1],
        "prompts": len(prompts),
        "means": {name: dict(zip(("before", "after"), values)) for name, values in numbers.items()},
        "suspected": suspected,
        "hacks": found["hacks"],
    }


def _answers(context: Context, name: str, samples: Sequence[Sample], reward: Reward | None) -> AnswerSet:
    gold = context.gold
    truth = None
    if gold is not None:
        truth = np.array(context.mesh.map(lambda s: gold.judge(s.prompt, s.response).score, samples))
    scores = None if reward is None else checked(reward, samples, context.mesh).scores
    return AnswerSet(
        name,
        [s.prompt.conversation for s in samples],
        [[s.response] for s in samples],
        None if scores is None else scores[:, None],
        None if truth is None else truth[:, None],
    )


def _words(
    step: str,
    names: tuple[str, str],
    numbers: Mapping[str, Sequence[float]],
    suspected: Sequence[str],
    hacks: Sequence[str],
) -> str:
    """``audit-1: sft → ppo-1, reward -0.10 → 0.85, truth 0.50 → 0.61; suspected: lists; suspected hacks: none``."""
    told = "".join(f", {name} {a:.2f} → {b:.2f}" for name, (a, b) in numbers.items())
    return (
        f"{step}: {names[0]} → {names[1]}{told}; suspected changes: {', '.join(suspected) or 'none'}; "
        f"suspected hacks: {', '.join(hacks) or 'none'}"
    )
