"""Token items and token batches: the one shape in which text reaches a model.

An *item* is a prompt and the responses that share it (one demonstration, a pair, a K-way ranking,
G samples), so that a core that computes a shared prompt once finds it as one thing. A *batch* lays
items out for one forward pass and carries index tensors into the flattened token axis; whoever
reads hidden states through those indices does not know whether the layout is padded or packed.

Shapes: I items, R responses (Σ over items), N response tokens (Σ over responses), S token slots of
the layout, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Segment:
    """One response: its token ids and which of them are trained (all, unless told otherwise)."""

    ids: np.ndarray
    trained: np.ndarray

    @classmethod
    def of(cls, ids: Sequence[int] | np.ndarray, trained: Sequence[bool] | None = None) -> Segment:
        array = np.asarray(ids, dtype=np.int64)
        mask = np.ones(len(array), dtype=bool) if trained is None else np.asarray(trained, dtype=bool)
        return cls(array, mask)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class TokenItem:
    """A prompt of at least one token and the responses that share it.

    ``extras`` maps a name to one array per response: length-of-response arrays for per-token
    numbers (old log-probs, advantages), scalars for per-response ones. ``payload`` is the
    method's own (the outcomes of a ranking, say).
    """

    prompt: np.ndarray
    responses: tuple[Segment, ...]
    key: str = ""
    extras: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    payload: Any = None

    def __post_init__(self) -> None:
        if len(self.prompt) == 0:
            raise ValueError(f"item {self.key!r}: a prompt needs at least one token")
        if any(len(r) == 0 for r in self.responses):
            raise ValueError(f"item {self.key!r}: a response needs at least one token")

    @property
    def slots(self) -> int:
        """Tokens a padding-free layout without prompt sharing holds for this item."""
        return sum(len(self.prompt) + len(r) for r in self.responses)

    @property
    def longest(self) -> int:
        return len(self.prompt) + max(len(r) for r in self.responses)

    @property
    def trained_tokens(self) -> int:
        return int(sum(r.trained.sum() for r in self.responses))


@dataclass
class TokenBatch:
    """Items laid out for one forward pass.

    ``input_ids``, ``attention_mask``, ``position_ids`` [rows, T] feed the model; the rest indexes
    its hidden states once flattened to [S, D]:

    - ``predicting`` [N]: the slot whose hidden state predicts response token n (one before it);
    - ``positions`` [N]: the slot of response token n itself;
    - ``last`` [R]: the slot of each response's true last token;
    - ``targets`` [N] ids, ``trained`` [N] bool, ``response_of`` [N] in 0..R-1, ``lengths`` [R],
      ``item_of`` [R] in 0..I-1.
    """

    items: list[TokenItem]
    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    predicting: Tensor
    positions: Tensor
    last: Tensor
    targets: Tensor
    trained: Tensor
    response_of: Tensor
    lengths: Tensor
    item_of: Tensor

    @property
    def responses(self) -> int:
        return len(self.lengths)

    @property
    def tokens(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device | str) -> TokenBatch:
        moved = {
            name: value.to(device, non_blocking=True)
            for name, value in self.__dict__.items()
            if isinstance(value, Tensor)
        }
        return TokenBatch(items=self.items, **moved)

    def per_token(self, name: str) -> Tensor:
        """The items' extra ``name`` as one float tensor [N], in the batch's order."""
        parts = [np.asarray(v, dtype=np.float32) for item in self.items for v in item.extras[name]]
        return torch.from_numpy(np.concatenate(parts)).to(self.targets.device)

    def per_response(self, name: str) -> Tensor:
        """The items' extra ``name`` as one float tensor [R], in the batch's order."""
        parts = [float(v) for item in self.items for v in item.extras[name]]
        return torch.tensor(parts, dtype=torch.float32, device=self.targets.device)

    def sum_by_response(self, values: Tensor) -> Tensor:
        """Σ over the tokens of each response: [N] → [R]."""
        return torch.zeros(self.responses, dtype=values.dtype, device=values.device).index_add(
            0, self.response_of, values
        )
