"""Checkpoints: whole or absent, safetensors and JSON only, and a resume that is bitwise."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from plaudit.runs import Stage, files
from plaudit.runtime import Mesh
from plaudit.training.engine import Engine

Modules = Mapping[str, nn.Module]


def _weights(module: nn.Module) -> dict[str, torch.Tensor]:
    # Only what training moves: a frozen base below an adapter is loaded from where it came from.
    return {n: p.detach().contiguous() for n, p in module.named_parameters() if p.requires_grad}


def write(path: Path, modules: Modules, engine: Engine | None, state: Mapping[str, Any]) -> None:
    """Write a checkpoint folder atomically."""
    with files.new_folder(path) as folder:
        for name, module in modules.items():
            save_file(_weights(module), folder / f"{name}.safetensors")
        plain: dict[str, Any] = {"state": dict(state)}
        if engine is not None:
            tensors, plain["engine"] = engine.state()
            save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "optimizer.safetensors")
        files.write_json(folder / "state.json", plain)


def read(path: Path, modules: Modules, engine: Engine | None) -> dict[str, Any]:
    """Load a checkpoint into modules and engine; returns the state that was written with it."""
    plain = files.read_json(path / "state.json")
    for name, module in modules.items():
        load_weights(module, path / f"{name}.safetensors")
    if engine is not None:
        engine.load(load_file(path / "optimizer.safetensors"), plain["engine"])
    return dict(plain["state"])


def load_weights(module: nn.Module, path: Path) -> None:
    """Copy saved trainable weights into a module of the same shape."""
    saved = load_file(path)
    parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
    if saved.keys() != parameters.keys():
        different = sorted(saved.keys() ^ parameters.keys())[:3]
        raise ValueError(f"{path} does not fit this model: {different} …")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(saved[name])


def save(
    stage: Stage,
    step: int,
    modules: Modules,
    engine: Engine | None,
    state: Mapping[str, Any],
    *,
    keep_last: int,
) -> None:
    """Write the checkpoint of ``step`` and remove all but the ``keep_last`` newest."""
    write(stage.checkpoint(step), modules, engine, {"step": step, **state})
    for old in stage.steps()[:-keep_last]:
        shutil.rmtree(stage.checkpoint(old), ignore_errors=True)


def resume(stage: Stage, modules: Modules, engine: Engine, mesh: Mesh) -> dict[str, Any]:
    """Load the newest checkpoint of a stage and cut its logs to that step; {} where there is none.

    Rank 0 says which one; it goes on when all have read it, since it removes old ones later.
    """

    def newest() -> int | None:
        steps = stage.steps()
        stage.truncate(steps[-1] if steps else -1)  # without one everything is logged again, step 0 too
        return steps[-1] if steps else None

    step = mesh.from_main(newest)
    if step is None:
        return {}
    state = read(stage.checkpoint(step), modules, engine)
    mesh.barrier()
    return state
