"""What one token of a model of the run's shape keeps in memory, found by running a slice of it.

A slice is the model's own architecture at full width with one or two layers and few words, so that it is
counted in tens of milliseconds whatever the model's size.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, LlamaConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from plaudit.config import PolicySource, Scratch
from plaudit.data.tokens.batching import collate
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.models.adapters import add_lora, has_adapter
from plaudit.models.architectures import backbone
from plaudit.models.encoder import encode
from plaudit.models.files import fetched, is_encoder, read_architecture
from plaudit.models.fused_decoder import supports_fused
from plaudit.runtime import LayoutKind, Precision, compute_config, use_compute

WORDS = 256
# Resident bytes for each that a layer with adapters keeps: what lies between is freed and stays with the process
# (benchmarks/estimates.py, a model of 135 M parameters: PPO 1.8, DPO 1.9, a reward model 2.3, in bf16 as in fp32).
HELD = 1.9
# Where a model keeps what its trials found: its layout, and whether fused layers compute it.
TRIALS = ("_plaudit_layout", "_plaudit_fused")


@dataclass(frozen=True)
class Footprint:
    """Bytes that one token of a sequence keeps for the backward pass: of every layer, and beside the layers.

    ``checkpointed`` is what a layer keeps when it is computed again in the backward pass, ``again`` what it holds
    while it is.
    """

    layer: float
    rest: float
    checkpointed: float
    again: float


def config_of(source: PolicySource) -> Any | None:
    """The architecture that a recipe's policy names, where it is there to be read; no weights are.

    UserError for a config that cannot be read.
    """
    if isinstance(source, Scratch):
        return LlamaConfig(
            hidden_size=source.hidden,
            num_hidden_layers=source.layers,
            num_attention_heads=source.heads,
            num_key_value_heads=source.kv_heads or source.heads,
            intermediate_size=source.intermediate or -(-source.hidden // 3) * 8,
            vocab_size=source.vocabulary,
            max_position_embeddings=source.max_positions,
            tie_word_embeddings=True,  # as build_policy makes it
        )
    folder = fetched(source.path, source.revision)
    if folder is None or not (folder / "config.json").is_file():
        return None
    return read_architecture(folder)


def parameters_of(config: Any) -> int:
    """How many parameters a model of this config has, without making one; counted once a config."""
    key = f"{type(config)} {config.to_dict()}"
    if key not in _COUNTED:
        decodes = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and not is_encoder(config)
        auto = AutoModelForCausalLM if decodes else AutoModel
        with torch.device("meta"):
            model = auto.from_config(config)
        _COUNTED[key] = sum(p.numel() for p in model.parameters())
    return _COUNTED[key]


# Parameters by config: every step of a plan asks, and the layers of a large model take seconds to lay out.
_COUNTED: dict[str, int] = {}


def slice_of(config: Any, layers: int, device: torch.device) -> Any:
    """A model of this architecture with few layers and words; its weights are small random numbers."""
    small = copy.deepcopy(config)
    inner = small.get_text_config()
    inner.num_hidden_layers = layers
    inner.vocab_size = WORDS
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(inner, name, None)
    if getattr(inner, "layer_types", None):
        inner.layer_types = inner.layer_types[:layers]
    with torch.device("meta"):
        model = AutoModel.from_config(small, dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = AutoModel.from_config(small, dtype=torch.float32) if _tiny(model) else None
    if fresh is not None:
        return fresh.to(device)
    # Drawing billions of normal numbers takes longer than the measurement.
    model = model.to_empty(device=device)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            nn.init.constant_(tensor, 0.01)
    return model


def _tiny(model: nn.Module) -> bool:
    return sum(p.numel() for p in model.parameters()) < 5e7


# What the trials of a slice found, by its architecture, device and kernels: of a small model they take longer than the
# counting.
_TRIED: dict[str, tuple[str, dict[str, Any]]] = {}


@contextmanager
def _as_tried_before(model: Any) -> Iterator[None]:
    """Within the block a slice is not tried again (``models/packing.py``) where one of the same architecture was."""
    inner = backbone(model)
    place = next(inner.parameters()).device
    adapted = has_adapter(inner)
    kind = f"{type(inner)} {inner.config.to_dict()} {place} {compute_config().kernels} {adapted}"
    if kind in _TRIED:
        attention, found = _TRIED[kind]
        inner.set_attn_implementation(attention)
        vars(inner).update(found)
    yield
    found = {name: vars(inner)[name] for name in TRIALS if name in vars(inner)}
    _TRIED[kind] = inner.config._attn_implementation, found


def _batch(length: int, count: int, device: torch.device) -> Any:
    rng = np.random.default_rng(0)
    items = [
        TokenItem(rng.integers(3, WORDS, 1), (Segment.of(rng.integers(3, WORDS, length - 1)),))
        for _ in range(count)
    ]
    return collate(items, 0).to(device)


def footprint(
    config: Any,
    precision: Precision,
    *,
    length: int,
    layout: LayoutKind = "shared",
    fused: bool = False,
    rank: int = 0,
) -> Footprint:
    """Bytes per token that training keeps at sequences of ``length``, counted where autograd saves them.

    ``fused``: by the fused layers (``models/fused_decoder.py``), where the architecture has them. ``rank``: of adapters
    on all linear layers; 0 where all weights are trained.
    """

    def kept(fused: bool) -> list[float]:
        return [_kept(config, layers, precision, length, layout, fused, rank) for layers in (1, 2)]

    own = kept(fused=False)
    again = own[1] - own[0]
    one, two = kept(fused=True) if fused else own
    layer, held = two - one, HELD if rank else 1.0
    rest = max(0.0, one - layer)
    return Footprint(held * layer, held * rest, 4.0 * config.get_text_config().hidden_size, held * again)


def _kept(
    config: Any, layers: int, precision: Precision, length: int, layout: LayoutKind, fused: bool, rank: int
) -> float:
    device = torch.device("cpu")
    model = slice_of(config, layers, device)
    if rank:
        add_lora(model, rank, rank)
    model.train()
    batch = _batch(length, 2, device)
    known = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    matrices = [p for p in model.parameters() if p.ndim > 1 and id(p) not in tables]
    frozen = {p.shape for p in matrices if not p.requires_grad}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        # Of frozen weights only some are kept as bf16 copies: the first layer's inputs need no gradient.
        copied = tensor.dtype == torch.bfloat16 and {tensor.shape, tensor.shape[::-1]} & frozen
        if storage.data_ptr() not in known and not copied:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        use_compute(precision=precision, layout=layout, fused=fused),
        _as_tried_before(model),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
    ):
        hidden = encode(model, batch).hidden
        fused = fused and supports_fused(model)
    total = sum(sizes.values())
    # The modules keep bf16 copies of weights once a batch, not once a token; the fused layers keep none.
    copies = precision == "bf16" and not fused
    weights = (
        sum(p.numel() for p in model.parameters() if p.ndim > 1 and p.requires_grad) * 2 if copies else 0
    )
    return max(total - weights, 0) / hidden.shape[0]
