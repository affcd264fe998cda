"""How many tokens fit: a token budget for a stated memory limit, from the model and the real lengths.

    bytes = 16 · trained weights + 4 · frozen weights + budget · (layers · kept per layer + rest) + logits

AdamW in fp32 holds four numbers of four bytes for a trained weight: itself, its gradient, and two moments. Frozen
matrices below adapters take 2 bytes where the recipe keeps them in bfloat16.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind, slots_of
from plaudit.errors import UserError
from plaudit.models.adapters import rank_of
from plaudit.models.architectures import backbone
from plaudit.models.fused_decoder import supports_fused
from plaudit.models.positions import fewest_positions
from plaudit.runtime import Mesh, Precision, compute_config
from plaudit.training.cost_model import Footprint, footprint

logger = logging.getLogger(__name__)

# More tokens at once than this make nothing faster (measured on CPU; see docs/benchmarks.md).
ENOUGH = 8192
# The part of all memory that a run takes when the recipe states no limit.
SHARE = 0.6
# Bytes that are taken to be there where the system does not say.
ELSEWHERE = 8.0 * 2**30


@dataclass(frozen=True)
class Need:
    """Bytes of one stage: ``fixed`` weights and optimiser, ``token`` and ``logits`` per slot of a micro-batch,
    of logits at most ``most``."""

    fixed: float
    token: float
    logits: float
    most: float

    def total(self, budget: int) -> float:
        return self.fixed + budget * self.token + min(budget * self.logits, self.most)

    def room(self, limit: float) -> int:
        """The largest budget whose total is within the limit; below 1 where there is none."""
        free = limit - self.fixed
        return int(max(free / (self.token + self.logits), (free - self.most) / self.token))


@dataclass(frozen=True)
class MemoryPlan:
    """What was chosen: slots of a micro-batch, whether layers are computed again, and the bytes it takes."""

    token_budget: int
    checkpointing: bool
    bytes: float


def need(
    kept: Footprint,
    *,
    fixed: float,
    layers: int,
    vocabulary: int,
    checkpointing: bool = False,
    share: float = 1.0,
) -> Need:
    """Bytes of a stage; ``share`` of its slots are response tokens, whose logits and their gradient are kept."""
    # Checkpointed layers keep their input, and one layer at a time is there in full.
    token = layers * kept.checkpointed + kept.again if checkpointing else layers * kept.layer
    return Need(fixed, token + kept.rest, 8.0 * share * vocabulary, 8.0 * compute_config().kept_logits)


def choose(
    limit: float,
    longest: int,
    kept: Footprint,
    *,
    fixed: float,
    layers: int,
    vocabulary: int,
    share: float = 1.0,
    checkpointing: bool | None = None,
) -> MemoryPlan:
    """The largest budget up to ``ENOUGH`` whose step fits ``limit`` bytes and that holds the longest item.

    Layers are computed again in the backward pass only where the longest item would not fit otherwise,
    or as ``checkpointing`` says.
    """
    for again in (False, True) if checkpointing is None else (checkpointing,):
        wanted = need(
            kept, fixed=fixed, layers=layers, vocabulary=vocabulary, checkpointing=again, share=share
        )
        budget = min(max(ENOUGH, longest), wanted.room(limit))
        if budget >= longest:
            return MemoryPlan(budget, again, wanted.total(budget))
    return MemoryPlan(longest, again, wanted.total(longest))


def fixed_bytes(modules: Iterable[nn.Module]) -> float:
    """Weights, and gradients and moments of those that are trained, each once however often it is held."""
    sizes = {
        id(p): (16.0 if p.requires_grad else p.element_size()) * p.numel()
        for m in modules
        for p in m.parameters()
    }
    return sum(sizes.values())


def fit_memory(
    modules: Mapping[str, nn.Module],
    *,
    longest: int,
    length: int,
    share: float,
    beside: float = 0.0,
    mesh: Mesh | None = None,
) -> MemoryPlan:
    """The budget for training these modules under the settings in force, and checkpointing switched on if need be.

    Ranks with different amounts of memory all take what fits the least.

    ``longest`` slots of one item, ``length`` tokens of a usual sequence, ``share`` of response tokens,
    ``beside`` bytes of models that are not trained.
    """
    settings = compute_config()
    limit = (mesh or Mesh()).least(math.inf if settings.memory is None else settings.memory)
    if limit == math.inf:
        chosen = MemoryPlan(max(ENOUGH, longest), bool(settings.checkpointing), 0.0)
    else:
        # Models of one step take turns: the largest decides what a token keeps, each its own weights.
        largest = max(modules.values(), key=lambda m: sum(p.numel() for p in m.parameters()))
        config = backbone(getattr(largest, "backbone", largest)).config
        text = config.get_text_config()
        fused = settings.fused_layers and all(_is_fused(module) for module in modules.values())
        rank = rank_of(getattr(largest, "backbone", largest))
        kept = counted(config, settings.precision, length, fused=fused, rank=rank)
        if len(modules) > 1:
            kept = Footprint(*(len(modules) * value for value in astuple(kept)))
        chosen = choose(
            limit,
            longest,
            kept,
            fixed=fixed_bytes(modules.values()) + beside,
            layers=text.num_hidden_layers,
            vocabulary=text.vocab_size,
            share=share,
            checkpointing=settings.checkpointing,
        )
    if chosen.checkpointing:
        for module in modules.values():
            checkpoint_layers(module)
    return chosen


def stated_budget(modules: Mapping[str, nn.Module], token_budget: int) -> MemoryPlan:
    """The settings' own number, whatever the memory; activations are checkpointed where so asked."""
    again = bool(compute_config().checkpointing)
    if again:
        for module in modules.values():
            checkpoint_layers(module)
    return MemoryPlan(token_budget, again, 0.0)


