"""Where and how plaudit computes: device, ranks, layout and precision, and the seed. Passed, never process-wide.

torch's own thread count and memory allocator are the process's (``pipeline/machine.py`` sets them once a run).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from plaudit.errors import PlauditError, UserError, Waiting

S = TypeVar("S")
T = TypeVar("T")
Precision = Literal["fp32", "bf16"]
LayoutKind = Literal["padded", "packed", "shared"]
KernelChoice = Literal["auto", "reference"]
# Seconds that a rank waits for the others in a step or a pass: a difference in speed is never that large.
TIMEOUT = 1800
# While rank 0 works for all, a judge behind a server may take days; a rank that dies is noticed all the same.
PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class ComputeConfig:
    """``layout``: the most compact one allowed; a model that cannot use it falls back (``models/packing.py``).

    ``precision`` bf16 computes matmuls in bfloat16 while weights, gradients, optimizer state and reductions stay fp32.
    ``kept_logits``: response logits saved for the backward pass; beyond it they are recomputed in chunks. ``memory``:
    bytes that a stage may take, None for no limit; ``checkpointing``: activation checkpointing, None for only where
    nothing else fits. ``fused``: whether layers of the Llama layout may be fused (``models/fused_decoder.py``).
    ``kernels``: the fastest kernels, or their reference (``kernels/README.md``).
    """

    layout: LayoutKind = "shared"
    precision: Precision = "fp32"
    kept_logits: int = 2**27
    memory: float | None = None
    checkpointing: bool | None = None
    fused: bool = True
    kernels: KernelChoice = "auto"

    @property
    def fused_layers(self) -> bool:
        """Whether layers of the Llama layout may be computed by fused operations: the reference kernels have none."""
        return self.fused and self.kernels == "auto"


# Of the current thread or task alone: another one may sample in bf16 while this one trains in fp32.
_in_force: ContextVar[ComputeConfig] = ContextVar("compute", default=ComputeConfig())  # noqa: B039 (it is frozen)


def compute_config() -> ComputeConfig:
    """The settings in force here."""
    return _in_force.get()


@contextmanager
def use_compute(settings: ComputeConfig | None = None, **changes: Any) -> Iterator[ComputeConfig]:
    """Put settings in force within the block: ``with use_compute(precision="bf16"): …``."""
    token = _in_force.set(replace(settings or _in_force.get(), **changes))
    try:
        yield _in_force.get()
    finally:
        _in_force.reset(token)


class MeshError(UserError):
    """The ranks do not do the same thing, so that a sum over them would be wrong."""


class Mesh:
    """Processes that train together (torchrun sets the environment); with one process each call is the identity."""

    def __init__(self, rank: int = 0, world: int = 1, patient: Any = None) -> None:
        self.rank = rank
        self.world = world
        self.patient = patient  # the process group in which the others wait for rank 0

    @classmethod
    def from_environment(cls, timeout: float = TIMEOUT) -> Mesh:
        """Join the process group that torchrun announces: gloo on the CPU, nccl for tensors on CUDA devices.

        A collective that waits longer than ``timeout`` seconds ends the process with an error, unless it waits for
        work that rank 0 does for all (``from_main``).
        """
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        if not dist.is_initialized():
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
        return cls(dist.get_rank(), dist.get_world_size(), _patient_group())

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and shows progress."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Σ over ranks, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def each(self, value: T) -> list[T]:
        """The value of every rank, by rank; it travels pickled."""
        if self.world == 1:
            return [value]
        parts: list[Any] = [None] * self.world
        dist.all_gather_object(parts, value)
        return parts

    def rows(self, row: Sequence[int]) -> list[list[int]]:
        """As many integers of 64 bits of every rank, by rank: half the time that ``each`` takes."""
        if self.world == 1:
            return [list(row)]
        found = torch.zeros(self.world, len(row), dtype=torch.int64)
        dist.all_gather_into_tensor(found, torch.tensor([list(row)], dtype=torch.int64))
        return [[int(v) for v in mine] for mine in found.tolist()]

    def integers(self, value: int) -> list[int]:
        """An integer of every rank, by rank."""
        return [row[0] for row in self.rows([value])]

    def any(self, here: bool) -> bool:
        """Logical OR over ranks."""
        return any(self.integers(int(here)))

    def least(self, value: float) -> float:
        """The smallest value of any rank."""
        return min(self.each(value))

    def from_main(self, make: Callable[[], T]) -> T:
        """What ``make()`` returns on rank 0, on every rank; the others neither call it nor look at a file.

        Where it raises a ``UserError``, all raise it; another exception ends the others with a ``MeshError``.
        """
        if self.world == 1:
            return make()
        box: list[Any] = [None, None]
        failure: BaseException | None = None
        if self.is_main:
            try:
                box[0] = make()
            except BaseException as error:  # told to the others, then raised here as it is
                failure = error
                box[1] = _told(error, 0)
        dist.broadcast_object_list(box, src=0, group=self.patient)
        if failure is not None:
            raise failure
        if box[1] is not None:
            raise _again(*box[1])
        value: T = box[0]
        return value

    def agree(self, digest: Callable[[], int], what: str) -> None:
        """MeshError where the ranks have different digests of ``what``, before they wait for one another in it."""
        if self.world == 1:
            return
        found = self.integers(digest())
        if len(set(found)) > 1:
            raise MeshError(
                f"the ranks differ in {what}, so that their parts do not add up to the whole batch: "
                f"{', '.join(f'rank {rank} {value & 0xFFFFFFFF:08x}' for rank, value in enumerate(found))}",
                remedy="give all ranks the same data, settings, seed and software; `plaudit run` sees to it by itself",
            )

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This rank's part of a list that every rank holds: every world-th element."""
        return items[self.rank :: self.world]

    def gather_shares(self, mine: Sequence[T]) -> list[T]:
        """Undo ``share``: every rank gets the whole list in its original order."""
        parts = self.each(list(mine))
        whole: list[Any] = [None] * sum(len(p) for p in parts)
        for rank, part in enumerate(parts):
            whole[rank :: self.world] = part
        return whole

    def map(self, f: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """``f`` of every item, computed once in all and known to every rank; where one raises, all do."""
        if self.world == 1:
            return [f(item) for item in items]
        done: list[T] = []
        failure: Exception | None = None
        try:
            for item in self.share(items):
                done.append(f(item))
        except Exception as error:  # told to the others, then raised here as it is
            failure = error
        for told in self.each(None if failure is None else _told(failure, self.rank)):
            if told is not None:
                raise failure or _again(*told)
        return self.gather_shares(done)

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier()


@cache
def _patient_group() -> Any:
    return dist.new_group(backend="gloo", timeout=PATIENCE)


def _told(error: BaseException, rank: int) -> tuple[str, str, tuple[Any, ...], str | None]:
    """What the other ranks hear of an error of this one, in parts that can be pickled."""
    if isinstance(error, UserError):
        return "user", error.message, tuple(error.problems), error.remedy
    if isinstance(error, Waiting):
        return "waiting", str(error), (), None
    return "other", f"rank {rank} ended: {error!r}", (), None


def _again(kind: str, message: str, problems: Sequence[Any], remedy: str | None) -> PlauditError:
    if kind == "waiting":
        return Waiting(message)
    return (UserError if kind == "user" else MeshError)(message, problems=problems, remedy=remedy)


def digest_of(*parts: Iterable[bytes] | bytes | object) -> int:
    """A hash of 62 bits: of bytes as they are, of anything else by its ``repr``."""
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        found.update(part if isinstance(part, bytes) else repr(part).encode())
        found.update(b"\0")
    return int.from_bytes(found.digest(), "little") >> 2


def resolve_device(name: str) -> torch.device:
    """``auto`` prefers CUDA, then Apple's MPS, then the CPU; each local rank has a CUDA device of its own."""
    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda"
        elif torch.backends.mps.is_available():
            name = "mps"
        else:
            name = "cpu"
    if name != "cuda":
        return torch.device(name)
    if not torch.cuda.is_available():
        raise UserError(
            "device: cuda was asked for, but torch sees no CUDA device", remedy="use device: auto"
        )
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return torch.device("cuda")
    local, devices = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= devices:
        raise UserError(
            f"local rank {local} has no CUDA device of its own: this machine has {devices}",
            remedy=f"torchrun --nproc-per-node {devices}, or device: cpu",
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


@dataclass(frozen=True)
class Runtime:
    """``device`` and ``mesh`` of ranks to compute on, ``compute`` settings and ``seed``.

    Without ``compute`` the settings in force where it is made.
    """

    device: torch.device | str = "cpu"
    mesh: Mesh = field(default_factory=Mesh)
    compute: ComputeConfig = field(default_factory=compute_config)
    seed: int = 0

    @classmethod
    def from_environment(cls, device: str = "auto", *, seed: int = 0, **settings: Any) -> Runtime:
        """The runtime of a process that torchrun may have started; ``settings`` are fields of ``ComputeConfig``."""
        mesh = Mesh.from_environment()
        return cls(resolve_device(device), mesh, replace(compute_config(), **settings), seed)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.mesh.is_main

    def computing(self) -> AbstractContextManager[ComputeConfig]:
        """Its compute settings in force within the block."""
        return use_compute(self.compute)

    def alone(self) -> Runtime:
        """The same without other ranks: for work that is shared already."""
        return replace(self, mesh=Mesh())


def runtime_of(runtime: Runtime | None, seed: int | None = None) -> Runtime:
    """The given runtime or the plain one, with another seed where one is given."""
    runtime = runtime or Runtime()
    return runtime if seed is None else replace(runtime, seed=seed)
