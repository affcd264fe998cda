"""``kl_max``: stops a run whose policy has moved too far, and restores the last policy within the limit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping

from torch import nn

from plaudit.methods.rollouts import Rollouts
from plaudit.runs import Stage
from plaudit.runtime import Mesh
from plaudit.training import checkpoint


class KLLimitError(Exception):
    """The rollouts' KL is above ``kl_max``; ``metrics`` are all that is known of them."""

    def __init__(self, metrics: dict[str, float]) -> None:
        super().__init__()
        self.metrics = metrics


class KLLimit:
    """Checks every iteration's rollouts before they are trained on; without a ``kl_max`` nothing is read."""

    def __init__(
        self, kl_max: float | None, stage: Stage, modules: Mapping[str, nn.Module], mesh: Mesh
    ) -> None:
        self.kl_max, self.stage, self.modules, self.mesh = kl_max, stage, modules, mesh

    @property
    def checkpoints(self) -> int:
        """How many checkpoints must be kept for ``fall_back``."""
        return 1 if self.kl_max is None else 2

    def check(
        self,
        rollouts: Rollouts,
        metrics: dict[str, float],
        describe: Callable[[Rollouts], dict[str, float]],
    ) -> None:
        """KLLimitError where the KL of the rollouts, nats per response, is above ``kl_max``."""
        if self.kl_max is None:
            return
        described = describe(rollouts)
        if described["objective/kl"] > self.kl_max:
            raise KLLimitError(metrics | described)

    def fall_back(self, iteration: int, reached: KLLimitError) -> tuple[int, str]:
        """Load the last checkpoint whose KL was measured and within bounds: its iteration, and why, in words.

        The weights sampled now are those of the newest checkpoint, so the good ones are one older.
        """
        reason = f"objective/kl {reached.metrics['objective/kl']:.2f} is above kl_max {self.kl_max}"
        steps = self.mesh.from_main(lambda: [step for step in self.stage.steps() if step < iteration])
        if not steps:
            return iteration, reason
        good = int(checkpoint.read(self.stage.checkpoint(steps[-1]), self.modules, None)["step"])
        self.mesh.barrier()  # none is removed before all have read theirs
        if self.mesh.is_main:
            for step in self.stage.steps():
                if step > good:
                    shutil.rmtree(self.stage.checkpoint(step), ignore_errors=True)
        return good, f"{reason}; the policy of iteration {good} was kept"
