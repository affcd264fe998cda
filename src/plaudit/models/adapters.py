"""Low-rank adapters (LoRA, Hu et al. 2021) inside policies, reward models and critics, through peft.

Adapters are put into a module in place: what held the module before holds the adapted one after.
W ← W + (alpha / rank) · B A, where B starts at 0, so that an adapted model starts as what it was.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from peft.tuners.lora import LoraLayer, ParamWrapper
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import ModulesToSaveWrapper
from safetensors.torch import save_file
from torch import Tensor, nn

from plaudit.errors import UserError
from plaudit.models.half_base import halve, restore
from plaudit.runs.files import new_folder
from plaudit.runs.locate import ADAPTER

logger = logging.getLogger(__name__)

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."  # of weight names in peft's files


def add_lora(
    module: nn.Module,
    rank: int,
    alpha: float,
    *,
    dropout: float = 0.0,
    targets: str | Sequence[str] = "all-linear",
    base_dtype: str = "float32",
    seed: int = 0,
) -> None:
    """Put adapters into a transformers module; only they are trained from then on.

    ``targets`` names modules (``["q_proj", "v_proj"]``) or is "all-linear": every linear layer but the
    output embedding. UserError where nothing has such a name. ``base_dtype`` "bfloat16" stores the frozen
    matrices in half the bytes (``models/half_base.py``).
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
        exclude_modules=_own_linears(module) if targets == "all-linear" else None,
    )
    _inject(module, config, seed)
    _leave_inputs_as_they_are(module)
    try:
        _refuse_unmatched(module, config, targets)
        _refuse_what_fails(module)
        if base_dtype == "bfloat16":
            halve(module)
    except UserError:
        _take_out(module)
        raise
    if targets == "all-linear" and (left := _left_out(module)):
        logger.warning("no adapters in %s: these experts stay as they are", ", ".join(left))


def _own_linears(module: nn.Module) -> list[str] | None:
    """Linear layers that a family computes in a way of its own (routers, say), which an adapter cannot stand in for."""
    found = [
        name
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and type(layer).forward is not nn.Linear.forward
    ]
    return found or None


def _refuse_unmatched(module: nn.Module, config: LoraConfig, targets: str | Sequence[str]) -> None:
    """UserError for a named target that no layer has: peft is content when one of them matches."""
    if isinstance(targets, str):
        return
    names = adapter_layers(module)
    # peft replaces the names of experts' layers by those of the parameters that hold them.
    kept = set(targets) & set(config.target_modules or ())
    missing = sorted(t for t in kept if not any(n == t or n.endswith(f".{t}") for n in names))
    if missing:
        raise UserError(
            f"no layer is called {', '.join(missing)}, so it would get no adapter",
            remedy=f"linear layers of this model: {', '.join(_linear_names(module))}",
        )


def _refuse_what_fails(module: nn.Module) -> None:
    """UserError where the module cannot be computed with its adapters; tried on one token, if it has weights."""
    inner: Any = module
    if next(module.parameters()).is_meta:
        return
    ids = torch.tensor([[3]], device=next(module.parameters()).device)
    try:
        with torch.no_grad():
            inner(input_ids=ids)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # A layer that is called in another way than a linear one may fail in any way.
        reason = str(error).strip().split("\n")[0][:160]
        names = ", ".join(sorted({n.rpartition(".")[2] for n in adapter_layers(module)}))
        raise UserError(
            f"a {type(module).__name__} cannot be computed with adapters in {names} "
            f"({type(error).__name__}: {reason})",
            remedy="name fewer targets, such as the projections of attention",
        ) from error


def _left_out(module: nn.Module) -> list[str]:
    """Names of the matrices of experts [experts, rows, columns] that have no adapter."""
    adapted = {
        id(layer.get_param()) for layer in adapter_layers(module).values() if isinstance(layer, ParamWrapper)
    }
    return sorted(
        {n.rpartition(".")[2] for n, p in module.named_parameters() if p.ndim == 3 and id(p) not in adapted}
    )


def _linear_names(module: nn.Module) -> list[str]:
    linear = [n.removesuffix(".base_layer") for n, m in module.named_modules() if isinstance(m, nn.Linear)]
    return sorted({n.rpartition(".")[2] for n in linear if ".lora_" not in n})


def _inject(module: nn.Module, config: LoraConfig, seed: int) -> None:
    asked = config.target_modules
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, module)
        except ValueError as error:
            _take_out(module)  # some were in before the one that failed
            if "lora_dropout" in str(error):
                raise UserError(
                    "adapters on the matrices of experts take no dropout",
                    remedy="set the adapters' dropout to 0",
                ) from error
            raise UserError(
                f"no layer takes a LoRA adapter for targets {asked!r}",
                remedy=f"linear layers of this model: {', '.join(_linear_names(module))}",
            ) from error


