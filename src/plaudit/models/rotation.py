"""Rotary frequencies that depend on the length of a sequence (longrope, dynamic NTK scaling).

transformers uses one length for a whole call, that of its longest row, and for dynamic scaling the longest of
earlier calls: the frequencies of a sequence would depend on other sequences. Here sequences are grouped by the
frequencies that each has alone, and each call gets one group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem


def changing(config: Any) -> dict[str, int]:
    """Rope types that depend on the length, each with the tokens up to which it does not; empty for most models."""
    config = config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or {}
    found = {}
    for parameters in [rope, *rope.values()]:
        kind = parameters.get("rope_type") if isinstance(parameters, Mapping) else None
        if kind == "longrope":
            found[kind] = int(parameters["original_max_position_embeddings"])
        elif kind is not None and "dynamic" in kind:
            found[kind] = int(config.max_position_embeddings)
    return found


def kind_of(length: int, changes: Mapping[str, int]) -> tuple[int, ...]:
    """A key that is equal for two lengths with the same frequencies: long or not, and for dynamic scaling how long."""
    return tuple(
        0 if length <= plain else 1 if kind == "longrope" else length
        for kind, plain in sorted(changes.items())
    )


def apart(batch: TokenBatch, changes: Mapping[str, int]) -> list[list[int]]:
    """The batch's responses by the frequencies that each has with its prompt, alone."""
    kinds: dict[tuple[int, ...], list[int]] = {}
    lengths = [len(item.prompt) + len(segment) for item in batch.items for segment in item.responses]
    for number, length in enumerate(lengths):
        kinds.setdefault(kind_of(length, changes), []).append(number)
    return list(kinds.values())


def singles(batch: TokenBatch) -> list[TokenItem]:
    """One item a response, in the batch's order."""
    return [TokenItem(item.prompt, (segment,)) for item in batch.items for segment in item.responses]


def forget(inner: nn.Module) -> None:
    """Reset the longest length that dynamic scaling has seen."""
    for module in inner.modules():
        names = [name for name in vars(module) if name.endswith("max_seq_len_cached")]
        for name in names:
            prefix = name.removesuffix("max_seq_len_cached")
            original: Any = getattr(module, f"{prefix}original_inv_freq", None)
            if original is not None:
                current: Any = getattr(module, f"{prefix}inv_freq")
                module.register_buffer(
                    f"{prefix}inv_freq", original.to(current.device, copy=True), persistent=False
                )
                setattr(module, name, module.original_max_seq_len)
