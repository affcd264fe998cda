"""Defaults for pretrained models, by kind of step and size of the model: the registry's descriptors hold the numbers.

The sections' own defaults are those of models made from scratch (below ``TINY`` parameters). A setting that the user
states is never replaced. Adapters (LoRA) take ``LORA`` times the learning rate of the whole model.
"""

from __future__ import annotations

from typing import Any

from plaudit.registry import STEPS, ModelDefaults

# Parameters below which a model is treated as one made from scratch, and from which it counts as large.
TINY, LARGE = 2e7, 1e9
LORA = 10.0
LORA_SOURCE = "with adapters ten times the rate (Schulman et al. 2025, LoRA Without Regret)"
RATES = ("lr", "value_lr")
# Of the section ``data``, which is no kind of step.
DATA = ModelDefaults({"max_length": 1024}, "as in the alignment-handbook's DPO")


def defaults_of(section: str) -> ModelDefaults | None:
    """The defaults of a kind of step, or of the section ``data``; None where there are none."""
    if section == "data":
        return DATA
    kind = STEPS.get(section)
    return kind.pretrained if kind is not None else None


def vetted(section: str, parameters: float | None, *, adapters: bool = False) -> dict[str, Any]:
    """The settings for a pretrained model of this size; {} where it is tiny or the section has no defaults.

    A size that is not known counts as large, which has the smaller steps.
    """
    defaults = defaults_of(section)
    if defaults is None or (parameters is not None and parameters < TINY):
        return {}
    found = dict(defaults.settings)
    if parameters is None or parameters >= LARGE:
        found |= defaults.large
    if adapters:
        found |= {name: float(f"{found[name] * LORA:.6g}") for name in RATES if name in found}
    return found
