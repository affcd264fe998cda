"""One method by its own verb: `plaudit METHOD DATA --model DIR` or `plaudit METHOD RECIPE`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plaudit.config import FINAL, ONLINE, PAIRWISE, Config, apply_override, load_recipe, validate
from plaudit.errors import UserError
from plaudit.pipeline.run import execute_config, recipe_path
from plaudit.runs import RunFolder

# The sections of a recipe in the order of their stages; a verb keeps those up to its own.
ORDER = ("pretrain", "verdict", "sft", "rank", "reward", *FINAL, "evaluate")
ROLE = {"sft": "demonstrations", "reward": "preferences", "kto": "labels"}
ROLE |= dict.fromkeys(PAIRWISE, "preferences") | dict.fromkeys((*ONLINE, "rejection"), "prompts")


def run_method(
    name: str,
    source: str | Path,
    model: str | Path | None = None,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    *,
    reward: str | Path | None = None,
    dry_run: bool = False,
) -> RunFolder:
    """Run one method on a data file, or a recipe up to that method.

    ``model`` is a Hugging Face folder or hub name (needed for data); ``reward`` a saved reward model
    (needed on data by methods that ask for a reward).
    """
    if str(source).endswith((".yaml", ".yml")) or (
        not Path(source).exists() and recipe_path(source).exists()
    ):
        config = load_recipe(recipe_path(source), overrides)
        # A recipe's own last method gives way to the verb's.
        later = [*FINAL, "evaluate"] if name not in FINAL else ["evaluate"]
        if name not in FINAL:
            later += ORDER[ORDER.index(name) + 1 :]
        if getattr(config, name) is None:
            raise UserError(f"{source} has no section {name!r}", remedy=f"add `{name}: {{}}`")
        config = config.model_copy(update=dict.fromkeys(later))
        return execute_config(config, RunFolder(out or Path("runs") / config.name), dry_run=dry_run)
    if model is None:
        raise UserError(
            f"`plaudit {name} {source}` needs a model", remedy="add --model DIR, or give a recipe"
        )
    raw: dict[str, Any] = {
        "name": f"{name}-{Path(str(source)).name.split('.')[0]}",
        "policy": {"source": "pretrained", "path": str(model)},
        "data": {ROLE[name]: [str(source)]},
        name: {},
        "evaluate": None,
    }
    if ROLE[name] == "prompts":
        if reward is None:
            raise UserError(
                f"`plaudit {name} DATA` needs a reward",
                remedy="add --reward DIR, a reward model that `plaudit reward` saved",
            )
        raw[name] = {"reward_model": str(reward)}
    for override in overrides:
        apply_override(raw, override)
    made: Config = validate(raw, f"plaudit {name}")
    return execute_config(made, RunFolder(out or Path("runs") / made.name), dry_run=dry_run)
