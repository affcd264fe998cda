"""One method by its own verb: `plaudit METHOD DATA --model DIR` or `plaudit METHOD RECIPE`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plaudit.config import FINAL, ONLINE, PAIRWISE, Config, apply_override, read_yaml, validate
from plaudit.errors import UserError
from plaudit.pipeline.run import execute_config, recipe_path
from plaudit.runs import RunFolder

# The sections of a recipe in the order of their stages; a verb keeps those up to its own.
ORDER = ("pretrain", "verdict", "sft", "rank", "reward", *FINAL, "evaluate")
ROLE = {"sft": "demonstrations", "reward": "preferences", "kto": "labels"}
REWARDS = ("reward_model", "reward_function", "rewards")
ROLE |= dict.fromkeys(PAIRWISE, "preferences") | dict.fromkeys((*ONLINE, "rejection"), "prompts")


def _up_to(name: str, source: str | Path, overrides: Sequence[str]) -> Config:
    """A recipe without what comes after a method; a last method takes the place of the recipe's own."""
    raw = read_yaml(recipe_path(source))
    if name in FINAL:
        raw = {key: value for key, value in raw.items() if key == name or key not in FINAL}
        raw.setdefault(name, {})
        later: tuple[str, ...] = ("evaluate",)
    else:
        if raw.get(name) is None:
            raise UserError(f"{source} has no section {name!r}", remedy=f"add `{name}: {{}}`")
        later = ORDER[ORDER.index(name) + 1 :]
    for override in overrides:
        apply_override(raw, override)
    return validate(raw, str(source)).model_copy(update=dict.fromkeys(later))


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

    ``model`` is a Hugging Face folder or hub name (needed for data); ``reward`` a saved reward model
    (needed on data by methods that ask for a reward). ``fields`` and ``labels`` say how the data file is to be
    read, as in ``plaudit.read``; a recipe says it in its sources.
    """
    if str(source).endswith((".yaml", ".yml")) or (
        not Path(source).exists() and recipe_path(source).exists()
    ):
        if fields or labels:
            raise UserError(
                f"{source} is a recipe: fields and labels belong to the file that they are about",
                remedy="write them beside its path: {path: FILE, labels: {0: first, 1: second}}",
            )
        config = _up_to(name, source, overrides)
        return execute_config(config, RunFolder(out or Path("runs") / config.name), dry_run=dry_run)
    if model is None:
        raise UserError(
            f"`plaudit {name} {source}` needs a model", remedy="add --model DIR, or give a recipe"
        )
    raw: dict[str, Any] = {
        "name": f"{name}-{Path(str(source)).name.split('.')[0].split('#')[-1]}",
        "policy": {"source": "pretrained", "path": str(model)},
        "data": {ROLE[name]: [{"path": str(source), "fields": fields, "labels": labels}]},
        name: {},
        "evaluate": None,
    }
    if reward is not None:
        raw[name] = {"reward_model": str(reward)}
    for override in overrides:
        apply_override(raw, override)
    if ROLE[name] == "prompts" and not any(raw[name].get(key) for key in REWARDS):
        raise UserError(
            f"`plaudit {name} DATA` needs a reward",
            remedy="add --reward DIR, a reward model that `plaudit reward` saved, or "
            f"--set {name}.reward_function=module:function",
        )
    made: Config = validate(raw, f"plaudit {name}")
    return execute_config(made, RunFolder(out or Path("runs") / made.name), dry_run=dry_run)
