"""From a graph to a plan of stages: what decides each one's key, and which code it is made by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plaudit.config import ROLES, Config, Pretrained
from plaudit.config.graph import Graph, Node
from plaudit.config.sections import Evaluate, JudgeSpec, Rank, Revise, RewardSettings
from plaudit.data.readers.sources import is_hub_name, is_project
from plaudit.errors import Problem, UserError
from plaudit.judges.options import options_of
from plaudit.pipeline.code_version import code_version, source_hash
from plaudit.pipeline.stages import Plan, StageSpec
from plaudit.registry import JUDGES, WORLDS, Method, WorldKind, resolve
from plaudit.runs import RunFolder
from plaudit.runs.locate import locate


def make_plan(context: Any, common: Mapping[str, Any]) -> Plan:
    """The stages that a graph asks for, each with what it depends on."""
    check_sources(context.config)
    plan = Plan(common=common)
    for node in context.graph.nodes.values():
        plan.add(_stage(context, node))
    return plan


def _stage(context: Any, node: Node) -> StageSpec:
    config: Config = context.config
    return StageSpec(
        node.name,
        _runner(context, node),
        settings={
            "kind": node.kind.name,
            "section": _section(node),
            "policy": _dumped(node.policy),
            "on": [s.model_dump() for s in node.on],
            "rewards": [p.model_dump() for p in node.rewards],
            "seed": config.seed,
            "world": _dumped(config.world),
            "data": config.data.model_dump(exclude=set(ROLES)),
            "functions": {f: source_hash(f) for f in functions_of(node)},
            "sources": _how_read(config, context.graph.roles_of(node.name)),
            **_of_other_runs(node),
        },
        inputs=context.graph.steps_of(node.name),
        reads=[*context.materials.files(*_roles(context.graph, node)), *_own_files(node)],
        code=code_version(roots_of(config, node)),
        asked=_asks_people(node),
    )


def _of_other_runs(node: Node) -> dict[str, dict[str, str]]:
    """The keys of the steps of other runs whose models a step takes: a run that was trained anew has other models.

    Empty where it takes none, so that such steps keep the keys that they had.
    """
    found = {}
    for spec, kind in models_of(node):
        try:
            located = locate(spec, kind)
        except UserError:
            continue  # said where it is checked
        stage = RunFolder(located.run).stage(str(located.step)) if located.run else None
        if stage is not None and (key := (stage.read_json() or {}).get("key")) is not None:
            found[spec] = str(key)
    return {"located": found} if found else {}


def models_of(node: Node) -> list[tuple[str, str]]:
    """The saved models that a step names, each with what it has to be: of its policy, backbone, rewards and judges."""
    parts = [(str(p.path), "reward model") for p in node.scorers if p.source == "model"]
    sources = [
        s for s in (node.policy, getattr(node.settings, "backbone", None)) if isinstance(s, Pretrained)
    ]
    kinds = {"local": "policy", "reward": "reward model"}
    judged = [(spec.rest, kinds[spec.scheme]) for spec in judges_of(node) if spec.scheme in kinds]
    return list(dict.fromkeys([*((s.path, "policy") for s in sources), *parts, *judged]))


def _how_read(config: Config, roles: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """How the files of these roles are read, where it is not as they are: other codes make other preferences."""
    read = {
        role: [s.model_dump(exclude={"path"}, exclude_defaults=True) for s in getattr(config.data, role)]
        for role in roles
        if role in ROLES
    }
    return {role: sources for role, sources in read.items() if any(sources)}


def _runner(context: Any, node: Node) -> Callable[[Any], Mapping[str, Any]]:
    return lambda stage: resolve(node.kind.run)(context, node, stage)


def _section(node: Node) -> Any:
    """The settings of a step that decide what it makes: a forecast, or how long people are waited for, does not."""
    made = _dumped(node.settings)
    idle = {"enough", "project"} if _asks_people(node) else {"forecast"}
    if isinstance(node.settings, Evaluate) and node.settings.judge is None:
        idle |= {"judge", "force_judge"}  # keys of evaluations from before the setting do not have it
    return {k: v for k, v in made.items() if k not in idle} if isinstance(made, dict) else made


def _dumped(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_dumped(v) for v in value]
    if isinstance(value, RewardSettings) and not value.bagging:
        return value.model_dump(exclude={"bagging"})  # keys from before the setting do not have it
    return value.model_dump() if hasattr(value, "model_dump") else value


def _roles(graph: Graph, node: Node) -> list[str]:
    """The roles that a step reads: its sources, and what prompts, normalization and evaluation are taken from."""
    roles = graph.roles_of(node.name)
    if node.rewards or node.kind.judged or not node.kind.gives or node.gives("numbers"):
        roles += ["prompts", "preferences", "demonstrations"]
    if node.gives("reward model") or (node.kind.starts is None and node.gives("policy")):
        roles += ["demonstrations"]
    return list(dict.fromkeys(roles))


def roots_of(config: Config, node: Node) -> list[Any]:
    """Where the code of a step begins: its kind's, its judge's, and that of the world whose records it reads."""
    kind, world = node.kind, WORLDS[config.world.kind] if config.world is not None else None  # type: ignore[attr-defined]
    function = [kind.function] if isinstance(kind, Method) and kind.function else []
    return [kind.run, *function, *kind.code, *_judges(node, world), *([world.make] if world else [])]


def judges_of(node: Node) -> list[JudgeSpec]:
    """The judges that a step names: who ranks, revises or compares for it, and whose grades are its reward."""
    by = node.settings.judge if isinstance(node.settings, Evaluate) else getattr(node.settings, "by", None)
    graders = [JudgeSpec.model_validate(p.path) for p in node.scorers if p.source == "judge"]
    return [*([by] if by is not None and not by.people else []), *graders]


def _judges(node: Node, world: WorldKind | None) -> list[Any]:
    """The code that makes a step's judges and revisers, the world's own judge where a step names none."""
    if isinstance(node.settings, Rank) and node.settings.by is None and world and world.judge:
        return [JUDGES[JudgeSpec.model_validate(world.judge).scheme].make]
    kinds = [JUDGES[spec.scheme] for spec in judges_of(node)]
    revised = isinstance(node.settings, Revise)
    return [kind.reviser if revised and kind.reviser is not None else kind.make for kind in kinds]


def _own_files(node: Node) -> list[Path]:
    """The user's files that a step's settings and judges name: rubrics and constitutions."""
    given = [options_of(spec.scheme, spec.options) for spec in judges_of(node)]
    return [path for one in (node.settings, *given) for path in getattr(one, "files", ())]


def functions_of(node: Node) -> list[str]:
    """The user's own functions that a step calls, as ``module:name``: a change of their code runs it again."""
    found = [str(p.path) for p in node.scorers if p.source == "function"]
    found += [spec.rest for spec in judges_of(node) if spec.scheme == "python"]
    for key in ("loss", "algorithm"):
        value = getattr(node.settings, key, None)
        if isinstance(value, str) and ":" in value:
            found.append(value)
    return found


