"""Fused prefill and decode steps for Llama, Mistral, Qwen2 and Qwen3.

They compute what the model computes with fewer and larger operations. Per ``sample`` call the weights are copied once
in fused form:

- the three projections of attention are one matrix, the two of the gate another;
- the scale of each RMSNorm is folded into the matrix behind it, W' = W · diag(w);
- the softmax scale and the permutation of RoPE's pairs are folded into the projections (``kernels/fused_qkv.py``);
- the last layer of a prefill computes keys and values only.

Shapes: R rows, P prompts, T prompt tokens, H heads, G heads per key-value head, d head size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plaudit.kernels.blocked_decode import CACHE_BYTES, BlockedDecode
from plaudit.kernels.fused_qkv import AttentionSpec, FoldedQKV
from plaudit.kernels.linear import PrepackedLinear
from plaudit.kernels.optional import load_compiled
from plaudit.rollout.cache import RowCache
from plaudit.rollout.forward import CannotDecode, layer_windows, unwrapped
from plaudit.runtime import compute_config

FAMILIES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")

# Bytes of weights up to which a fused copy is worth its memory.
LARGEST = 1 << 30


def looks_like_llama(model: Any) -> bool:
    """Whether the model is one of ``FAMILIES`` as transformers wrote it."""
    kind = type(unwrapped(model))
    return kind.__name__ in FAMILIES and kind.__module__.startswith("transformers.")


def _room(device: torch.device) -> float:
    """Bytes of weights that may be copied: on an accelerator a part of what is free there."""
    return LARGEST if device.type == "cpu" else torch.cuda.mem_get_info(device)[0] / 2


class _Linear:
    """A linear layer's weight and bias, the weight pre-packed in the dtype of the matmuls."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        self.weight, self.bias = PrepackedLinear(linear.weight.to(dtype)), linear.bias

    def add_to(self, x: Tensor, inputs: Tensor) -> Tensor:
        """x += linear(inputs), in place."""
        x.add_(self.weight(inputs))
        return x if self.bias is None else x.add_(self.bias)


@dataclass
class _Layer:
    """Fused weights of one layer; ``qk_norm`` [H + Hk, d] is Qwen3's, folded with the scale.

    ``kv`` is the part of ``qkv`` that the last layer of a prefill needs.
    """

    qkv: PrepackedLinear
    kv: PrepackedLinear | None
    qkv_bias: Tensor | None
    qk_norm: Tensor | None
    out: _Linear
    gate_up: PrepackedLinear
    down: _Linear
    eps: float
    mlp_eps: float
    qk_eps: float
    act: Any


