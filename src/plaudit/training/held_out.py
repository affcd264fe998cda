"""Loss and metrics of a method without a gradient, and how sums over micro-batches and ranks become means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.runtime import Runtime
from plaudit.training.global_batch import GlobalPass, NeedsGlobalBatch
from plaudit.training.method import TrainingMethod
from plaudit.training.sweep import sweep


def evaluate(
    method: TrainingMethod,
    items: Sequence[TokenItem],
    *,
    token_budget: int,
    runtime: Runtime | None = None,
) -> dict[str, float]:
    """The method's loss and metrics on held-out items, without a gradient."""
    runtime = runtime or Runtime()
    normalizers = method.normalizers(items)
    if isinstance(method, NeedsGlobalBatch):
        method.prepare(items, GlobalPass(token_budget, runtime))

    def sums(batch: TokenBatch) -> dict[str, tuple[float, float]]:
        output = method.loss(batch)
        found = {name: (float(value), float(count)) for name, (value, count) in output.metrics.items()}
        loss = 0.0
        for name, term in output.terms.items():
            if normalizers[name]:
                part = float((term.values * term.weights).sum()) / normalizers[name]
                found[f"loss/{name}"] = (part, 0.0)
                loss += part * term.coefficient
        return {**found, "loss": (loss, 0.0)}

    parts = sweep(
        items,
        sums,
        pad_id=method.pad_id,
        layout=method.layout,
        token_budget=token_budget,
        runtime=runtime,
    )
    return means(added(part for _, part in parts))


def added(parts: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, tuple[float, float]]:
    """Σ over (sum, count) entries by name."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for part in parts:
        for name, (value, count) in part.items():
            sums[name][0] += value
            sums[name][1] += count
    return {name: (value, count) for name, (value, count) in sums.items()}


def means(sums: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """sum / count by name; losses are divided by their global weight already, which count 0 marks."""
    return {n: (v / c if c else v) for n, (v, c) in sums.items() if c or n.startswith("loss")}
