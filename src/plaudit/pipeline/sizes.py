"""Bytes of a step's models in memory and on disk, from the architecture alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.config import Lora
from plaudit.config.graph import Node
from plaudit.models.logprobs import CHUNK
from plaudit.pipeline.work import Work
from plaudit.registry import PROXY
from plaudit.runs.sizes import counted

# fp32: a weight, and its gradient with AdamW's two moments where it is trained.
WEIGHT, TRAINING = 4.0, 12.0
# Python with torch, transformers, numba and what these compile while a model trains; and what decoding adds to it.
LIBRARIES, DECODER = 1.0 * 2**30, 0.25 * 2**30
# Numbers of a block of the exact KL: logits, log-softmax and their product of two models.
KL_BLOCK = 6 * CHUNK


def parameters_in(config: Any) -> float:
    """Parameters of a decoder by its config; 0 where its layout is not known."""
    return counted(config.to_dict()) or 0.0


def adapter_parameters(config: Any, lora: Lora) -> float:
    """Numbers of low-rank adapters on all linear layers of a decoder of the usual layout; an estimate for others."""
    text: Mapping[str, Any] = config.get_text_config().to_dict()
    hidden, layers = (
        float(config.get_text_config().hidden_size),
        text.get("num_hidden_layers", text.get("n_layer", 0)),
    )
    heads = text.get("num_attention_heads") or text.get("n_head") or 1
    width = text.get("head_dim") or hidden / heads
    groups = text.get("num_key_value_heads") or heads
    inner = text.get("intermediate_size") or text.get("n_inner") or 4 * hidden
    attention = 2 * (hidden + heads * width) + 2 * (hidden + groups * width)
    return float(lora.rank * layers * (attention + 3 * (hidden + inner)))


def fixed_bytes_of(config: Any, work: Work, lora: Lora | None) -> float:
    """Weights of all models of a step, and gradients and moments of what is trained: all but activations."""
    size = parameters_in(config)
    if lora is None:
        return size * (WEIGHT * (work.trained + work.frozen) + TRAINING * work.trained)
    own = (WEIGHT + TRAINING) * adapter_parameters(config, lora) * work.trained
    return base_bytes(config, lora) * (work.trained + work.frozen - work.references) + own


def base_bytes(config: Any, lora: Lora) -> float:
    """The weights of one model with adapters; in bfloat16 all but its embeddings and output head take half."""
    size = parameters_in(config)
    halved = computed_in(config, size, 0.0) if lora.base_dtype == "bfloat16" else 0.0
    return WEIGHT * size - WEIGHT / 2 * halved


def computed_in(config: Any, parameters: float, share: float) -> float:
    """Parameters that a token is multiplied with, where a ``share`` of tokens reach the output head.

    The input embedding is a table that is looked up, unless it is the output head as well.
    """
    text = config.get_text_config()
    table = float(text.vocab_size * text.hidden_size)
    tables = 1 if getattr(text, "tie_word_embeddings", False) else 2
    return max(parameters - tables * table, 0.0) + share * table


def other_bytes_of(config: Any, work: Work) -> float:
    """What is there beside models in training: the libraries and, where answers are drawn, the sampler's own.

    These are its copy of the weights, laid out for decoding, and keys and values of the sequences that are drawn
    together, once for every model that answers; where several do, the exact KL between them.
    """
    if not work.amount.sampled:
        return LIBRARIES
    text = config.get_text_config()
    heads = getattr(text, "num_attention_heads", 1)
    groups = getattr(text, "num_key_value_heads", None) or heads
    width = getattr(text, "head_dim", None) or text.hidden_size / heads
    cache = 2 * WEIGHT * text.num_hidden_layers * groups * width * work.usual * work.amount.at_once
    samplers = 1 if work.trained else max(1, work.frozen)
    kl = WEIGHT * KL_BLOCK if samplers > 1 else 0.0
    return LIBRARIES + DECODER + (WEIGHT * parameters_in(config) + cache) * samplers + kl


def adapters_of(node: Node, context: Any) -> Lora | None:
    """The adapters that a step trains, None for none; a reward model has its own."""
    if not node.gives("reward model"):
        found: Lora | None = context.lora(node.name)
        return found
    settings = node.settings[0] if node.name == PROXY else node.settings
    own: Lora | None = settings.adapters
    return own


def written_bytes(node: Node, config: Any) -> float:
    """The model that a step leaves on disk, in fp32; checkpoints while it trains come on top."""
    if not (node.gives("policy") or node.gives("reward model")):
        return 0.0
    return parameters_in(config) * WEIGHT * getattr(node.settings, "members", 1)
