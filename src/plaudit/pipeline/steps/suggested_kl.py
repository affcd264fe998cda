"""``kl.coefficient: auto``: the β that the forecast of a step's reward suggests, found before its first iteration."""

from __future__ import annotations

from typing import Any

import numpy as np

from plaudit.audit.forecast import NO_TRUTH, forecast
from plaudit.audit.forecast_words import suggested
from plaudit.config import Online
from plaudit.config.graph import Node
from plaudit.errors import Problem, UserError
from plaudit.models.policy import Policy
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.sampling import FORECAST_STEP, answer
from plaudit.rewards import Reward, checked
from plaudit.runs import Stage

# 50 × 32 answers lose little against 100 × 64 and cost a tenth of the demo's PPO.
PROMPTS, ANSWERS = 50, 32
RECORD = "forecast.json"


def check_suggested_kl(context: Context, node: Node) -> Problem | None:
    """What is wrong with ``kl.coefficient: auto`` where no truth is known; None where all is well."""
    if not isinstance(node.settings, Online) or node.settings.kl.coefficient != "auto":
        return None
    if context.gold is not None:
        return None
    return Problem(
        f"{node.name} cannot find its own β: {NO_TRUTH}",
        field=f"steps.{node.name}.kl.coefficient",
        remedy="give a number; plaudit audit --reward SPEC --policy MODEL --prompts FILE --second SPEC suggests one",
    )


def with_suggested_kl(
    context: Context, step: Node, stage: Stage, policy: Policy, reward: Reward
) -> tuple[Any, dict[str, Any]]:
    """The step's settings with β in the place of ``auto``, and what to record; UserError where none is suggested.

    Answers to validation prompts, which neither training nor the test sees. The forecast is kept in the step's folder,
    where a resumed step finds it.
    """
    settings = step.settings
    if not isinstance(settings, Online) or settings.kl.coefficient != "auto":
        return settings, {}
    found = context.mesh.from_main(lambda: stage.read_json(RECORD)) or _forecast(
        context, step, policy, reward
    )
    if context.mesh.is_main:
        stage.write_json(RECORD, found)
    context.say(f"{step.name}: {suggested(found)}")
    beta = found["suggestion"]["beta"]
    if beta is None:
        raise UserError(
            f"{step.name} cannot find its own β: {found['suggestion']['reason']}",
            remedy=f"give steps.{step.name}.kl.coefficient a number, or look at the reward model first",
        )
    kl = settings.kl.model_copy(update={"coefficient": beta})
    return settings.model_copy(update={"kl": kl}), {"kl_coefficient": beta}


def _forecast(context: Context, step: Node, policy: Policy, reward: Reward) -> dict[str, Any]:
    settings, gold = step.settings, context.gold
    prompts = context.materials.prompts("validation")[:PROMPTS]
    samples = answer(
        context,
        policy,
        prompts,
        temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens,
        n=ANSWERS,
        step=FORECAST_STEP,
        label=f"{step.name}, forecast",
    )
    judged = context.mesh.map(lambda s: gold.judge(s.prompt, s.response).score, samples)
    rewards = checked(reward, samples, context.mesh).scores
    made = forecast(rewards.reshape(-1, ANSWERS), np.array(judged).reshape(-1, ANSWERS))
    return {**made.as_dict(), "of": step.name, "policy": step.start, "truth": "gold"}
