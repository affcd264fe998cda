"""`plaudit constitution`: show, check or try the principles of Constitutional AI."""

from __future__ import annotations

from typing import Annotated

import typer

from plaudit.cli.options import known, refuse_unread


def constitution(
    source: Annotated[
        str, typer.Argument(metavar="[NAME|FILE]", help="One that plaudit brings, or a YAML file.")
    ] = "plaudit",
    prompt: Annotated[
        str | None, typer.Option("--try", metavar="PROMPT", help="Revise an answer to it.")
    ] = None,
    answer: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The answer to revise (default: the model's).")
    ] = None,
    with_: Annotated[
        str | None,
        typer.Option("--with", metavar="SPEC", help="Who revises: local:MODEL or http(s)://host/v1#model."),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(metavar="N", help="Rounds of critique and revision (default: 1).", min=1),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the principles drawn (default: 0).", min=0)
    ] = None,
) -> None:
    """Show and check a constitution; with --try and --with, see what its principles make of an answer."""
    from plaudit.errors import UserError
    from plaudit.judges.constitution import read_constitution

    found = read_constitution(source)
    drawn = {"rounds": rounds, "seed": seed}
    if prompt is None:
        refuse_unread({"answer": answer, "with": with_, **drawn}, needs="--try")
        typer.echo(
            f"{found.name}, version {found.version}: {len(found.rules)} rules, {len(found.examples)} examples"
        )
        for rule in found.rules:
            typer.echo(f"\n{rule.name}\n  {rule.prefer}\n  {rule.critique}\n  {rule.revise}")
        return
    if with_ is None:
        raise UserError("name who revises", remedy="--with local:MODEL or --with http://host/v1#model")
    from plaudit.pipeline.judging import try_constitution

    draft, revisions = try_constitution(found, with_, prompt, answer=answer, **known(drawn))
    typer.echo(f"answer: {draft}")
    for one in revisions:
        typer.echo(f"\n[{one.rule}] {one.critique.strip()}\n→ {one.text}")
