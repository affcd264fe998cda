"""The graph of a run: its steps with their inputs found, and the places of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plaudit.config.scoring import RewardPart
from plaudit.config.sections import JudgeSpec, Rank
from plaudit.config.steps import StepInput
from plaudit.registry import JUDGES, PROXY, WORLDS, Gives, StepKind, call

FIRST = "base"
PEOPLE = "people"
RECORDS: tuple[Gives, ...] = ("preferences", "demonstrations")
# Roles that give records of what a step learns from; labels may also be read off preferences.
FEEDS: Mapping[str, tuple[str, ...]] = {
    "text": ("corpus",),
    "demonstrations": ("demonstrations",),
    "preferences": ("preferences",),
    "labels": ("labels",),
    "prompts": ("prompts",),
}


@dataclass(frozen=True)
class Node:
    """One step with its inputs found: names of steps, data roles with weights, and parts of the reward.

    ``asked`` scores answers that it does not train on: those that judge an online step's policy (``keep_best``), a rank
    step's favourites, an audit's answers.
    """

    name: str
    kind: StepKind
    settings: Any
    policy: Any = None
    start: str | None = None
    on: tuple[StepInput, ...] = ()
    rewards: tuple[RewardPart, ...] = ()
    judged: tuple[str, ...] = ()
    asked: tuple[RewardPart, ...] = ()

    @property
    def scorers(self) -> tuple[RewardPart, ...]:
        """Everything that scores answers for it."""
        return (*self.rewards, *self.asked)

    def gives(self, what: str) -> bool:
        return what in getattr(self.settings, "given", self.kind.gives)


def ranked_by_people(node: Node) -> bool:
    """Whether a rank step is answered by people, or by the raters that stand for them in a made world."""
    by = node.settings.by if isinstance(node.settings, Rank) else None
    stand_ins = {world.judge for world in WORLDS.values()}
    return isinstance(node.settings, Rank) and (by is None or by.people or by.judge in stand_ins)


def teachers(nodes: Iterable[Node]) -> set[str]:
    """The judges and reward models (``resolved``) whose labels or scores steps learn from: none is independent."""
    found = set()
    for node in nodes:
        by = getattr(node.settings, "by", None)
        if by is not None and not by.people:
            found.add(by.judge)
        for part in node.rewards:
            if part.source == "judge":
                found.add(JudgeSpec.model_validate(part.path).judge)
            elif part.source in ("step", "model"):
                found.add(f"reward:{part.path}")
        if node.gives("reward model") and node.name != PROXY:
            found.add(f"reward:{node.name}")
    return set(map(resolved, found))


def resolved(judge: str) -> str:
    """One name for all spellings of a judge, as its kind has one (``JudgeKind.resolved``)."""
    scheme, _, rest = judge.partition(":")
    kind = JUDGES.get(scheme)
    return judge if kind is None or kind.resolved is None else f"{scheme}:{call(kind.resolved, rest)}"


@dataclass(frozen=True)
class Graph:
    """The steps of a run in the order of work, and which of them stand at its places."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    roles: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def gives_records(self, name: str) -> bool:
        """Whether a source is a step that makes records, and no data role."""
        return name in self.nodes and any(map(self.nodes[name].gives, RECORDS))

    def steps_of(self, name: str) -> list[str]:
        """The earlier steps that a step takes something from, each once."""
        node = self.nodes[name]
        records = [s.name for s in node.on if self.gives_records(s.name)]
        rewards = [str(part.path) for part in node.scorers if part.source == "step"]
        return list(dict.fromkeys([*([node.start] if node.start else []), *records, *rewards, *node.judged]))

    def roles_of(self, name: str) -> list[str]:
        """The data roles that a step reads."""
        return [s.name for s in self.nodes[name].on if not self.gives_records(s.name)]

    def giving(self, what: str) -> list[str]:
        """Steps that give a policy, a reward model or records, the newest last."""
        return [n for n, node in self.nodes.items() if node.gives(what) and n != PROXY]

    def before(self, name: str) -> Graph:
        """The graph of the steps before one."""
        names = list(self.nodes)
        return Graph({n: self.nodes[n] for n in names[: names.index(name)]}, self.roles)

    @property
    def policies(self) -> list[str]:
        return self.giving("policy")

    @property
    def reward_models(self) -> list[str]:
        return self.giving("reward model")

    @property
    def rewarded_by(self) -> str | None:
        """What the run's reward is: the last step that is trained on one, else the newest reward model."""
        trained = [name for name, node in self.nodes.items() if node.rewards]
        return [None, *self.reward_models, *trained][-1]

    @property
    def places(self) -> dict[str, str]:
        """The steps at ``base``, ``start`` and ``end``: empty where no policy is trained."""
        policies = self.policies
        if not policies:
            return {}
        learning = [n for n in policies if self.nodes[n].kind.preference] or policies[-1:]
        start = self.nodes[learning[0]].start or policies[0]
        return {"base": policies[0], "start": start, "end": policies[-1]}

    @property
    def shown(self) -> list[str]:
        """Policies that an evaluation answers with: the places, and whatever learned from preferences or rewards."""
        kept = set(self.places.values()) | {n for n in self.policies if self.nodes[n].kind.preference}
        return [n for n in self.policies if n in kept]
