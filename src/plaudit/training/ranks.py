"""Processes that train together (torchrun sets the environment); one process is the plain case."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Ranks:
    """Sums and gathers over ranks; with one process each is the identity."""

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        self.rank = rank
        self.world = world

    @classmethod
    def from_environment(cls) -> Ranks:
        """Join the process group that torchrun announces (gloo on CPU, nccl on CUDA)."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and shows progress."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Σ over ranks, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def any(self, here: bool) -> bool:
        """Whether it is so on any rank."""
        if self.world == 1:
            return here
        parts: list[Any] = [None] * self.world
        dist.all_gather_object(parts, here)
        return any(parts)

    def share(self, items: Sequence[Any]) -> Sequence[Any]:
        """This rank's part of a list that every rank holds: every world-th element."""
        return items[self.rank :: self.world]

    def gather_shares(self, mine: Sequence[Any]) -> list[Any]:
        """Undo ``share``: every rank gets the whole list in its original order."""
        if self.world == 1:
            return list(mine)
        parts: list[Any] = [None] * self.world
        dist.all_gather_object(parts, list(mine))
        whole: list[Any] = [None] * sum(len(p) for p in parts)
        for rank, part in enumerate(parts):
            whole[rank :: self.world] = part
        return whole

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier()
