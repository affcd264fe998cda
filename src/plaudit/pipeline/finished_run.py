"""A run that was made, as something to compute with: its models are loaded as they were trained."""

from __future__ import annotations

from plaudit.config import Config, validate
from plaudit.config.resolve import graph_of
from plaudit.pipeline.context import Context
from plaudit.pipeline.datasets import materials_of
from plaudit.pipeline.machine import compute_of
from plaudit.runs import RunFolder
from plaudit.runtime import Runtime, resolve_device


def context_of(folder: RunFolder, config: Config | None = None) -> Context:
    """The context of a run's steps, on this process alone; ``config`` where it is not that of its record.

    Compute in it within ``context.runtime.computing()``: precision, layout and kernels are the run's.
    """
    config = config or _config_of(folder)
    return Context(config, graph_of(config), folder, materials_of(config), runtime_of(folder, config))


def runtime_of(folder: RunFolder, config: Config | None = None) -> Runtime:
    """Device, precision, layout and kernels of a run that was made."""
    config = config or _config_of(folder)
    compute = compute_of(config, folder.record("resolved")["resolved"])
    return Runtime(resolve_device(config.device), compute=compute, seed=config.seed)


def _config_of(folder: RunFolder) -> Config:
    return validate(folder.record("config")["config"], f"{folder.path}/run.json")
