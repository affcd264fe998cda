"""From a config to a plan of stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plaudit.config import PAIRWISE, ROLES, Config, Pretrained, Scratch
from plaudit.errors import UserError
from plaudit.pipeline.stages import Plan, StageSpec
from plaudit.runs import Stage


def make_plan(config: Config, context: Any, common: Mapping[str, Any]) -> Plan:
    """The stages that a config asks for, each with what it depends on."""
    from plaudit.pipeline import answers, evaluate, method_stages, policy_stages, reward_stages

    check(config)
    plan = Plan(common=common)
    files = context.materials.files
    scratch = isinstance(config.policy, Scratch)
    first = "pretrain" if scratch else "base"
    world = config.world.model_dump() if config.world else None
    data = config.data.model_dump(exclude=set(ROLES))
    start = "verdict" if config.verdict else first
    policy = "sft" if config.sft else start

    def add(
        name: str,
        function: Callable[[Any, Stage], Mapping[str, Any]],
        section: Any,
        inputs: list[str],
        *roles: str,
    ) -> None:
        settings = {
            "section": section.model_dump() if section is not None else None,
            "seed": config.seed,
            "world": world,
            "data": data,
        }
        if read := _how_read(config, roles):
            settings["sources"] = read
        plan.add(
            StageSpec(
                name,
                lambda stage: function(context, stage),
                settings=settings,
                inputs=inputs,
                reads=files(*roles),
            )
        )

    if scratch:
        add(
            "pretrain",
            policy_stages.pretrain,
            _Both(config.policy, config.pretrain),
            [],
            "corpus",
            "demonstrations",
        )
    else:
        add("base", policy_stages.base, config.policy, [])
    if config.verdict:
        add("verdict", policy_stages.verdict, config.verdict, [first])
    if config.sft:
        add("sft", policy_stages.sft, config.sft, [start], "demonstrations")
    if config.reward and config.reward.votes:
        add("votes", reward_stages.votes, config.reward, [first, policy], "votes")
    if config.rank:
        add("rank", answers.rank, config.rank, [policy])
    if config.reward:
        inputs = [first, policy] + [s for s in ("votes", "rank") if s in {p.name for p in plan.stages}]
        add("reward", reward_stages.reward, config.reward, inputs, "preferences", "demonstrations")
    if config.evaluate and config.evaluate.judge and config.reward:
        add(
            "judge",
            reward_stages.judge,
            _Both(config.reward, config.evaluate.judge),
            [first, policy],
            "preferences",
        )
    if config.final:
        section = getattr(config, config.final)
        scored = config.scoring is not None
        inputs = [policy] + (["reward"] if config.reward and scored else [])
        if not scored and config.rank:
            inputs.append("rank")
        reads = ("prompts", "preferences", "demonstrations") if scored else ("preferences", "labels")
        add(config.final, method_stages.method, section, inputs, *reads)
    if config.evaluate:
        every = [s.name for s in plan.stages]
        add("evaluate", evaluate.evaluate, config.evaluate, every, "prompts", "preferences", "demonstrations")
    return plan


def _how_read(config: Config, roles: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    """How the files of these roles are read, where it is not as they are: other codes make other preferences."""
    read = {
        role: [s.model_dump(exclude={"path"}, exclude_defaults=True) for s in getattr(config.data, role)]
        for role in roles
    }
    return {role: sources for role, sources in read.items() if any(sources)}


class _Both:
    """Two sections as one, where a stage reads both."""

    def __init__(self, *sections: Any) -> None:
        self.sections = sections

    def model_dump(self) -> list[Any]:
        return [s.model_dump() if s is not None else None for s in self.sections]


def check(config: Config) -> None:
    """Sections that need each other are there together; all that is missing is told at once."""
    from plaudit.data.files import is_hub_name
    from plaudit.errors import Problem

    problems = []

    def need(condition: bool, field: str, message: str, remedy: str) -> None:
        if not condition:
            problems.append(Problem(message, field=field, remedy=remedy))

    data, world = config.data, config.world is not None
    need(
        not (config.verdict and not world), "verdict", "the verdict stage needs the pocket world", "remove it"
    )
    need(
        not (config.rank and not world),
        "rank",
        "simulated raters need the pocket world",
        "remove it and name data.preferences",
    )
    need(
        not config.sft or world or bool(data.demonstrations),
        "sft",
        "no demonstrations to learn from",
        "name data.demonstrations or remove sft",
    )
    need(
        not config.reward or world or bool(data.preferences),
        "reward",
        "no preferences to learn from",
        "name data.preferences or remove reward",
    )
    need(
        not (config.reward and world) or config.rank is not None,
        "rank",
        "the pocket world's rankings are made by the rank stage",
        "add `rank: {}`",
    )
    need(
        not (config.reward and config.reward.votes) or world or bool(data.votes),
        "reward.votes",
        "no votes to learn from",
        "name data.votes or set reward.votes: null",
    )
    scoring, final = config.scoring, config.final
    need(
        scoring is None or config.reward is not None or not scoring.needs_own,
        str(final),
        "nothing scores the answers",
        f"add a reward section, or name {final}.reward_model, {final}.reward_function or {final}.rewards",
    )
    need(
        scoring is None or world or all(part.source != "gold" for part in scoring.rewards),
        f"{final}.rewards",
        "gold is known in the pocket world alone",
        "name a reward model or a function",
    )
    need(
        final not in PAIRWISE or bool(config.rank or data.preferences),
        str(final),
        "no rankings or pairs to learn from",
        "name data.preferences, or add `rank: {}` in the pocket world",
    )
    need(
        final != "kto" or bool(config.rank or data.preferences or data.labels),
        "kto",
        "no labels to learn from",
        "name data.labels or data.preferences",
    )
    need(
        not isinstance(config.policy, Scratch) or config.pretrain is None or world or bool(data.corpus),
        "pretrain",
        "no text to pretrain on",
        "name data.corpus or set pretrain: null",
    )
    need(
        not config.online or not config.online.ptx_coefficient or world or bool(data.demonstrations),
        f"{final}.ptx_coefficient",
        "the PTX term needs demonstrations",
        "name data.demonstrations or set it to 0",
    )
    for role, paths in config.data_sources().items():
        for path in paths:
            there = Path(path).exists() or is_hub_name(path)
            need(
                there,
                f"data.{role}",
                f"there is no file {path}",
                "mend the path, or set data.root to its folder",
            )
    if isinstance(config.policy, Pretrained):
        path = config.policy.path
        there = Path(path).exists() or is_hub_name(path)
        need(
            there,
            "policy.path",
            f"there is no model folder {path}",
            "name a folder, or owner/name of the hub",
        )
    if problems:
        raise UserError(f"recipe {config.name!r} does not hold together", problems=problems)
