"""From named steps to a graph: which policy, records and rewards each step takes, and the places of a run.

Every input has one default: ``from`` is the newest policy before the step (for a reward model what the first one
started from), ``on`` the data role that the kind needs plus every earlier step that gives such records, ``reward`` the
newest reward model. What is missing or impossible is reported at once, with the choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from plaudit.config.base import Pretrained
from plaudit.config.graph import (
    FEEDS,
    FIRST,
    RECORDS,
    Graph,
    Node,
)
from plaudit.config.opinions import Opinions
from plaudit.config.recipe import ROLES, Config
from plaudit.config.scoring import RewardPart, Scoring
from plaudit.config.sections import AuditSettings, Base, Evaluate, Revise, RewardSettings
from plaudit.config.steps import RecipeStep, StepInput
from plaudit.errors import UserError
from plaudit.registry import EVALUATE, PROXY, STEPS, StepKind, call


def graph_of(config: Config) -> Graph:
    """The graph of a recipe; UserError with every problem and the choices that there are."""
    resolver = _Resolver(config)
    graph = resolver.run()
    if resolver.problems:
        raise UserError(f"recipe {config.name!r} does not hold together", problems=resolver.problems)
    return graph


class _Resolver(Opinions):
    def run(self) -> Graph:
        for name, step in self._with_first().items():
            if name in self.roles and set(STEPS[step.kind].gives) & set(RECORDS):
                self.wrong(f"{name!r} is a data role too", f"steps.{name}", f"call the step {name}-1")
            self.nodes[name] = self._node(name, step)
        self._last()
        return Graph(self.nodes, self.roles)

    def _with_first(self) -> dict[str, RecipeStep]:
        """The steps, with the policy as it comes before them where the recipe makes none."""
        steps = dict(self.config.steps)
        first = next(iter(steps.values()), None)
        if first is not None and "policy" in STEPS[first.kind].gives and STEPS[first.kind].starts is None:
            return steps
        if steps and self.config.evaluate is None and all(map(_has_backbone, steps.values())):
            return steps  # nothing would start from a policy
        return {FIRST: RecipeStep(kind=FIRST, settings=Base()), **steps}

    def _node(self, name: str, step: RecipeStep) -> Node:
        kind, place = STEPS[step.kind], f"steps.{name}"
        node = Node(name, kind, step.settings)
        root = kind.starts is None and "policy" in kind.gives
        if root:
            node = replace(node, policy=step.policy or self.config.policy)
        elif step.policy is not None:
            self.wrong("only a base or pretrain step has a policy of its own", f"{place}.policy", "remove it")
        if kind.starts is None:
            if step.start is not None:
                self.wrong(f"a {kind.name} step starts from nothing before it", f"{place}.from", "remove it")
        else:
            node = replace(node, start=self._start(name, step, kind))
        node = replace(node, on=self._on(name, step, kind))
        if kind.rewarded:
            rewards = self._rewards(name, step)
            node = replace(node, rewards=rewards, asked=self.best_by(name, step, rewards))
        elif kind.scored:
            node = replace(node, asked=self.asked(name, step))
        elif step.reward is not None:
            self.wrong(f"a {kind.name} step asks for no reward", f"{place}.reward", "remove it")
        if kind.judged:
            node = replace(node, judged=self.judged(name, step.settings))
        if isinstance(step.settings, AuditSettings):
            node = replace(node, judged=self.compared(name, step.settings, node.start))
        if isinstance(step.settings, Evaluate):
            node = replace(node, judged=tuple(self.nodes))
            if step.settings.proxy is not None:
                self.wrong(
                    "the proxy judge is trained once, at the end", f"{place}.proxy", "set evaluate.proxy"
                )
            self._also(name, step.settings, f"{place}.also")
            self.evaluator(step.settings, f"{place}.judge")
        self._ptx(name, step)
        if kind.check is not None:
            self._checked(name, step, kind.check)
        return node

    def _start(self, name: str, step: RecipeStep, kind: StepKind) -> str | None:
        field, policies, models = f"steps.{name}.from", self.before("policy"), self.before("reward model")
        choices = [*policies, *(models if kind.starts == "reward model" else ())]
        given = policies[0] if step.start == FIRST and policies else step.start
        if isinstance(step.settings, RewardSettings) and step.settings.backbone is not None:
            if given is not None:
                self.wrong(
                    "a reward model with a backbone starts from nothing else",
                    field,
                    "remove from or backbone",
                )
            return None
        if given is None:
            if kind.starts == "reward model" and models:
                first = self.nodes[models[0]].start
                given = first if first in policies else policies[-1] if policies else None
            else:
                given = policies[-1] if policies else None
            if given is None:
                self.wrong(
                    "there is no policy before it to start from", field, "add a base or pretrain step first"
                )
            return given
        if given in choices:
            self._pooled(name, step.settings, given)
            return given
        self.unknown(
            name, given, choices, field, "policy" if kind.starts == "policy" else "policy or reward model"
        )
        return None

    def _pooled(self, name: str, settings: Any, start: str) -> None:
        """A pooling that is set for a reward model which goes on from one that pools otherwise."""
        first: str | None = start
        while first is not None and self.nodes[first].gives("reward model"):
            start, first = first, self.nodes[first].start
        own = getattr(settings, "pooling", "last")
        if own != "last" and getattr(self.nodes[start].settings, "pooling", own) != own:
            self.wrong(
                f"{name} goes on from {start}, whose pooling it keeps",
                f"steps.{name}.pooling",
                f"set steps.{start}.pooling, or remove it",
            )

    def _on(self, name: str, step: RecipeStep, kind: StepKind) -> tuple[StepInput, ...]:
        field, need = f"steps.{name}.on", kind.data
        if need is None:
            if step.on is not None:
                self.wrong(f"a {kind.name} step learns from no records", field, "remove it")
            return ()
        if step.on is None:
            found = self.sources.default(need)
            if not found and not (need == "text" and kind.starts is None):
                self._nothing(name, need, field)
            return tuple(StepInput(name=n) for n in found)
        allowed = self.sources.allowed(need)
        for source in step.on:
            if source.weight != 1 and need in ("prompts", "text"):
                self.wrong(
                    f"{name} takes the {need} of {source.name} once each, whatever the weight",
                    field,
                    f"write {source.name} without a weight",
                )
            if source.name in allowed:
                continue
            if source.name in ROLES and source.name not in self.roles:
                self.wrong(
                    f"data.{source.name} names no file",
                    field,
                    f"name data.{source.name}, or " + _choices(allowed),
                )
            elif source.name in self.roles:
                self.wrong(f"{source.name} holds no {need}", field, _choices(allowed))
            else:
                self.unknown(name, source.name, allowed, field, need)
        return step.on

    def _nothing(self, name: str, need: str, field: str) -> None:
        if self.world:
            remedy = f"add a step before it that gives {need}"
            if need == "preferences":
                remedy += ": `rank: {}`"
        else:
            role = FEEDS[need][0]
            remedy = f"name data.{role}" + (
                ", or add a rank step before it" if need in ("preferences", "labels") else ""
            )
        self.wrong(
            f"there are no {need} to learn from", field, f"{remedy}, or leave the step out: --without {name}"
        )

    def _rewards(self, name: str, step: RecipeStep) -> tuple[RewardPart, ...]:
        settings: Scoring = step.settings  # type: ignore[assignment]
        field = f"steps.{name}.reward"
        if step.reward is not None and not settings.needs_own:
            self.wrong(
                "reward and reward_model, reward_function or rewards exclude each other",
                field,
                "keep one of them",
            )
        parts = self.parts(name, step.reward if step.reward is not None else parts_of(settings), field)
        scored = any(part.source in ("step", "model") for part in parts)
        if getattr(settings, "critic", None) == "reward" and parts and not scored:
            self.wrong(
                "critic: reward starts from a reward model, and none scores the answers",
                f"steps.{name}.critic",
                "use critic: policy, or name a reward model under reward",
            )
        return parts

    def _checked(self, name: str, step: RecipeStep, check: Any) -> None:
        """What a kind of step finds wrong with its own settings."""
        try:
            call(check, step.settings, self.world)
        except UserError as error:
            lines = error.message.splitlines() + [str(p) for p in error.problems]
            self.wrong("; ".join(lines), f"steps.{name}", error.remedy or "correct it")
        settings = step.settings
        if isinstance(settings, Revise) and settings.helpful and settings.helpful_on not in self.roles:
            message = f"there are no {settings.helpful_on} whose prompts could be answered"
            self.wrong(message, f"steps.{name}.helpful_on", f"one of {', '.join(self.roles)}")

    def _ptx(self, name: str, step: RecipeStep) -> None:
        if getattr(step.settings, "ptx_coefficient", 0) and "demonstrations" not in self.roles:
            self.wrong(
                "the PTX term needs demonstrations",
                f"steps.{name}.ptx_coefficient",
                "name data.demonstrations or set it to 0",
            )

    def _also(self, name: str, settings: Evaluate, field: str) -> None:
        policies = self.before("policy")
        for other in settings.also:
            if other not in policies:
                self.unknown(name, other, policies, field, "policy")

    def _last(self) -> None:
        """The implicit last steps: a proxy where one is asked for, and the evaluation."""
        evaluate = self.config.evaluate
        if evaluate is None:
            return
        policies = self.before("policy")
        self._also(EVALUATE, evaluate, "evaluate.also")
        self.evaluator(evaluate, "evaluate.judge")
        models = [n for n, node in self.nodes.items() if node.gives("reward model")]
        if evaluate.proxy is not None:
            if "preferences" not in self.config.data_sources():
                self.wrong(
                    "the proxy judge learns from data.preferences, and none are named",
                    "evaluate.proxy",
                    "name data.preferences, or remove evaluate.proxy"
                    + (": in a made world the truth judges" if self.world else ""),
                )
            start = self.nodes[models[0]].start if models else None
            settings = self.nodes[models[0]].settings if models else RewardSettings()
            if start is None and not getattr(settings, "backbone", None):
                start = policies[-1] if policies else None
            elif start is not None and start not in policies:
                start = self.nodes[start].start
            self.nodes[PROXY] = Node(
                PROXY,
                STEPS[PROXY],
                (settings, evaluate.proxy),
                start=start,
                on=(StepInput(name="preferences"),),
            )
        self.nodes[EVALUATE] = Node(EVALUATE, STEPS[EVALUATE], evaluate, judged=tuple(self.nodes))


def parts_of(settings: Scoring) -> tuple[RewardPart, ...]:
    """What a section asks to be scored by; its short forms are lists of one."""
    if settings.rewards:
        return settings.rewards
    if settings.reward_model:
        return (RewardPart(source="model", path=settings.reward_model),)
    if settings.reward_function:
        return (RewardPart(source="function", path=settings.reward_function),)
    return (RewardPart(),)


def _has_backbone(step: RecipeStep) -> bool:
    return isinstance(step.settings, RewardSettings) and isinstance(step.settings.backbone, Pretrained)


def _choices(names: Sequence[str]) -> str:
    return f"choices: {', '.join(names)}" if names else "nothing here gives such records"
