"""What an audit or a red-teaming can know before any weight is loaded: of what was named, and of what a run brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from plaudit.audit.detect import Detector, detectors_of
from plaudit.config import Config
from plaudit.data.records import Prompt
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.rendering.template_date import pin_day
from plaudit.errors import Problem, UserError
from plaudit.methods.lengths import bounded, fitting_prompts
from plaudit.models.files import fetched, read_config, read_tokenizer, refuse_no_decoder
from plaudit.models.positions import positions_of_config
from plaudit.models.reward_model import check_reward_folder
from plaudit.pipeline.context import Context
from plaudit.pipeline.finished_run import context_of
from plaudit.pipeline.preflight import look_at_judges, look_at_rewards
from plaudit.pipeline.preflight_records import tried
from plaudit.pipeline.run_record import run_day
from plaudit.pipeline.steps.evaluation_prompts import more
from plaudit.registry import PROXY
from plaudit.rewards import FunctionReward
from plaudit.runs import RunFolder
from plaudit.runs.files import check_file
from plaudit.runs.locate import model_folders

# The splits whose prompts no training saw, in the order in which they are asked.
UNSEEN = ("validation", "test")
Look = Callable[[list[Problem]], object]


def looked_at(
    prompts: Any,
    limit: int,
    *,
    policy: str | Path | None = None,
    room: int = 0,
    rewards: Mapping[str, str | None],
    detectors: Sequence[Detector] = (),
    out: Path | None = None,
    also: Sequence[Look] = (),
) -> list[Prompt]:
    """The prompts, once all that was named is looked at without any weight; UserError with everything wrong with it.

    ``rewards`` are the specs by the option that names them; ``also`` looks at what a run brings. What would fail after
    the sampling costs hours by then.
    """
    problems: list[Problem] = []
    pair = tried(problems, "policy", _look_at_policy, policy) if policy is not None else None
    for option, spec in rewards.items():
        if spec is not None:
            tried(problems, option, _look_at_reward, spec)
    asked = [] if prompts is None else tried(problems, "prompts", prompts_of, prompts, limit)
    if asked and pair is not None:
        tried(problems, "prompts", _fit, Renderer(pair[1]), [pair], asked, room)
    tried(problems, "detector", detectors_of, detectors)
    if out is not None:
        tried(problems, "out", check_file, out)
    for look in also:
        look(problems)
    if problems:
        raise UserError("this cannot run, and nothing was sampled", problems=problems)
    return asked or []


def no_prompts_out(folder: RunFolder) -> UserError:
    """The error for a run whose recipe has no evaluation, and so no prompts for it."""
    return UserError(
        f"{folder.path} holds no prompts out: its recipe has no evaluation",
        remedy="name the prompts: plaudit audit --reward RUN --policy MODEL --prompts FILE",
    )


def prompts_of(prompts: str | Path | Sequence[Prompt], limit: int) -> list[Prompt]:
    """The first of the prompts that are named, or given."""
    if not isinstance(prompts, str | Path):
        return list(prompts)[:limit]
    from plaudit.data.readers.read import read

    return read(prompts, kind="prompts", limit=limit).records


def of_run(
    folder: RunFolder,
    config: Config,
    policies: Sequence[str],
    *,
    reward: str | None,
    second: str | None,
    prompts: str | Path | Sequence[Prompt] | None = None,
    limit: int = 0,
    splits: Sequence[str] = (),
    trained_on: bool = False,
) -> Look:
    """A look at what a run brings: the policies of its steps, its reward and judge, and prompts that it holds out.

    ``reward`` is the step whose reward is asked; ``prompts`` are asked in the place of the held-out ``splits``; with
    ``trained_on`` the records that the reward learned from are read too.
    """

    def look(problems: list[Problem]) -> None:
        context = context_of(folder, config)
        found = [tried(problems, f"steps.{name}", _saved_policy, context, name) for name in policies]
        pairs = [pair for pair in found if pair is not None]
        if reward is not None:
            _own_reward(context, reward, problems)
        if second is None and context.world is None and PROXY in context.graph.nodes:
            _saved_rewards(context, PROXY, "none", problems)
        if trained_on and reward is not None:
            tried(problems, f"steps.{reward}", context.records, context.graph[reward])
        own = (
            partial(prompts_of, prompts, limit)
            if prompts is not None
            else partial(_held_out, context, splits)
        )
        asked = tried(problems, "prompts", own)
        room = config.evaluate.max_new_tokens if config.evaluate else 128
        if asked and pairs:
            with pin_day(run_day(folder)):
                tried(problems, "prompts", _fit, context.renderer(pairs[0][1]), pairs, asked, room)

    return look


def _fit(renderer: Renderer, pairs: Sequence[tuple[Any, Any]], asked: Sequence[Prompt], room: int) -> None:
    """UserError where no prompt leaves room for an answer of any of the models."""
    positions = [n for config, _ in pairs if (n := positions_of_config(config)) is not None]
    fitting_prompts(
        bounded(renderer, positions=min(positions, default=None)), asked, room, None, None, "prompts"
    )


def _held_out(context: Context, splits: Sequence[str]) -> list[Prompt]:
    found = [prompt for split in splits for prompt in context.materials.prompts(split)]
    if not found:
        raise UserError("no prompt is held out to ask", remedy=more(context))
    return found


def _look_at_policy(spec: str | Path) -> tuple[Any, Any] | None:
    """Config and tokenizer; None for a model of the hub that is not fetched yet."""
    folder = fetched(spec)
    return None if folder is None else _policy_of(folder)


def _policy_of(folder: Path) -> tuple[Any, Any]:
    config = read_config(folder)
    refuse_no_decoder(folder, config)
    return config, read_tokenizer(folder)


def _saved_policy(context: Context, step: str) -> tuple[Any, Any]:
    folder = context.folder.stage(step).model
    if not folder.exists():
        raise _not_there(context, step, "policy")
    return _policy_of(folder)


def _not_there(context: Context, step: str, what: str) -> UserError:
    run = context.folder.path
    return UserError(f"{run} has no {what} of its step {step!r}", remedy=f"make it: plaudit resume {run}")


def _own_reward(context: Context, step: str, problems: list[Problem]) -> None:
    """The reward that a step was paid by, or the reward model that it is."""
    node = context.graph[step]
    own = [str(part.path) for part in node.rewards if part.source == "step"] if node.rewards else [step]
    for name in own:
        paid = getattr(node.settings, "normalisation", "stored") if node.rewards else "stored"
        _saved_rewards(context, name, paid, problems)
    look_at_rewards(node, problems)
    look_at_judges(context, node, problems)


def _saved_rewards(context: Context, step: str, normalization: str, problems: list[Problem]) -> None:
    folders = model_folders(context.folder, step)
    if not folders:
        error = _not_there(context, step, "reward model")
        problems.append(Problem(error.message, field=f"steps.{step}", remedy=error.remedy))
    for folder in folders:
        tried(problems, f"steps.{step}", check_reward_folder, folder, normalization)


def _look_at_reward(spec: str) -> None:
    if spec.startswith("python:"):
        FunctionReward.by_path(spec.removeprefix("python:"))
    elif (folder := fetched(spec.removeprefix("reward:"), kind="reward model")) is not None:
        check_reward_folder(folder, "stored")
