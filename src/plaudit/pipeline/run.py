"""Run a recipe: resolve it, record how, execute its plan, write the report."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from plaudit.config import Config, load_recipe, validate
from plaudit.data.dates import day_of_templates, pin_day
from plaudit.errors import UserError
from plaudit.pipeline.planning import make_plan
from plaudit.pipeline.projects import frozen
from plaudit.pipeline.stages import execute, is_done
from plaudit.runs import RunFolder, files

BUILT_IN = Path(__file__).parent / "recipes"


def recipe_path(recipe: str | Path) -> Path:
    """A recipe file, or the built-in one of that name."""
    path = Path(recipe)
    built_in = BUILT_IN / f"{recipe}.yaml"
    return built_in if not path.exists() and built_in.exists() else path


def run(
    recipe: str | Path | Config,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    *,
    dry_run: bool = False,
) -> RunFolder:
    """Run a recipe to its report, skipping stages that are done and resuming the one that was cut off."""
    config = recipe if isinstance(recipe, Config) else load_recipe(recipe_path(recipe), overrides)
    folder = RunFolder(out or Path("runs") / config.name)
    return execute_config(config, folder, dry_run=dry_run)


def resume(path: str | Path) -> RunFolder:
    """Continue a run from its own record."""
    folder = RunFolder.existing(path)
    record = folder.read_json("run.json")
    return execute_config(validate(record["config"], f"{path}/run.json"), folder)


def execute_config(
    config: Config, folder: RunFolder, *, dry_run: bool = False, donor: RunFolder | None = None
) -> RunFolder:
    """Bring a run folder to what its config says."""
    with tempfile.TemporaryDirectory() as nowhere:
        snapshots = Path(nowhere) if dry_run else folder.path / "data"
        return _computed(frozen(config, snapshots), folder, dry_run, donor)


def _computed(config: Config, folder: RunFolder, dry_run: bool, donor: RunFolder | None) -> RunFolder:
    from plaudit.models.compute import computing
    from plaudit.training.device import make_deterministic, resolve_device
    from plaudit.training.memory import keep_freed_memory, spare_libraries

    device = resolve_device(config.device)
    resolved = _resolve(config, folder, device)
    _set_threads(resolved["threads"])
    keep_freed_memory()
    spare_libraries()
    make_deterministic(device, config.deterministic)
    with (
        pin_day(run_day(folder)),
        computing(
            layout=config.layout,
            fused=config.fused,
            precision=resolved["precision"],
            memory=resolved["memory_gib"] * 2**30,
            checkpointing=config.checkpointing,
        ),
    ):
        return _execute(config, folder, resolved, device, dry_run, donor)


def _execute(
    config: Config,
    folder: RunFolder,
    resolved: dict[str, Any],
    device: Any,
    dry_run: bool,
    donor: RunFolder | None,
) -> RunFolder:
    from rich.console import Console

    from plaudit.pipeline.context import Context
    from plaudit.pipeline.evaluation_prompts import check_held_out
    from plaudit.pipeline.materials import materials_of
    from plaudit.training.ranks import Ranks

    console = Console(stderr=False, highlight=False)
    ranks = Ranks.from_environment()

    def tell(line: str) -> None:
        if ranks.is_main:
            console.print(line, markup=False, soft_wrap=True)

    context = Context(config, folder, materials_of(config, tell), device, ranks)
    common = {
        "threads": resolved["threads"],
        "device": resolved["device"],
        "precision": resolved["precision"],
        "layout": config.layout,
        "fused": config.fused,
        "torch": resolved["versions"]["torch"],
    }
    plan = make_plan(config, context, common)
    if (few := check_held_out(context)) and ranks.is_main:
        console.print(few, markup=False, soft_wrap=True)
    if dry_run:
        from plaudit.pipeline.dry_run import describe

        describe(plan, config, context, folder, resolved, console)
        return folder
    if ranks.is_main:
        files.sweep(folder.path)
        _write_record(folder, config, resolved)
    keys = plan.keys()
    todo = [name for name in keys if not is_done(folder, name, keys[name])]
    total = len(keys)
    numbers = {name: i + 1 for i, name in enumerate(keys)}
    if ranks.is_main:
        line = f"{config.name}: {total} stages, {total - len(todo)} done before → {folder.path}"
        console.print(line, style="bold", markup=False, soft_wrap=True)

    def announce(name: str, state: str) -> None:
        if not ranks.is_main:
            return
        head = f"[{numbers[name]}/{total}] {name}"
        if state == "done":
            seconds = folder.stage(name).read_json()["seconds"]
            console.print(f"{head}: done in {seconds:.1f} s", style="green", markup=False)
        else:
            words = {"skipped": "unchanged, skipped", "resumed": "resumed", "started": "started"}
            console.print(f"{head}: {words[state]}", markup=False)

    execute(plan, folder, announce=announce, donor=donor, is_main=ranks.is_main)
    if ranks.is_main and config.evaluate is not None:
        from plaudit.pipeline.summary import write_summary
        from plaudit.report import build

        write_summary(folder)
        path = build(folder.path)
        console.print(f"report: {path}", markup=False, soft_wrap=True)
    return folder


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _resolve(config: Config, folder: RunFolder, device: Any) -> dict[str, Any]:
    """Choices made by looking at the machine, made once: a later start reads them from the run."""
    import torch

    from plaudit.training.device import measure_precision, measure_threads
    from plaudit.training.memory import memory_limit
    from plaudit.training.probe import config_of

    before = (folder.read_json("run.json") or {}).get("resolved")
    if (
        before
        and before["device"] == device.type
        and config.threads in (None, before["threads"])
        and config.precision in ("auto", before["precision"])
        and config.memory in (None, before["memory_gib"])
    ):
        return dict(before)
    if config.threads is not None:
        threads, reason = config.threads, "set by the recipe"
    elif device.type != "cpu":
        threads, reason = torch.get_num_threads(), "torch's default: the work is on the accelerator"
    else:
        threads, reason = measure_threads(getattr(config.policy, "hidden", 1024))
    _set_threads(threads)
    if config.precision == "auto":
        precision, why = measure_precision(config_of(config.policy), device)
    else:
        precision, why = config.precision, "set by the recipe"
    return {
        "device": device.type,
        "threads": threads,
        "threads_reason": reason,
        "precision": precision,
        "precision_reason": why,
        "memory_gib": memory_limit(device, config.memory) / 2**30,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("plaudit", "torch", "transformers", "tokenizers")},
        },
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cpu": _cpu_name(),
            "cores": os.cpu_count(),
            "accelerator": torch.cuda.get_device_name() if device.type == "cuda" else None,
        },
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def run_day(folder: RunFolder) -> date:
    """The day that chat templates write in this run: that on which it began, also when it goes on later."""
    record = folder.read_json("run.json") or {}
    if "date" in record:
        return date.fromisoformat(record["date"])
    return date.fromtimestamp(record["created"]) if "created" in record else date.today()


def _git() -> dict[str, Any] | None:
    """Commit and cleanliness of the code, where it runs from a checkout."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True, timeout=5
        ).stdout.strip()
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(dirty.strip())}


