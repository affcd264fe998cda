"""The step that makes rankings: answers of the newest policy, ranked by a judge or by people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.config.graph import Node
from plaudit.config.sections import JudgeSpec, Rank
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.judged import judgements
from plaudit.pipeline.steps.people import rank_by_people
from plaudit.pipeline.steps.ranked_items import written
from plaudit.pipeline.steps.recheck import items_to_rank
from plaudit.protocols import Judge
from plaudit.registry import JUDGES, WORLDS, call
from plaudit.runs import Stage


def rank(context: Context, step: Node, stage: Stage) -> Mapping[str, Any]:
    """Draw answers to fresh training prompts and have them ranked."""
    settings: Rank = step.settings
    if settings.by is not None and settings.by.people:
        return rank_by_people(context, step, stage)
    items, scripted = items_to_rank(context, step)
    spec = settings.by or world_judge(context)
    rankings, told = judgements(context, step, stage, spec, items)
    if settings.scripted_share:
        told = {**told, "answers": sum(len(responses) for _, responses in items), "scripted": scripted}
    return {**written(context, step, stage, rankings), **told}


def judge_of(context: Context, spec: JudgeSpec | None) -> Judge:
    """The judge that a spec names, or the world's own."""
    spec = spec or world_judge(context)
    made: Judge = call(JUDGES[spec.scheme].make, spec.rest, spec.options, context)
    return made


def world_judge(context: Context) -> JudgeSpec:
    """The judge of a made world, which ranks where a step names none."""
    return JudgeSpec.model_validate(WORLDS[context.materials.kind].judge)
