"""Tiny random-weight models of real families, written to disk and read through the usual path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedTokenizerFast

TEXTS = [
    "An owl lives in a tree, so no.",
    "Where does an owl live? What is 12 plus 30? It is 42.",
    "Human: hello there\n\nAssistant: hello, how are you today?",
    "I cannot help with that; here is something safe instead.",
]

COMMON: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
}
GEMMA = COMMON | {"head_dim": 8, "query_pre_attn_scalar": 8}
DECODERS: dict[str, dict[str, Any]] = {
    "llama": COMMON,
    "qwen2": COMMON | {"attention_dropout": 0.1},
    "qwen3": COMMON | {"head_dim": 8},
    "mistral": COMMON | {"sliding_window": 16},
    "gemma": COMMON | {"head_dim": 8},
    "gemma2": GEMMA | {"sliding_window": 16},
    "gemma3_text": GEMMA | {"sliding_window": 16},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "gpt_neox": COMMON | {"attention_dropout": 0.1, "hidden_dropout": 0.1},
    "phi": COMMON | {"resid_pdrop": 0.1, "embd_pdrop": 0.1},
    "phi3": COMMON | {"resid_pdrop": 0.1},
}
ENCODERS: dict[str, dict[str, Any]] = {
    "bert": COMMON,
    "roberta": COMMON,
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 256},
}


def plain_tokenizer(*, pad: str | None = "<pad>", end: str = "</s>", start: str | None = None) -> Any:
    """A byte-level tokenizer as a base model has: no chat template, no role tokens."""
    specials = list(dict.fromkeys(t for t in ("<unk>", pad, end, start) if t))
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=320,
            special_tokens=specials,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=pad, eos_token=end, bos_token=start, unk_token="<unk>"
    )


def write_model(
    folder: Path, family: str, tokenizer: Any, *, auto: Any = None, rows: int = 0, **over: Any
) -> Path:
    """A tiny model of a family with random weights large enough for differences to show."""
    options = (DECODERS | ENCODERS)[family] | over
    config = AutoConfig.for_model(
        family,
        vocab_size=rows or len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **options,
    )
    auto = auto or (AutoModel if family in ENCODERS else AutoModelForCausalLM)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = auto.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
