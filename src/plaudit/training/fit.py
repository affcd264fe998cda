"""The loop of every method that learns from a fixed data set."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from plaudit.config import Training
from plaudit.data.tokens.item import TokenItem
from plaudit.models.dropout import in_eval, switch_off
from plaudit.progress import Progress
from plaudit.runs import Stage
from plaudit.runs.memory import give_back
from plaudit.runtime import Runtime
from plaudit.training import checkpoint
from plaudit.training.engine import Engine, ParameterGroup, schedule_factor, trainable
from plaudit.training.held_out import evaluate
from plaudit.training.memory import check_positions, fit_memory, longest_of, response_share, stated_budget
from plaudit.training.method import TrainingMethod


@dataclass
class FitResult:
    """What a fit did: steps taken, and the last training and held-out numbers."""

    steps: int
    metrics: dict[str, float]
    evaluation: dict[str, float]


def total_steps(settings: Training, items: int) -> int:
    """Optimizer steps of a fit: ``steps`` where given, else ``epochs`` over the items."""
    return settings.max_steps or max(1, math.ceil(settings.epochs * items / settings.batch_size))


def batch_indices(step: int, *, items: int, batch_size: int, seed: int) -> list[int]:
    """The items of one step: epochs are independent permutations, one stream of indices without a gap.

    A function of the step alone, so that a resumed run needs no cursor.
    """
    batch_size = min(batch_size, items)
    return stream_indices(step * batch_size, batch_size, items=items, seed=seed)


def stream_indices(first: int, count: int, *, items: int, seed: int) -> list[int]:
    """``count`` indices of that stream from the place ``first`` on."""
    chosen: list[int] = []
    while len(chosen) < count:
        epoch, offset = divmod(first + len(chosen), items)
        order = _permutation(seed, epoch, items)
        chosen += order[offset : offset + count - len(chosen)].tolist()
    return chosen


_cache: dict[tuple[int, int, int], np.ndarray] = {}


def _permutation(seed: int, epoch: int, items: int) -> np.ndarray:
    key = (seed, epoch, items)
    if key not in _cache:
        if len(_cache) > 4:
            _cache.clear()
        _cache[key] = np.random.default_rng([seed, epoch]).permutation(items)
    return _cache[key]


def fit(
    method: TrainingMethod,
    items: Sequence[TokenItem],
    settings: Training,
    stage: Stage,
    *,
    modules: Mapping[str, nn.Module],
    held_out: Sequence[TokenItem] = (),
    score: str = "loss",
    label: str = "train",
    runtime: Runtime | None = None,
    after_step: Callable[[int], None] | None = None,
) -> FitResult:
    """Train ``modules`` by ``method`` on ``items``, from the newest checkpoint of ``stage`` if there is one.

    ``score`` names the held-out number that ``keep_best`` minimizes (a leading ``-`` maximizes it). Dropout is off
    in all but adapters, and in these too while held-out items are measured.
    """
    runtime = runtime or Runtime()
    with runtime.computing():
        found = _fit(
            method,
            items,
            settings,
            stage,
            modules,
            held_out,
            score,
            label,
            runtime,
            after_step or (lambda step: None),
        )
    # What follows needs other sizes than training did, and would lie beside what it left.
    give_back()
    return found


def _fit(
    method: TrainingMethod,
    items: Sequence[TokenItem],
    settings: Training,
    stage: Stage,
    modules: Mapping[str, nn.Module],
    held_out: Sequence[TokenItem],
    score: str,
    label: str,
    runtime: Runtime,
    after_step: Callable[[int], None],
) -> FitResult:
    mesh = runtime.mesh
    for module in modules.values():
        switch_off(module)
    check_positions(modules, [*items, *held_out])
    total = total_steps(settings, len(items))
    if settings.token_budget is not None:
        budget = stated_budget(modules, settings.token_budget).token_budget
    else:
        budget = fit_memory(
            modules,
            longest=longest_of(items, method.layout),
            length=sum(item.slots for item in items) // sum(len(item.responses) for item in items),
            share=response_share(items, method.layout),
            mesh=mesh,
        ).token_budget
    engine = Engine(
        [ParameterGroup(name, trainable(module), settings.lr) for name, module in modules.items()],
        schedule=lambda s: schedule_factor(settings.schedule, s, total, settings.warmup, settings.final_lr),
        token_budget=budget,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        runtime=runtime,
    )
    state = checkpoint.resume(stage, modules, engine, mesh)
    best: float | None = state.get("best")
    best_path = stage.checkpoints / "best"
    sign, score = (-1.0, score[1:]) if score.startswith("-") else (1.0, score)
    window: dict[str, list[float]] = defaultdict(list)
    metrics: dict[str, float] = {}
    held: dict[str, float] = {}
    began = time.perf_counter()
    tokens = 0
    for module in modules.values():
        module.train()
    with Progress(total, label, unit="step", start=engine.steps, quiet=not mesh.is_main) as progress:
        while engine.steps < total:
            chosen = batch_indices(
                engine.steps, items=len(items), batch_size=settings.batch_size, seed=runtime.seed
            )
            batch = [items[i] for i in chosen]
            for name, value in engine.step([(method, batch)]).items():
                window[name].append(value)
            tokens += sum(item.slots for item in batch)
            step = engine.steps
            after_step(step)
            last = step == total
            due_eval = bool(held_out) and (last or (settings.eval_every and step % settings.eval_every == 0))
            due_save = step % settings.checkpoint_every == 0 and not last
            # A checkpoint also closes the window of averages, so that a resumed log equals an unbroken one.
            if step % settings.log_every == 0 or last or due_save or due_eval:
                metrics = {name: float(np.mean(values)) for name, values in window.items()}
                window.clear()
                if due_eval:
                    with in_eval(*modules.values()):
                        held = evaluate(method, held_out, token_budget=engine.token_budget, runtime=runtime)
                    if settings.keep_best and (best is None or sign * held[score] < best):
                        best = sign * held[score]
                        if mesh.is_main:
                            checkpoint.write(best_path, modules, None, {"step": step, "best": best})
                if mesh.is_main:
                    speed = tokens / (time.perf_counter() - began)
                    extra = {f"eval/{k}": v for k, v in held.items()} if due_eval else {}
                    extra |= {"tokens_per_second": speed, **engine.timers.take()}
                    stage.append_metrics(step, {**metrics, **extra})
                    for event in engine.events:
                        stage.event(**event)
                    engine.events.clear()
            if due_save and mesh.is_main:
                checkpoint.save(stage, step, modules, engine, {"best": best}, keep_last=settings.keep_last)
            progress.update(step, loss=metrics.get("loss"))
    # Rank 0 has written it before it looks.
    if settings.keep_best and mesh.from_main(best_path.exists):
        checkpoint.read(best_path, modules, None)
        mesh.barrier()
    for module in modules.values():
        module.eval()
    return FitResult(total, metrics, held)
