"""The native sampler: prompts computed once, a cache written in place, finished rows dropped and refilled."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.rollout.cache import RowCache
from plaudit.rollout.distribution import draw
from plaudit.rollout.forward import Forward, choose_forward
from plaudit.rollout.protocol import Progress, Request, Row, Sampled, SamplingSettings, check_room, rows_of
from plaudit.rollout.random import streams, uniforms
from plaudit.rollout.stops import StopStrings

logger = logging.getLogger(__name__)


class NativeSampler:
    """Samples from ``policy`` (its ``model``, ``tokenizer``, ``end_ids``) with an own cache.

    At most ``max_rows`` responses are decoded at once, fewer where they would need more than
    ``max_tokens`` cache columns in all. The weights are read at every call.
    """

    def __init__(self, policy: Any, *, max_rows: int = 256, max_tokens: int = 1 << 18) -> None:
        self.policy = policy
        self.max_rows, self.max_tokens = max_rows, max_tokens

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
        rows = rows_of(requests)
        if not rows:
            return []
        model = self.policy.model
        check_room(rows, settings, getattr(model.config, "max_position_embeddings", None))
        training = model.training
        model.eval()
        try:
            with torch.inference_mode():
                run = _Run(self, choose_forward(model), rows, settings, seed, step, policy_version, progress)
                return run.finish()
        finally:
            model.train(training)


class _Run:
    """One call of ``sample``: the queue, the slots and the loop over steps."""

    def __init__(
        self,
        sampler: NativeSampler,
        forward: Forward,
        rows: list[Row],
        settings: SamplingSettings,
        seed: int,
        step: int,
        policy_version: int,
        progress: Progress | None,
    ) -> None:
        self.forward, self.rows, self.settings = forward, rows, settings
        self.policy_version, self.progress = policy_version, progress
        policy = sampler.policy
        self.device = next(policy.model.parameters()).device
        self.ends = np.array(sorted({int(i) for i in policy.end_ids}), dtype=np.int64)
        self.stops = StopStrings(policy.tokenizer, settings.stop) if settings.stop else None
        lengths = np.array([len(row.prompt_ids) for row in rows])
        # Longest prompts first: a row admitted later then always fits behind the current column.
        self.queue = sorted(range(len(rows)), key=lambda r: (-lengths[r], rows[r].group, r))
        self.next = 0
        self.stream = streams(seed, step, [row.key for row in rows], [row.index for row in rows])
        self.results: list[Sampled | None] = [None] * len(rows)
        self.done = 0

        widest = int(lengths.max()) - 1 + settings.max_new_tokens
        self.capacity = max(1, min(sampler.max_rows, sampler.max_tokens // widest, len(rows)))
        # With refilling, spare columns make moving everything to the front rare.
        columns = widest if self.capacity == len(rows) else widest + max(64, widest // 2)
        parameter = next(policy.model.parameters())
        self.cache = RowCache(forward.windows, self.capacity, columns, parameter.dtype, self.device)
        self.cache.end = int(lengths.max()) - 1

        self.row = np.zeros(self.capacity, dtype=np.int64)
        self.count = np.zeros(self.capacity, dtype=np.int64)
        self.alive = np.zeros(self.capacity, dtype=bool)
        self.ids = np.zeros((self.capacity, settings.max_new_tokens), dtype=np.int64)
        self.log_probs = np.zeros((self.capacity, settings.max_new_tokens), dtype=np.float32)
        self.current = torch.zeros(self.capacity, dtype=torch.long, device=self.device)
        self.prefill_tokens = max(2048, widest)

    def finish(self) -> list[Sampled]:
        """Decode until every row is done."""
        while self.done < len(self.rows):
            free = self.capacity - self.cache.live
            waiting = len(self.rows) - self.next
            # A prefill costs as much as several steps: admit several rows at once.
            if waiting and (free >= min(waiting, max(1, self.capacity // 4)) or self.cache.live == 0):
                self._admit(min(free, waiting))
            self._step()
        return [result for result in self.results if result is not None]

    def _admit(self, amount: int) -> None:
        """Move ``amount`` rows of the queue into free slots, each distinct prompt computed once."""
        taken = self.queue[self.next : self.next + amount]
        self.next += amount
        cache, first = self.cache, self.cache.live
        slots = np.arange(first, first + amount)
        prompts: dict[int, int] = {}
        parents = np.array([prompts.setdefault(self.rows[r].group, len(prompts)) for r in taken])
        unique = [self.rows[taken[int(np.argmax(parents == p))]].prompt_ids for p in range(len(prompts))]
        # The last prompt token is fed by the first step, like every later token.
        lengths = np.array([len(p) - 1 for p in unique])
        cache.open(self._tensor(slots), self._tensor(lengths[parents]))
        begin = 0
        while begin < len(unique) and lengths[begin] > 0:
            stop = begin + max(1, self.prefill_tokens // int(lengths[begin]))
            part = [p for p in range(begin, min(stop, len(unique))) if lengths[p] > 0]
            ids = np.zeros((len(part), int(lengths[begin])), dtype=np.int64)
            for i, p in enumerate(part):
                ids[i, : lengths[p]] = unique[p][:-1]
            mine = np.flatnonzero(np.isin(parents, part))
            target, parent = self._tensor(slots[mine]), self._tensor(parents[mine] - begin)
            length = self._tensor(lengths[parents[mine]])
            for layer, (k, v) in enumerate(self.forward.prefill(self._tensor(ids))):
                cache.fill(layer, target, parent, length, k, v)
            begin = part[-1] + 1
        self.row[slots] = taken
        self.count[slots] = 0
        self.alive[slots] = True
        self.current[first : first + amount] = self._tensor(
            np.array([self.rows[r].prompt_ids[-1] for r in taken])
        )
        cache.settle(first + amount)

    def _step(self) -> None:
        """One token for every live row."""
        cache, live = self.cache, self.cache.live
        cache.advance()
        logits = self.forward.step(self.current[:live], cache)
        rows, count = self.row[:live], self.count[:live]
        u = uniforms(self.stream[rows], count)
        ids, log_probs = draw(logits, torch.from_numpy(u).to(self.device), self.settings)
        self.current[:live] = ids
        host = ids.cpu().numpy()
        place = np.arange(live)
        at = np.minimum(count, self.settings.max_new_tokens - 1)
        self.ids[place, at] = host
        self.log_probs[place, at] = log_probs.cpu().numpy()
        alive = self.alive[:live]
        count += alive
        ended = alive & np.isin(host, self.ends)
        finished = ended | (alive & (count >= self.settings.max_new_tokens))
        stopped = np.zeros(live, dtype=bool)
        if self.stops is not None:
            stopped = self.stops.completed(host, self.ids, count, alive & ~ended)
            finished |= stopped
        if finished.any():
            self._retire(np.flatnonzero(finished), ended, stopped)

    def _retire(self, finished: np.ndarray, ended: np.ndarray, stopped: np.ndarray) -> None:
        """Record finished rows and, once enough have gathered, close their holes."""
        for slot in finished:
            row, n = self.rows[self.row[slot]], self.count[slot]
            self.results[self.row[slot]] = Sampled(
                row.key,
                row.index,
                row.prompt_ids,
                self.ids[slot, :n].copy(),
                self.log_probs[slot, :n].copy(),
                "end" if ended[slot] else "stop" if stopped[slot] else "length",
                self.policy_version,
            )
        self.alive[finished] = False
        self.done += len(finished)
        if self.progress is not None:
            self.progress(self.done, len(self.rows))
        live = self.cache.live
        alive = int(self.alive[:live].sum())
        if live - alive >= max(1, live // 16):
            holes = np.flatnonzero(~self.alive[:alive])
            movers = alive + np.flatnonzero(self.alive[alive:live])
            if len(holes):
                for array in (self.row, self.count, self.alive, self.ids, self.log_probs):
                    array[holes] = array[movers]
                source, target = self._tensor(movers), self._tensor(holes)
                self.current[target] = self.current[source]
                self.cache.move(source, target)
            self.alive[alive:] = False
            self.cache.settle(alive)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
