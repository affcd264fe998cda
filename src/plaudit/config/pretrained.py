"""Defaults for pretrained models: one table, by method and size, each row with its source.

The sections' own defaults are those of models made from scratch (below ``TINY`` parameters). A setting that the user
states is never replaced. Adapters (LoRA) take ``LORA`` times the learning rate of the whole model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Parameters below which a model is treated as one made from scratch, and from which it counts as large.
TINY, LARGE = 2e7, 1e9
LORA = 10.0
LORA_SOURCE = "with adapters ten times the rate (Schulman et al. 2025, LoRA Without Regret)"
RATES = ("lr", "value_lr")


@dataclass(frozen=True)
class ModelDefaults:
    """Settings of one method, those that differ from ``LARGE`` parameters on, and where they are from."""

    settings: Mapping[str, Any]
    source: str
    large: Mapping[str, Any] = field(default_factory=dict)


_PAIRS = ModelDefaults(
    {"lr": 1e-6, "batch_size": 32},
    "DPO of SmolLM2 135M and 360M, and of Zephyr 7B (alignment-handbook)",
    {"lr": 5e-7, "batch_size": 64},
)
_GROUP = ModelDefaults(
    {
        "lr": 1e-6,
        "iterations": 100,
        "prompts_per_iteration": 8,
        "epochs": 1,
        "minibatch": 64,
        "max_new_tokens": 128,
    },
    "GRPO of TRL: 1e-6, 8 samples a prompt, 256 tokens (128 below 1 B)",
    {"max_new_tokens": 256},
)
_SINGLE = ModelDefaults(
    {
        "lr": 3e-6,
        "iterations": 100,
        "prompts_per_iteration": 64,
        "epochs": 1,
        "minibatch": 32,
        "max_new_tokens": 128,
    },
    "Huang et al. 2024 (the N+ details of PPO, 1 B to 6.9 B): 3e-6",
    {"max_new_tokens": 256},
)
TABLE: Mapping[str, ModelDefaults] = {
    "pretrain": ModelDefaults(
        {"lr": 2e-4, "batch_size": 16},
        "continued pretraining of GPT-2 (alignment-handbook): 2e-4, batches of 16",
    ),
    "sft": ModelDefaults(
        {"lr": 2e-5, "epochs": 1.0, "batch_size": 32},
        "SFT of Zephyr 7B (alignment-handbook): 2e-5, one epoch",
    ),
    "reward": ModelDefaults(
        {"lr": 1e-5, "epochs": 1.0, "batch_size": 32, "centering": 0.01},
        "TRL's reward models (Qwen2 0.5B, Llama 3 8B): 1e-5; one epoch: Ouyang et al. 2022 §C.2; centering: Eisenstein "
        "et al. 2023",
    ),
    "ppo": ModelDefaults(
        {**_SINGLE.settings, "value_lr": 9e-6},
        f"{_SINGLE.source}; the critic's 9e-6: Ouyang et al. 2022 §C.4",
        _SINGLE.large,
    ),
    "reinforce": _SINGLE,
    "grpo": _GROUP,
    "rloo": _GROUP,
    "online_dpo": ModelDefaults(
        {"lr": 1e-6, "iterations": 100, "prompts_per_iteration": 16, "epochs": 1, "max_new_tokens": 128},
        "as DPO, on 4 samples a prompt (Guo et al. 2024 sample 2)",
        {"lr": 5e-7, "max_new_tokens": 256},
    ),
    "rejection": ModelDefaults(
        {"lr": 2e-5, "batch_size": 32, "prompts": 500, "max_new_tokens": 128},
        "as SFT (Touvron et al. 2023 fine-tune on the best samples)",
        {"max_new_tokens": 256},
    ),
    "dpo": _PAIRS,
    "simpo": ModelDefaults(
        {"lr": 1e-6, "batch_size": 32},
        "SimPO's own 3e-7 to 1e-6 (Meng et al. 2024)",
        {"lr": 5e-7, "batch_size": 128},
    ),
    "cpo": ModelDefaults({"lr": 1e-6, "batch_size": 32}, "TRL's CPO: 1e-6"),
    "orpo": ModelDefaults(
        {"lr": 8e-6, "batch_size": 32},
        "ORPO's own 8e-6 (Hong et al. 2024, Mistral 7B)",
        {"lr": 5e-6, "batch_size": 64},
    ),
    "kto": ModelDefaults({"lr": 1e-6, "batch_size": 32}, "TRL's KTO: 1e-6", {"lr": 5e-7}),
    "rank": ModelDefaults(
        {"prompts": 500, "max_new_tokens": 128}, "lengths as for RL", {"max_new_tokens": 256}
    ),
    "evaluate": ModelDefaults(
        {"prompts": 200, "max_new_tokens": 128}, "lengths as for RL", {"max_new_tokens": 256}
    ),
    "data": ModelDefaults({"max_length": 1024}, "as in the alignment-handbook's DPO"),
}


def vetted(method: str, parameters: float | None, *, adapters: bool = False) -> dict[str, Any]:
    """The settings for a pretrained model of this size; {} where it is tiny or the method has no row.

    A size that is not known counts as large, which has the smaller steps.
    """
    row = TABLE.get(method)
    if row is None or (parameters is not None and parameters < TINY):
        return {}
    found = dict(row.settings)
    if parameters is None or parameters >= LARGE:
        found |= row.large
    if adapters:
        found |= {name: float(f"{found[name] * LORA:.6g}") for name in RATES if name in found}
    return found
