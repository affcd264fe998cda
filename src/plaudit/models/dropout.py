"""Dropout: a model's own is switched off in training; adapters may keep theirs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

logger = logging.getLogger(__name__)


def without_dropout(config: Any) -> Any:
    """The config with every dropout rate at 0, nested configs included."""
    for name, value in list(vars(config).items()):
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
        elif hasattr(value, "model_type"):
            without_dropout(value)
    return config


def switch_off(module: nn.Module, *, adapters: bool = False) -> None:
    """Set every dropout rate of the module to 0 (those of its adapters if asked), and log which were not 0.

    Packed rows have no dropout on attention weights, and a policy is trained in the same mode as it is sampled.
    """
    rates: dict[str, float] = {}
    for name, part in module.named_modules():
        kept = ".lora_dropout." in f".{name}." and not adapters
        for attribute in _rates(part) if not kept else ():
            rates[_short(name, attribute)] = getattr(part, attribute)
            setattr(part, attribute, 0.0)
        if hasattr(part, "config"):
            without_dropout(part.config)
    if rates:
        said = ", ".join(f"{name} {rate:g}" for name, rate in sorted(rates.items()))
        logger.warning("dropout is off in the %s that is trained: %s", type(module).__name__, said)


def _rates(part: nn.Module) -> list[str]:
    """Attributes of a module that hold a dropout rate above 0."""
    is_dropout = isinstance(part, nn.modules.dropout._DropoutNd)
    return [
        name
        for name, value in vars(part).items()
        if isinstance(value, float) and value > 0 and ("drop" in name or (is_dropout and name == "p"))
    ]


def _short(name: str, attribute: str) -> str:
    """A name for users: the last part of the module's name that is not a number, or the attribute."""
    words = [word for word in name.split(".") if not word.isdigit() and word != "default"]
    return words[-1] if attribute == "p" and words else attribute


@contextmanager
def in_eval(*modules: nn.Module) -> Iterator[None]:
    """Within the block the modules are in eval mode; after it every part is in the mode it was in."""
    before = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training
