"""Default settings of a method for a model in memory."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn

from plaudit.config.pretrained import vetted
from plaudit.methods.arguments import expect_policy
from plaudit.models.adapters import has_adapter
from plaudit.models.policy import Policy

S = TypeVar("S")


def default_settings(section: type[S], method: str, trained: Any) -> S:
    """The settings of ``method`` vetted for a model of this size; for a tiny one the section's own defaults.

    ``trained`` is a policy or a reward model.
    """
    model = trained.model if isinstance(trained, Policy) else trained
    if not isinstance(model, nn.Module):
        expect_policy(trained, method)
    parameters = float(sum(p.numel() for p in model.parameters()))
    return section(**vetted(method, parameters, adapters=has_adapter(model)))
