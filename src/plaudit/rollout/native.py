"""The native sampler: prompts computed once, a cache written in place, finished rows dropped and refilled."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.kernels.interface import Kernels
from plaudit.models.compute import kernels_in_use
from plaudit.models.policy import Policy
from plaudit.rollout.cache import RowCache
from plaudit.rollout.choose_forward import choose_forward
from plaudit.rollout.forward import Forward, unwrapped
from plaudit.rollout.prefix import Prefixes
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
from plaudit.rollout.transformers_backend import TransformersSampler

logger = logging.getLogger(__name__)

# Bytes of cache that stay allocated between calls: fresh memory costs more than the arithmetic on it.
KEPT = 1 << 29
# Padded prompt tokens computed at once: small parts of like length waste little and stay in a CPU's caches.
PREFILL_TOKENS = 512
# An accelerator has no such caches, and every part costs it a launch for each operation.
ACCELERATED_TOKENS = 1 << 14
# One part in how many must have finished before holes are closed.
DROP = 8
# Rows and prompt tokens are computed in whole multiples: kernels are made for every number not seen before.
ROWS, WIDTH = 8, 16


class NativeSampler:
    """Samples from ``policy`` (its ``model``, ``tokenizer``, ``pad_id``, ``end_ids``) with an own cache.

    At most ``max_rows`` responses are decoded at once, fewer where they would need more than
    ``max_tokens`` cache columns in all. The weights are read at every call. A model whose attention
    cannot run over the cache is sampled with ``TransformersSampler``; the reason is logged.
    """

    def __init__(self, policy: Policy, *, max_rows: int = 256, max_tokens: int = 1 << 18) -> None:
        self.policy = policy
        self.max_rows, self.max_tokens = max_rows, max_tokens
        self._checked: Any = None
        self._kernels: Kernels = kernels_in_use()
        self._way: type[Forward] | None = None
        self._cache: RowCache | None = None

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
        """Draw every request's responses, in the order of requests and sample index.

        Raises ``UserError`` when the model has too few positions and ``NotFiniteError`` when its logits
        are not finite.
        """
        rows = sample_rows(requests)
        model = self.policy.model
        check_room(rows, settings, model.config)
        training = model.training
        model.eval()
        try:
            with torch.inference_mode():
                if self._checked is not model or self._kernels is not kernels_in_use():
                    self._way, self._checked, self._cache = choose_forward(model), model, None
                    self._kernels = kernels_in_use()
                if self._way is None:
                    logger.warning("%s is sampled with transformers' generate", type(model).__name__)
                    return TransformersSampler(self.policy, max_rows=self.max_rows).sample(
                        requests,
                        settings,
                        seed=seed,
                        step=step,
                        policy_version=policy_version,
                        progress=progress,
                    )
                if not rows:
                    return []
                run = _Run(self, self._way(model), rows, settings, seed, step)  # type: ignore[call-arg]
                results = run.finish(policy_version, progress)
                kept = run.device.type == "cpu" and run.cache.bytes <= KEPT
                self._cache = run.cache if kept else None
                return results
        finally:
            model.train(training)

    def take_cache(self, windows: list[int | None], rows: int, columns: int, like: Tensor) -> RowCache:
        """The last call's cache where it serves again, else a new one.

        It is given away: after an error nothing of what a broken policy wrote may be used again.
        """
        cache, self._cache = self._cache, None
        if cache is None or not cache.fits(windows, rows, columns, like):
            cache = RowCache(windows, rows, columns, like.dtype, like.device)
        cache.settle(0)
        return cache


class _Run:
    """One call of ``sample``: the queue, the slots, and the loop over steps.

    Slot s < live holds row ``row[s]``, of which ``count[s]`` tokens are drawn.
    """

    def __init__(
        self,
        sampler: NativeSampler,
        forward: Forward,
        rows: list[SampleRow],
        settings: SamplingSettings,
        seed: int,
        step: int,
    ) -> None:
        self.forward, self.rows, self.settings = forward, rows, settings
        policy = sampler.policy
        self.ends = np.array(sorted({int(i) for i in policy.end_ids}), dtype=np.int64)
        self.stops = StopStrings(policy.tokenizer, settings.stop) if settings.stop else None
        lengths = np.array([len(row.prompt_ids) for row in rows])
        # Longest prompts first: a row admitted later then always fits before the current column.
        self.queue = sorted(range(len(rows)), key=lambda r: (-lengths[r], rows[r].group, r))
        self.next = self.done = 0
        self.stream = streams(seed, step, [row.key for row in rows], [row.index for row in rows])

        groups = len({row.group for row in rows})
        self.shared = forward.shares and 2 * groups <= len(rows)
        self.prompt = int(lengths.max()) - 1  # columns of the longest prompt: its last token is fed by a step
        widest = settings.max_new_tokens + (0 if self.shared else self.prompt)
        self.capacity = max(1, min(sampler.max_rows, sampler.max_tokens // widest, len(rows)))
        # With refilling, spare columns make moving everything to the front rare.
        columns = widest if self.capacity == len(rows) else widest + max(64, widest // 2)
        # Rounded up, so that the next call's cache is likely the same.
        columns = -(-columns // 32) * 32
        self.device = next(unwrapped(policy.model).parameters()).device
        like = torch.empty(0, dtype=forward.dtype, device=self.device)
        self.cache = sampler.take_cache(forward.windows, self.capacity, columns, like)
        self.cache.end = 0 if self.shared else self.prompt
        self.cache.prefixes = None
        if self.shared:
            most = min(self.capacity, groups)
            self.cache.prefixes = Prefixes(len(forward.windows), most, max(1, self.prompt), like)
        self.group = np.zeros(self.capacity, dtype=np.int64)
        self.row = np.zeros(self.capacity, dtype=np.int64)
        self.count = np.zeros(self.capacity, dtype=np.int64)
        self.alive = np.zeros(self.capacity, dtype=bool)
        self.ids = np.zeros((self.capacity, settings.max_new_tokens), dtype=np.int64)
        self.log_probs = np.zeros((self.capacity, settings.max_new_tokens), dtype=np.float32)
        self.current = torch.zeros(self.capacity, dtype=torch.long, device=self.device)
        self.results: dict[int, Sampled] = {}

    def finish(self, policy_version: int, progress: Progress | None) -> list[Sampled]:
        """Decode until every row is done; results in the rows' order."""
        while len(self.results) < len(self.rows):
            free, waiting = self.capacity - self.cache.live, len(self.rows) - self.next
            # A prefill costs as much as several steps: admit several rows at once.
            if waiting and free >= min(waiting, max(1, self.capacity // 4)):
                self._admit(min(free, waiting))
            finished, kinds = self._step()
            if len(finished):
                self._record(finished, kinds, policy_version)
                self._drop()
                if progress is not None:
                    progress(len(self.results), len(self.rows))
        return [self.results[r] for r in range(len(self.rows))]

    def _admit(self, amount: int) -> None:
        """Move ``amount`` rows of the queue into free slots, each distinct prompt computed once."""
        taken = self.queue[self.next : self.next + amount]
        self.next += amount
        cache, first = self.cache, self.cache.live
        slots = np.arange(first, first + amount)
        groups: dict[int, int] = {}
        parents = np.array([groups.setdefault(self.rows[r].group, len(groups)) for r in taken])
        prompts = [self.rows[taken[s]].prompt_ids for s in np.unique(parents, return_index=True)[1]]
        # The last prompt token is fed by the first step, like every later token.
        lengths = np.array([len(prompt) - 1 for prompt in prompts])
        prefixes, base = cache.prefixes, 0
        if prefixes is None:
            cache.open(self._tensor(slots), self._tensor(lengths[parents]))
        else:
            base = prefixes.add(self._tensor(lengths))
            cache.open(self._tensor(slots), self._tensor(0 * parents), self._tensor(lengths[parents]))
            self.group[slots] = base + parents
        begin, filled = 0, int((lengths > 0).sum())
        most = PREFILL_TOKENS if self.device.type == "cpu" else ACCELERATED_TOKENS
        while begin < filled:
            width = -(-int(lengths[begin]) // WIDTH) * WIDTH
            end = min(filled, begin + max(1, most // width))
            ids = np.zeros((end - begin, width), dtype=np.int64)
            for row, prompt in zip(ids, prompts[begin:end]):
                row[: len(prompt) - 1] = prompt[:-1]
            mine = np.flatnonzero((begin <= parents) & (parents < end))
            where = self._tensor(slots[mine]), self._tensor(parents[mine] - begin)
            length = self._tensor(lengths[parents[mine]])
            for layer, states in enumerate(self.forward.prefill(self._tensor(ids))):
                keys, values = (x[:, :, : int(lengths[begin])] for x in states)
                if prefixes is None:
                    cache.fill(layer, *where, length, keys, values)
                else:
                    prefixes.fill(layer, base + begin, keys, values)
            begin = end
        self.row[slots] = taken
        self.count[slots] = 0
        self.alive[slots] = True
        self.current[first : first + amount] = self._tensor(
            np.array([self.rows[r].prompt_ids[-1] for r in taken], dtype=np.int64)
        )
        self._settle(first + amount)

    def _settle(self, live: int) -> None:
        """Say which rows are in use, and which prompts with them."""
        self.cache.settle(live)
        if self.cache.prefixes is not None:
            self.group[:live] = self.cache.prefixes.settle(self.group[:live])

    def _step(self) -> tuple[np.ndarray, list[Finish]]:
        """Draw one token for every live row; the slots that finished, and how."""
        cache, live = self.cache, self.cache.live
        cache.advance()
        logits = self.forward.step(self.current[:live], cache)
        row, count, alive = self.row[:live], self.count[:live], self.alive[:live]
        uniform = torch.from_numpy(uniforms(self.stream[row], count)).to(self.device)
        drawn, drawn_log_probs = draw(logits, uniform, self.settings)
        self.current[:live] = drawn
        ids, log_probs = drawn.cpu().numpy(), drawn_log_probs.cpu().numpy()
        slots = np.arange(live)
        # Rows that finished but still hold their slot draw on; nobody reads what they draw.
        at = np.minimum(count, self.settings.max_new_tokens - 1)
        self.ids[slots, at], self.log_probs[slots, at] = ids, log_probs
        if not np.isfinite(log_probs[alive]).all():
            row_ = self.rows[row[alive & ~np.isfinite(log_probs)][0]]
            raise not_finite(f"prompt {row_.key!r}, sample {row_.index}")
        count += alive
        ended = alive & np.isin(ids, self.ends)
        full = alive & (count >= self.settings.max_new_tokens)
        stopped = np.zeros(live, dtype=bool)
        if self.stops is not None:
            stopped = self.stops.completed(ids, self.ids, count, alive & ~ended)
        finished = np.flatnonzero(ended | stopped | full)
        return finished, ["end" if ended[s] else "stop" if stopped[s] else "length" for s in finished]

    def _record(self, finished: np.ndarray, kinds: list[Finish], policy_version: int) -> None:
        for slot, kind in zip(finished, kinds):
            row, n = self.rows[self.row[slot]], self.count[slot]
            ids, log_probs = self.ids[slot, :n].copy(), self.log_probs[slot, :n].copy()
            self.results[int(self.row[slot])] = Sampled(
                row.key, row.index, row.prompt_ids, ids, log_probs, kind, policy_version
            )
        self.alive[finished] = False

    def _drop(self) -> None:
        """Close the holes of finished rows with the last live rows, once enough have gathered."""
        live = self.cache.live
        alive = int(self.alive[:live].sum())
        if live - alive < max(1, live // DROP):
            return
        # Some finished rows stay, where nobody waits for their place.
        kept = alive if self.next < len(self.rows) else min(live, -(-alive // ROWS) * ROWS)
        if kept == live:
            return
        holes = np.flatnonzero(~self.alive[:alive])
        movers = alive + np.flatnonzero(self.alive[alive:live])
        if len(holes):
            for array in (self.row, self.count, self.alive, self.group, self.ids, self.log_probs):
                array[holes] = array[movers]
            source, target = self._tensor(movers), self._tensor(holes)
            self.current[target] = self.current[source]
            self.cache.move(source, target)
        self.alive[alive:] = False
        self._settle(kept)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