def _write_record(folder: RunFolder, config: Config, resolved: Mapping[str, Any]) -> None:
    before = folder.read_json("run.json")
    record = {
        "date": day_of_templates().isoformat(),
        "name": config.name,
        "config": json.loads(config.model_dump_json()),
        "resolved": resolved,
        "git": _git(),
        "created": (before or {}).get("created", time.time()),
        "command": sys.argv,
    }
    folder.write_json("run.json", record)


def demo(
    *,
    seed: int = 0,
    out: str | Path | None = None,
    no_leash: bool = False,
    biased_raters: bool = False,
    quick: bool = False,
    dry_run: bool = False,
) -> RunFolder:
    """The pocket world from raw text to report; on request without a leash, or with biased raters."""
    if no_leash and biased_raters:
        raise UserError("--no-leash and --biased-raters are two experiments", remedy="run one at a time")
    base = Path(out) if out else Path("runs") / ("pocket" if seed == 0 else f"pocket-seed{seed}")
    overrides = [f"seed={seed}"]
    if quick:
        overrides += QUICK
    folder = run("pocket", overrides, base, dry_run=dry_run)
    if dry_run or not (no_leash or biased_raters):
        return folder
    from plaudit.pipeline.siblings import run_siblings

    return run_siblings(folder, "no-leash" if no_leash else "biased-raters", overrides)


# A few seconds a stage: shows that everything runs, not that it learns.
QUICK = (
    "world.documents=600",
    "world.demonstrations=300",
    "world.verdicts=64",
    "world.votes=100",
    "world.train_prompts=300",
    "world.validation_prompts=40",
    "world.test_prompts=60",
    "rank.prompts=60",
    "ppo.iterations=2",
    "ppo.prompts_per_iteration=64",
    "evaluate.prompts=60",
    "evaluate.show=12",
)
