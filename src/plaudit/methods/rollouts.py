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
    that are read and not there: the policy's own log-probs and entropies.
    """

    samples: list[Sample]
    sampled: list[Sampled]
    items: list[TokenItem]
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0))
    lazy: Callable[[], Mapping[str, list[list[np.ndarray]]]] | None = None

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

    def per_item(self, rows: Tensor) -> list[list[np.ndarray]]:
        """Undo ``rows``: [R, T] → per item and response arrays."""
        flat = [row[:n].numpy() for row, n in zip(rows, self.lengths.tolist())]
        result, offset = [], 0
        for item in self.items:
            result.append(flat[offset : offset + len(item.responses)])
            offset += len(item.responses)
        return result


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
) -> Rollouts:
    """Sample G responses to each prompt; ranks share the prompts and all receive all of them.

    A prompt too long beside ``max_new_tokens`` loses its oldest turns; UserError where that is not enough.
    """
    mesh = mesh or Mesh()
    requests = []
    asked: Counter[str] = Counter()
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
