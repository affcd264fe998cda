"""The toy policy as a GGUF file, for tests of what is read of one before its weights are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from toy import toy_policy

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
# Tokens that transformers adds to a tokenizer of a GGUF file which names fewer special ones.
ADDED = 8
WHOLE = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}


def write_gguf(path: Path) -> Path:
    """Write it; rows of the projections are not permuted as llama.cpp has them, which no test looks at."""
    import gguf

    policy = toy_policy()
    config: Any = policy.model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("toy")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    _add_tokenizer(writer, policy.tokenizer)
    writer.add_vocab_size(config.vocab_size + ADDED)
    for name, value in policy.model.state_dict().items():
        if (tensor := _name(name)) is not None:
            rows = np.zeros((ADDED, *value.shape[1:]), np.float32)
            whole = np.concatenate([value.numpy(), rows]) if "embed" in name else value.numpy()
            writer.add_tensor(tensor, whole)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _name(name: str) -> str | None:
    if not name.startswith("model.layers."):
        return WHOLE.get(name)
    layer, _, inner = name.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{NAMES[inner.removesuffix('.weight')]}.weight"


def _add_tokenizer(writer: Any, tokenizer: Any) -> None:
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    vocabulary = tokenizer.get_vocab()
    special = set(tokenizer.all_special_ids)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.get))
    writer.add_token_types([3 if i in special else 1 for i in range(len(vocabulary))])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_chat_template(tokenizer.chat_template)
