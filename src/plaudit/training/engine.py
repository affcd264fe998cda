"""The engine: one optimizer step over any methods, whatever the micro-batches and ranks.

    loss = Σ_terms coefficient · Σ_n value_n · weight_n / Σ_global weight

The denominator is over all micro-batches and ranks, so how a batch is split cannot change a gradient.
There is no other reduction anywhere.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from plaudit.data.tokens.batching import collate, plan
from plaudit.data.tokens.item import TokenItem
from plaudit.errors import NotFiniteError, UserError
from plaudit.runtime import Runtime, digest_of
from plaudit.training.global_batch import GlobalPass, NeedsGlobalBatch
from plaudit.training.gradient_sum import sum_gradients
from plaudit.training.held_out import added, means
from plaudit.training.memory import is_out_of_memory
from plaudit.training.method import TrainingMethod, Work
from plaudit.training.rank_report import report
from plaudit.training.sweep import dealt, plan_digest
from plaudit.training.timers import Timers

logger = logging.getLogger(__name__)


@dataclass
class ParameterGroup:
    """Parameters that share a learning rate and are clipped together."""

    name: str
    parameters: list[nn.Parameter]
    lr: float


def trainable(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]


def schedule_factor(kind: str, step: int, total: int, warmup: float, final: float) -> float:
    """The factor on the learning rate at ``step`` (from 0) of ``total``: linear warm-up, then decay to ``final``."""
    rise = round(warmup * total)
    if step < rise:
        return (step + 1) / (rise + 1)
    if kind == "constant" or total <= rise:
        return 1.0
    progress = min(1.0, (step - rise) / max(1, total - rise))
    if kind == "linear":
        return 1 - (1 - final) * progress
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


class Engine:
    """Owns the optimizer; ``step`` turns items into one update."""

    def __init__(
        self,
        groups: Iterable[ParameterGroup],
        *,
        schedule: Callable[[int], float],
        token_budget: int,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_grad_norm: float | None = 1.0,
        runtime: Runtime | None = None,
    ) -> None:
        self.groups = list(groups)
        self.schedule = schedule
        self.token_budget = token_budget
        self.max_grad_norm = max_grad_norm
        self.runtime = runtime or Runtime()
        self.device = torch.device(self.runtime.device)
        self.steps = 0
        self.events: list[dict[str, Any]] = []
        self.timers = Timers(self.device)
        self.optimizer = torch.optim.AdamW(
            [{"params": g.parameters, "lr": g.lr} for g in self.groups],
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            # One pass over weights and moments instead of eight.
            fused=self.device.type in ("cpu", "cuda"),
        )

    def step(self, work: Work, *, update: Sequence[str] | None = None) -> dict[str, float]:
        """One update on the sum of the methods' losses; returns metrics, means over the global batch.

        ``update`` names the groups to move (all by default). Ranks hold the same items and share the
        micro-batches. Raises NotFiniteError before any weight is touched.
        """
        self.optimizer.zero_grad(set_to_none=True)
        totals = self.accumulate(work)
        with self.timers("optimizer"):
            return self.apply(totals, update=update)

    def accumulate(self, work: Work) -> dict[str, tuple[float, float]]:
        """Gradients of the global loss, summed over micro-batches and ranks, into ``.grad``.

        Where memory runs out, the token budget is halved and the step begun again: micro-batches do not
        change what is computed. Raises UserError where single items do not fit.
        """
        with self.runtime.computing():
            return self._accumulate(work)

    def _accumulate(self, work: Work) -> dict[str, tuple[float, float]]:
        while True:
            mesh = self.runtime.mesh
            mesh.agree(lambda: self._digest(work), "the items of a step, or how they are computed")
            failure: BaseException | None = None
            sums: dict[str, list[float]] = {}
            try:
                sums = self._local(work)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                # Without its traceback, which holds on to what the failed pass had allocated.
                failure = error.with_traceback(None)
            parameters = [p for group in self.groups for p in group.parameters]
            used = [p.grad is not None for p in parameters]
            joined = report(mesh, failed=failure is not None, used=used, sums=sums)
            if not joined.failed:
                sum_gradients([p for p, has in zip(parameters, joined.used) if has], mesh)
                return added(joined.sums)
            self._halve(work, failure)

    def _halve(self, work: Work, failure: BaseException | None) -> None:
        for group in self.groups:
            for parameter in group.parameters:
                parameter.grad = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if all(len(part) < 2 for method, items in work for part in self._plan(method, items)):
            raise UserError(
                f"out of memory at step {self.steps + 1}, with one example at a time",
                remedy="shorten data.max_length, set checkpointing: true, or train adapters (policy.lora)",
            ) from failure
        before, self.token_budget = self.token_budget, max(1, self.token_budget // 2)
        logger.warning(
            "out of memory at step %d: the token budget goes from %d to %d",
            self.steps + 1,
            before,
            self.token_budget,
        )
        self.events.append(
            {"step": self.steps + 1, "event": "out of memory", "token_budget": self.token_budget}
        )

    def _plan(self, method: TrainingMethod, items: Sequence[TokenItem]) -> list[list[int]]:
        return plan(items, self.token_budget, method.layout, self.runtime.mesh.world)

    def _digest(self, work: Work) -> int:
        """A hash of what must be the same on all ranks for their gradients to add up."""
        parts = [
            (method.normalizers(items), plan_digest(items, self._plan(method, items), self.runtime))
            for method, items in work
        ]
        return digest_of(self.steps, self.token_budget, parts)

    def _local(self, work: Work) -> dict[str, list[float]]:
        """This rank's part of the gradients and sums."""
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        # First all passes in which the ranks wait for one another: memory may run out on one of them later.
        for method, items in work:
            if isinstance(method, NeedsGlobalBatch):
                with self.timers("prepare"):
                    method.prepare(items, GlobalPass(self.token_budget, self.runtime))
        # float64 sums on the host keep metrics independent of how the batch was split.
        for method, items in work:
            normalizers = method.normalizers(items)
            for indices, mine in dealt(items, self._plan(method, items), self.runtime.mesh):
                with self.timers("batch"):
                    batch = collate(mine, method.pad_id).to(self.device)
                    batch.layout(method.layout)
                with self.timers("forward"):
                    output = method.loss(batch)
                total: Tensor | None = None
                # A rank that has no micro-batch left makes the same passes as the others, at weight 0.
                counts = bool(indices)
                for name, term in output.terms.items():
                    if not (denominator := normalizers[name]):
                        continue
                    part = (term.values * term.weights).sum() / denominator
                    if not counts:
                        total = part * 0.0 if total is None else total + part * 0.0
                        continue
                    scaled = part if term.coefficient == 1.0 else part * term.coefficient
                    total = scaled if total is None else total + scaled
                    sums[f"loss/{name}"][0] += float(part.detach())
                    sums["loss"][0] += float(scaled.detach())
                for name, (value, count) in output.metrics.items() if counts else ():
                    sums[name][0] += float(value)
                    sums[name][1] += float(count)
                if total is not None and total.requires_grad:
                    with self.timers("backward"):
                        total.backward()
        return sums

    def apply(
        self, totals: Mapping[str, tuple[float, float]], *, update: Sequence[str] | None = None
    ) -> dict[str, float]:
        """Clip each group's gradient and take the optimizer's step."""
        metrics = means(totals)
        factor = self.schedule(self.steps)
        norms: dict[str, Tensor] = {}
        for group, settings in zip(self.groups, self.optimizer.param_groups):
            if update is not None and group.name not in update:
                for parameter in group.parameters:
                    parameter.grad = None
                continue
            grads = [p.grad for p in group.parameters if p.grad is not None]
            norms[group.name] = torch.nn.utils.get_total_norm(grads)
            if not torch.isfinite(norms[group.name]):
                raise NotFiniteError(
                    f"step {self.steps + 1}: the gradient norm of {group.name!r} is {float(norms[group.name])} "
                    f"(loss {metrics.get('loss')}); weights were left as they were before this step",
                    remedy=f"lower the learning rate (now {group.lr:g}) or max_grad_norm; resuming with the same "
                    "settings ends the same way",
                )
            if self.max_grad_norm is not None:
                torch.nn.utils.clip_grads_with_norm_(group.parameters, self.max_grad_norm, norms[group.name])
            settings["lr"] = group.lr * factor
            suffix = "" if len(self.groups) == 1 else f"/{group.name}"
            metrics[f"grad_norm{suffix}"] = float(norms[group.name])
            metrics[f"lr{suffix}"] = settings["lr"]
        self.optimizer.step()
        self.steps += 1
        return metrics

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain numbers that make a later ``load`` continue bitwise."""
        tensors: dict[str, Tensor] = {}
        counts: dict[str, float] = {}
        for group in self.groups:
            for i, parameter in enumerate(group.parameters):
                slot = self.optimizer.state.get(parameter)
                if slot:
                    tensors[f"{group.name}.{i}.exp_avg"] = slot["exp_avg"]
                    tensors[f"{group.name}.{i}.exp_avg_sq"] = slot["exp_avg_sq"]
                    counts[f"{group.name}.{i}"] = float(slot["step"])
        return tensors, {"steps": self.steps, "counts": counts}

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Continue from what ``state`` returned."""
        self.steps = int(state["steps"])
        for group in self.groups:
            for i, parameter in enumerate(group.parameters):
                key = f"{group.name}.{i}"
                if key in state["counts"]:
                    self.optimizer.state[parameter] = {
                        "step": torch.tensor(state["counts"][key], dtype=torch.float32),
                        "exp_avg": tensors[f"{key}.exp_avg"].to(parameter.device).clone(),
                        "exp_avg_sq": tensors[f"{key}.exp_avg_sq"].to(parameter.device).clone(),
                    }
