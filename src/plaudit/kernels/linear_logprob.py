"""Log-probability of tokens from hidden states: matmul with the output embedding, log-softmax and gather in chunks.

    log π(y | s) = z_y − log Σ_v exp z_v,   z = cap · tanh(s · W h / cap) / T

Its own backward pass reuses the saved logits, or recomputes them chunk by chunk (cf. linear cross-entropy).

Shapes: N tokens, D hidden size, V vocabulary.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.kernels.interface import LogitShape
from plaudit.kernels.linear import (
    ROW_MULTIPLE,
    accumulate_grad_weight,
    linear,
    linear_grad_input,
    padding_rows,
)
from plaudit.kernels.optional import load_compiled
from plaudit.kernels.reference import NEVER

# Elements of one chunk of logits: large enough for full-speed products, small enough to stay cheap. An accelerator
# needs larger products, and adds to the head's whole gradient once a chunk.
CHUNK = 2**24
ACCELERATED = 2**26


def linear_log_probs(
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
    """As ``reference.linear_log_probs``, up to rounding."""
    keep = torch.is_grad_enabled() and hidden.shape[0] * weight.shape[0] <= kept_logits
    columns: tuple[Tensor, ...] = _LogProb.apply(
        hidden, weight, bias, targets, shape, temperature, details, bf16, keep
    )
    return columns


class _LogProb(torch.autograd.Function):
    """Log-probs (and entropies) with a backward of its own, which overwrites what the forward kept.

    d log π / dz_v = 1[v = y] − p_v,   d H / dz_v = −p_v (log p_v + H)
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        shape: LogitShape,
        temperature: float,
        details: bool,
        bf16: bool,
        keep: bool,
    ) -> tuple[Tensor, ...]:
        dtype = torch.bfloat16 if bf16 else weight.dtype
        ctx.settings = shape, temperature, bf16
        ctx.loops = found = _loops(weight, bias, shape, dtype)
        ctx.count = count = len(hidden)
        spare = padding_rows(count, hidden.device)
        if spare:  # more of the last row: zeros times an infinite weight would be NaN
            hidden = torch.cat([hidden, hidden[-1:].expand(spare, -1)])
        targets = F.pad(targets, (0, spare))
        chunk = _rows(weight)
        low = weight.to(dtype)
        kept: list[Tensor] = []
        columns: list[tuple[Tensor, ...]] = []
        for h, t in zip(hidden.split(chunk), targets.split(chunk)):
            if found is not None:
                z, factor = linear(h.to(dtype), low), shape.factor / temperature
                part: tuple[Tensor, ...] = found.log_prob(z, t, factor)
                columns.append((*part, found.entropy(z, part[1], factor)) if details else part)
                kept += [z] * keep
                continue
            z = _logits(h.to(dtype), low, bias, shape, temperature)
            # One fused pass, where a logsumexp takes four.
            table = z.log_softmax(-1)
            chosen = table.gather(-1, t[:, None]).squeeze(-1)
            part = (chosen, z.gather(-1, t[:, None]).squeeze(-1) - chosen)
            if details:
                part += (-torch.linalg.vecdot(table.exp(), table.clamp(min=NEVER)),)
            columns.append(part)
            if keep:
                kept.append(table)
        log_prob, normalizer, *more = (torch.cat(c) for c in zip(*columns))
        ctx.save_for_backward(hidden, weight, bias, targets, normalizer, *more)
        ctx.kept = kept
        return (log_prob[:count], *(column[:count] for column in more))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        hidden, weight, bias, targets, normalizer, *more = ctx.saved_tensors
        shape, temperature, bf16 = ctx.settings
        dtype = torch.bfloat16 if bf16 else weight.dtype
        low = weight.to(dtype)
        chunk = _rows(weight)
        spare = len(hidden) - ctx.count
        above = F.pad(grads[0], (0, spare))
        sideways = F.pad(grads[1], (0, spare)) if len(grads) > 1 and grads[1] is not None else None
        d_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        d_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        d_bias = torch.zeros_like(bias) if ctx.needs_input_grad[2] else None
        kept, ctx.kept = ctx.kept, []
        for number, begin in enumerate(range(0, len(hidden), chunk)):
            part = slice(begin, begin + chunk)
            h = hidden[part].to(dtype)
            grad, entropy = above[part], None
            if sideways is not None and bool(sideways.any()):
                entropy = more[0][part, None], sideways[part, None]
            if ctx.loops is not None:
                z = kept[number] if kept else linear(h, low)
                factor = shape.factor / temperature
                if entropy is None:
                    g = ctx.loops.grad_logits(z, targets[part], normalizer[part], grad, factor)
                else:
                    table = (z.float() * factor).sub_(normalizer[part, None])
            elif kept:
                table = kept[number]
            else:
                table = _logits(h, low, bias, shape, temperature).log_softmax(-1)
            if ctx.loops is None or entropy is not None:
                g = _grad_logits(table, targets[part], normalizer[part], grad, entropy, shape, temperature)
            if d_bias is not None:
                d_bias += g.sum(0)
            g = g.to(dtype)
            if d_hidden is not None:
                d_hidden[part] = linear_grad_input(g, low).to(hidden.dtype)
            accumulate_grad_weight(d_weight, g, h)
        if d_hidden is not None:
            d_hidden = d_hidden[: ctx.count]
        return d_hidden, d_weight, d_bias, None, None, None, None, None, None


