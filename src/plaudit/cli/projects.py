"""The verbs of `plaudit collect` beside serving: import, export, status, link, backup, restore."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plaudit.display.formatting import clean, number, percent

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from plaudit.feedback.project_setup import ProjectRequest
    from plaudit.feedback.quality.report import Quality
    from plaudit.feedback.store.database import Database

Project = Annotated[
    Path | None,
    typer.Option(
        "--project", metavar="DIR", help="Folder of the project (default: the only one in projects/)."
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="PLAUDIT_DATABASE",
        show_envvar=False,
        help="postgresql://… instead of SQLite in the folder; also PLAUDIT_DATABASE.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="The project's name in its database (default: the folder's)."
    ),
]


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Items with their answers.")],
    purpose: Annotated[str, typer.Option(metavar="KIND", help="work, gold or calibration.")] = "work",
    max_dropped: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of its rows that may be faulty.", min=0, max=1)
    ] = 0.0,
    project: Project = None,
    name: Name = None,
    database: Url = None,
) -> None:
    """Add items to a project, which may be served meanwhile."""
    from plaudit.errors import UserError
    from plaudit.feedback.importing import read_items
    from plaudit.feedback.project_setup import ProjectRequest, prepare
    from plaudit.feedback.projects import existing
    from plaudit.feedback.store.projects import named_project

    if purpose not in ("work", "gold", "calibration"):
        raise UserError(f"{purpose!r} is not a kind of item", remedy="work, gold or calibration")
    with existing(project, database) as (opened, folder):
        wanted = ProjectRequest(opened.read(named_project, name).slug)
        wanted.items.append(read_items(file, purpose=purpose, max_dropped=max_dropped))
        made, added = prepare(opened, wanted)
        tell(opened, made, folder, wanted, added)


def export(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The JSONL file to write (.gz to compress it).")
    ],
    purpose: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="work (default), gold, calibration, repeat; may be repeated."),
    ] = None,
    not_rankable: Annotated[
        bool,
        typer.Option("--not-rankable", help="Also those that call an item not rankable, without outcomes."),
    ] = False,
    project: Project = None,
    name: Name = None,
    database: Url = None,
) -> None:
    """Write the judgements as comparison records, one a line; a recipe takes them as preferences."""
    from plaudit.feedback.projects import export_judgements

    count, left_out = export_judgements(
        project, file, purposes=purpose or ("work",), not_rankable=not_rankable, name=name, database=database
    )
    typer.echo(f"{file}: {count:,} judgements")
    for reason, many in left_out.most_common():
        option = "--not-rankable" if reason == "not rankable" else f"--purpose {reason}"
        typer.echo(f"  {many:,} left out: {reason} ({option} includes them)", err=True)


def status(project: Project = None, name: Name = None, database: Url = None) -> None:
    """How far the work is, and how well people agree."""
    from rich.console import Console

    from plaudit.feedback.judgement_query import collected
    from plaudit.feedback.project_setup import ProjectRequest
    from plaudit.feedback.projects import existing
    from plaudit.feedback.quality.report import quality
    from plaudit.feedback.store.projects import named_project

    with existing(project, database) as (opened, folder):
        made = opened.read(named_project, name)
        data = opened.read(collected, made.id)
        tell(opened, made, folder, ProjectRequest(made.slug), 0)
    _show(quality(data.judged, data.answers, data.golds), Console(highlight=False, markup=False))


def link(
    project: Project = None,
    name: Name = None,
    database: Url = None,
    secret_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The server's secret, where it was given.")
    ] = None,
    origin: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the server is reached (default: as it noted).")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="N", help="Its port on this machine (default: as it noted).", min=1, max=65535),
    ] = None,
) -> None:
    """A new one-time link for the owner, for a server that runs already."""
    from plaudit.feedback.project_location import read_secret, secret_in
    from plaudit.feedback.project_setup import owner_link
    from plaudit.feedback.projects import existing
    from plaudit.feedback.store.people import People
    from plaudit.feedback.store.projects import named_project

    with existing(project, database) as (opened, folder):
        made = opened.read(named_project, name)
        address = origin or _address(folder, opened.url, port)
        who, token = owner_link(
            opened, People(read_secret(secret_file) if secret_file else secret_in(folder)), made.slug
        )
    typer.echo(f"{who}: {address}/enter#{token}")


def _address(folder: Path, url: str, port: int | None) -> str:
    """Where the server is reached: as it noted when it began to listen, or on the port that was given."""
    from plaudit.feedback.server_address import server_address

    if port is not None:
        return f"http://127.0.0.1:{port}"
    found = server_address(folder, url)
    if found is None:
        typer.echo("no server of this project has noted where it is: --port or --origin tells", err=True)
    elif not found.runs:
        typer.echo("the server seems not to run any more: start it with `plaudit collect`", err=True)
    return found.address if found else "http://127.0.0.1:8642"


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup to write (.jsonl.gz).")],
    project: Project = None,
    database: Url = None,
) -> None:
    """Write the whole database to one file, while it is in use or not."""
    from plaudit.feedback.backup import backup as write
    from plaudit.feedback.projects import existing

    with existing(project, database) as (opened, _):
        counts = write(opened, file)
    typer.echo(
        f"{file}: {counts['judgements']:,} judgements, {counts['items']:,} items, {counts['users']:,} people"
    )
    typer.echo(
        "  keep it safe: it holds names and password hashes, but not the secret that signs people in",
        err=True,
    )


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `plaudit collect backup` wrote.")],
    project: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to make; must hold no project.")
    ] = None,
    database: Url = None,
) -> None:
    """Fill an empty database with a backup, of SQLite or PostgreSQL."""
    from plaudit.errors import UserError
    from plaudit.feedback.backup import require_backup, restore as read
    from plaudit.feedback.project_location import new_folder, opened
    from plaudit.feedback.project_setup import database_url

    if project is None and database is None:
        raise UserError("say where to", remedy="--project DIR, or --database postgresql://…")
    require_backup(file)
    # What a refused backup began to make is taken away again.
    with new_folder(project), opened(database_url(project or Path(), database)) as made:
        counts = read(made, file)
    typer.echo(f"{file}: {counts['judgements']:,} judgements, {counts['items']:,} items are back")
    typer.echo(
        "  sign in with `plaudit collect`'s new link; links and tokens from before need the old secret",
        err=True,
    )


def _show(found: Quality, console: Console) -> None:
    """The project's measures beside published ones, and the models' strengths."""
    from rich.table import Table

    def value(row: Mapping[str, Any], key: str, low: str, high: str) -> str:
        unit = row.get("unit", "share")
        if row[key] is None:
            return "–"
        shown = percent if unit == "share" else number
        if row[low] is None:
            return shown(row[key])
        return f"{shown(row[key])}  [{shown(row[low])}, {shown(row[high])}]"

    if not found.labelers.rows:
        return
    measures = Table.grid(padding=(0, 3))
    measures.add_row("", "here, 95 % interval over items", "items", "published")
    for row in found.project.rows:
        if row["value"] is not None and row["unit"] != "count":
            shown = percent if row["unit"] == "share" else number
            low, high = row["reference_low"], row["reference_high"]
            published = "" if low is None else shown(low) if low == high else f"{shown(low)} to {shown(high)}"
            measures.add_row(str(row["title"]), value(row, "value", "low", "high"), str(row["n"]), published)
    console.print(measures)
    if found.models.rows:
        models = Table.grid(padding=(0, 3))
        models.add_row("model", "expected win rate against another", "pairs")
        for row in found.models.rows:
            models.add_row(
                str(row["model"]),
                value(row, "win_rate", "win_rate_low", "win_rate_high"),
                str(row["comparisons"]),
            )
        console.print()
        console.print(models)


def tell(opened: Database, project: Any, folder: Path, wanted: ProjectRequest, added: int) -> None:
    from plaudit.feedback.project_progress import project_progress
    from plaudit.feedback.store.confusables import marked
    from plaudit.feedback.store.database import shown

    where = folder if opened.is_sqlite else shown(opened.url)
    there = opened.read(project_progress, project.id)
    title = clean(marked(project.title))
    typer.echo(f"{title} ({where}): {there.items:,} items, {there.given:,} of {there.wanted:,} judgements")
    known = sum(made.distinct for made in wanted.items) - added
    if wanted.items:
        typer.echo(f"  {added:,} items are new" + (f", {known:,} were there" if known else ""), err=True)
    for line in opened.read(_rounds, project.id):
        typer.echo(f"  {line}", err=True)
    for made in wanted.items:
        for line in made.notes:
            typer.echo(f"  {made.report.file}: {line}", err=True)
        for reason, count in made.report.dropped.most_common():
            typer.echo(f"  {made.report.file}: {count} rows left out: {reason}", err=True)
    if not there.items:
        typer.echo("  there is nothing to judge yet: add --responses FILE", err=True)


def _rounds(session: Session, project_id: str) -> list[str]:
    """A line for each round, once there are several, and what models of one name are called."""
    from plaudit.feedback.store.rounds import in_words, items_by_round, rounds_of

    rounds, counts = rounds_of(session, project_id), items_by_round(session, project_id)
    lines = [f"{in_words(r)}: {counts.get(r.id, 0):,} items" for r in rounds] if len(rounds) > 1 else []
    for made in rounds:
        lines += [
            f"{m['name']} is {m['called']} of round {made.number}: its weights are others than before"
            for m in made.models
            if "called" in m
        ]
    return lines


def register(app: typer.Typer) -> None:
    """Add the verbs to `plaudit collect`."""
    app.command("import")(import_)
    for verb in (export, status, link, backup, restore):
        app.command()(verb)
