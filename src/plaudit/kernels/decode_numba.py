"""Decode attention and token sampling as one numba loop each.

    A = softmax([q Kₚᵀ, q Kᵣᵀ]) [Vₚ; Vᵣ],   p: the row's prompt, r: its own columns of the KV cache

Keys and values are read once, in place, in fp32 or bf16; sums are fp32. A row's result is bitwise independent of other
rows and of the number of threads.

Shapes: R rows, H heads, G key-value heads, d and dv head sizes, C columns, P prompts of at most W tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from plaudit.kernels.numba_utils import as_numpy, exp, load_fp32, parallel_loop, set_threads_for

# Tokens whose probabilities are summed before the cumulative sum is compared.
BLOCK = 64


def decode_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    first: Tensor,
    begin: int,
    end: int,
    prompts: tuple[Tensor, Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """Attention [R, H, dv] of scaled fp32 queries ``q`` [R, H, d], one per row.

    A row attends to its columns of ``keys`` [≥ R, G, C, d] and ``values`` [≥ R, G, C, dv] from max(``first`` [R],
    ``begin``) to ``end``. ``prompts``: keys [P, G, W, d], values [P, G, W, dv], tokens [P], and which prompt each row
    continues [R].
    """
    rows, heads, _ = q.shape
    out = torch.empty(rows, heads, values.shape[-1])
    if prompts is None:
        none = torch.zeros(1, dtype=torch.long)
        prompts = keys[:1], values[:1], none, none.expand(rows)
    scores = np.empty((rows * keys.shape[1], prompts[0].shape[2] + end), dtype=np.float32)
    set_threads_for(q.numel() * scores.shape[1])
    _attention(*map(as_numpy, (q, keys, values, first, *prompts)), begin, end, scores, out.numpy())
    return out


def draw_tokens(z: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [R] and their log-probabilities [R] from fp32 logits [R, V] and ``uniform`` [R] float64.

    As ``token_sampling.draw``: the first v with Σ_{w ≤ v} p(w) > u, never one of probability 0, NaN where logits are.
    """
    rows, vocabulary = z.shape
    ids, log_probs = torch.empty(rows, dtype=torch.long), torch.empty(rows)
    sums = np.empty((rows, -(-vocabulary // BLOCK)))
    set_threads_for(16 * z.numel())
    _draw(as_numpy(z), as_numpy(uniform), sums, ids.numpy(), log_probs.numpy())
    return ids, log_probs


def _attention_rows(
    q: Any,
    keys: Any,
    values: Any,
    first: Any,
    prompt_keys: Any,
    prompt_values: Any,
    tokens: Any,
    prompt: Any,
    begin: int,
    end: int,
    scores: Any,
    out: Any,
) -> None:
    """The loop of ``decode_attention``; ``scores`` [R · G, most tokens] is scratch for the weights of one head."""
    rows, heads, d = q.shape
    shared, dv = keys.shape[1], values.shape[3]
    group = heads // shared
    for item in prange(rows * shared):
        row = item // shared
        kv = item - row * shared
        own, which = max(first[row], begin), prompt[row]
        before = tokens[which]
        seen = before + end - own
        for head in range(kv * group, (kv + 1) * group):
            for t in range(before):
                s = np.float32(0)
                for i in range(d):
                    s += q[row, head, i] * load_fp32(prompt_keys[which, kv, t, i])
                scores[item, t] = s
            for t in range(own, end):
                s = np.float32(0)
                for i in range(d):
                    s += q[row, head, i] * load_fp32(keys[row, kv, t, i])
                scores[item, before + t - own] = s
            top = np.float32(-np.inf)
            for t in range(seen):
                top = max(top, scores[item, t])
            total = np.float32(0)
            for t in range(seen):
                s = scores[item, t] - top
                weight = exp(s)
                scores[item, t] = weight
                # The last term is 0, or NaN where a score is not finite.
                total += weight + np.float32(0) * s
            for i in range(dv):
                out[row, head, i] = np.float32(0)
            for t in range(before):
                weight = scores[item, t]
                for i in range(dv):
                    out[row, head, i] += weight * load_fp32(prompt_values[which, kv, t, i])
            for t in range(own, end):
                weight = scores[item, before + t - own]
                for i in range(dv):
                    out[row, head, i] += weight * load_fp32(values[row, kv, t, i])
            for i in range(dv):
                out[row, head, i] /= total


def _draw_rows(z: Any, uniform: Any, sums: Any, ids: Any, log_probs: Any) -> None:
    """The loop of ``draw_tokens``; ``sums`` [R, blocks] is scratch for the probability of every block."""
    rows, vocabulary = z.shape
    for row in prange(rows):
        top = np.float32(-np.inf)
        wrong = 0
        for v in range(vocabulary):
            top = max(top, z[row, v])
            wrong += z[row, v] != z[row, v]
        total = np.float64(0)
        for block in range(sums.shape[1]):
            mass = np.float32(0)
            for v in range(block * BLOCK, min((block + 1) * BLOCK, vocabulary)):
                mass += _mass(z[row, v] - top)
            sums[row, block] = mass
            total += mass
        ids[row], log_probs[row] = 0, np.nan
        if wrong or not np.isfinite(top):
            continue
        target, before = uniform[row] * total, 0.0
        last = 0
        for block in range(sums.shape[1]):
            if sums[row, block] > 0:
                last = block
                if before + sums[row, block] > target:
                    break
                before += sums[row, block]
        else:
            # Rounding left the target beyond every sum: the last token of positive probability is taken.
            before -= sums[row, last]
        for v in range(last * BLOCK, min((last + 1) * BLOCK, vocabulary)):
            mass = _mass(z[row, v] - top)
            if mass > 0:
                ids[row] = v
                before += mass
                if before > target:
                    break
        log_probs[row] = np.float64(z[row, ids[row]]) - top - np.log(total)


@njit(inline="always")
def _mass(s: Any) -> Any:
    """eˣ, and 0 where fp32 has no number that small."""
    return exp(s) if s > np.float32(-87.0) else np.float32(0)


_attention, _draw = parallel_loop(_attention_rows), parallel_loop(_draw_rows)
