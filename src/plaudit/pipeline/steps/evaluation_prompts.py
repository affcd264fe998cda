"""The prompts that a run is evaluated on: counted before anything is trained, measured before they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plaudit.config import Evaluate
from plaudit.data.records import Prompt
from plaudit.errors import UserError
from plaudit.methods.lengths import bounded, fitting_prompts
from plaudit.models.policy import Policy
from plaudit.pipeline.context import Context
from plaudit.registry import EVALUATE
from plaudit.runs import Stage


def check_held_out(context: Context) -> str | None:
    """A sentence where fewer prompts are held out than the evaluation asks for; None where all is well or not known.

    Raises UserError where there is none. Reads local files alone: a hub name is not fetched for it.
    """
    asked = {
        n: node.settings for n, node in context.graph.nodes.items() if isinstance(node.settings, Evaluate)
    }
    materials = context.materials
    if not asked or materials.world is not None:
        return None
    without = " and ".join("set evaluate: null" if n == EVALUATE else f"leave {n} out" for n in asked)
    # Everything that decides which prompts are left for the test.
    files = materials.files("prompts", "preferences", "demonstrations")
    if not materials.files("prompts", "preferences"):
        raise UserError(
            "there are no prompts to evaluate on: the recipe names neither data.prompts nor data.preferences",
            remedy=f"name data.prompts, or {without}",
        )
    if not all(Path(p).exists() for p in files):
        return None
    found = len(materials.prompts("test"))
    if not found:
        raise UserError(
            "no prompt is held out to evaluate on: training sees all prompts of the data",
            remedy=f"{more(context)}, or {without}",
        )
    few = [f"{n}: {s.prompts} prompts asked, {found} held out" for n, s in asked.items() if found < s.prompts]
    return f"{'; '.join(few)}; {more(context)} for more" if few else None


def more(context: Context) -> str:
    """What to do for more held-out prompts."""
    data = context.config.data
    if data.prompts:
        return (
            f"raise data.validation (now {data.validation:g}), or bring prompts that no other role trains on"
        )
    share = f"data.preference_validation (now {data.preference_validation:g})"
    return f"raise {share}, or name data.prompts that are not among the training data"


def test_prompts(
    context: Context,
    policies: Sequence[Policy],
    stage: Stage | None = None,
    *,
    label: str = "evaluate",
    settings: Evaluate | None = None,
) -> list[Prompt]:
    """The test prompts that leave room for an answer, at most as many as asked; UserError where there is none.

    ``settings`` are those of a step, by default the recipe's section.
    """
    prompts = context.materials.prompts("test")
    if not len(prompts):
        raise UserError("no prompt is held out to evaluate on", remedy=more(context))
    return _answerable(context, policies, prompts, stage, label, settings)


def validation_prompts(
    context: Context, policies: Sequence[Policy], settings: Evaluate | None = None
) -> list[Prompt]:
    """The validation prompts that leave room for an answer, at most as many as the test has; empty without any."""
    prompts = context.materials.prompts("validation")
    return _answerable(context, policies, prompts, None, "validation", settings) if len(prompts) else []


def unseen_prompts(context: Context, policies: Sequence[Policy], limit: int, *, label: str) -> list[Prompt]:
    """At most ``limit`` prompts that no training saw, validation prompts first: the test is for what they choose.

    UserError where there is none; where there are fewer, a message says so.
    """
    settings, materials = context.config.evaluate, context.materials
    assert settings is not None
    prompts = [*materials.prompts("validation"), *materials.prompts("test")]
    if not prompts:
        raise UserError("no prompt is held out to ask", remedy=more(context))
    renderer = bounded(context.renderer(policies[0].tokenizer), *(p.model for p in policies))
    kept = fitting_prompts(renderer, prompts, settings.max_new_tokens, None, context.runtime, label)[:limit]
    if len(kept) < limit:
        context.say(f"{label}: {limit} prompts asked, {len(kept)} are held out; {more(context)} for more")
    return kept


def _answerable(
    context: Context,
    policies: Sequence[Policy],
    prompts: Sequence[Prompt],
    stage: Stage | None,
    label: str,
    settings: Evaluate | None,
) -> list[Prompt]:
    settings = settings or context.config.evaluate
    assert settings is not None
    renderer = bounded(context.renderer(policies[0].tokenizer), *(p.model for p in policies))
    kept = fitting_prompts(renderer, prompts, settings.max_new_tokens, stage, context.runtime, label)
    return kept[: settings.prompts]