def check_functions(graph: Graph) -> None:
    """UserError with every function of the user's own that cannot be imported."""
    found = []
    for name, node in graph.nodes.items():
        for path in functions_of(node):
            try:
                resolve(path, "function")
            except UserError as error:
                found.append(Problem(error.message, field=f"steps.{name}", remedy=error.remedy))
    if found:
        raise UserError("functions cannot be imported", problems=found)


def _asks_people(node: Node) -> bool:
    by = getattr(node.settings, "by", None)
    return bool(by is not None and by.people)


def _missing_model(path: str, place: str, kind: str) -> list[Problem]:
    """A model that is neither of a run, nor a folder or file, nor installed, nor a hub name."""
    try:
        locate(path, kind)
    except UserError as error:
        return [Problem(error.message, field=place, remedy=error.remedy)]
    return []


def check_sources(config: Config) -> None:
    """UserError with every file and model folder that a recipe names and that is not there."""
    found = []
    for role, paths in config.data_sources().items():
        for path in paths:
            if not Path(path).exists() and not is_hub_name(path) and not is_project(path):
                remedy = "correct the path, or set data.root to its folder"
                found.append(Problem(f"there is no file {path}", field=f"data.{role}", remedy=remedy))
    policies = {"policy.path": config.policy} | {
        f"steps.{name}.policy.path": step.policy
        for name, step in config.steps.items()
        if step.policy is not None
    }
    for place, policy in policies.items():
        if isinstance(policy, Pretrained):
            found += _missing_model(policy.path, place, "policy")
    for name, step in config.steps.items():
        parts: Any = step.reward or getattr(step.settings, "rewards", ())
        saved = [str(p.path) for p in parts if p.source == "model"]
        if (best := getattr(step.settings, "best_by", None)) is not None and best.source == "model":
            found += _missing_model(str(best.path), f"steps.{name}.keep_best", "reward model")
        named = getattr(step.settings, "reward_model", None)
        for folder in [*saved, *([str(named)] if named else [])]:
            found += _missing_model(folder, f"steps.{name}.reward", "reward model")
    if found:
        raise UserError(f"recipe {config.name!r} names what is not there", problems=found)
