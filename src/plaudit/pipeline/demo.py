"""The pocket world from raw text to report, and experiments beside it: the same run with one thing changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plaudit.config import load_recipe
from plaudit.errors import UserError
from plaudit.pipeline.run import execute_config, recipe_path, run
from plaudit.report.build import build
from plaudit.runs import RunFolder

# A few seconds a step: shows that everything runs, not that it learns.
QUICK = (
    "world.documents=600",
    "world.demonstrations=300",
    "world.verdicts=64",
    "world.votes=100",
    "world.train_prompts=300",
    "world.validation_prompts=40",
    "world.test_prompts=60",
    "steps.rank.prompts=60",
    "steps.ppo.iterations=2",
    "steps.ppo.prompts_per_iteration=64",
    "evaluate.prompts=60",
    "evaluate.show=12",
)
# Over-optimization takes longer than the demo trains, so that the run beside it with the penalty is as long.
LONG = ("steps.ppo.iterations=48", "steps.ppo.schedule=constant")
BIASED = "steps.rank.by={judge: pocket:raters, length: 0.06, flattery: 1.0, agreement: 1.2, list: 0.4}"
EXPERIMENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "no-leash": {"leashed": LONG, "no-leash": (*LONG, "steps.ppo.kl.coefficient=0")},
    "biased-raters": {"biased-raters": (BIASED,)},
}


def demo(
    *,
    seed: int = 0,
    out: str | Path | None = None,
    no_leash: bool = False,
    biased_raters: bool = False,
    quick: bool = False,
    dry_run: bool = False,
    again: Sequence[str] = (),
) -> RunFolder:
    """The pocket world from raw text to report; on request without a KL penalty, or with biased raters."""
    if no_leash and biased_raters:
        raise UserError("--no-leash and --biased-raters are two experiments", remedy="run one at a time")
    base = Path(out) if out else Path("runs") / ("pocket" if seed == 0 else f"pocket-seed{seed}")
    overrides = [f"seed={seed}", *(QUICK if quick else ())]
    folder = run("pocket", overrides, base, dry_run=dry_run, again=again)
    if dry_run or not (no_leash or biased_raters):
        return folder
    return run_siblings(folder, "no-leash" if no_leash else "biased-raters", overrides)


def run_siblings(base: RunFolder, experiment: str, overrides: Sequence[str]) -> RunFolder:
    """Run an experiment's changed recipes inside ``base``, adopting every step that a change does not touch.

    The report of ``base`` then shows them beside it.
    """
    # The thread count belongs to the key of every step: measured anew, it could keep them from being adopted.
    threads = f"threads={base.read_json('run.json')['resolved']['threads']}"
    for name, changes in EXPERIMENTS[experiment].items():
        config = load_recipe(recipe_path("pocket"), [*overrides, threads, *changes, f"name={name}"])
        execute_config(config, RunFolder(base.path / "siblings" / name), donor=base)
    build(base.path)
    return base
