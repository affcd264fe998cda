"""Token batches: the one form in which text reaches a model.

A *batch* holds items and tensors that describe their responses. How the tokens are placed in the model's
slots, padded or packed, is a *layout*, chosen where the model is called. Code that reads hidden states
through the layout's index tensors works with every layout.

Shapes: I items, R responses (Σ over items), N response tokens (Σ over responses), S token slots of
a layout, D hidden size, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import Layout, LayoutKind, lay_out


@dataclass
class TokenBatch:
    """Items for one forward pass, independent of the layout that the model needs.

    ``targets`` [N] ids, ``trained`` [N] bool, ``response_of`` [N] in 0..R-1, ``lengths`` [R],
    ``item_of`` [R] in 0..I-1. ``layout(kind)`` is computed once per kind (see ``data/tokens/layout.py``).
    """

    items: list[TokenItem]
    pad_id: int
    targets: Tensor
    trained: Tensor
    response_of: Tensor
    lengths: Tensor
    item_of: Tensor
    _layouts: dict[LayoutKind, Layout] = field(default_factory=dict)

    @property
    def responses(self) -> int:
        return len(self.lengths)

    @property
    def tokens(self) -> int:
        return len(self.targets)

    def layout(self, kind: LayoutKind) -> Layout:
        """The items in this layout, on the batch's device."""
        if kind not in self._layouts:
            self._layouts[kind] = lay_out(self.items, kind, self.pad_id).to(self.targets.device)
        return self._layouts[kind]

    def to(self, device: torch.device | str) -> TokenBatch:
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in self.__dict__.items()
            if isinstance(value, Tensor)
        }
        return replace(self, _layouts={}, **moved)

    def knows(self, name: str) -> bool:
        """Whether the items have the extra ``name``."""
        return all(name in item.extras for item in self.items)

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
