"""One method by its own verb: `plaudit METHOD DATA --model DIR` or `plaudit METHOD RECIPE`: a graph of one step."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plaudit.config import Config, apply_override, read_yaml, validate
from plaudit.config.graph import FEEDS
from plaudit.config.steps import kind_name
from plaudit.errors import UserError
from plaudit.pipeline.run import execute_config, recipe_path
from plaudit.registry import METHODS, STEPS, Method
from plaudit.runs import RunFolder
from plaudit.runs.locate import locate

REWARDS = ("reward", "reward_model", "reward_function", "rewards")


def _up_to(method: Method, source: str | Path, overrides: Sequence[str]) -> Config:
    """A recipe up to the step of a method, without evaluation; a last method takes the place of the recipe's own."""
    raw = read_yaml(recipe_path(source))
    sections = raw.get("steps") or {}
    if not isinstance(sections, Mapping) or not all(
        s is None or isinstance(s, Mapping) for s in sections.values()
    ):
        return validate(raw, str(source))  # which says what is wrong with its steps
    steps = dict(sections)
    names = list(steps)
    own = [n for n in names if ((steps[n] or {}).get("kind") or kind_name(n)) == method.name]
    if own:
        kept = {n: steps[n] for n in names[: names.index(own[0]) + 1]}
        if method.trains_policy:
            # Another last method before it would be trained for nothing.
            kept = {n: s for n, s in kept.items() if n == own[0] or not _last(n, s)}
    elif method.trains_policy:
        kept = {n: s for n, s in steps.items() if not _last(n, s)}
        kept[method.name] = {}
    else:
        raise UserError(
            f"{source} has no step {method.name!r}", remedy=f"add `{method.name}: {{}}` to its steps"
        )
    raw |= {"steps": kept, "evaluate": None}
    for override in overrides:
        apply_override(raw, _of_step(method, own[0] if own else method.name, override))
    return validate(raw, str(source))


def _last(name: str, section: Any) -> bool:
    kind = STEPS.get(str((section or {}).get("kind") or kind_name(name)))
    return kind is not None and kind.preference


def _of_step(method: Method, step: str, override: str) -> str:
    """``METHOD.key=value`` as ``steps.METHOD.key=value``; everything else stands at top level."""
    for name in dict.fromkeys((step, method.name, method.verb)):
        if override.startswith(f"{name}."):
            return f"steps.{step}.{override.removeprefix(f'{name}.')}"
    return override


def run_method(
    name: str,
    source: str | Path,
    model: str | Path | None = None,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    *,
    reward: str | Path | None = None,
    fields: Mapping[str, str] | None = None,
    labels: Mapping[Any, str] | None = None,
    dry_run: bool = False,
) -> RunFolder:
    """Run one method on a data file, or a recipe up to that method.

    ``model`` is any model that ``plaudit.runs.locate`` finds (needed for data); ``reward`` a saved reward model or
    ``python:module:function`` (needed on data by methods that ask for a reward). ``fields`` and ``labels`` say how the
    data file is to be read, as in ``plaudit.read``; a recipe says it in its sources.
    """
    method = METHODS[name]
    if str(source).endswith((".yaml", ".yml")) or (
        not Path(source).exists() and recipe_path(source).exists()
    ):
        if fields or labels:
            raise UserError(
                f"{source} is a recipe: fields and labels belong to the file that they are about",
                remedy="write them beside its path: {path: FILE, labels: {0: first, 1: second}}",
            )
        if given := [o for o, value in (("model", model), ("reward", reward)) if value is not None]:
            said = {"model": "policy.path=MODEL", "reward": f"{name}.reward=reward:RUN"}
            raise UserError(
                f"{source} is a recipe, which names its own {' and '.join(given)}: "
                f"{' and '.join(f'--{o}' for o in given)} would be ignored",
                remedy=" ".join(f"--set {said[o]}" for o in given),
            )
        config = _up_to(method, source, overrides)
        return execute_config(config, RunFolder(out or Path("runs") / config.name), dry_run=dry_run)
    made = method_config(name, source, model, overrides, reward=reward, fields=fields, labels=labels)
    return execute_config(made, RunFolder(out or Path("runs") / made.name), dry_run=dry_run)


def method_config(
    name: str,
    source: str | Path,
    model: str | Path | None,
    overrides: Sequence[str] = (),
    *,
    reward: str | Path | None = None,
    fields: Mapping[str, str] | None = None,
    labels: Mapping[Any, str] | None = None,
) -> Config:
    """The recipe of one step that one method on a data file stands for."""
    method = METHODS[name]
    if model is None:
        raise UserError(
            f"`plaudit {method.verb} {source}` needs a model", remedy="add --model DIR, or give a recipe"
        )
    role = FEEDS[str(method.data)][0]
    raw: dict[str, Any] = {
        "name": name_of_run(name, source),
        "policy": {"path": str(model)},
        "data": {role: [{"path": str(source), "fields": fields, "labels": labels}]},
        "steps": {name: {"reward": _reward(str(reward))} if reward is not None else {}},
        "evaluate": None,
    }
    for override in overrides:
        apply_override(raw, _of_step(method, name, override))
    if "reward model" in method.gives and _names_encoder(model):
        raw["steps"][name].setdefault("backbone", raw["policy"])
    if method.rewarded and not any(raw["steps"][name].get(key) for key in REWARDS):
        raise UserError(
            f"`plaudit {method.verb} DATA` needs a reward",
            remedy="add --reward RUN, a reward model that `plaudit reward` trained, or --reward python:module:function",
        )
    made: Config = validate(raw, f"plaudit {method.verb}")
    return made


def _names_encoder(model: str | Path) -> bool:
    """Whether the model is an encoder, from which a reward model starts though no policy does."""
    from plaudit.models.files import fetched, is_encoder, read_architecture

    try:
        found = locate(model)
        folder = fetched(model) if found.hub else found.folder
        if folder is None or not (folder / "config.json").is_file():
            return False
        return is_encoder(read_architecture(folder))
    except UserError:
        return False  # said with all else that is wrong, before any work


def _reward(given: str) -> str:
    """What --reward names as a reward of a recipe: ``python:module:function``, or a saved reward model."""
    if given.startswith(("python:", "reward:")):
        return given
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", given) and not given.startswith("pypi:"):
        raise UserError(
            f"--reward {given} names no reward model",
            remedy=f"for a function of your own write python:{given}",
        )
    return f"reward:{given}"


def name_of_run(method: str, source: str | Path) -> str:
    """What a run of one method is called: the method and its data's name, whatever letters that has."""
    plain = str(source).removeprefix("project://").rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    stem = plain.partition("#")[2] or plain.partition(".")[0] or plain
    kept = re.sub(r"[^\w.-]+", "-", stem).strip("-.")
    return f"{method}-{kept}".rstrip("-")
