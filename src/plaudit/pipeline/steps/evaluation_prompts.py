"""The prompts that a run is evaluated on: counted before anything is trained, measured before they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plaudit.data.records import Prompt
from plaudit.errors import UserError
from plaudit.methods.lengths import bounded, fitting_prompts
from plaudit.models.policy import Policy
from plaudit.pipeline.context import Context
from plaudit.runs import Stage


def check_held_out(context: Context) -> str | None:
    """A sentence where fewer prompts are held out than the evaluation asks for; None where all is well or not known.

    Raises UserError where there is none. Reads local files alone: a hub name is not fetched for it.
    """
    settings, materials = context.config.evaluate, context.materials
    if settings is None or materials.world is not None:
        return None
    # Everything that decides which prompts are left for the test.
    files = materials.files("prompts", "preferences", "demonstrations")
    if not materials.files("prompts", "preferences"):
        raise UserError(
            "there are no prompts to evaluate on: the recipe names neither data.prompts nor data.preferences",
            remedy="name data.prompts, or set evaluate: null",
        )
    if not all(Path(p).exists() for p in files):
        return None
    found = len(materials.prompts("test"))
    if not found:
        raise UserError(
            "no prompt is held out to evaluate on: training sees all prompts of the data",
            remedy=_more(context) + ", or set evaluate: null",
        )
    if found < settings.prompts:
        return f"evaluate: {settings.prompts} prompts asked, {found} held out; {_more(context)} for more"
    return None


def _more(context: Context) -> str:
    data = context.config.data
    if data.prompts:
        return f"raise data.validation (now {data.validation:g}), or bring more data.prompts that no other role trains on"
    share = f"data.preference_validation (now {data.preference_validation:g})"
    return f"raise {share}, or name data.prompts that are not among the training data"


def test_prompts(
    context: Context, policies: Sequence[Policy], stage: Stage | None = None, *, label: str = "evaluate"
) -> list[Prompt]:
    """The test prompts that leave room for an answer, at most as many as asked; UserError where there is none."""
    settings = context.config.evaluate
    assert settings is not None
    prompts = context.materials.prompts("test")
    if not len(prompts):
        raise UserError("no prompt is held out to evaluate on", remedy=_more(context))
    return _answerable(context, policies, prompts, stage, label)


def validation_prompts(context: Context, policies: Sequence[Policy]) -> list[Prompt]:
    """The validation prompts that leave room for an answer, at most as many as the test has; empty without any."""
    prompts = context.materials.prompts("validation")
    return _answerable(context, policies, prompts, None, "validation") if len(prompts) else []


def unseen_prompts(context: Context, policies: Sequence[Policy], limit: int, *, label: str) -> list[Prompt]:
    """At most ``limit`` prompts that no training saw, validation prompts first: the test is for what they choose.

    UserError where there is none; where there are fewer, a message says so.
    """
    settings, materials = context.config.evaluate, context.materials
    assert settings is not None
    prompts = [*materials.prompts("validation"), *materials.prompts("test")]
    if not prompts:
        raise UserError("no prompt is held out to ask", remedy=_more(context))
    renderer = bounded(context.renderer(policies[0].tokenizer), *(p.model for p in policies))
    kept = fitting_prompts(renderer, prompts, settings.max_new_tokens, None, context.runtime, label)[:limit]
    if len(kept) < limit:
        context.say(f"{label}: {limit} prompts asked, {len(kept)} are held out; {_more(context)} for more")
    return kept


def _answerable(
    context: Context, policies: Sequence[Policy], prompts: Sequence[Prompt], stage: Stage | None, label: str
) -> list[Prompt]:
    settings = context.config.evaluate
    assert settings is not None
    renderer = bounded(context.renderer(policies[0].tokenizer), *(p.model for p in policies))
    kept = fitting_prompts(renderer, prompts, settings.max_new_tokens, stage, context.runtime, label)
    return kept[: settings.prompts]
