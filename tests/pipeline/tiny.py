"""The smallest pocket recipe that still has every record: a step takes about a second."""

from __future__ import annotations

from typing import Any

PPO = {"iterations": 2, "prompts_per_iteration": 16, "minibatch": 16, "max_new_tokens": 16}
DRAWN = {"prompts": 30, "max_new_tokens": 16, "scripted_share": 0.3}


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
            "verdicts": 64,
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
