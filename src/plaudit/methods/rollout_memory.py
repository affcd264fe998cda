"""The token budget of an RL loop, from its prompts' lengths and the models in memory beside the trained ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from plaudit.config import Online
from plaudit.data.tokens.layout import LayoutKind
from plaudit.models.adapters import has_adapter
from plaudit.runtime import Mesh
from plaudit.training.memory import MemoryPlan, fit_memory, stated_budget


def fit_rollouts(
    modules: Mapping[str, nn.Module],
    policy: nn.Module,
    layout: LayoutKind,
    settings: Online,
    prompt_lengths: Sequence[int],
    mesh: Mesh,
) -> MemoryPlan:
    """How many slots a micro-batch has: the settings' number, or what fits beside reference and reward model."""
    if settings.token_budget is not None:
        return stated_budget(modules, settings.token_budget)
    lengths = prompt_lengths or [1]
    group, new = settings.samples_per_prompt, settings.max_new_tokens
    usual = sum(lengths) // len(lengths)
    answers = group * new
    size = sum(p.numel() * p.element_size() for p in policy.parameters())
    return fit_memory(
        modules,
        longest=answers + max(lengths) * (1 if layout == "shared" else group),
        length=usual + new,
        share=answers / (answers + usual),
        # The reference where there is no adapter to switch off, and a reward model of the policy's size.
        beside=float(size) * (1 if has_adapter(policy) else 2),
        mesh=mesh,
    )
