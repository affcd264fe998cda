"""`plaudit audit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from plaudit.cli.options import Given, known, typed


def audit(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A finished run; or see --reward.")
    ] = None,
    forecast: Annotated[
        bool,
        typer.Option("--forecast", help="Also sample the run's start: what its reward allows, for every β."),
    ] = False,
    shift: Annotated[
        bool,
        typer.Option("--shift", help="Also how far answers are from what the reward model was trained on."),
    ] = False,
    reward: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Before RL: RUN, a reward model's folder, python:module:function."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="MODEL", help="With --reward: the policy that RL would start from.")
    ] = None,
    prompts: Annotated[
        str | None, typer.Option(metavar="FILE", help="With --reward: prompts that training does not see.")
    ] = None,
    second: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Another reward in the place of the truth (see --reward)."),
    ] = None,
    answers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Answers to each prompt of a forecast (default: 32).", min=8),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Prompts of a forecast (default: 100).", min=10)
    ] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:FUNCTION", help="A detector of your own; may be repeated."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(metavar="T", help="With --reward: 0 is greedy (default: 1).", min=0)
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="With --reward: longest answer (default: 128 tokens).", min=1),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="With --reward: seed of the draw (default: 0).", min=0)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """What changed between a run's start and its end, which change is a suspected hack, what the reward allows.

    RUN: detectors over the answers that its evaluation stored; with --forecast also what RL with its reward can
    reach, with --shift how far its answers are from the reward model's data. --reward, --policy and --prompts: the
    forecast alone, before any RL. A finding does not change the exit code.
    """
    drawn = {"answers": answers, "limit": limit}
    sampled = {"temperature": temperature, "max_new_tokens": max_new_tokens, "seed": seed}
    before_rl = {"reward": reward, "policy": policy, "prompts": prompts}
    own = tuple(detector or ())
    found = (
        _of_run(run, forecast, shift, {**before_rl, **sampled}, drawn, second, own)
        if run is not None
        else _of_reward(before_rl, {**drawn, **sampled}, second, own, forecast or shift)
    )
    if as_json:
        from plaudit.runs.files import plain

        typer.echo(json.dumps(plain(found), ensure_ascii=False, indent=2))
        return
    for line in lines_of(found):
        typer.echo(line)


def _of_run(
    run: Path,
    forecast: bool,
    shift: bool,
    others: Given,
    drawn: Given,
    second: str | None,
    own: tuple[str, ...],
) -> dict[str, Any]:
    from plaudit.errors import UserError
    from plaudit.pipeline.auditing import audit_run

    if unread := typed(others):
        raise UserError(
            f"RUN brings its own reward, policy, prompts and sampling: {', '.join(unread)} has no place",
            remedy=f"leave {', '.join(unread)} out, or RUN",
        )
    if not forecast and (unread := typed({**drawn, "second": second})):
        raise UserError(f"{', '.join(unread)} is about a forecast", remedy="add --forecast")
    sizes = {"answers": drawn["answers"], "prompts": drawn["limit"]}
    return audit_run(
        run, with_forecast=forecast, with_shift=shift, second=second, detectors=own, **known(sizes)
    )


def _of_reward(
    before_rl: Given, options: Given, second: str | None, own: tuple[str, ...], forecast: bool
) -> dict[str, Any]:
    from plaudit.errors import UserError
    from plaudit.pipeline.auditing import audit_reward

    missing = [f"--{name}" for name, value in before_rl.items() if value is None]
    if len(missing) == len(before_rl):
        raise UserError("nothing to audit", remedy="name a RUN, or --reward, --policy and --prompts")
    if missing:
        raise UserError(f"an audit before RL also needs {' and '.join(missing)}")
    if forecast:
        raise UserError("an audit before RL is a forecast", remedy="leave --forecast and --shift out")
    made = audit_reward(**before_rl, second=second, detectors=own, **known(options))
    named = {"of": before_rl["reward"], "policy": before_rl["policy"], "truth": second}
    return {"forecast": {**made.as_dict(), **named}}


def lines_of(found: dict[str, Any]) -> list[str]:
    """An audit as text."""
    from plaudit.audit.forecast_words import forecast_lines
    from plaudit.audit.hacking import lines
    from plaudit.audit.shift_findings import shift_lines

    out = list(lines(found)) if found.get("changes") else []
    if found.get("forecast"):
        out += ([""] if out else []) + list(forecast_lines(found["forecast"]))
    if found.get("shift"):
        out += ([""] if out else []) + shift_lines(found["shift"])
    return out
