"""The data of one RL iteration: sampled responses with all numbers of their tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from plaudit.data.records import Prompt
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.rewards import Sample
from plaudit.rollout.protocol import Request, Sampled, Sampler, SamplingSettings
from plaudit.runtime import Mesh


@dataclass
class Rollouts:
    """I prompts with G responses each (R = I · G), as records and as token items.

    Per-token numbers lie in the items' extras; ``rows`` returns them as padded [R, T] tensors. ``lazy`` computes extras
    that are read and not there: the policy's own log-probs and entropies. ``masked``: answers that the length limit
    cut are not trained on.
    """

    samples: list[Sample]
    sampled: list[Sampled]
    items: list[TokenItem]
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0))
    lazy: Callable[[], Mapping[str, list[list[np.ndarray]]]] | None = None
    masked: bool = False

    def attach(self, **extras: list[list[np.ndarray]]) -> None:
        """Add per-response arrays, given per item and response, to the items' extras."""
        self.items = [
            replace(item, extras={**item.extras, **{name: per_item[i] for name, per_item in extras.items()}})
            for i, item in enumerate(self.items)
        ]

    def flat(self, name: str) -> list[np.ndarray]:
        if not self.knows(name) and self.lazy is not None:
            self.attach(**self.lazy())
        return [np.asarray(v) for item in self.items for v in item.extras[name]]

    def rows(self, name: str) -> Tensor:
        """An extra as a right-padded [R, T] tensor, 0 where there is no token."""
        return pad_rows(self.flat(name))

    def knows(self, name: str) -> bool:
        """Whether the items have this extra."""
        return all(name in item.extras for item in self.items)

    @property
    def cut(self) -> np.ndarray:
        """[R] bool: which responses the length limit ended."""
        return np.asarray([sample.finish == "length" for sample in self.samples])

    @property
    def lengths(self) -> Tensor:
        return torch.tensor([len(s.ids) for s in self.samples])

    @property
    def mask(self) -> Tensor:
        """[R, T] bool: where a response has a token."""
        lengths = self.lengths
        return torch.arange(int(lengths.max()))[None, :] < lengths[:, None]

    @property
    def trained(self) -> Tensor:
        """[R, T] bool: the tokens that are trained on; all of them where every answer would be left out."""
        if not self.masked or self.cut.all():
            return self.mask
        return self.mask & ~torch.from_numpy(self.cut)[:, None]

    def trained_items(self) -> list[TokenItem]:
        """The items as they are trained on: without answers, or whole prompts, that are left out."""
        if not self.masked:
            return self.items
        kept = ~self.cut.reshape(len(self.items), -1)
        return [_only(item, np.flatnonzero(mine)) for item, mine in zip(self.items, kept) if mine.any()]

    def take(self, groups: Sequence[int]) -> Rollouts:
        """The rollouts of some of the prompts, in this order."""
        size = len(self.samples) // max(1, len(self.items))
        rows = [g * size + j for g in groups for j in range(size)]
        return Rollouts(
            [self.samples[i] for i in rows],
            [self.sampled[i] for i in rows],
            [self.items[g] for g in groups],
            self.scores[rows],
            masked=self.masked,
        )

    def join(self, other: Rollouts) -> Rollouts:
        """These prompts and then those of ``other``."""
        return Rollouts(
            self.samples + other.samples,
            self.sampled + other.sampled,
            self.items + other.items,
            np.concatenate([self.scores, other.scores]),
            masked=self.masked,
        )

    def per_item(self, rows: Tensor) -> list[list[np.ndarray]]:
        """Undo ``rows``: [R, T] → per item and response arrays."""
        flat = [row[:n].numpy() for row, n in zip(rows, self.lengths.tolist())]
        result, offset = [], 0
        for item in self.items:
            result.append(flat[offset : offset + len(item.responses)])
            offset += len(item.responses)
        return result


def _only(item: TokenItem, kept: np.ndarray) -> TokenItem:
    """The item with some of its responses."""
    extras = {name: [values[j] for j in kept] for name, values in item.extras.items()}
    return replace(item, responses=tuple(item.responses[j] for j in kept), extras=extras)


def pad_rows(arrays: Sequence[np.ndarray]) -> Tensor:
    out = np.zeros((len(arrays), max(len(a) for a in arrays)), dtype=np.float32)
    for row, array in zip(out, arrays):
        row[: len(array)] = array
    return torch.from_numpy(out)


def respond(
    prompts: Sequence[Prompt],
    *,
    renderer: Renderer,
    sampler: Sampler,
    settings: SamplingSettings,
    samples_per_prompt: int,
    seed: int,
    step: int,
    mesh: Mesh | None = None,
    progress: Callable[[int, int], None] | None = None,
    asked: Counter[str] | None = None,
) -> Rollouts:
    """Sample G responses to each prompt; ranks share the prompts and all receive all of them.

    A prompt too long beside ``max_new_tokens`` loses its oldest turns; UserError where that is not enough. ``asked``
    counts how often each prompt was asked in this step, over several calls.
    """
    mesh = mesh or Mesh()
    requests = []
    asked = Counter() if asked is None else asked
    for p in prompts:
        # A prompt that is asked twice gets different samples, whichever rank answers it.
        start = asked[p.id] * samples_per_prompt
        ids = renderer.prompt(p.messages, room=settings.max_new_tokens)
        requests.append(Request(ids, key=p.id, n=samples_per_prompt, start=start))
        asked[p.id] += 1
    mine = list(mesh.share(requests))
    drawn = (
        sampler.sample(mine, settings, seed=seed, step=step, policy_version=step, progress=progress)
        if mine
        else []
    )
    groups = [drawn[i : i + samples_per_prompt] for i in range(0, len(drawn), samples_per_prompt)]
    groups = mesh.gather_shares(groups)
    items, samples, sampled = [], [], []
    for prompt, request, group in zip(prompts, requests, groups):
        segments = tuple(Segment.of(s.ids) for s in group)
        extras = {"sampler_log_probs": [s.log_probs for s in group]}
        items.append(TokenItem(np.asarray(request.prompt_ids), segments, key=prompt.id, extras=extras))
        sampled += group
        samples += [as_sample(prompt, s, renderer) for s in group]
    return Rollouts(samples, sampled, items)


def as_sample(prompt: Prompt, sampled: Sampled, renderer: Renderer) -> Sample:
    return Sample(
        prompt=prompt,
        prompt_ids=np.asarray(sampled.prompt_ids),
        ids=np.asarray(sampled.ids),
        text=renderer.decode(sampled.ids, keep_special=True),
        answer=renderer.decode(sampled.ids, keep_special=False),
        finish=sampled.finish,
    )
