"""Run a recipe: resolve it, record how, execute its plan, write the report."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plaudit.config import Config, load_recipe, validate
from plaudit.config.graph import Graph
from plaudit.config.resolve import graph_of
from plaudit.data.rendering.template_date import pin_day
from plaudit.errors import UserError, suggest, told_together
from plaudit.pipeline.defaults import Filled, with_defaults
from plaudit.pipeline.machine import computing
from plaudit.pipeline.planning import check_functions, check_sources, make_plan, models_of
from plaudit.pipeline.projects import frozen, removed_if_refused
from plaudit.pipeline.run_record import ending, run_day, write_record
from plaudit.pipeline.stages import ALL, Plan, execute, is_done, made_by_other_code
from plaudit.registry import EVALUATE
from plaudit.runs import RunFolder, files

if TYPE_CHECKING:
    from plaudit.runtime import Runtime

BUILT_IN = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Options:
    """How a run is executed: not at all, from a donor's steps, with some made anew, or only some."""

    dry_run: bool = False
    donor: RunFolder | None = None
    again: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    filled: tuple[Filled, ...] = ()


def recipe_path(recipe: str | Path) -> Path:
    """A recipe file, or the built-in one of that name."""
    path = Path(recipe)
    built_in = BUILT_IN / f"{recipe}.yaml"
    try:
        return built_in if not path.exists() and built_in.exists() else path
    except OSError:  # too long a name, say: reading it says what is wrong
        return path


def run(
    recipe: str | Path | Config,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    *,
    without: Sequence[str] = (),
    again: Sequence[str] = (),
    dry_run: bool = False,
) -> RunFolder:
    """Run a recipe to its report, skipping steps that are done and resuming the one that was cut off.

    ``without`` leaves steps out, ``again`` makes finished ones anew (``all`` of them, but for people's answers).
    ``Waiting`` where a step waits for people.
    """
    config = recipe if isinstance(recipe, Config) else load_recipe(recipe_path(recipe), overrides, without)
    folder = RunFolder(out or Path("runs") / config.name)
    return execute_config(config, folder, dry_run=dry_run, again=again)


def resume(path: str | Path, *, again: Sequence[str] = ()) -> RunFolder:
    """Continue a run from its own record."""
    folder = RunFolder.existing(path)
    record = folder.record("config")
    return execute_config(validate(record["config"], f"{path}/run.json"), folder, again=again)


def evaluate_only(path: str | Path) -> RunFolder:
    """Evaluate a run whose steps are done, and write its summary and report; nothing is trained.

    UserError where a step is not done, or where the recipe has no evaluation.
    """
    folder = RunFolder.existing(path)
    if "steps" not in folder.record():
        return folder  # recorded before recipes were graphs: its summary is what there is
    record = folder.record("config", "steps")
    config = validate(record["config"], f"{path}/run.json")
    if config.evaluate is None:
        return folder
    undone = [
        n
        for n in record["steps"]
        if n != EVALUATE and (folder.stage(n).read_json() or {}).get("status") != "done"
    ]
    if undone:
        raise UserError(
            f"{path} cannot be evaluated: {', '.join(undone)} is not done", remedy=f"plaudit resume {path}"
        )
    return execute_config(config, folder, only=(EVALUATE,))


def execute_config(
    config: Config,
    folder: RunFolder,
    *,
    dry_run: bool = False,
    donor: RunFolder | None = None,
    again: Sequence[str] = (),
    only: Sequence[str] | None = None,
) -> RunFolder:
    """Bring a run folder to what its config says; ``only`` some of its steps, the others being left as they are."""
    files.check_folder(folder.path)
    config, filled = with_defaults(config)
    graph = graph_of(config)
    for name in again:
        if name != ALL and name not in graph.nodes:
            known = [ALL, *graph.nodes]
            remedy = suggest(name, known) or f"steps: {', '.join(graph.nodes)}, or {ALL}"
            raise UserError(f"--again {name}: the run has no such step", remedy=remedy)
    try:
        check_sources(config)
    except UserError:
        # Without its files the plan cannot be made, in which functions are looked at.
        told_together(
            f"recipe {config.name!r} cannot run",
            lambda: check_sources(config),
            lambda: check_functions(graph),
        )
    with removed_if_refused(folder.path, folder.path / "run.json"), tempfile.TemporaryDirectory() as nowhere:
        snapshots = Path(nowhere) if dry_run else folder.path / "data"
        options = Options(dry_run, donor, tuple(again), None if only is None else tuple(only), tuple(filled))
        return _computed(frozen(config, snapshots), graph, folder, options)


def _computed(
    config: Config,
    graph: Graph,
    folder: RunFolder,
    options: Options,
) -> RunFolder:
    with computing(config, folder) as (resolved, runtime):
        day = runtime.mesh.from_main(lambda: run_day(folder))
        with pin_day(day):
            return _execute(config, graph, folder, resolved, runtime, options)