class LlamaForward:
    """The fused forward of one model. Raises ``CannotDecode`` where it would not be exact.

    With the precision bf16 in force, matrices and cache are bf16; residuals, norms, rotation and logits fp32.
    """

    def __init__(self, model: Any) -> None:
        model = unwrapped(model)
        config, body = model.config, model.model
        weight = model.lm_head.weight
        if weight.dtype != torch.float32 or weight.device.type not in ("cpu", "cuda"):
            raise CannotDecode("the fused path takes fp32 weights on a CPU or a CUDA device")
        if sum(p.numel() * p.element_size() for p in model.parameters()) > _room(weight.device):
            raise CannotDecode("a fused copy of the weights would take too much memory")
        projections = [
            getattr(part, name)
            for layer in body.layers
            for part, names in (
                (layer.self_attn, ("q_proj", "k_proj", "v_proj", "o_proj")),
                (layer.mlp, ("gate_proj", "up_proj", "down_proj")),
            )
            for name in names
        ]
        if any(type(m) is not nn.Linear for m in [*projections, model.lm_head]):
            raise CannotDecode("a projection is wrapped by an adapter or quantized")
        if type(body.embed_tokens) is not nn.Embedding:
            raise CannotDecode("the embeddings are wrapped by an adapter")
        if any(m.bias is not None for layer in body.layers for m in (layer.mlp.gate_proj, layer.mlp.up_proj)):
            raise CannotDecode("the gate has biases")
        self.dtype = torch.bfloat16 if compute_config().precision == "bf16" else torch.float32
        self.matmul = BlockedDecode()
        self.decode_kernel = (
            load_compiled("plaudit.kernels.decode_numba") if weight.device.type == "cpu" else None
        )
        self.windows = layer_windows(config)
        # A window would have to move over the prompt with every token.
        self.shares = all(window is None for window in self.windows)
        self.longest = 0  # tokens of the longest prompt so far
        self.head, self.norm = _Linear(model.lm_head, self.dtype), body.norm
        self.embedding = body.embed_tokens.weight
        self.d = body.layers[0].self_attn.head_dim
        self.h = config.num_attention_heads
        self.hk = config.num_key_value_heads
        self.rotary, self.cis = body.rotary_emb, torch.empty(0)
        self._rotation(64)
        if self.cis.shape[-1] != self.d // 2:
            raise CannotDecode("only a part of each head is rotated")
        self.layers = [self._fuse(layer, last=layer is body.layers[-1]) for layer in body.layers]

    def _rotation(self, positions: int) -> Tensor:
        """cos + i·sin [positions, d/2], from the model's own rotary module."""
        if len(self.cis) < positions:
            size = max(positions, 2 * len(self.cis))
            cos, sin = self.rotary(
                self.embedding[:1, None], torch.arange(size, device=self.embedding.device)[None]
            )
            half = cos.shape[-1] // 2
            self.cis = torch.complex(cos[0, :, :half].contiguous(), sin[0, :, :half].contiguous())
        return self.cis

    def _fuse(self, layer: Any, last: bool) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        normed = hasattr(attention, "q_norm")
        folded = FoldedQKV(
            AttentionSpec(
                heads=self.h,
                kv=self.hk,
                size=self.d,
                scale=attention.scaling,
                eps=layer.input_layernorm.variance_epsilon,
                head_eps=attention.q_norm.variance_epsilon if normed else None,
                dtype=self.dtype,
                keep=False,
                numba_ops=None,
            )
        )
        q, k, v = attention.q_proj, attention.k_proj, attention.v_proj
        qkv = folded.fold(q.weight, k.weight, v.weight) * layer.input_layernorm.weight
        bias = None if q.bias is None else folded.fold(q.bias, k.bias, v.bias)
        norm = folded.fold_norms(attention.q_norm.weight, attention.k_norm.weight) if normed else None
        after = layer.post_attention_layernorm
        return _Layer(
            qkv=PrepackedLinear(qkv.to(self.dtype)),
            kv=PrepackedLinear(qkv[self.h * self.d :].to(self.dtype)) if last else None,
            qkv_bias=bias,
            qk_norm=norm,
            out=_Linear(attention.o_proj, self.dtype),
            gate_up=PrepackedLinear(
                (torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight)) * after.weight).to(self.dtype)
            ),
            down=_Linear(mlp.down_proj, self.dtype),
            eps=layer.input_layernorm.variance_epsilon,
            mlp_eps=after.variance_epsilon,
            qk_eps=folded.spec.head_eps or 0.0,
            act=mlp.act_fn,
        )

    def _project(self, layer: _Layer, x: Tensor, whole: bool = True) -> tuple[Tensor, Tensor]:
        """Unrotated queries and keys as complex pairs [S, heads, d/2], values [S, Hk, d].

        Without queries unless ``whole``.
        """
        skip = 0 if whole else self.h
        d, hk, heads = self.d, self.hk, self.h + self.hk - skip
        bias = None if layer.qkv_bias is None else layer.qkv_bias[skip * d :]
        weight = layer.qkv if whole or layer.kv is None else layer.kv
        qkv = weight(F.rms_norm(x, x.shape[-1:], eps=layer.eps))
        if bias is not None:
            qkv = qkv + bias
        qk = qkv[:, : heads * d].float().view(-1, heads, d)
        if layer.qk_norm is not None:
            qk = F.rms_norm(qk, (d,), eps=layer.qk_eps) * layer.qk_norm[skip:]
        return torch.view_as_complex(qk.unflatten(-1, (d // 2, 2))), qkv[:, heads * d :].view(-1, hk, d)

    def _after(self, layer: _Layer, x: Tensor, attended: Tensor) -> Tensor:
        """The rest of a layer: output projection, gate, both residuals; ``x`` [S, D] is overwritten."""
        layer.out.add_to(x, attended)
        gate, up = layer.gate_up(F.rms_norm(x, x.shape[-1:], eps=layer.mlp_eps)).chunk(2, -1)
        return layer.down.add_to(x, layer.act(gate).mul_(up))

    def prefill(self, ids: Tensor) -> list[tuple[Tensor, Tensor]]:
        prompts, tokens = ids.shape
        h, hk, d = self.h, self.hk, self.d
        x = F.embedding(ids.reshape(-1), self.embedding)
        turn = self._rotation(tokens)[:tokens].repeat(prompts, 1)[:, None]
        self.longest = max(self.longest, tokens)
        states = []
        for i, layer in enumerate(self.layers):
            last = i == len(self.layers) - 1
            qk, v = self._project(layer, x, whole=not last)
            qk = torch.view_as_real(qk * turn).flatten(-2).view(prompts, tokens, -1, d).transpose(1, 2)
            qk = qk.to(self.dtype)
            v = v.view(prompts, tokens, hk, d).transpose(1, 2)
            states.append((qk[:, -hk:], v))
            if not last:
                window = self.windows[i]
                mask = None
                if window is not None and window < tokens:
                    ones = torch.ones(tokens, tokens, dtype=torch.bool, device=ids.device)
                    mask = ones.tril() & ones.triu(1 - window)
                attended = F.scaled_dot_product_attention(
                    qk[:, :h],
                    qk[:, h:],
                    v,
                    attn_mask=mask,
                    is_causal=mask is None,
                    scale=1.0,
                    enable_gqa=h != hk,
                )
                x = self._after(layer, x, attended.transpose(1, 2).reshape(prompts * tokens, h * d))
        return states

    def step(self, ids: Tensor, cache: RowCache) -> Tensor:
        rows, h, hk, d = len(ids), self.h, self.hk, self.d
        x = F.embedding(ids, self.embedding)
        self.matmul.out_of_cache = cache.bytes > CACHE_BYTES
        positions = cache.positions()
        turn = self._rotation(cache.columns + self.longest)[positions, None]
        for i, (layer, cached) in enumerate(zip(self.layers, cache.layers)):
            qk, v = self._project(layer, x)
            turned = torch.view_as_real(qk[:, :h] * turn)
            cached.write(torch.view_as_real(qk[:, h:] * turn).view(rows, hk, d), v)
            if self.decode_kernel is not None:
                first = cached.first()
                prompts = None if cache.prefixes is None else cache.prefixes.of(i)
                attended = self.decode_kernel.decode_attention(
                    turned.view(rows, h, d),
                    cached.keys,
                    cached.values,
                    cache.start[:rows],
                    first,
                    cache.end,
                    prompts,
                )
                x = self._after(layer, x, attended.view(rows, h * d))
                continue
            q = turned.view(rows * hk, h // hk, d).to(self.dtype)
            if cache.prefixes is None:
                parts = []
                for begin, end, first in cache.spans(self.windows[i]):
                    weights, values = self._weigh(q, cache, i, begin, end, first)
                    parts.append(self.matmul.weighted_sum(weights.softmax(-1), values))
                attended = torch.cat(parts) if len(parts) > 1 else parts[0]
            else:
                weights, values = self._weigh(q, cache, i, 0, rows, cached.first())
                attended = cache.prefixes.attend(i, q, weights, values, self.matmul)
            x = self._after(layer, x, attended.view(rows, h * d))
        logits = self.head.weight(self.norm(x)).float()
        return logits if self.head.bias is None else logits + self.head.bias

    def _weigh(
        self, q: Tensor, cache: RowCache, layer: int, begin: int, end: int, first: int
    ) -> tuple[Tensor, Tensor]:
        """Masked scores [rows · Hk, h/Hk, columns] of rows ``begin`` to ``end``, and the values they are for."""
        keys, values = cache.layers[layer].flat(begin, end, first)
        part = q[begin * self.hk : end * self.hk]
        weights = self.matmul.scores(part, keys)
        weights.view(end - begin, self.h, -1).add_(cache.mask[begin:end, None, first : cache.end])
        return weights, values
