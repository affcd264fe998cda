"""What a step's reward allows, forecast before its first iteration; ``kl.coefficient: auto`` takes the suggested β."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from plaudit.advice.costs import GPU, cpu, seconds
from plaudit.audit.forecast import FEWEST_PROMPTS, NO_TRUTH, Forecast
from plaudit.audit.forecast_words import allowed, suggested
from plaudit.audit.stored import FORECAST
from plaudit.config import Grpo, Online, OnlineDpo, Ppo, Reinforce
from plaudit.config.graph import Node
from plaudit.errors import Problem, UserError
from plaudit.methods.lengths import bounded, fitting_prompts
from plaudit.methods.shaping import paid_at_the_start
from plaudit.models.policy import Policy
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.cost import forecast as forecast_amount, online
from plaudit.pipeline.steps.forecasting import forecast_of, own_detectors
from plaudit.pipeline.steps.sampling import FORECAST_STEP, answer
from plaudit.pipeline.steps.scoring import asked_reward
from plaudit.rewards import Reward, checked
from plaudit.runs import Stage

# 50 × 32 answers lose little against 100 × 64 and cost a tenth of the demo's PPO.
PROMPTS, ANSWERS = 50, 32
# From the best to the least that says something: of 8 answers to a prompt no tilt leaves 8 effective ones.
SIZES = ((PROMPTS, ANSWERS), (40, 16), (20, 16), (FEWEST_PROMPTS, 16))
SHARE = 0.1  # of the step's estimated time, which a forecast may take


def check_suggested_kl(context: Context, node: Node) -> Problem | None:
    """What is wrong with ``kl.coefficient: auto``: no truth is known, or β has another unit; None where all is well."""
    if not isinstance(node.settings, Online) or node.settings.kl.coefficient != "auto":
        return None
    if remedy := _other_unit(node.settings):
        return Problem(
            f"{node.name} cannot find its own β: a forecast's β weighs the KL against the reward, and "
            f"{node.kind.title} rescales the reward before the KL joins it",
            field=f"steps.{node.name}.kl.coefficient",
            remedy=remedy,
        )
    if context.gold is not None or node.asked:
        return None
    return Problem(
        f"{node.name} cannot find its own β: {NO_TRUTH}",
        field=f"steps.{node.name}.kl.coefficient",
        remedy="name a second judge (keep_best: another reward), or give a number; plaudit audit --reward SPEC "
        "--policy MODEL --prompts FILE --second SPEC suggests one",
    )


def _other_unit(settings: Online) -> str | None:
    """What to set where advantages are rescaled and the KL is not; None where both are, or neither."""
    if isinstance(settings, OnlineDpo):
        return "give a number"
    scaled = isinstance(settings, Ppo | Reinforce) or getattr(settings, "advantage_scale", "none") != "none"
    if settings.kl.place != "loss" or not scaled:
        return None
    also = ", or advantage_scale: none" if isinstance(settings, Grpo) else ""
    return f"set kl.place: reward{also}, or give a number"


def before_rl(
    context: Context, step: Node, stage: Stage, policy: Policy, reward: Reward
) -> tuple[Any, dict[str, Any]]:
    """The step's settings with β in the place of ``auto``, and what to record; UserError where none is suggested.

    The forecast is made on prompts that the test does not see, and kept in the step's folder, where a resumed step
    finds it. Without ``auto`` it is for the reader, and left out where it would take long or cost money.
    """
    settings = step.settings
    if not isinstance(settings, Online):
        return settings, {}
    wanted = settings.kl.coefficient == "auto"
    found = context.mesh.from_main(lambda: stage.read_json(FORECAST))
    if found is None and (size := (PROMPTS, ANSWERS) if wanted else _room(context, step, policy)) is not None:
        try:
            made = _made(context, step, policy, reward, *size)
        except UserError as error:
            if wanted:
                raise
            context.say(f"{step.name}: no forecast, because {error.message}")
            return settings, {}
        source = "gold" if context.gold is not None else step.settings.keep_best
        found = {**made.as_dict(), "of": step.name, "policy": step.start, "truth": source}
        if context.mesh.is_main:
            stage.write_json(FORECAST, found)
        context.say(f"{step.name}: {allowed(found)} {suggested(found)}")
    if not wanted:
        return settings, {}
    beta = found["suggestion"]["beta"]
    if beta is None:
        raise UserError(
            f"{step.name} cannot find its own β: {found['suggestion']['reason']}",
            remedy=f"give steps.{step.name}.kl.coefficient a number, or look at the reward model first",
        )
    kl = settings.kl.model_copy(update={"coefficient": beta})
    return settings.model_copy(update={"kl": kl}), {"kl_coefficient": beta}


def _room(context: Context, step: Node, policy: Policy) -> tuple[int, int] | None:
    """Prompts and answers of a forecast of at most a tenth of the step's time; None where it is left out."""
    if not step.settings.forecast:
        return None
    if any(part.source == "judge" for part in step.rewards):
        context.say(f"{step.name}: no forecast, because its reward is a judge that has to be asked")
        return None
    speed = (
        GPU
        if context.device.type == "cuda"
        else cpu(torch.get_num_threads(), context.runtime.compute.precision)
    )
    parameters = sum(p.numel() for p in policy.model.parameters())
    whole = seconds(replace(online(step, context).amount, loads=0), parameters, speed)

    def takes(size: tuple[int, int]) -> float:
        return seconds(forecast_amount(step, context, size[0] * size[1]), parameters, speed)

    fitting = [size for size in SIZES if takes(size) <= SHARE * whole]
    if not fitting:
        context.say(f"{step.name}: no forecast, because it would take more than a tenth of the step")
        return None
    if fitting[0] != SIZES[0]:
        context.say(f"{step.name}: a small forecast, of {fitting[0][0]} prompts × {fitting[0][1]} answers")
    return fitting[0]


def _made(context: Context, step: Node, policy: Policy, reward: Reward, count: int, answers: int) -> Forecast:
    """The forecast of rewards as they are paid for answers of the step's start.

    Judged by gold, else by what ``keep_best`` names, where either is known: then with the reward's favourites.
    """
    settings, gold = step.settings, context.gold
    known = context.materials.prompts("validation") or context.prompts(step)
    label = f"{step.name}, forecast"
    renderer = bounded(context.renderer(policy.tokenizer), policy.model)
    known = fitting_prompts(renderer, known, settings.max_new_tokens, None, context.runtime, label)[:count]
    samples = answer(context, policy, known, settings, n=answers, step=FORECAST_STEP, label=label)
    second = asked_reward(context, step, policy) if gold is None else None
    truth = None
    if gold is not None:
        truth = np.array(context.mesh.map(lambda s: gold.judge(s.prompt, s.response).score, samples))
    elif second is not None:
        truth = checked(second, samples, context.mesh).scores
    scores = paid_at_the_start(reward, settings, samples, answers, context.mesh)
    return forecast_of(samples, scores, truth, own_detectors(context))
