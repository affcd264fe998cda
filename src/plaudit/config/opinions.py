"""Who scores, ranks and judges for a step of a recipe: rewards and judges found, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from plaudit.config.graph import (
    PEOPLE,
    Graph,
    Node,
    ranked_by_people,
    resolved,
    teachers,
)
from plaudit.config.problems import problems_of
from plaudit.config.recipe import Config
from plaudit.config.record_sources import RecordSources
from plaudit.config.scoring import RewardPart
from plaudit.config.sections import AuditSettings, Evaluate, JudgeSpec, Rank
from plaudit.config.steps import RecipeStep
from plaudit.errors import Problem, UserError, suggest
from plaudit.registry import JUDGES, WORLDS, call


class Opinions:
    """The steps of a recipe as far as they are found, and the problems so far."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.problems: list[Problem] = []
        self.nodes: dict[str, Node] = {}
        self.world = WORLDS[config.world.kind] if config.world is not None else None  # type: ignore[attr-defined]
        files = config.data_sources()
        own = self.world.roles if self.world else {}
        self.roles = tuple(dict.fromkeys((*files, *own)))
        self.sources = RecordSources(self.roles, own, self.before)

    def wrong(self, message: str, field: str, remedy: str) -> None:
        self.problems.append(Problem(message, field=field, remedy=remedy))

    def before(self, what: str) -> list[str]:
        return [n for n, node in self.nodes.items() if node.gives(what)]

    def unknown(self, name: str, given: str, choices: Iterable[str], field: str, what: str) -> None:
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

    def best_by(self, name: str, step: RecipeStep, rewards: Sequence[RewardPart]) -> tuple[RewardPart, ...]:
        """What judges the policy of an online step on held-out prompts: another than what it is paid by."""
        part, field = getattr(step.settings, "best_by", None), f"steps.{name}.keep_best"
        found = () if part is None else self.parts(name, (part,), field)
        paid = {(one.source, str(one.path)) for one in rewards if one.source in ("step", "model")}
        if any((one.source, str(one.path)) in paid for one in found):
            self.wrong(
                f"keep_best judges by what {name} is paid by: it would keep the policy that exploits it most",
                field,
                "name another reward model, python:module:function, or gold in a made world",
            )
        return found

    def asked(self, name: str, step: RecipeStep) -> tuple[RewardPart, ...]:
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
        own = (RewardPart(),) if needed or self.before("reward model") else ()
        parts = self.parts(name, own if step.reward is None else step.reward, f"steps.{name}.reward")
        if needed and any(part.source != "step" for part in parts):
            self.wrong(
                "disagreement is that of a judge and a reward model of this run",
                f"steps.{name}.reward",
                "name a reward step",
            )
        return parts

    def compared(self, name: str, settings: AuditSettings, after: str | None) -> tuple[str, ...]:
        """The policy that an audit compares with: as named, else the one before anything learned from rewards."""
        policies, field = self.before("policy"), f"steps.{name}.against"
        before = settings.against or Graph(self.nodes).places.get("start")
        if before is not None and before not in policies:
            self.unknown(name, before, policies, field, "policy")
            return ()
        if before is None or before == after:
            self.wrong(
                f"an audit compares two policies, and here both are {after}",
                field,
                "put it behind the step that it audits, or name another policy",
            )
            return ()
        return (before,)

    def parts(self, name: str, parts: Sequence[RewardPart], field: str) -> tuple[RewardPart, ...]:
        """Parts of a reward with the steps that they name found."""
        models = self.before("reward model")
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
                self.unknown(name, str(part.path), models, field, "reward model")
            elif part.source == "judge":
                try:
                    spec = JudgeSpec.model_validate(part.path)
                except ValidationError as error:
                    for problem in problems_of(error, "", field, JudgeSpec):
                        self.wrong(problem.message, field, "write judge:SPEC?form=pointwise")
                    continue
                self.judge_spec(spec, field)
                self.grading(spec, field)
            elif part.source == "gold" and not self.world:
                self.wrong("gold is known in a made world alone", field, "name a reward model or a function")
            made.append(part)
        return tuple(made)

    def judged(self, name: str, settings: Any) -> tuple[str, ...]:
        """The steps whose models answer or judge for a rank step; what is wrong with them is reported."""
        if not isinstance(settings, Rank):
            return ()
        policies = self.before("policy")
        for other in settings.beside:
            if other not in policies:
                self.unknown(name, other, policies, f"steps.{name}.beside", "policy")
        again = () if settings.recheck is None else (settings.recheck,)
        ranked = [n for n, node in self.nodes.items() if node.kind.judged and isinstance(node.settings, Rank)]
        if again and settings.recheck not in ranked:
            self.unknown(name, again[0], ranked, f"steps.{name}.recheck", "rankings")
            again = ()
        return tuple(dict.fromkeys((*settings.beside, *again, *self.judges(name, settings))))

    def judges(self, name: str, settings: Rank) -> tuple[str, ...]:
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
        self.judge_spec(spec, field)
        return (spec.rest,) if spec.rest in self.nodes else ()

    def judge_spec(self, spec: JudgeSpec, field: str) -> None:
        """What is wrong with a judge: its name, its options, and whether anybody can hold it against people."""
        known = ", ".join([PEOPLE, *(j.form or f"{j.scheme}:…" for j in JUDGES.values())])
        judge = JUDGES.get(spec.scheme)
        if judge is None:
            remedy = suggest(spec.scheme, [PEOPLE, *JUDGES]) or f"one of {known}"
            self.wrong(f"there is no judge {spec.judge!r}", field, remedy)
            return
        if judge.check is not None:
            try:
                call(judge.check, spec.rest, spec.options, self.world, self.before("reward model"))
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

    def grading(self, spec: JudgeSpec, field: str) -> None:
        """What is wrong with a judge as a reward: one that is known, and cannot score a single answer."""
        kind = JUDGES.get(spec.scheme)
        if kind is None:
            return
        if not kind.grades:
            forms = " or ".join(j.form for j in JUDGES.values() if j.grades)
            self.wrong(
                f"{spec.judge} gives no grades, and a reward scores one answer", field, f"name {forms}"
            )
        elif spec.options.get("form", "pairwise") == "pairwise":
            self.wrong(
                f"{spec.judge} compares pairs, and a reward scores one answer",
                field,
                "add ?form=pointwise, ?form=rubric&rubric=FILE or ?form=yes_no",
            )

    def evaluator(self, settings: Evaluate, field: str) -> None:
        """What is wrong with the judge of an evaluation: also that it gave what the run learns from."""
        spec = settings.judge
        if spec is None:
            return
        if self.world:
            self.wrong("in a made world the truth judges", field, f"remove {field}")
            return
        self.judge_spec(spec, field)
        if resolved(spec.judge) in teachers(self.nodes.values()) and not settings.force_judge:
            self.wrong(
                f"{spec.judge} also gives what the run learns from: it is no independent judge of the result",
                field,
                "name another judge, or set force_judge: true beside it, which the report then says",
            )

    def people(self) -> list[str]:
        """Where people's rankings come from before the step at hand: the data role, and the steps that people rank."""
        own = ["preferences"] if "preferences" in self.roles else []
        return own + [n for n, node in self.nodes.items() if ranked_by_people(node)]
