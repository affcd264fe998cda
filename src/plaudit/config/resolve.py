"""From named steps to a graph: which policy, records and rewards each step takes, and the places of a run.

Every input has one default: ``from`` is the newest policy before the step (for a reward model what the first one
started from), ``on`` the data role that the kind needs plus every earlier step that gives such records, ``reward`` the
newest reward model. What is missing or impossible is reported at once, with the choices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from plaudit.config.graph import (
    EVALUATE,
    FEEDS,
    FIRST,
    PEOPLE,
    PROXY,
    RECORDS,
    Graph,
    Node,
    ranked_by_people,
    teachers,
)
from plaudit.config.recipe import ROLES, Config
from plaudit.config.record_sources import RecordSources
from plaudit.config.scoring import RewardPart, Scoring
from plaudit.config.sections import AuditSettings, Base, Evaluate, JudgeSpec, Rank, Revise, RewardSettings
from plaudit.config.steps import RecipeStep, StepInput
from plaudit.errors import Problem, UserError, suggest
from plaudit.registry import JUDGES, STEPS, WORLDS, StepKind, call


def graph_of(config: Config) -> Graph:
    """The graph of a recipe; UserError with every problem and the choices that there are."""
    resolver = _Resolver(config)
    graph = resolver.run()
    if resolver.problems:
        raise UserError(f"recipe {config.name!r} does not hold together", problems=resolver.problems)
    return graph


class _Resolver:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.problems: list[Problem] = []
        self.nodes: dict[str, Node] = {}
        self.world = WORLDS[config.world.kind] if config.world is not None else None  # type: ignore[attr-defined]
        files = config.data_sources()
        own = self.world.roles if self.world else {}
        self.roles = tuple(dict.fromkeys((*files, *own)))
        self.sources = RecordSources(self.roles, own, self._before)

    def wrong(self, message: str, field: str, remedy: str) -> None:
        self.problems.append(Problem(message, field=field, remedy=remedy))

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
            node = replace(node, rewards=self._rewards(name, step), asked=self._best_by(name, step))
        elif kind.scored:
            node = replace(node, asked=self._asked(name, step))
        elif step.reward is not None:
            self.wrong(f"a {kind.name} step asks for no reward", f"{place}.reward", "remove it")
        if kind.judged:
            node = replace(node, judged=self._judged(name, step.settings))
        if isinstance(step.settings, AuditSettings):
            node = replace(node, judged=self._compared(name, step.settings, node.start))
        if isinstance(step.settings, Evaluate):
            node = replace(node, judged=tuple(self.nodes))
            if step.settings.proxy is not None:
                self.wrong(
                    "the proxy judge is trained once, at the end", f"{place}.proxy", "set evaluate.proxy"
                )
            self._evaluator(step.settings, f"{place}.judge")
        self._ptx(name, step)
        if kind.check is not None:
            self._checked(name, step, kind.check)
        return node

    def _before(self, what: str) -> list[str]:
        return [n for n, node in self.nodes.items() if node.gives(what)]

    def _start(self, name: str, step: RecipeStep, kind: StepKind) -> str | None:
        field, policies, models = f"steps.{name}.from", self._before("policy"), self._before("reward model")
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
            return given
        self._unknown(
            name, given, choices, field, "policy" if kind.starts == "policy" else "policy or reward model"
        )
        return None

    def _unknown(self, name: str, given: str, choices: Iterable[str], field: str, what: str) -> None:
        """A step that is not there, stands later, is the step itself, or gives something else."""
        known = list(choices)
        options = f"choices: {', '.join(known)}" if known else f"no step before {name} gives one"
        if given == name:
            message = f"{name} cannot take its own {what}"
        elif given in self.nodes:
            message = f"the step {given!r} gives no {what}"
        elif given in self.config.steps:
            message = f"the step {given!r} comes after {name}: a step takes from steps before it"
        else:
            message, options = f"there is no step {given!r}", suggest(given, known) or options
        self.wrong(message, field, options)

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
                self._unknown(name, source.name, allowed, field, need)
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
        parts = step.reward if step.reward is not None else parts_of(settings)
        return self._parts(name, parts, field)

    def _best_by(self, name: str, step: RecipeStep) -> tuple[RewardPart, ...]:
        """What judges the policy of an online step on held-out prompts."""
        part = getattr(step.settings, "best_by", None)
        return () if part is None else self._parts(name, (part,), f"steps.{name}.keep_best")

    def _asked(self, name: str, step: RecipeStep) -> tuple[RewardPart, ...]:
        """What scores the answers of a rank step or an audit: as named, else the newest reward model, if any."""
        rank = step.settings if isinstance(step.settings, Rank) else None
        if rank is not None and not rank.asks_reward:
            if step.reward is not None:
                self.wrong(
                    "a reward chooses favourites, or items by disagreement, and the step shows none",
                    f"steps.{name}.reward",
                    "set favourites: 0.5, or remove it",
                )
            return ()
        needed = rank is not None and bool(rank.disagreement)
        own = (RewardPart(),) if needed or self._before("reward model") else ()
        parts = self._parts(name, own if step.reward is None else step.reward, f"steps.{name}.reward")
        if needed and any(part.source != "step" for part in parts):
            self.wrong(
                "disagreement is that of a judge and a reward model of this run",
                f"steps.{name}.reward",
                "name a reward step",
            )
        return parts

    def _compared(self, name: str, settings: AuditSettings, after: str | None) -> tuple[str, ...]:
        """The policy that an audit compares with: as named, else the one before anything learned from rewards."""
        policies, field = self._before("policy"), f"steps.{name}.against"
        before = settings.against or Graph(self.nodes).places.get("start")
        if before is not None and before not in policies:
            self._unknown(name, before, policies, field, "policy")
            return ()
        if before is None or before == after:
            self.wrong(
                f"an audit compares two policies, and here both are {after}",
                field,
                "put it behind the step that it audits, or name another policy",
            )
            return ()
        return (before,)

    def _parts(self, name: str, parts: Sequence[RewardPart], field: str) -> tuple[RewardPart, ...]:
        """Parts of a reward with the steps that they name found."""
        models = self._before("reward model")
        made = []
        for part in parts:
            if part.source == "own":
                if not models:
                    self.wrong(
                        "nothing scores the answers: no reward model stands before it",
                        field,
                        f"add a reward step before {name}, or name reward: python:module:function or reward:PATH",
                    )
                    continue
                part = part.model_copy(update={"source": "step", "path": models[-1]})
            elif part.source == "step" and part.path not in models:
                self._unknown(name, str(part.path), models, field, "reward model")
            elif part.source == "judge":
                self._judge_spec(JudgeSpec.model_validate(part.path), field)
            elif part.source == "gold" and not self.world:
                self.wrong("gold is known in a made world alone", field, "name a reward model or a function")
            made.append(part)
        return tuple(made)

    def _judged(self, name: str, settings: Any) -> tuple[str, ...]:
        """The steps whose models answer or judge for a rank step; what is wrong with them is reported."""
        if not isinstance(settings, Rank):
            return ()
        policies = self._before("policy")
        for other in settings.beside:
            if other not in policies:
                self._unknown(name, other, policies, f"steps.{name}.beside", "policy")
        again = () if settings.recheck is None else (settings.recheck,)
        ranked = [n for n, node in self.nodes.items() if node.kind.judged and isinstance(node.settings, Rank)]
        if again and settings.recheck not in ranked:
            self._unknown(name, again[0], ranked, f"steps.{name}.recheck", "rankings")
            again = ()
        return tuple(dict.fromkeys((*settings.beside, *again, *self._judges(name, settings))))

    def _judges(self, name: str, settings: Rank) -> tuple[str, ...]:
        field = f"steps.{name}.by"
        if settings.prompts == "same" and not any(n.kind.judged for n in self.nodes.values()):
            self.wrong(
                "prompts: same needs a rank step before it", f"steps.{name}.prompts", "name how many prompts"
            )
        if settings.scripted_share and not self.world:
            self.wrong(
                "only a made world has scripted answers",
                f"steps.{name}.scripted_share",
                "remove it, or set it to 0",
            )
        spec = settings.by
        known = ", ".join([PEOPLE, *(j.form or f"{j.scheme}:…" for j in JUDGES.values())])
        if spec is None:
            if self.world is None or self.world.judge is None:
                self.wrong("nobody ranks the answers", field, f"name by: one of {known}")
            return ()
        if spec.people:
            return ()
        self._judge_spec(spec, field)
        return (spec.rest,) if spec.rest in self.nodes else ()

    def _judge_spec(self, spec: JudgeSpec, field: str) -> None:
        """What is wrong with a judge: its name, its options, and whether anybody can hold it against people."""
        known = ", ".join([PEOPLE, *(j.form or f"{j.scheme}:…" for j in JUDGES.values())])
        judge = JUDGES.get(spec.scheme)
        if judge is None:
            remedy = suggest(spec.scheme, [PEOPLE, *JUDGES]) or f"one of {known}"
            self.wrong(f"there is no judge {spec.judge!r}", field, remedy)
            return
        if judge.check is not None:
            try:
                call(judge.check, spec.rest, spec.options, self.world, self._before("reward model"))
            except UserError as error:
                self.wrong(error.message, field, error.remedy or f"one of {known}")
            except ValueError as error:
                self.wrong(str(error), field, f"one of {known}")
        if judge.gated and not spec.ungated and not self.people():
            self.wrong(
                f"the judge {spec.judge} must be held against people's rankings before its verdicts count, and "
                "the recipe has none",
                field,
                "name data.preferences, rank by people (or by the world's raters) in a step before, or write "
                f"{{judge: {spec.judge}, gate: off}}, which the report then says",
            )

    def _evaluator(self, settings: Evaluate, field: str) -> None:
        """What is wrong with the judge of an evaluation: also that it gave what the run learns from."""
        spec = settings.judge
        if spec is None:
            return
        if self.world:
            self.wrong("in a made world the truth judges", field, f"remove {field}")
            return
        self._judge_spec(spec, field)
        if spec.judge in teachers(self.nodes.values()) and not settings.force_judge:
            self.wrong(
                f"{spec.judge} also gives what the run learns from: it is no independent judge of the result",
                field,
                "name another judge, or set force_judge: true beside it, which the report then says",
            )

    def people(self) -> list[str]:
        """Where people's rankings come from before the step at hand: the data role, and the steps that people rank."""
        own = ["preferences"] if "preferences" in self.roles else []
        return own + [n for n, node in self.nodes.items() if ranked_by_people(node)]

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

    def _last(self) -> None:
        """The implicit last steps: a proxy where one is asked for, and the evaluation."""
        evaluate = self.config.evaluate
        if evaluate is None:
            return
        policies = self._before("policy")
        for other in evaluate.also:
            if other not in policies:
                self._unknown(EVALUATE, other, policies, "evaluate.also", "policy")
        self._evaluator(evaluate, "evaluate.judge")
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


def _choices(names: Sequence[str]) -> str:
    return f"choices: {', '.join(names)}" if names else "nothing here gives such records"
