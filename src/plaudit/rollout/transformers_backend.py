"""The reference sampler: transformers' own ``generate``, with plaudit's distribution and random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria
from transformers.generation import StoppingCriteriaList

from plaudit.models.policy import Policy
from plaudit.rollout.forward import unwrapped
from plaudit.rollout.protocol import (
    Finish,
    Progress,
    Request,
    Sampled,
    SampleRow,
    SamplingSettings,
    check_room,
    not_finite,
    sample_rows,
)
from plaudit.rollout.random import streams, uniforms
from plaudit.rollout.stops import StopStrings
from plaudit.rollout.token_sampling import draw


class TransformersSampler:
    """Samples from ``policy`` with ``model.generate``: slower than native, and for every decoder.

    The draw is made by a logits processor that leaves ``generate`` one choice, so that both
    samplers draw the same tokens from the same logits. ``max_rows`` responses run at once.
    """

    def __init__(self, policy: Policy, *, max_rows: int = 256) -> None:
        self.policy, self.max_rows = policy, max_rows

    def sample(
        self,
        requests: Sequence[Request],
        settings: SamplingSettings,
        *,
        seed: int,
        step: int,
        policy_version: int = 0,
        progress: Progress | None = None,
    ) -> list[Sampled]:
        """Draw every request's responses, in the order of requests and sample index."""
        rows = sample_rows(requests)
        wrapped = self.policy.model
        model = unwrapped(wrapped)
        check_room(rows, settings, model.config)
        stream = streams(seed, step, [row.key for row in rows], [row.index for row in rows])
        order = sorted(range(len(rows)), key=lambda r: -len(rows[r].prompt_ids))
        results: dict[int, Sampled] = {}
        # ``generate`` takes what its argument leaves open from the model's own generation config: a
        # repetition penalty there would change the distribution.
        own, training = model.generation_config, wrapped.training
        model.generation_config = GenerationConfig()
        wrapped.eval()
        try:
            for begin in range(0, len(order), self.max_rows):
                part = order[begin : begin + self.max_rows]
                batch = self._generate(model, [rows[r] for r in part], stream[part], settings, policy_version)
                results.update(zip(part, batch))
                if progress is not None:
                    progress(len(results), len(rows))
        finally:
            model.generation_config = own
            wrapped.train(training)
        return [results[r] for r in range(len(rows))]

    def _generate(
        self, model: Any, rows: list[SampleRow], stream: np.ndarray, settings: SamplingSettings, version: int
    ) -> list[Sampled]:
        width = max(len(row.prompt_ids) for row in rows)
        ids = np.full((len(rows), width), self.policy.pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, width - len(row.prompt_ids) :] = row.prompt_ids
            mask[i, width - len(row.prompt_ids) :] = 1
        stops = StopStrings(self.policy.tokenizer, settings.stop) if settings.stop else None
        drawing = _Drawing(stream, settings, np.array(sorted(self.policy.end_ids), dtype=np.int64), stops)
        device = next(model.parameters()).device
        config = GenerationConfig(
            max_new_tokens=settings.max_new_tokens, do_sample=False, pad_token_id=int(self.policy.pad_id)
        )
        model.generate(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=torch.from_numpy(mask).to(device),
            generation_config=config,
            logits_processor=LogitsProcessorList([drawing]),
            stopping_criteria=StoppingCriteriaList([_Finished(drawing)]),
        )
        drawn, log_probs = np.stack(drawing.ids, 1), np.stack(drawing.log_probs, 1)
        results = []
        for i, row in enumerate(rows):
            n = int(drawing.count[i])
            if not np.isfinite(log_probs[i, :n]).all():
                raise not_finite(f"prompt {row.key!r}, sample {row.index}")
            finish = drawing.finish[i] or "length"
            results.append(
                Sampled(row.key, row.index, row.prompt_ids, drawn[i, :n], log_probs[i, :n], finish, version)
            )
        return results


class _Drawing(LogitsProcessor):
    """Draws, remembers what was drawn, and leaves the caller only that token."""

    def __init__(
        self, stream: np.ndarray, settings: SamplingSettings, ends: np.ndarray, stops: StopStrings | None
    ) -> None:
        self.stream, self.settings, self.ends, self.stops = stream, settings, ends, stops
        self.ids: list[np.ndarray] = []
        self.log_probs: list[np.ndarray] = []
        self.count = np.zeros(len(stream), dtype=np.int64)
        self.finish: list[Finish | None] = [None] * len(stream)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        uniform = torch.from_numpy(uniforms(self.stream, len(self.ids))).to(scores.device)
        chosen, log_probs = draw(scores, uniform, self.settings)
        self.ids.append(chosen.cpu().numpy())
        self.log_probs.append(log_probs.cpu().numpy())
        open_rows = self.open
        self.count += open_rows
        ended = open_rows & np.isin(self.ids[-1], self.ends)
        stopped = np.zeros_like(ended)
        if self.stops is not None:
            stopped = self.stops.completed(
                self.ids[-1], np.stack(self.ids, 1), self.count, open_rows & ~ended
            )
        for i in np.flatnonzero(ended | stopped):
            self.finish[i] = "end" if ended[i] else "stop"
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0)

    @property
    def open(self) -> np.ndarray:
        """Bool [B]: the rows that are not finished."""
        return np.array([finish is None for finish in self.finish])


class _Finished(StoppingCriteria):
    """Stops the rows that the drawing found finished."""

    def __init__(self, drawing: _Drawing) -> None:
        self.drawing = drawing

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return torch.from_numpy(~self.drawing.open).to(input_ids.device)
