"""The operations for which plaudit has kernels. ``auto`` and ``reference`` implement them; the tests compare the two.

Shapes: S slots, H heads, G key-value heads, d and dv head sizes, N tokens, D hidden size, B rows, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from plaudit.kernels.attention_blocks import Rows


@dataclass(frozen=True)
class LogitShape:
    """What a model applies to W h before the softmax: a factor, then a soft cap."""

    factor: float
    cap: float | None

    def apply(self, logits: Tensor) -> Tensor:
        """In place where no gradient is recorded."""
        if self.factor != 1.0:
            logits = logits * self.factor
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap


class Kernels(Protocol):
    """One implementation of every operation: the module ``auto`` or the module ``reference``."""

    @property
    def fused(self) -> bool:
        """Whether Llama layers may be fused: in training (``models/fused_decoder.py``) and decoding (``rollout``)."""

    def packed_attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        rows: Rows,
        *,
        scale: float,
        causal: bool = True,
        window: int | None = None,
        softcap: float | None = None,
        sinks: Tensor | None = None,
    ) -> Tensor:
        """Attention of q [H, S, d] over k [G, S, d] and v [G, S, dv] within the sequences of a table: [S, H, dv]."""

    def linear_log_probs(
        self,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        *,
        shape: LogitShape,
        temperature: float,
        details: bool,
        bf16: bool,
        kept_logits: int,
    ) -> tuple[Tensor, ...]:
        """log softmax(shape(W h + b) / T) of the targets [N]; with ``details`` also the entropy [N].

        ``bf16``: matmul in bf16. ``kept_logits``: numbers up to which logits are saved for the backward pass.
        """

    def draw_tokens(self, z: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B] drawn from softmax(z) by inverse CDF of ``uniform`` [B], and their log-probabilities [B]."""
