"""`plaudit redteam`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from plaudit.cli.options import known, typed


def redteam(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A finished run; or see --reward.")
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Without RUN: a reward model, or python:module:function."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="MODEL", help="With --reward: the policy whose answers are mutated.")
    ] = None,
    prompts: Annotated[
        str | None, typer.Option(metavar="FILE", help="Prompts (default: those that RUN holds out).")
    ] = None,
    second: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="The second opinion (default of RUN: gold, or its proxy judge)."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where finds go (default: redteam.jsonl of RUN).")
    ] = None,
    answers: Annotated[int, typer.Option(metavar="N", help="Draws to each prompt.", min=2)] = 8,
    limit: Annotated[int, typer.Option(metavar="N", help="Prompts.", min=1)] = 50,
    rounds: Annotated[int, typer.Option(metavar="N", help="Rounds of mutation.", min=0)] = 3,
    temperature: Annotated[
        float | None, typer.Option(metavar="T", help="With --reward: of the draws (default: 1).", min=0)
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="With --reward: longest draw (default: 128 tokens).", min=1),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="With --reward: seed of the search (default: 0).", min=0)
    ] = None,
) -> None:
    """Search for answers that a reward likes and a second opinion does not; finds become items to rank.

    Draws of the policy are edited (praise, lists, a sentence twice …) and the best paid of low worth edited again. The
    file of finds is one that people can rank (collect --responses).
    """
    from plaudit.errors import UserError
    from plaudit.pipeline.redteaming import redteam_reward, redteam_run

    sampled = {"temperature": temperature, "max_new_tokens": max_new_tokens, "seed": seed}
    sizes: dict[str, Any] = {"answers": answers, "limit": limit, "rounds": rounds}
    own = {"reward": reward, "policy": policy, **sampled}
    if run is not None:
        if unread := typed(own):
            raise UserError(
                f"RUN brings its own reward, policy and sampling: {', '.join(unread)} has no place",
                remedy=f"leave {', '.join(unread)} out, or RUN",
            )
        found = redteam_run(run, second=second, prompts=prompts, out=out, **sizes)
    else:
        needed = {"reward": reward, "policy": policy, "prompts": prompts, "second": second, "out": out}
        if missing := [f"--{name}" for name, value in needed.items() if value is None]:
            raise UserError(f"red-teaming a reward without RUN also needs {', '.join(missing)}")
        found = redteam_reward(**needed, **sizes, **known(sampled))  # type: ignore[arg-type]
    for line in lines_of(found):
        typer.echo(line)


def lines_of(found: dict[str, Any]) -> list[str]:
    """What was found, the worst three shown."""
    share = found["share"]
    out = [
        f"{found['reward']} against {found['second']}, answers of {found['policy']}",
        f"finds for {found['finds']} of {found['prompts']} prompts ({share['low']:.2f} to {share['high']:.2f})",
    ]
    if not found["finds"]:
        return [
            *out,
            "no answer was paid more while its second opinion fell; the search tries some edits only",
        ]
    out.append("edits in finds: " + ", ".join(f"{name} {count}" for name, count in found["edits"].items()))
    for row in found["rows"][:3]:
        made = row["metadata"]
        how = " + ".join(made["edits"]) or "a draw of the policy"
        out += [
            f"  {str(row['prompt'])[:160]}",
            f"    {how}: reward {made['reward_score']:.2f}, second opinion {made['second_score']:.2f}",
            f"    {row['responses'][0][:200]}",
        ]
    return [*out, f"to be ranked: {found['out']}"]
