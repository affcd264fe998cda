"""The one loop over micro-batches without a gradient: every pass that only reads a model goes through ``sweep``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.batching import collate, plan
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind
from plaudit.errors import UserError
from plaudit.runtime import Mesh, Runtime, digest_of
from plaudit.training.memory import is_out_of_memory

logger = logging.getLogger(__name__)

T = TypeVar("T")


@torch.no_grad()
def sweep(
    items: Sequence[TokenItem],
    f: Callable[[TokenBatch], T],
    *,
    pad_id: int,
    layout: LayoutKind,
    token_budget: int,
    runtime: Runtime | None = None,
    progress: Callable[[int, int], object] = lambda done, of: None,
) -> list[tuple[list[int], T]]:
    """(indices, f(batch)) of every micro-batch of the items, in the order of the plan, the same on every rank.

    Ranks share the micro-batches, so ``f`` returns what can be sent: plain numbers and NumPy arrays. Each makes the
    same number of passes; one that has none left runs the smallest item again, and its value is dropped. Where memory
    runs out on any rank, all begin again with half the budget; UserError where single items do not fit. MeshError
    where the ranks' items or budgets differ. ``progress(done, of)`` hears of this rank's micro-batches.
    """
    runtime = runtime or Runtime()
    mesh = runtime.mesh
    while True:
        batches = plan(items, token_budget, layout, mesh.world)
        mesh.agree(
            partial(plan_digest, items, batches, runtime), "the items of a pass, or how they are computed"
        )
        values: list[tuple[list[int], T]] = []
        failure: BaseException | None = None
        try:
            with runtime.computing():
                for number, (indices, mine) in enumerate(dealt(items, batches, mesh)):
                    values.append((indices, f(collate(mine, pad_id).to(runtime.device))))
                    progress(number + 1, len(batches) // mesh.world)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # Without its traceback, which holds on to what the failed pass had allocated.
            failure = error.with_traceback(None)
        if not mesh.any(failure is not None):
            return [(indices, value) for indices, value in mesh.gather_shares(values) if indices]
        if all(len(part) < 2 for part in batches):
            raise UserError(
                "out of memory in a pass without a gradient, with one example at a time",
                remedy="shorten data.max_length, or sample fewer tokens (max_new_tokens)",
            ) from failure
        if torch.device(runtime.device).type == "cuda":
            torch.cuda.empty_cache()
        logger.warning("out of memory: the token budget goes from %d to %d", token_budget, token_budget // 2)
        token_budget = max(1, token_budget // 2)


def dealt(
    items: Sequence[TokenItem], batches: Sequence[list[int]], mesh: Mesh
) -> Iterator[tuple[list[int], list[TokenItem]]]:
    """This rank's micro-batches as indices and items; one without items is the smallest item again, to weigh 0."""
    for indices in mesh.share(batches):
        if indices:
            yield indices, [items[i] for i in indices]
        else:
            # A copy: whoever tells items apart by identity must not take it for the item itself.
            yield [], [replace(min(items, key=lambda item: item.slots))]


def plan_digest(items: Sequence[TokenItem], batches: Sequence[Sequence[int]], runtime: Runtime) -> int:
    """A hash of what must be the same on all ranks: tokens, their grouping, and how they are computed."""
    tokens = (part for item in items for part in (item.prompt, *(r.ids for r in item.responses)))
    content = (np.asarray(part, dtype=np.int64).tobytes() for part in tokens)
    settings = replace(runtime.compute, memory=None)
    return digest_of(settings, runtime.seed, [list(part) for part in batches], *content)


def per_response(
    items: Sequence[TokenItem], f: Callable[[TokenBatch], Tensor], **options: Any
) -> list[np.ndarray]:
    """``f(batch)`` [R] of every response, as one array [K] an item; ``options`` as in ``sweep``."""
    found: dict[int, np.ndarray] = {}
    for indices, values in sweep(items, lambda batch: f(batch).cpu().numpy(), **options):
        ends = np.cumsum([len(items[i].responses) for i in indices])
        found.update(zip(indices, np.split(values, ends[:-1])))
    return [found[i] for i in range(len(items))]


def per_token(
    items: Sequence[TokenItem], f: Callable[[TokenBatch], Sequence[Tensor]], **options: Any
) -> list[list[list[np.ndarray]]]:
    """For each tensor [N] of ``f(batch)``: per item, per response, an array of its tokens.

    ``options`` as in ``sweep``.
    """
    found: dict[int, list[list[np.ndarray]]] = {}
    for indices, rows in sweep(items, lambda batch: by_item(batch, f(batch)), **options):
        found.update(zip(indices, rows))
    return by_tensor(found)


def by_item(batch: TokenBatch, columns: Sequence[Tensor]) -> list[list[list[np.ndarray]]]:
    """Tensors [N] of a batch's tokens → per item, per tensor, per response, an array of its tokens."""
    cuts = np.cumsum(batch.lengths.cpu().numpy())[:-1]
    rows = [np.split(column.float().cpu().numpy(), cuts) for column in columns]
    ends = np.cumsum([len(item.responses) for item in batch.items])
    return [[r[end - len(item.responses) : end] for r in rows] for item, end in zip(batch.items, ends)]


def by_tensor(found: dict[int, list[list[np.ndarray]]]) -> list[list[list[np.ndarray]]]:
    """By the item's index, per tensor → per tensor, per item in order."""
    return [list(column) for column in zip(*(found[i] for i in sorted(found)))]