def _execute(
    config: Config,
    graph: Graph,
    folder: RunFolder,
    resolved: dict[str, Any],
    runtime: Runtime,
    options: Options,
) -> RunFolder:
    from rich.console import Console

    from plaudit.pipeline.context import Context
    from plaudit.pipeline.datasets import materials_of
    from plaudit.pipeline.export import export_end
    from plaudit.pipeline.steps.evaluation_prompts import check_held_out

    console = Console(stderr=False, highlight=False)
    mesh = runtime.mesh

    def tell(line: str) -> None:
        if mesh.is_main:
            console.print(line, markup=False, soft_wrap=True)

    context = Context(config, graph, folder, materials_of(config, tell), runtime)
    plan = make_plan(context, _common(config, resolved))

    def held_out() -> None:
        if few := check_held_out(context):
            tell(few)

    def todo() -> list[str]:
        keys = plan.keys(folder)
        return [name for name in graph.nodes if not is_done(folder, name, keys[name])]

    def before_step_0() -> None:
        from plaudit.pipeline.preflight import preflight

        preflight(context, todo(), tell, planned=options.dry_run)

    def dequantized() -> None:
        from plaudit.models.files import dequantize

        models = [spec for name in todo() for spec, kind in models_of(graph[name]) if kind == "policy"]
        for spec in dict.fromkeys(models):
            dequantize(spec)

    looks = [held_out, *([lambda: mesh.from_main(before_step_0)] if options.only is None else [])]
    told_together(f"recipe {config.name!r} cannot run", *looks)
    for one in options.filled:
        tell(f"not stated, so as vetted for pretrained models: {one}")
    if options.dry_run:
        from plaudit.pipeline.dry_run import describe

        if mesh.is_main:
            describe(plan, context, resolved, console)
        return folder
    # Weights take minutes, so only now that nothing is known to be wrong; in one rank, not in all.
    mesh.from_main(dequantized)
    made_by = plan.codes(resolved["versions"])
    if mesh.is_main:
        other = made_by_other_code(plan, folder, made_by)
        files.sweep(folder.path)
        write_record(
            folder, config, graph, resolved, {n: w for n, w in other.items() if n not in options.again}
        )
        _begin(config, plan, folder, other, options.again, console)
    execute(
        plan,
        folder,
        announce=_announcer(plan, folder, console, mesh.is_main),
        donor=options.donor,
        mesh=mesh,
        again=options.again,
        made_by=made_by,
        only=options.only,
    )
    if mesh.is_main:
        export_end(context, (folder.stage(graph.places.get("end", "")).read_json() or {}).get("key"))
    if mesh.is_main and config.evaluate is not None:
        from plaudit.audit.write import write_findings
        from plaudit.pipeline.summary import write_summary
        from plaudit.report.build import build

        write_summary(folder)
        write_findings(folder.path)
        path = build(folder.path)
        console.print(f"report: {path}", markup=False, soft_wrap=True)
    if mesh.is_main and (line := ending(graph, folder)):
        tell(line)
    return folder


def _common(config: Config, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs to the key of every step."""
    # Keys of runs from before the setting do not have it.
    kernels = {} if config.compute.kernels == "auto" else {"kernels": config.compute.kernels}
    return {
        **kernels,
        "threads": resolved["threads"],
        "device": resolved["device"],
        "precision": resolved["precision"],
        "layout": config.layout,
        "fused": config.fused,
    }


def _begin(
    config: Config,
    plan: Plan,
    folder: RunFolder,
    other: Mapping[str, str],
    again: Sequence[str],
    console: Any,
) -> None:
    """How far the run is, and what is kept although other code made it."""
    keys = plan.keys(folder)
    todo = [name for name in keys if not is_done(folder, name, keys[name])]
    line = f"{config.name}: {len(keys)} steps, {len(keys) - len(todo)} done before → {folder.path}"
    console.print(line, style="bold", markup=False, soft_wrap=True)
    if ALL in again:
        return
    for name, why in other.items():
        if name not in again:
            line = f"{name}: {why}, kept; `--again {name}` makes it anew"
            console.print(line, style="yellow", markup=False, soft_wrap=True)


def _announcer(plan: Plan, folder: RunFolder, console: Any, is_main: bool) -> Any:
    """What is printed as steps are skipped, resumed, started and done."""
    names = [spec.name for spec in plan.stages]

    def announce(name: str, state: str) -> None:
        if not is_main:
            return
        head = f"[{names.index(name) + 1}/{len(names)}] {name}"
        if state == "done":
            seconds = folder.stage(name).read_json()["seconds"]
            console.print(f"{head}: done in {seconds:.1f} s", style="green", markup=False)
        else:
            words = {"skipped": "unchanged, skipped", "resumed": "resumed", "started": "started"}
            console.print(f"{head}: {words[state]}", markup=False)

    return announce