def _leave_inputs_as_they_are(module: nn.Module) -> None:
    """No copy of a layer's input in the adapter's type, where autocast makes one that suits both.

    peft turns bf16 into fp32, which autocast turns into bf16 again: the same numbers, for a third more memory.
    """
    for layer in adapter_layers(module).values():
        if all(p.dtype == torch.float32 for p in layer.parameters()):
            layer.cast_input_dtype_enabled = False


def adapter_layers(module: nn.Module) -> dict[str, Any]:
    """The adapted layers by name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, BaseTunerLayer)}


def saved_whole(module: nn.Module) -> dict[str, Any]:
    """The layers that peft trains whole beside its adapters (``modules_to_save``), by name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, ModulesToSaveWrapper)}


def has_adapter(module: nn.Module) -> bool:
    return bool(adapter_layers(module) or saved_whole(module))


def rank_of(module: nn.Module) -> int:
    """The largest rank of the module's low-rank adapters; 0 where it has none."""
    return max(
        (r for layer in adapter_layers(module).values() for r in getattr(layer, "r", {}).values()), default=0
    )


@contextmanager
def adapter_off(module: nn.Module) -> Iterator[None]:
    """Within the block the module computes what it did without its adapters: the reference policy."""
    layers = [*adapter_layers(module).values(), *saved_whole(module).values()]
    if not layers:
        raise ValueError("the model has no adapter to switch off")
    trainable = {name: p.requires_grad for name, p in module.named_parameters()}
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        # peft freezes what it switches off and unfreezes all that it switches on.
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(trainable[name])


def is_untrained(module: nn.Module) -> bool:
    """Whether the adapters add nothing yet and nothing else is trained: switched off, the module is what it is."""
    layers = adapter_layers(module)
    if saved_whole(module) or not all(map(_adds_nothing, layers.values())):
        return False
    return all(".lora_" in name for name, p in module.named_parameters() if p.requires_grad)


def _adds_nothing(layer: Any) -> bool:
    """Whether one of an adapter's two factors is 0; what is no plain LoRA is taken to add something."""
    if not isinstance(layer, LoraLayer) or len(getattr(layer, "lora_magnitude_vector", ())):
        return False
    factors = [layer.lora_B, layer.lora_embedding_A]
    return not any(bool(p.detach().any()) for factor in factors for p in factor.parameters())


@contextmanager
def weights_as(module: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Within the block, without a gradient, the module computes with ``weights`` in place of its own of those names.

    Nothing is copied: parameters are pointed at other memory, and back.
    """
    parameters = dict(module.named_parameters())
    own = {name: parameters[name].data for name in weights}
    try:
        with torch.no_grad():
            for name, value in weights.items():
                parameters[name].data = value
            yield
    finally:
        for name, value in own.items():
            parameters[name].data = value


def merge(module: nn.Module) -> None:
    """Add the adapters into the weights, in place; what is left has none and is trainable whole.

    Embeddings that were tied to the output head and adapted apart from it are two matrices from then on.
    """
    layers = adapter_layers(module)
    untie(module)
    restore(module)
    for layer in layers.values():
        layer.merge()
    _take_out(module)


def _take_out(module: nn.Module) -> None:
    """Put the adapted layers themselves back in the place of their adapters; all is trainable."""
    layers = adapter_layers(module)
    for name, layer in layers.items():
        parent, _, leaf = name.rpartition(".")
        if parent not in layers:  # adapters of two parameters of one module are nested: the outermost goes
            setattr(module.get_submodule(parent), leaf, layer.get_base_layer())
    for name, saved in saved_whole(module).items():
        parent, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(parent), leaf, _trained(saved))
    if hasattr(module, "peft_config"):
        del module.peft_config
    module.requires_grad_(True)


def untie(module: nn.Module) -> None:
    """Give head and embeddings weights of their own where an adapter sits on one of them, and say so in the config.

    Without effect on models that tie nothing, and where neither has an adapter.
    """
    inner: Any = module
    ends = _ends(inner)
    if not any(isinstance(end, BaseTunerLayer | ModulesToSaveWrapper) for end in ends):
        return
    configs = [inner.config, inner.config.get_text_config()]
    if not any(getattr(config, "tie_word_embeddings", False) for config in configs):
        return
    head, embeddings = (_trained(end) for end in ends)
    if head.weight is embeddings.weight:
        head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=head.weight.requires_grad)
    for config in configs:
        config.tie_word_embeddings = False
    inner.all_tied_weights_keys = {}
    logger.warning(
        "the output head and the embeddings, one matrix before, are two: adapters were on one of them"
    )


def _ends(module: Any) -> list[Any]:
    """Output head and embeddings; empty where there is no head."""
    try:
        head, embeddings = module.get_output_embeddings(), module.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return []
    return [] if head is None or embeddings is None else [head, embeddings]


def _trained(layer: Any) -> Any:
    """The plain layer below an adapter, or the copy of it that is trained whole."""
    if isinstance(layer, ModulesToSaveWrapper):
        return layer.modules_to_save[layer.active_adapters[0]]
    return layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer


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
