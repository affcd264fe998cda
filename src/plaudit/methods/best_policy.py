"""``keep_best``: the best policy of a run by a held-out judge, kept on disk and loaded at the end."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from plaudit.config import Online
from plaudit.errors import UserError
from plaudit.runs import Stage, files
from plaudit.runtime import Mesh
from plaudit.training import checkpoint

logger = logging.getLogger(__name__)

SECOND = "second"  # the number that a watch measures by another judge than gold


@dataclass(frozen=True)
class BestKept:
    """Which policy a run ends with: that of ``iteration``, ``value`` by ``by`` against ``last`` at the end.

    ``last`` is None where the policy of the last iteration was not measured.
    """

    iteration: int
    by: str
    value: float
    last_iteration: int
    last: float | None


class BestPolicy:
    """Keeps the policy whenever the watched number is higher than ever before; without ``keep_best`` it does nothing.

    Under a ``kl_max`` the second best is kept too: the KL of the best may turn out to be above the limit.
    """

    def __init__(self, settings: Online, stage: Stage, policy: nn.Module, mesh: Mesh) -> None:
        source = None if settings.best_by is None else settings.best_by.source
        self.by = None if source is None else "gold" if source == "gold" else SECOND
        self.limited = settings.kl.kl_max is not None
        self.stage, self.mesh = stage, mesh
        self.modules = {"policy": policy}
        self.kept = Stage(stage.path / "best")
        self.last: tuple[int, float] | None = None  # iteration and number

    def see(self, iteration: int, numbers: Mapping[str, float]) -> dict[str, float]:
        """The watched numbers of a policy, and which iteration's is the best so far."""
        if self.by is None:
            return dict(numbers)
        if self.by not in numbers:
            raise UserError(
                f"keep_best asks for the number {self.by!r}, and nothing measures it",
                remedy=f"give a watch(iteration) that returns {{{self.by!r}: …}}: higher is better",
            )
        value = numbers[self.by]
        self.last = iteration, value

        def keep() -> int:
            best = self._best()
            if best is None or value > best[1]:
                state = {"value": value}
                checkpoint.save(self.kept, iteration, self.modules, None, state, keep_last=1 + self.limited)
                return iteration
            return best[0]

        return {**numbers, "best/iteration": float(self.mesh.from_main(keep))}

    def begin(self, iteration: int) -> None:
        """A run goes on from ``iteration``: what a ``kl_max`` has not judged yet is measured again."""
        if self.limited:
            self.forget_after(iteration)

    def forget_after(self, iteration: int) -> None:
        """Remove what came later: it is beyond the ``kl_max``."""
        if self.by is not None and self.mesh.is_main:
            for step in self.kept.steps():
                if step > iteration:
                    shutil.rmtree(self.kept.checkpoint(step), ignore_errors=True)
        self.mesh.barrier()

    def restore(self, iteration: int) -> BestKept | None:
        """Load the best policy where it is not the one of ``iteration``; None where nothing changes."""
        if self.by is None:
            return None
        best = self.mesh.from_main(self._best)
        if best is None or best[0] == iteration:
            return None
        checkpoint.read(self.kept.checkpoint(best[0]), self.modules, None)
        self.mesh.barrier()
        last = self.last[1] if self.last is not None and self.last[0] == iteration else None
        found = BestKept(best[0], self.by, best[1], iteration, last)
        if self.mesh.is_main:
            self.stage.event(event="rolled_back", **asdict(found))
        logger.info("the policy of iteration %d is kept: %s %.3f", found.iteration, found.by, found.value)
        return found

    def _best(self) -> tuple[int, float] | None:
        """The newest kept one, which is the best: its iteration and number."""
        steps = self.kept.steps()
        if not steps:
            return None
        state: dict[str, Any] = files.read_json(self.kept.checkpoint(steps[-1]) / "state.json")["state"]
        return steps[-1], float(state["value"])
