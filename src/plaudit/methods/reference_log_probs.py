"""Reference log-probs per response: computed once and cached by content hash, or computed live."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.models.adapters import adapter_off, has_adapter, is_untrained, weights_as
from plaudit.models.dropout import in_eval
from plaudit.models.logprobs import log_probs
from plaudit.models.packing import layout_for
from plaudit.models.policy import freeze_copy
from plaudit.progress import Progress
from plaudit.runs import Stage, files
from plaudit.runtime import Runtime
from plaudit.training.memory import ENOUGH
from plaudit.training.sweep import per_response

# The name of the extra that holds Σ_t log π_ref of each response.
EXTRA = "reference"
FILE = "reference.npz"


def frozen_reference(policy: Any) -> Callable[..., Any]:
    """The policy as it is in memory now: ``reference(batch, temperature=1.0) -> TokenLogProbs``, dropout off.

    Without adapters it is a frozen copy; with adapters that have learned nothing yet, the model with these switched
    off; else a copy of all that is trained beside the one base.
    """
    model = policy.model
    if not has_adapter(model):
        frozen = freeze_copy(policy)
        return lambda batch, *, temperature=1.0: log_probs(frozen.model, batch, temperature=temperature)
    untrained = is_untrained(model)
    kept = (
        {} if untrained else {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    )

    def as_it_was(batch: Any, *, temperature: float = 1.0) -> Any:
        with in_eval(model), adapter_off(model) if untrained else weights_as(model, kept):
            return log_probs(model, batch, temperature=temperature)

    return as_it_was


def response_totals(batch: TokenBatch, reference: Callable[..., Any] | None) -> torch.Tensor:
    """Σ_t log π_ref of each response, in nats: [R]. Read from the items where there is no live reference."""
    if reference is None:
        return batch.per_response(EXTRA)
    with torch.no_grad():
        return batch.sum_by_response(reference(batch).log_prob)


def content_key(prompt: np.ndarray, ids: np.ndarray) -> str:
    """A hash of what a response says to which prompt, in tokens."""
    digest = hashlib.blake2b(digest_size=12)
    digest.update(len(prompt).to_bytes(4, "little"))
    digest.update(np.ascontiguousarray(prompt, dtype=np.int64).tobytes())
    digest.update(np.ascontiguousarray(ids, dtype=np.int64).tobytes())
    return digest.hexdigest()


def fingerprint(model: Any) -> str:
    """A hash of a model's weights, from up to 4096 numbers of each: equal models give the same."""
    digest = hashlib.blake2b(digest_size=12)
    for name, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().reshape(-1)
        part = flat[:: max(1, flat.numel() // 4096)].float().cpu().numpy()
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(part.tobytes())
    return digest.hexdigest()


def precompute(
    policy: Any,
    items: Sequence[TokenItem],
    stage: Stage,
    *,
    token_budget: int | None = None,
    runtime: Runtime | None = None,
) -> list[TokenItem]:
    """The items with the policy's own log-probs as it is now: call it before training moves the policy.

    What is computed is kept in the stage by content and by the policy's weights, so that a resumed or changed
    run computes only what is new.
    """
    runtime = runtime or Runtime()
    mesh = runtime.mesh
    path = stage.path / FILE
    mark = fingerprint(policy.model)
    # Rank 0 alone looks at the disk: it may hold what another rank's mark does not name.
    known = mesh.from_main(lambda: _read(path, mark))
    keys = [[content_key(item.prompt, r.ids) for r in item.responses] for item in items]
    missing = [i for i, row in enumerate(keys) if any(key not in known for key in row)]
    if missing:
        fresh = _compute(policy, [items[i] for i in missing], token_budget or ENOUGH, runtime)
        for i, totals in zip(missing, fresh):
            known.update(zip(keys[i], totals))
        if mesh.is_main:
            _write(path, mark, known)
    return [
        replace(item, extras={**item.extras, EXTRA: [known[key] for key in row]})
        for item, row in zip(items, keys)
    ]


def _compute(
    policy: Any, items: Sequence[TokenItem], token_budget: int, runtime: Runtime
) -> list[list[float]]:
    bar = Progress(len(items), "reference", unit="prompt", quiet=not runtime.is_main)
    with runtime.computing(), in_eval(policy.model), bar:
        found = per_response(
            items,
            lambda batch: batch.sum_by_response(log_probs(policy.model, batch).log_prob.double()),
            pad_id=policy.pad_id,
            layout=layout_for(policy.model),
            token_budget=token_budget,
            runtime=runtime,
            progress=lambda done, of: bar.update(min(len(items), done * len(items) // of)),
        )
    return [totals.tolist() for totals in found]


def _read(path: Any, mark: str) -> dict[str, float]:
    try:
        with np.load(path, allow_pickle=False) as found:
            if str(found["mark"]) == mark:
                return dict(zip(found["keys"].tolist(), found["totals"].tolist()))
    except (OSError, ValueError, KeyError):
        pass  # absent, or written by a run that was cut off: computed anew
    return {}


def _write(path: Any, mark: str, known: Mapping[str, float]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, mark=np.array(mark), keys=np.array(list(known)), totals=np.array(list(known.values())))
    files.write_bytes(path, buffer.getvalue())
