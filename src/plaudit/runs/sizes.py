"""How many parameters a model has, from its config or its name alone; free of torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plaudit.errors import UserError
from plaudit.runs.locate import locate

NAMED = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s?([MB])(?![A-Za-z])", re.IGNORECASE)
SCALE = {"M": 1e6, "B": 1e9}


def size_of(spec: str | Path) -> float | None:
    """Parameters of the model that ``spec`` names; None where neither its config nor its name says it."""
    try:
        found = locate(spec)
    except UserError:
        return size_in_name(str(spec))
    config = found.folder / "config.json"
    if found.hub is None and config.is_file():
        try:
            return counted(json.loads(config.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
    return size_in_name(found.hub or found.folder.stem)


def size_in_name(name: str) -> float | None:
    """What a name such as ``Qwen2.5-0.5B-Instruct`` says."""
    found = NAMED.search(name.replace("_", "-"))
    return float(found[1]) * SCALE[found[2].upper()] if found else None


def counted(config: Mapping[str, Any]) -> float | None:
    """Parameters of a decoder of the usual layout, without norms and biases (less than 1 % of most models)."""
    facts: Mapping[str, Any] = config.get("text_config") or config

    def number(*names: str) -> int | None:
        return next((int(facts[n]) for n in names if facts.get(n) is not None), None)

    hidden, layers = (
        number("hidden_size", "n_embd", "d_model", "dim"),
        number("num_hidden_layers", "n_layer", "n_layers"),
    )
    words = number("vocab_size")
    if hidden is None or layers is None or words is None:
        return None
    heads = number("num_attention_heads", "n_head", "n_heads") or 1
    width = number("head_dim") or hidden // heads
    groups = number("num_key_value_heads") or heads
    inner = number("intermediate_size", "n_inner", "hidden_dim") or 4 * hidden
    gated = not any(n in facts for n in ("n_embd", "n_heads")) and facts.get("model_type") not in PLAIN
    experts = number("num_local_experts", "num_experts", "n_routed_experts") or 1
    inner = (number("moe_intermediate_size") or inner) if experts > 1 else inner
    attention = hidden * width * (2 * heads + 2 * groups)
    return float(
        words * hidden * (1 if _tied(facts) else 2)
        + layers * (attention + experts * inner * hidden * (2 + gated))
    )


# Families whose layers have two matrices behind attention, not three.
PLAIN = ("gpt2", "gpt_neox", "phi", "opt", "bert", "roberta", "distilbert")


def _tied(facts: Mapping[str, Any]) -> bool:
    """Whether input and output share a matrix; transformers leaves its own default, which is yes, out of some files."""
    return bool(
        facts.get(
            "tie_word_embeddings", facts.get("model_type") not in ("llama", "mistral", "qwen2", "qwen3")
        )
    )
