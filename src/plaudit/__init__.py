"""plaudit: human feedback into a better language model.

The public names below are resolved when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

from plaudit.methods.descriptors import OWN

__version__ = "0.1.0"

_PLACES = {
    "plaudit.data.records": (
        "Comparisons",
        "Demonstration",
        "Labelled",
        "Message",
        "Outcome",
        "Prompt",
        "Ranking",
        "Rated",
        "Response",
    ),
    "plaudit.data.readers.read": ("join_pairs", "read"),
    "plaudit.data.records.writers": ("write_jsonl",),
    "plaudit.data.splits": ("split",),
    "plaudit.data.rendering.renderer": ("Renderer",),
    "plaudit.models.policy": ("Policy", "build_policy", "load_policy", "save_policy"),
    "plaudit.models.tokenizers": ("train_bpe",),
    "plaudit.models.reward_model": ("RewardModel", "load_reward_model", "save_reward_model"),
    "plaudit.models.critic": ("Critic",),
    "plaudit.rollout.native": ("NativeSampler",),
    "plaudit.rollout.transformers_backend": ("TransformersSampler",),
    "plaudit.rollout.protocol": ("Request", "Sampled", "SamplingSettings"),
    "plaudit.rewards": (
        "EnsembleReward",
        "FunctionReward",
        "ModelReward",
        "RewardOutput",
        "Sample",
        "SumReward",
    ),
    "plaudit.methods.train": ("store_normalisation",),
    "plaudit.runs": ("RunFolder",),
    "plaudit.pipeline.demo": ("demo",),
    "plaudit.pipeline.run": ("resume", "run"),
    "plaudit.pipeline.comparison.run": ("compare",),
    "plaudit.protocols": ("ChatModel", "Judge", "Reward", "Sampler", "World"),
    "plaudit.registry": ("JudgeKind", "Method", "StepKind", "WorldKind"),
    "plaudit.extend": ("estimator", "preference_loss"),
    "plaudit.errors": ("Problem", "UserError", "Waiting"),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}
# The function of each of plaudit's own methods.
_MODULE_OF |= {name: module for module, _, name in (m.function.partition(":") for m in OWN)}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'plaudit' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
