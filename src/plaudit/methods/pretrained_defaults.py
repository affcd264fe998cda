"""Defaults of plaudit's own methods for pretrained models, each with its source."""

from __future__ import annotations

from plaudit.registry import ModelDefaults

DPO = ModelDefaults(
    {"lr": 1e-6, "batch_size": 32},
    "DPO of SmolLM2 135M and 360M, and of Zephyr 7B (alignment-handbook)",
    {"lr": 5e-7, "batch_size": 64},
)
GROUP = ModelDefaults(
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
REINFORCE = ModelDefaults(
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
PPO = ModelDefaults(
    {**REINFORCE.settings, "value_lr": 9e-6},
    f"{REINFORCE.source}; the critic's 9e-6: Ouyang et al. 2022 §C.4",
    REINFORCE.large,
)
PRETRAIN = ModelDefaults(
    {"lr": 2e-4, "batch_size": 16},
    "continued pretraining of GPT-2 (alignment-handbook): 2e-4, batches of 16",
)
SFT = ModelDefaults(
    {"lr": 2e-5, "epochs": 1.0, "batch_size": 32},
    "SFT of Zephyr 7B (alignment-handbook): 2e-5, one epoch",
)
REWARD = ModelDefaults(
    {"lr": 1e-5, "epochs": 1.0, "batch_size": 32, "centering": 0.01},
    "TRL's reward models (Qwen2 0.5B, Llama 3 8B): 1e-5; one epoch: Ouyang et al. 2022 §C.2; centering: Eisenstein "
    "et al. 2023",
)
ONLINE_DPO = ModelDefaults(
    {"lr": 1e-6, "iterations": 100, "prompts_per_iteration": 16, "epochs": 1, "max_new_tokens": 128},
    "as DPO, on 4 samples a prompt (Guo et al. 2024 sample 2)",
    {"lr": 5e-7, "max_new_tokens": 256},
)
REJECTION = ModelDefaults(
    {"lr": 2e-5, "batch_size": 32, "prompts": 500, "max_new_tokens": 128},
    "as SFT (Touvron et al. 2023 fine-tune on the best samples)",
    {"max_new_tokens": 256},
)
SIMPO = ModelDefaults(
    {"lr": 1e-6, "batch_size": 32},
    "SimPO's own 3e-7 to 1e-6 (Meng et al. 2024)",
    {"lr": 5e-7, "batch_size": 128},
)
CPO = ModelDefaults({"lr": 1e-6, "batch_size": 32}, "TRL's CPO: 1e-6")
ORPO = ModelDefaults(
    {"lr": 8e-6, "batch_size": 32},
    "ORPO's own 8e-6 (Hong et al. 2024, Mistral 7B)",
    {"lr": 5e-6, "batch_size": 64},
)
KTO = ModelDefaults({"lr": 1e-6, "batch_size": 32}, "TRL's KTO: 1e-6", {"lr": 5e-7})