def _is_fused(module: nn.Module) -> bool:
    inner = backbone(getattr(module, "backbone", module))
    return next(inner.parameters()).device.type == "cpu" and supports_fused(inner)


def counted(config: Any, precision: Precision, length: int, *, fused: bool, rank: int = 0) -> Footprint:
    """What a token keeps, counted; where no slice of the architecture can be made, from its width."""
    try:
        return footprint(config, precision, length=min(max(length, 8), 512), fused=fused, rank=rank)
    except Exception as error:  # an unknown architecture may refuse to be cut in any way
        hidden = config.get_text_config().hidden_size
        logger.info("memory of a %s is estimated from its width: %r", config.model_type, error)
        # 34 numbers a layer and hidden unit (Korthikanti et al. 2022, without attention's own).
        return Footprint(34 * 4.0 * hidden, 8 * 4.0 * hidden, 4.0 * hidden, 34 * 4.0 * hidden)


def checkpoint_layers(module: nn.Module) -> None:
    """Compute layers again in the backward pass instead of keeping what is in them."""
    inner = backbone(getattr(module, "backbone", module))
    # transformers renamed it; both names mean the same.
    switch = getattr(inner, "activation_checkpointing_enable", None) or inner.gradient_checkpointing_enable
    switch({"use_reentrant": False})


def every_item(items: Sequence[TokenItem]) -> Iterator[TokenItem]:
    """The items, and those that they bring along as payload (KTO's answers to other prompts)."""
    for item in items:
        yield item
        if isinstance(item.payload, TokenItem):
            yield item.payload


def longest_of(items: Sequence[TokenItem], layout: LayoutKind) -> int:
    """Slots of the largest item, those brought along included."""
    return max((slots_of(item, layout) for item in every_item(items)), default=1)


def check_positions(modules: Mapping[str, nn.Module], items: Sequence[TokenItem]) -> None:
    """Raise UserError where an item is longer than the positions of a module."""
    longest = max((item.longest for item in every_item(items)), default=0)
    positions = fewest_positions(*modules.values())
    if positions is not None and longest > positions:
        many = sum(item.longest > positions for item in every_item(items))
        raise UserError(
            f"{many} of {len(items)} items exceed the model's {positions} positions: the longest has {longest} tokens",
            remedy=f"render them with Renderer(…, max_length={positions}), or set data.max_length to at most that",
        )


def response_share(items: Sequence[TokenItem], layout: LayoutKind) -> float:
    """Response tokens, whose logits are computed, as a part of all slots."""
    slots = sum(slots_of(item, layout) for item in items)
    return sum(len(r) for item in items for r in item.responses) / max(1, slots)


def memory_limit(device: torch.device, stated: float | None) -> float:
    """Bytes that a run may take: ``stated`` GiB, or a share of all memory, in whole quarters of a GiB.

    Not of what is free just now: micro-batches, and with them the last bit of the weights, must not follow from what
    else runs on the machine.
    """
    if stated is not None:
        return stated * 2**30
    total = float(torch.cuda.mem_get_info(device)[1]) if device.type == "cuda" else total_memory()
    return max(1.0, SHARE * total // 2**28) * 2**28


def total_memory() -> float:
    """Memory of the machine or, where that is less, of the container."""
    try:
        found = [float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        logger.warning(
            "how much memory there is cannot be found out here: a run takes what fits %s → set memory: GIB",
            _gib(SHARE * ELSEWHERE),
        )
        return ELSEWHERE
    top = Path("/sys/fs/cgroup/memory.max")
    if top.is_file() and (text := top.read_text().strip()).isdigit():
        found.append(float(text))
    return max(min(found), 2.0**28)


def keep_freed_memory() -> bool:
    """Ask glibc to keep what is freed: fresh pages cost more than the arithmetic on them. False elsewhere."""
    try:
        libc = ctypes.CDLL(None)
        mallopt = libc.mallopt
    except (OSError, AttributeError):
        return False
    trim, top_pad, mmap_max = -1, -2, -4
    return all(
        mallopt(option, value) == 1 for option, value in ((mmap_max, 0), (trim, 2**31 - 1), (top_pad, 2**28))
    )


@cache
def spare_libraries() -> None:
    """Take what is there now, once a process, out of the garbage collector's rounds.

    Each round through the objects of torch, transformers and numba takes 0.2 s, with nothing to be found. To be called
    before models are made: what is taken out and lies in a circle is never freed.
    """
    gc.collect()
    gc.freeze()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
