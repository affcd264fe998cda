"""Low-rank adapters (LoRA, Hu et al. 2021) inside policies, reward models and critics, through peft.

Adapters are put into a module in place: what held the module before holds the adapted one after.
W ← W + (alpha / rank) · B A, where B starts at 0, so that an adapted model starts as what it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from torch import nn

from plaudit.errors import UserError
from plaudit.runs.files import new_folder

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."  # of weight names in peft's files


def add_lora(
    module: nn.Module,
    rank: int,
    alpha: float,
    *,
    dropout: float = 0.0,
    targets: str | Sequence[str] = "all-linear",
    seed: int = 0,
) -> None:
    """Put adapters into a transformers module; only they are trained from then on.

    ``targets`` names modules (``["q_proj", "v_proj"]``) or is "all-linear": every linear layer but the
    output embedding. UserError where nothing has such a name.
    """
    if has_adapter(module):
        raise UserError(
            "the model has adapters already", remedy="merge them first, or train those that are there"
        )
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
    )
    _inject(module, config, seed)


def _inject(module: nn.Module, config: LoraConfig, seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, module)
        except ValueError as error:
            names = sorted(
                {n.rpartition(".")[2] for n, m in module.named_modules() if isinstance(m, nn.Linear)}
            )
            raise UserError(
                f"no layer takes a LoRA adapter for targets {config.target_modules!r}",
                remedy=f"linear layers of this model: {', '.join(names)}",
            ) from error


def adapter_layers(module: nn.Module) -> dict[str, Any]:
    """The adapted layers by name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, BaseTunerLayer)}


def has_adapter(module: nn.Module) -> bool:
    return bool(adapter_layers(module))


@contextmanager
def adapter_off(module: nn.Module) -> Iterator[None]:
    """Within the block the module computes what it did without its adapters: the reference policy."""
    layers = adapter_layers(module)
    if not layers:
        raise ValueError("the model has no adapter to switch off")
    trainable = {name: p.requires_grad for name, p in module.named_parameters()}
    for layer in layers.values():
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers.values():
            layer.enable_adapters(True)
        # peft freezes what it switches off and unfreezes all that it switches on.
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(trainable[name])


def merge(module: nn.Module) -> None:
    """Add the adapters into the weights, in place; what is left has none and is trainable whole."""
    for name, layer in adapter_layers(module).items():
        layer.merge()
        parent, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(parent), leaf, layer.get_base_layer())
    if hasattr(module, "peft_config"):
        del module.peft_config
    module.requires_grad_(True)


def save_adapter(module: nn.Module, path: str | Path) -> None:
    """Write the adapters alone, in peft's layout, whole or not at all."""
    if not has_adapter(module):
        raise ValueError("the model has no adapter to save")
    configs: Any = module.peft_config
    config = next(iter(configs.values()))
    with new_folder(Path(path)) as folder:
        state = get_peft_model_state_dict(module)
        state = {PREFIX + k: v.detach().cpu().contiguous() for k, v in state.items()}
        save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
        written = config.to_dict() | {"inference_mode": True}
        written = {k: sorted(v) if isinstance(v, set) else v for k, v in written.items()}
        (folder / CONFIG).write_text(json.dumps(written, indent=2, sort_keys=True, default=str) + "\n")


def load_adapter(module: nn.Module, path: str | Path) -> None:
    """Put saved adapters into the module they were trained in; safetensors only. UserError on a mismatch."""
    folder = Path(path)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no adapter: {name} is missing")
    if has_adapter(module):
        raise UserError("the model has adapters already", remedy="load onto the base model")
    saved = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if saved.get("peft_type") != "LORA":
        raise UserError(f"{folder} holds a {saved.get('peft_type')} adapter; only LoRA is supported")
    config = LoraConfig.from_pretrained(str(folder))
    config.inference_mode = False
    _inject(module, config, seed=0)
    state = {k.removeprefix(PREFIX): v for k, v in load_file(folder / WEIGHTS).items()}
    expected = get_peft_model_state_dict(module)
    if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in expected.items()}:
        merge(module)  # fresh adapters add nothing: the module is as it was
        raise UserError(f"the adapter in {folder} does not fit this model", remedy="use its own base model")
    set_peft_model_state_dict(module, state)
