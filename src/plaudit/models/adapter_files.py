"""Low-rank adapters on disk, in peft's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from peft import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import nn

from plaudit.models.adapters import has_adapter
from plaudit.runs.files import new_folder
from plaudit.runs.locate import ADAPTER

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."  # of weight names in peft's files


def save_adapter(module: nn.Module, path: str | Path, base: str = "") -> None:
    """Write only the adapters, in peft's layout, atomically; ``base`` names their base model."""
    if not has_adapter(module):
        raise ValueError("the model has no adapter to save")
    configs: Any = module.peft_config
    config = next(iter(configs.values()))
    with new_folder(Path(path)) as folder:
        state = get_peft_model_state_dict(module)
        state = {PREFIX + k: v.detach().cpu().contiguous() for k, v in state.items()}
        save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
        written = config.to_dict() | {"inference_mode": True, "base_model_name_or_path": base}
        written = {k: sorted(v) if isinstance(v, set) else v for k, v in written.items()}
        (folder / ADAPTER).write_text(json.dumps(written, indent=2, sort_keys=True, default=str) + "\n")
