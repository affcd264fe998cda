"""Running a comparison: one base per seed, every arm from its stages, several at once, each in a process of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from plaudit.config import Config, apply_override, read_yaml, validate
from plaudit.config.resolve import graph_of
from plaudit.config.sections import Rank
from plaudit.errors import UserError, suggest
from plaudit.pipeline.comparison.arms import (
    Arm,
    Grid,
    arms_of,
    check_asked,
    default_grid,
    default_methods,
    names_one,
    with_arm,
    without_arm,
)
from plaudit.pipeline.defaults import with_defaults
from plaudit.pipeline.projects import frozen, removed_if_refused
from plaudit.pipeline.run import recipe_path
from plaudit.progress import Progress
from plaudit.readable import keep_output_readable
from plaudit.registry import METHODS, STEPS
from plaudit.runs import RunFolder, files

# Answers per prompt for the best-of-n yardstick, and the n that are shown.
SAMPLES = 16
SIZES = (1, 2, 4, 8, 16)
LEAN = ("evaluate.show=8",)
QUICKER = (
    "world.documents=32000",
    "world.votes=12000",
    "steps.rank.prompts=1500",
    "evaluate.prompts=400",
    "world.test_prompts=400",
    "world.validation_prompts=60",
)


@dataclass(frozen=True)
class Job:
    """One run: where, what, and whose finished stages it may take."""

    folder: str
    config: dict[str, Any]
    donor: str | None
    kind: str = "arm"


def compare(
    recipe: str | Path = "pocket",
    *,
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    grid: Grid | None = None,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    jobs: int | None = None,
    quick: bool = False,
    step: str | None = None,
) -> Path:
    """Run every method at every point and seed, gather them, write ``compare.json`` and ``compare.html``.

    Each method takes the place of ``step``, the one that makes the recipe's end unless another is named. Steps before
    it are trained once a seed and shared. What is done is skipped: the same call goes on where it was cut off.
    Returns the page's path.
    """
    from plaudit.pipeline.comparison.gather import gather
    from plaudit.report.frontier_page import build_page

    raw = read_yaml(recipe_path(recipe))
    place, own = _replaced(raw, str(recipe), step)
    root = Path(out or Path("runs") / f"compare-{raw['name']}")
    files.check_folder(root, "the comparison")
    chosen = default_grid() if grid is None else {**default_grid(), **grid}
    names = list(methods) or default_methods()
    check_asked(names, grid or {}, overrides, seeds, raw["steps"])
    arms = arms_of(names, {} if quick and grid is None else chosen, shared=overrides, own=own)
    common = [*LEAN, *(QUICKER if quick and raw.get("world") else ())]
    common += [o for o in overrides if o.partition(".")[0].replace("-", "_") not in METHODS]
    workers = jobs or (os.cpu_count() or 1)
    if "threads" not in raw and not any(o.startswith("threads=") for o in common):
        # As many runs at once as there are cores, each on one: nothing is lost to waiting for one another.
        common.append(f"threads={max(1, (os.cpu_count() or 1) // workers)}")
    with removed_if_refused(root, root / "plan.json"):
        bases = [_base(raw, common, root, seed, place) for seed in seeds]
        runs = [_arm(raw, common, root, seed, place, arm) for seed in seeds for arm in arms]
    everything = [*bases, *runs]
    root.mkdir(parents=True, exist_ok=True)
    files.write_json(
        root / "plan.json",
        {
            "recipe": str(recipe),
            "seeds": list(seeds),
            "arms": [
                {"method": a.method, "section": a.section, "name": a.name, "point": a.point, "step": place}
                for a in arms
            ],
        },
    )
    print(f"{len(arms)} arms × {len(seeds)} seeds, {workers} at once → {root}", flush=True)
    done = sum(map(_is_done, everything))
    with Progress(len(everything), "compare", unit="run", start=done) as bar:
        for batch in (bases, runs):
            for job in _in_processes([j for j in batch if not _is_done(j)], workers):
                done += 1
                bar.update(done)
                print(f"\n{Path(job.folder).relative_to(root)}: done", file=sys.stderr, flush=True)
    files.write_json(root / "compare.json", gather(root))
    return build_page(root)


def _replaced(raw: dict[str, Any], origin: str, step: str | None) -> tuple[str, dict[str, Any]]:
    """The step that the methods take the place of, and the recipe's own section of it by its kind.

    A recipe without a step that learns from preferences or rewards gets one at its end.
    """
    config = validate(raw, origin)
    graph = graph_of(config)
    if config.world is None and (config.evaluate is None or config.evaluate.proxy is None):
        raise UserError(
            "nothing judges the answers of a comparison on real data: it takes scores of single answers",
            remedy="add `evaluate: {proxy: {}}` to the recipe: a reward model on a part of data.preferences of its own",
        )
    for node in graph.nodes.values():
        if isinstance(node.settings, Rank) and node.settings.by is not None and node.settings.by.people:
            raise UserError(
                f"the step {node.name!r} asks people, and a comparison cannot wait for them",
                remedy="run the recipe first, then compare on its export as data.preferences",
            )
    learning = [n for n in graph.policies if graph[n].kind.preference and n in config.steps]
    if step is not None and step not in learning:
        raise UserError(
            f"--step {step}: no method can take its place",
            remedy=suggest(step, learning)
            or f"steps that learn from preferences: {', '.join(learning) or 'none'}",
        )
    raw["steps"] = json.loads(with_defaults(config)[0].model_dump_json())["steps"]
    if not learning:
        raw["steps"]["method"] = {"kind": next(n for n, k in STEPS.items() if k.preference)}
        return "method", {}
    place = step or learning[-1]
    section = config.steps[place].settings.model_dump(mode="json", exclude_unset=True)
    return place, {config.steps[place].kind: section}


def _config(raw: Mapping[str, Any], overrides: Sequence[str], root: Path) -> dict[str, Any]:
    made = json.loads(json.dumps(raw))
    steps = made["steps"]
    for override in overrides:
        # What every arm shares may name a step that this run does not have.
        if not override.startswith("steps.") or names_one(override, steps):
            apply_override(made, override)
    resolved, _ = with_defaults(validate(made, str(raw.get("name"))))
    config: Config = frozen(resolved, root / "data", keep=True)
    dumped: dict[str, Any] = json.loads(config.model_dump_json())
    return dumped


def _base(raw: Mapping[str, Any], common: Sequence[str], root: Path, seed: int, place: str) -> Job:
    config = _config(without_arm(raw, place), [*common, f"seed={seed}", "name=base"], root)
    return Job(str(root / f"seed-{seed}" / "base"), config, None, kind="base")


def _arm(raw: Mapping[str, Any], common: Sequence[str], root: Path, seed: int, place: str, arm: Arm) -> Job:
    config = _config(with_arm(raw, place, arm), [*common, f"seed={seed}", f"name={arm.name}"], root)
    folder = root / f"seed-{seed}"
    return Job(str(folder / arm.name), config, str(folder / "base"))


def _is_done(job: Job) -> bool:
    folder = RunFolder(job.folder)
    record = folder.read_json("run.json")
    if record is None or record["config"] != job.config or not (folder.path / "summary.json").exists():
        return False
    return job.kind != "base" or (folder.path / "best_of_n.json").exists()


def _in_processes(jobs: Sequence[Job], workers: int) -> Any:
    """Jobs as they finish. A process each: its peak memory is its own, and no run warms another."""
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1)
    try:
        waiting: dict[Future[None], Job] = {pool.submit(_work, job): job for job in jobs}
        while waiting:
            finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                job = waiting.pop(future)
                try:
                    future.result()
                except UserError:
                    raise
                except Exception as error:
                    raise UserError(
                        f"{job.folder} failed: {error}", remedy=f"its output is in {job.folder}/output.log"
                    ) from error
                yield job
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _work(job: Job) -> None:
    """One run, in a process of its own, what it prints kept in a file."""
    from plaudit.pipeline.run import execute_config

    folder = RunFolder(job.folder)
    folder.path.mkdir(parents=True, exist_ok=True)
    log = os.open(folder.path / "output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    keep_output_readable()
    config = validate(job.config, job.folder)
    execute_config(config, folder, donor=RunFolder(job.donor) if job.donor else None)
    if job.kind == "base":
        from plaudit.pipeline.comparison.best_of_n import write_best_of_n

        write_best_of_n(config, folder, samples=SAMPLES, sizes=SIZES)
