"""Tiny random-weight models of each family, large enough in scale that a wrong mask or position shows."""

from __future__ import annotations

from types import SimpleNamespace

import torch
import transformers as t

VOCABULARY = 61
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 96,
    "initializer_range": 0.25,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = {"intermediate_size": 48, "num_key_value_heads": 2}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]

FAMILIES = {
    "llama": lambda: t.LlamaConfig(**COMMON, **GROUPED, tie_word_embeddings=True),
    "llama biases": lambda: t.LlamaConfig(**COMMON, **GROUPED, attention_bias=True),
    "llama scaled rope": lambda: t.LlamaConfig(
        **COMMON,
        **GROUPED,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 24,
        },
    ),
    "mistral": lambda: t.MistralConfig(**COMMON, **GROUPED, sliding_window=None),
    "mistral window": lambda: t.MistralConfig(**COMMON, **GROUPED, sliding_window=5),
    "qwen2": lambda: t.Qwen2Config(**COMMON, **GROUPED),
    "qwen2 mixed windows": lambda: t.Qwen2Config(
        **COMMON, **GROUPED, use_sliding_window=True, sliding_window=6, layer_types=MIXED
    ),
    "qwen3": lambda: t.Qwen3Config(**COMMON, **GROUPED, head_dim=12, rms_norm_eps=1e-4),
    "qwen3 mixed windows": lambda: t.Qwen3Config(
        **COMMON, **GROUPED, head_dim=12, use_sliding_window=True, sliding_window=4, layer_types=MIXED
    ),
    "gemma": lambda: t.GemmaConfig(**COMMON, **GROUPED, head_dim=8),
    "gemma2": lambda: t.Gemma2Config(
        **COMMON,
        **GROUPED,
        head_dim=8,
        sliding_window=5,
        layer_types=MIXED,
        query_pre_attn_scalar=8,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
        attn_implementation="eager",
    ),
    "gpt2": lambda: t.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=3, n_head=4, n_positions=96, initializer_range=0.25
    ),
    "gpt_neox": lambda: t.GPTNeoXConfig(**COMMON, intermediate_size=48, rotary_pct=0.5),
    "phi": lambda: t.PhiConfig(**COMMON, intermediate_size=48, partial_rotary_factor=0.5),
}
FUSED = [name for name in FAMILIES if name.split()[0] in ("llama", "mistral", "qwen2", "qwen3")]


def build(family: str, seed: int = 0) -> torch.nn.Module:
    """A model of the family in eval mode; every weight random, norms and biases too."""
    torch.manual_seed(seed)
    model = t.AutoModelForCausalLM.from_config(FAMILIES[family]())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


class LetterTokenizer:
    """Token i is one character; ids beyond the alphabet are special and decode to ⟨i⟩."""

    alphabet = "".join(chr(ord("a") + i) for i in range(26)) + " .,!?\n" + "ABCDEFGHIJKLMNOPQRSTUVW"

    def decode(self, ids, skip_special_tokens=True):
        return "".join(
            self.alphabet[i - 3] if 3 <= i < 3 + len(self.alphabet) else f"⟨{i}⟩" for i in map(int, ids)
        )

    def batch_decode(self, rows, skip_special_tokens=True):
        return [self.decode(row) for row in rows]


def policy(model: torch.nn.Module, end_ids=(2,), pad_id=0) -> SimpleNamespace:
    return SimpleNamespace(model=model, tokenizer=LetterTokenizer(), pad_id=pad_id, end_ids=end_ids)


def plain_logits(model: torch.nn.Module, ids) -> torch.Tensor:
    """Logits [T, V] of one sequence by one plain forward pass."""
    with torch.no_grad():
        return model(torch.as_tensor(ids)[None]).logits[0]
