"""What is known of a transformers model without calling it for its own sake."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

# Families that count positions from pad + 1.
OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "longformer")


def backbone(model: nn.Module) -> Any:
    """The transformer below the output head, adapters included.

    Under peft ``get_base_model`` comes first: peft's own ``base_model`` is its tuner, and the LoRA
    layers live inside the modules of the model that it wraps.
    """
    outer: Any = model
    inner: Any = outer.get_base_model() if hasattr(outer, "get_base_model") else outer
    return inner.base_model if hasattr(inner, "base_model") else inner


def is_causal(model: nn.Module) -> bool:
    """Whether a token's hidden state ignores the tokens after it; found by trying, once a model."""
    inner = backbone(model)
    known = getattr(inner, "_plaudit_causal", None)
    if known is None:
        device = next(inner.parameters()).device
        training = inner.training
        inner.eval()
        with torch.no_grad():
            ids = torch.tensor([[3, 4, 5], [3, 4, 6]], device=device) % inner.config.vocab_size
            hidden = inner(input_ids=ids).last_hidden_state[:, 0]
        inner.train(training)
        known = bool(torch.allclose(hidden[0], hidden[1], rtol=0, atol=1e-5 * float(hidden.abs().max())))
        inner._plaudit_causal = known
    return bool(known)
