"""The fastest kernels that compute exactly what is asked: numba, oneDNN or CUDA, else plain torch."""

from __future__ import annotations

from torch import Tensor

from plaudit.kernels import linear_logprob, packed_attention as attention, reference
from plaudit.kernels.optional import load_compiled

fused = True
packed_attention = attention.packed_attention
linear_log_probs = linear_logprob.linear_log_probs


def draw_tokens(z: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """As ``reference.draw_tokens``, up to rounding."""
    if z.device.type == "cpu" and (kernel := load_compiled("plaudit.kernels.decode_numba")) is not None:
        drawn: tuple[Tensor, Tensor] = kernel.draw_tokens(z, uniform)
        return drawn
    return reference.draw_tokens(z, uniform)
