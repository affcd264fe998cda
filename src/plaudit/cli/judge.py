"""`plaudit judge`: an AI judge over a file of answers, or held against people's rankings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plaudit.cli.options import Fields, Labels, pairs_of

if TYPE_CHECKING:
    from plaudit.evaluation.judge_gate import Calibration

REFUSED = 4


def judge(
    source: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="Prompts with several answers.")
    ] = None,
    with_: Annotated[
        str,
        typer.Option(
            "--with", metavar="SPEC", help="local:MODEL, http(s)://host/v1#model, reward:…, python:…."
        ),
    ] = "",
    rankings: Annotated[
        str | None,
        typer.Option(
            "--calibrate", metavar="RANKINGS", help="Hold the judge against people's rankings instead."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of verdicts, cache and ledger.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Stop after so many items.", min=1)] = None,
    fields: Fields = None,
    labels: Labels = None,
) -> None:
    """Judge the answers of a file, both orders of every pair; or --calibrate: exit code 0 passed, 4 refused."""
    from plaudit.errors import UserError

    if not with_:
        raise UserError("name a judge", remedy="--with local:MODEL, --with http://host/v1#model, …")
    if (source is None) == (rankings is None):
        raise UserError("name a file to judge, or --calibrate with people's rankings", remedy="one of both")
    if labels and rankings is None:
        raise UserError(
            "--labels says what people's verdicts are called, and a file to judge has none that count",
            remedy="leave --labels out, or hold the judge against people: --calibrate RANKINGS",
        )
    folder = out or Path("judgements") / _name(with_)
    if rankings is not None:
        _calibrate(rankings, with_, folder, limit, pairs_of(fields, "--fields"), pairs_of(labels, "--labels"))
        return
    from plaudit.pipeline.judging import judge_file

    found = judge_file(str(source), with_, out=folder, limit=limit, fields=pairs_of(fields, "--fields"))
    counts = found.counts
    asked = " in both orders" if counts["in both orders"] else ""
    typer.echo(
        f"{counts['items']} items, {counts['pairs']} pairs{asked}, {counts['undecided']} without a verdict "
        f"({counts['unreadable']} could not be read, {counts['little mass']} with less than half of the probability "
        "on the labels)"
    )
    if found.spent:
        typer.echo(_spending(found.spent))
    if not found.records:
        typer.echo(f"{found.path} is empty: no pair has a verdict; add ?reason=true, or ask a larger model")
        return
    typer.echo(f"rankings: {found.path}; next: plaudit judge --with {with_} --calibrate PEOPLE.jsonl")


def _name(spec: str) -> str:
    from plaudit.judges.language_options import folder_name

    return folder_name(spec.partition("?")[0])


def _calibrate(
    rankings: str,
    spec: str,
    folder: Path,
    limit: int | None,
    fields: Mapping[str, str] | None,
    labels: Mapping[str, str] | None,
) -> None:
    from plaudit.pipeline.judging import calibrate_judge

    found = calibrate_judge(rankings, spec, out=folder, limit=limit, fields=fields, labels=labels)
    for line in lines_of(found):
        typer.echo(line)
    if found.passed:
        typer.echo("passed: its labels may train a model")
        return
    typer.echo("refused:")
    for reason in found.reasons:
        typer.echo(f"  {reason}")
    raise typer.Exit(REFUSED)


def lines_of(found: Calibration) -> list[str]:
    """The figures of a calibration, one a line."""
    rows: list[tuple[str, str]] = [
        ("agreement with people", _interval(found.agreement)),
        ("  where the shorter is preferred", _interval(found.agreement_shorter)),
        (
            "one person with the others",
            _interval(found.ceiling) if found.ceiling else "unknown: one rater an item",
        ),
        ("  a tie as a verdict of its own", _interval(found.agreement_ties)),
        (
            "longer wins",
            f"people {_number(found.longer_wins['people'])}, judge {_number(found.longer_wins['judge'])}",
        ),
        ("same answer after a swap", _interval(found.consistency) if found.consistency else "unknown"),
        ("log-odds of standing first", _interval(found.position) if found.position else "unknown"),
        ("own answers win", _own(found.own)),
        (
            "temperature",
            f"{found.temperature:.3g}: ECE {_number(found.ece)} (chance {_number(found.ece_noise)})",
        ),
        ("sensitivity, specificity", f"{_interval(found.sensitivity)}, {_interval(found.specificity)}"),
        *((f"{name} answer wins", f"{wins:.0%}") for name, wins in found.probes.items()),
        *((f"  {name}", _interval(value)) for name, value in found.categories.items()),
    ]
    width = max(len(name) for name, _ in rows)
    return [
        f"{found.judged} of {found.pairs} pairs judged"
        + (f"; {found.left_out} rankings left out: a judge gave them, no person" if found.left_out else ""),
        *(f"{name:{width}}  {value}" for name, value in rows),
    ]


def _interval(value: Mapping[str, float]) -> str:
    if math.isnan(value["mean"]):
        return "unknown"
    return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def _number(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.3f}"


def _own(own: Mapping[str, float] | None) -> str:
    if own is None:
        return "unknown: no answer says that the judge wrote it"
    return f"people {own['people']:.3f}, judge {own['judge']:.3f} ({own['pairs']:.0f} pairs)"


def _spending(spent: Mapping[str, Any]) -> str:
    tokens = f"{spent['prompt_tokens']:,} + {spent['completion_tokens']:,} tokens"
    if spent["replies_without_usage"]:
        tokens += f" and unknown ones of {spent['replies_without_usage']:,} replies"
    cost = "cost unknown" if spent["cost"] is None else f"cost {spent['cost']:.4g}"
    failed = sum(spent["failures"].values())
    asked = (
        f"{spent['requests']:,} requests, {failed:,} failed, {spent['from_cache']:,} answers from the cache"
    )
    return f"{asked}; {tokens}; {cost}"