def _loops(weight: Tensor, bias: Tensor | None, shape: LogitShape, dtype: torch.dtype) -> ModuleType | None:
    """The compiled loops, where they are there; they know a factor, and neither bias nor cap."""
    plain = bias is None and shape.cap is None and shape.factor > 0
    if plain and weight.device.type == "cpu" and dtype in (torch.float32, torch.bfloat16):
        return load_compiled("plaudit.kernels.token_logprob")
    return None


def _grad_logits(
    table: Tensor,
    targets: Tensor,
    normalizer: Tensor,
    grad: Tensor,
    entropy: tuple[Tensor, Tensor] | None,
    shape: LogitShape,
    temperature: float,
) -> Tensor:
    """The gradient of W h from that of the log-probs [n], and of the entropies [n, 1] where these are given with it.

    ``table`` [n, V], all log-probs, is overwritten.
    """
    g = table
    softcap_gradient = None
    if shape.cap is not None:
        softcap_gradient = 1 - ((g + normalizer[:, None]) * (temperature / shape.cap)) ** 2
    if entropy is not None:
        p = g.exp()
        g = p.mul(g.clamp_(min=NEVER).add_(entropy[0])).mul_(-entropy[1]).sub_(p.mul_(grad[:, None]))
    else:
        g = g.exp_().mul_(-grad[:, None])
    g.scatter_add_(1, targets[:, None], grad[:, None])
    if softcap_gradient is not None:
        g.mul_(softcap_gradient)
    if (factor := shape.factor / temperature) != 1.0:
        g.mul_(factor)
    return g


def _rows(weight: Tensor) -> int:
    """Tokens of one chunk."""
    on_cpu = weight.device.type == "cpu"
    most = max(128, (CHUNK if on_cpu else ACCELERATED) // weight.shape[0] // ROW_MULTIPLE * ROW_MULTIPLE)
    # On the CPU products of this size are fastest, and their kernels serve the next batch too.
    return min(most, 512) if on_cpu else most


def _logits(h: Tensor, weight: Tensor, bias: Tensor | None, shape: LogitShape, temperature: float) -> Tensor:
    """Shaped logits over temperature, in fp32 memory of their own: [n, V]."""
    z = linear(h, weight).float()
    if bias is not None:
        z += bias
    if shape.factor != 1.0:
        z *= shape.factor
    if shape.cap is not None:
        z = z.div_(shape.cap).tanh_().mul_(shape.cap)
    if temperature != 1.0:
        z /= temperature
    return z
