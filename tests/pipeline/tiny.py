"""The smallest pocket recipe that still has every record: a step takes about a second."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

from plaudit.config import read_yaml

PPO = {"iterations": 2, "prompts_per_iteration": 16, "minibatch": 16, "max_new_tokens": 16}
DRAWN = {"prompts": 30, "max_new_tokens": 16, "scripted_share": 0.3}


PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"


def examples() -> dict[str, str]:
    """The recipes of docs/recipes.md by their names."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.S)
    return {re.match(r"name: (\S+)", block)[1]: block for block in blocks}


def example(name: str) -> dict[str, Any]:
    """A recipe of docs/recipes.md as plain values."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(examples()[name])
        file.flush()
        return read_yaml(Path(file.name))


def sized(steps: dict[str, Any], sizes: dict[str, Any]) -> dict[str, Any]:
    """Steps with some of their settings replaced, also inside a loop."""
    made = deepcopy(steps)
    for name, values in sizes.items():
        if isinstance(values, dict):
            made[name] = sized(made.get(name) or {}, values)
        else:
            made[name] = values
    return made


def tiny(name: str, steps: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A recipe with these steps after a pretrained and fine-tuned policy."""
    return {
        "name": name,
        "precision": "fp32",
        "threads": 1,
        "policy": {"hidden": 32, "layers": 2, "heads": 4, "vocabulary": 600, "max_positions": 160},
        "world": {
            "kind": "pocket",
            "documents": 400,
            "demonstrations": 200,
            "votes": 80,
            "train_prompts": 200,
            "validation_prompts": 20,
            "test_prompts": 40,
        },
        "data": {"max_length": 160},
        "steps": {"pretrain": {}, "sft": {}, **steps},
        "evaluate": {"prompts": 20, "max_new_tokens": 16, "temperatures": [0.5], "show": 8},
        **changes,
    }
