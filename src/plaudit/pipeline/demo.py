"""The pocket world from raw text to report, and experiments beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plaudit.pipeline.experiments import EXPERIMENTS, Variation, chosen
from plaudit.pipeline.run import execute_config, run
from plaudit.report.build import build
from plaudit.runs import RunFolder

# A few seconds a step: shows that everything runs, not that it learns.
QUICK = (
    "world.documents=600",
    "world.demonstrations=300",
    "world.votes=100",
    "world.train_prompts=300",
    "world.validation_prompts=40",
    "world.test_prompts=60",
    "steps.rank.prompts=60",
    "steps.rank-2.prompts=40",
    "steps.rank-3.prompts=40",
    "steps.ppo.iterations=2",
    "steps.ppo-2.iterations=2",
    "steps.ppo-3.iterations=2",
    "steps.ppo-small.iterations=2",
    "steps.ppo.prompts_per_iteration=64",
    "evaluate.prompts=60",
    "evaluate.show=12",
)


def demo(
    *,
    seed: int = 0,
    out: str | Path | None = None,
    no_leash: bool = False,
    biased_raters: bool = False,
    rounds: bool = False,
    skilled_writers: bool = False,
    small_beats_large: bool = False,
    quick: bool = False,
    dry_run: bool = False,
    again: Sequence[str] = (),
) -> RunFolder:
    """The pocket world from raw text to report; on request one experiment beside it, in the same report."""
    experiment = chosen(
        {
            "no-leash": no_leash,
            "biased-raters": biased_raters,
            "rounds": rounds,
            "skilled-writers": skilled_writers,
            "small-beats-large": small_beats_large,
        }
    )
    base = Path(out) if out else Path("runs") / ("pocket" if seed == 0 else f"pocket-seed{seed}")
    overrides = [f"seed={seed}", *(QUICK if quick else ())]
    config = Variation().config(overrides, "pocket")
    folder = run(config, out=base, dry_run=dry_run, again=again)
    if dry_run or experiment is None:
        return folder
    return run_siblings(folder, experiment, overrides)


def run_siblings(base: RunFolder, experiment: str, overrides: Sequence[str]) -> RunFolder:
    """Run an experiment's changed recipes inside ``base``, adopting every step that a change does not touch.

    The report of ``base`` then shows them beside it.
    """
    # The thread count belongs to the key of every step: measured anew, it could keep them from being adopted.
    threads = f"threads={base.read_json('run.json')['resolved']['threads']}"
    for name, variation in EXPERIMENTS[experiment].items():
        config = variation.config([*overrides, threads], name)
        execute_config(config, RunFolder(base.path / "siblings" / name), donor=base)
    build(base.path)
    return base
