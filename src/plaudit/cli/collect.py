"""`plaudit collect`: people compare and rank answers on a local web page."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plaudit.cli import projects
from plaudit.cli.options import known, refuse_unread
from plaudit.cli.projects import Name, Project, Url, tell

if TYPE_CHECKING:
    from plaudit.feedback.project_setup import ProjectRequest
    from plaudit.feedback.sampling import Drawing, Voice

app = typer.Typer(
    help="People compare and rank answers on a local web page.",
    invoke_without_command=True,
    no_args_is_help=False,
    rich_markup_mode=None,
)


@app.callback()
def collect(
    context: typer.Context,
    project: Project = None,
    responses: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Prompts with ready answers: these are judged.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Prompts, which the models answer first.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN", help="A run (its end), RUN@STEP, or a model folder; may be repeated."),
    ] = None,
    answers: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Answers of each model (default: 1, of a single one 2).", min=1, max=9
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(metavar="T", help="Of the sampled answers (default: 1).", min=0)
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Longest sampled answer (default: 256).", min=1)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the sampled answers (default: 0).", min=0)
    ] = None,
    gold: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Items with a known ranking, mixed in silently.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Items with a known ranking, to practice on first.")
    ] = None,
    guidelines: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Guidelines (Markdown), shown beside every item.")
    ] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="What labelers see as the project's name.")] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="RULE=VALUE", help="A rule of the project, such as overlap=3; may be repeated."
        ),
    ] = None,
    max_dropped: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of a file's rows that may be faulty.", min=0, max=1)
    ] = 0.0,
    name: Name = None,
    database: Url = None,
    host: Annotated[str, typer.Option(metavar="HOST", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(metavar="N", help="Port (default: the first free one from 8642).", min=0, max=65535),
    ] = None,
    origin: Annotated[
        str | None, typer.Option(metavar="URL", help="The address people type, where a proxy speaks TLS.")
    ] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="A proxy whose X-Forwarded-For is believed: its address or network; may be repeated.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate, to speak TLS itself.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's key.")] = None,
    secret_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The server's secret (default: made, in the folder).")
    ] = None,
    workers: Annotated[
        int, typer.Option(metavar="N", help="Processes; needs PostgreSQL.", min=1, max=64)
    ] = 1,
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Whether to serve, or only to prepare.")
    ] = True,
) -> None:
    """Serve a labeling project on this machine; a new one is made from prompts or from ready answers."""
    if context.invoked_subcommand is not None:
        return
    from plaudit.errors import UserError
    from plaudit.feedback import project_location
    from plaudit.feedback.project_setup import database_url, folder_of, only_project, owner_link, prepare
    from plaudit.feedback.sampling import Drawing, voices_of
    from plaudit.feedback.server_address import noted
    from plaudit.feedback.store.database import checked_url
    from plaudit.feedback.store.people import People
    from plaudit.runs.files import check_folder
    from plaudit.web.launch import Listening, bind, serve as listen

    if bool(prompts) != bool(model):
        raise UserError(
            "--prompts needs --model, to answer them" if prompts else "--model needs --prompts, to answer",
            remedy="give both, or --responses FILE with ready answers",
        )
    drawn = {"temperature": temperature, "max_new_tokens": max_new_tokens, "seed": seed}
    if prompts is None:
        refuse_unread({"answers": answers, **drawn}, needs="--prompts")
    folder = folder_of(project, responses or prompts)
    check_folder(folder, "the project", "--project")
    url = checked_url(database_url(folder, database))
    own = secret_file is not None
    listening = Listening(host, port, origin, tls_cert, tls_key, workers, tuple(proxy or ()), own_secret=own)
    listening.check(url)
    wanted = _wanted(folder, name, title, set_ or [], guidelines)
    for path, purpose in ((responses, "work"), (gold, "gold"), (calibration, "calibration")):
        if path is not None:
            from plaudit.feedback.importing import read_items

            wanted.items.append(read_items(path, purpose=purpose, max_dropped=max_dropped))
    voices = voices_of(model or [])
    for voice in voices:
        typer.echo(f"model: {voice.described}", err=True)
    # Names, password hashes and unpublished answers: for this user's eyes only.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if prompts is not None:
        drawing = Drawing(answers or (2 if len(voices) == 1 else 1), **known(drawn))
        wanted.items.append(_drawn(folder, prompts, voices, drawing))
    secret = project_location.read_secret(secret_file) if secret_file else project_location.secret_in(folder)
    with project_location.opened(url) as opened:
        if name is None and opened.is_sqlite:
            wanted.slug = opened.read(only_project) or wanted.slug
        made, added = prepare(opened, wanted)
        tell(opened, made, folder, wanted, added)
        if not serve:
            return
        with bind(listening) as sock:
            who, token = owner_link(opened, People(secret), made.slug)
            address = listening.address(sock.getsockname()[1])
            typer.echo(
                f"{who}: {address}/enter#{token}\n  signs in once, within a day; invite others under People"
            )
            for warning in listening.warnings():
                typer.echo(f"note: {warning}", err=True)
            typer.echo("Ctrl-C stops the server; what was judged is kept", err=True)
            # The server takes Ctrl-C itself, and may or may not pass it on.
            with noted(folder, url, address), suppress(KeyboardInterrupt):
                listen(opened, secret, listening, sock)
            typer.echo("stopped; the same command goes on", err=True)


def _wanted(
    folder: Path, name: str | None, title: str, rules: list[str], guidelines: Path | None
) -> ProjectRequest:
    from plaudit.errors import UserError
    from plaudit.feedback.project_setup import ProjectRequest
    from plaudit.feedback.store.projects import slug_of

    text = None
    if guidelines is not None:
        try:
            text = guidelines.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the guidelines {guidelines} cannot be read: {error}") from None
    return ProjectRequest(
        slug_of(name or folder.resolve().name), title, settings=_rules(rules), guidelines=text
    )


def _rules(overrides: list[str]) -> dict[str, Any]:
    """The rules that were set, checked one by one; UserError with all that are wrong."""
    if not overrides:
        return {}
    from pydantic import ValidationError

    from plaudit.config import apply_override
    from plaudit.errors import Problem, UserError, suggest
    from plaudit.feedback.store.settings import Settings

    rules: dict[str, Any] = {}
    for override in overrides:
        apply_override(rules, override)
    if isinstance(rules.get("attributes"), str):
        rules["attributes"] = rules["attributes"].split(",")
    try:
        checked = Settings.model_validate(rules)
    except ValidationError as error:
        known = Settings.model_fields
        problems = []
        for found in error.errors():
            field = ".".join(str(p) for p in found["loc"])
            unknown = found["type"] == "extra_forbidden"
            remedy = (suggest(field, known) or f"rules: {', '.join(known)}") if unknown else None
            message = "there is no such rule" if unknown else found["msg"].removeprefix("Value error, ")
            problems.append(Problem(message, field=field or None, remedy=remedy))
        raise UserError("--set does not fit", problems=problems) from None
    return {key: checked.model_dump()[key] for key in rules}


def _drawn(folder: Path, path: Path, voices: list[Voice], drawing: Drawing) -> Any:
    from plaudit.data.readers.read import read
    from plaudit.feedback.sampling import draw_answers, drawn_items
    from plaudit.progress import Progress

    prompts = list({p.id: p for p in read(path, kind="prompts").records}.values())
    kept = folder / "answers.jsonl"
    with Progress(len(prompts) * len(voices), "answers", unit="prompt") as bar:
        made = draw_answers(voices, prompts, drawing, kept, progress=lambda done, total: bar.update(done))
    return drawn_items(kept, prompts, made)


projects.register(app)
