"""`plaudit evaluate`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from plaudit.cli.options import Run, refuse_unread


def evaluate(
    folder: Run,
    judge: Annotated[
        str | None,
        typer.Option("--judge", metavar="SPEC", help="Also let a judge compare the end with the start."),
    ] = None,
    prompts: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Prompts of a judge (default: the evaluation's) or a suite (all).", min=1
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The judge's calibration.json: corrects the rate for its errors."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Let a judge that gave training labels judge.")
    ] = False,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="NAME:FILE", help="A public test set: alpaca_eval, xstest, llmbar …, or a file of pairs."
        ),
    ] = None,
) -> None:
    """Print the main numbers of a run's evaluation, made first from its models where it is missing.

    --suite: refusals (xstest, harmbench, strongreject, advbench), behaviors (anthropic_evals), right results (gsm8k),
    sycophancy (needs no file), win rates of a judge's verdicts (alpaca_eval), the reward model on pairs with a known
    winner. Kept in suites.json.
    """
    if suite is not None:
        _suite(folder, suite, prompts, judge, calibration, force)
        return
    if judge is not None:
        from plaudit.pipeline.judged_evaluation import judge_run

        for line in judged_lines(
            judge_run(folder, judge, prompts=prompts, calibration=calibration, force=force)
        ):
            typer.echo(line)
        return
    refuse_unread({"prompts": prompts}, needs="--judge or --suite")
    refuse_unread({"calibration": calibration, "force": force or None}, needs="--judge")
    from rich.console import Console
    from rich.table import Table

    from plaudit.pipeline.results import evaluate as summary_of

    summary = summary_of(folder)
    judge = summary.get("judge")
    title = f"{summary.get('name')}, " + (f"judged by {judge}" if judge else "judged by nothing")
    table = Table(title=title, title_justify="left")
    for column in ("number", "value", "95 % interval"):
        table.add_column(column, justify="left" if column == "number" else "right")
    for name, value in _rows(summary):
        interval = f"{value['low']:.3f} … {value['high']:.3f}" if value.get("low") is not None else ""
        table.add_row(name, f"{value['mean']:.3f}", interval)
    console = Console(highlight=False)
    console.print(table)
    for place, step in (summary.get("policies") or {}).items():
        if place != "base":
            console.print(f"{place}: {folder.resolve().name}@{step}", markup=False, soft_wrap=True)
    policies = summary.get("policies") or {}
    if policies.get("end"):
        pair = " --side-by-side" if policies.get("start") not in (None, policies["end"]) else ""
        console.print(f"next: plaudit chat {shlex.quote(str(folder))}{pair}", markup=False, soft_wrap=True)


def _suite(
    folder: Path, suite: str, limit: int | None, judge: str | None, calibration: str | None, force: bool
) -> None:
    from plaudit.errors import UserError
    from plaudit.pipeline.suites.run_suite import evaluate_suite, suite_lines

    if judge is not None or calibration is not None or force:
        raise UserError(
            "a suite has no judge", remedy="leave --judge, --calibration and --force out, or --suite"
        )
    for line in suite_lines(suite, evaluate_suite(folder, suite, limit=limit)):
        typer.echo(line)


def judged_lines(found: dict[str, Any]) -> list[str]:
    """What a judge said of a run, one number a line."""
    raw, fair = found, found["controlled"] if found["pairs"] else None
    lines = [
        f"{found['judge']}: {found['end']} against {found['start']}, {found['pairs']} prompts in both orders, "
        f"{found['abstained']} without a verdict"
    ]
    if found["too_long"]:
        lines.append(f"left out            {found['too_long']} prompts that are too long for the models")
    if fair is None:
        return lines
    lines.append(
        f"win rate            {raw['mean']:.3f} [{raw['low']:.3f}, {raw['high']:.3f}]: "
        f"{raw['wins']:.0%} won, {raw['ties']:.0%} tied, {raw['losses']:.0%} lost"
    )
    lines.append(f"at equal length     {fair['mean']:.3f} [{fair['low']:.3f}, {fair['high']:.3f}] (rough)")
    if fixed := found.get("corrected"):
        lines.append(f"corrected           {fixed['mean']:.3f} [{fixed['low']:.3f}, {fixed['high']:.3f}]")
    lines.append(f"the end is longer   {raw['longer']:.0%}")
    if found["also_taught"]:
        lines.append("this judge also gave what the run was trained on: it is no independent measure")
    return lines


def _rows(summary: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The numbers that have a mean, by name."""
    found: list[tuple[str, dict[str, Any]]] = []
    steps = set((summary.get("policies") or {}).values())
    for section in ("gold", "proxy", "win_rate"):
        for name, value in (summary.get(section) or {}).items():
            if name not in steps and isinstance(value, dict) and value.get("mean") is not None:
                found.append((f"{section} {name.replace('_', ' ')}", value))
    if summary.get("gap_closed"):
        found.append(("gap closed", summary["gap_closed"]))
    if summary.get("kl"):
        found.append(("exact KL, nats per response", {**summary["kl"], "mean": summary["kl"]["exact"]}))
    reward = summary.get("reward_model")
    if reward:
        found.append(("reward model accuracy", {**reward, "mean": reward["accuracy"]}))
        found.append(("longer wins", {"mean": reward["longer_wins"]}))
    return found
