"""The command line: one thin command per file, imported when it runs, so that `plaudit --help` is quick."""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Any, NamedTuple

import click


class Verb(NamedTuple):
    """Where a command lives and what the overview says of it."""

    module: str
    name: str
    help: str


VERBS: dict[str, Verb] = {
    "demo": Verb("demo", "demo", "The whole loop on the pocket world, from raw text to report."),
    "run": Verb("run", "run", "Run a recipe to its report."),
    "resume": Verb("run", "resume", "Continue a run that was cut off."),
    "check": Verb("check", "check", "What a data file or a recipe's data is good for."),
    "data": Verb("data", "app", "Convert public data sets into plaudit's JSONL."),
    "sft": Verb("methods", "sft", "Supervised fine-tuning on demonstrations."),
    "reward": Verb("methods", "reward", "A reward model from human preferences."),
    "ppo": Verb("methods", "ppo", "PPO with a KL leash."),
    "sample": Verb("sample", "sample", "Answers of a model to a prompt."),
    "chat": Verb("chat", "chat", "Talk to any stage of a run, or to two side by side."),
    "evaluate": Verb("evaluate", "evaluate", "Evaluate a run again and print its main numbers."),
    "report": Verb("report", "report", "Write a run's report anew."),
}


class _Lazy(click.Group):
    """Names and help lines come from the table; a command's module is imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        import typer

        verb = VERBS[cmd_name]
        found: Any = getattr(importlib.import_module(f"plaudit.cli.{verb.module}"), verb.name)
        if isinstance(found, typer.Typer):
            app = found
        else:
            app = typer.Typer(add_completion=False, rich_markup_mode=None)
            app.command(name=cmd_name)(found)
        command: Any = typer.main.get_command(app)
        command.name = cmd_name
        return command  # type: ignore[no-any-return]

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0] if args else ""
        if name and name not in VERBS and not name.startswith("-"):
            from plaudit.errors import suggest

            hint = suggest(name, VERBS)
            ctx.fail(f"there is no command {name!r}" + (f"; {hint}" if hint else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.help) for name, verb in VERBS.items()])


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from plaudit import __version__

        click.echo(f"plaudit {__version__}")
        ctx.exit()


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show the version."
)
def app() -> None:
    """Human feedback into a better language model: rankings, a reward model, PPO with a KL leash, an honest report."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one clear message and exit code 2."""
    from plaudit.errors import PlauditError, UserError

    try:
        app.main(arguments, prog_name="plaudit", standalone_mode=False)
    except UserError as error:
        _complain(str(error))
        sys.exit(2)
    except (KeyboardInterrupt, click.exceptions.Abort):
        _complain(
            "stopped; what was done is kept: `plaudit resume RUN`, or the same command, goes on from there"
        )
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except PlauditError as error:
        _complain(str(error))
        sys.exit(1)
    except Exception as error:
        # typer carries its own copy of click, whose exceptions are other classes of the same shape.
        if hasattr(error, "exit_code"):
            if hasattr(error, "show"):
                error.show()
            sys.exit(error.exit_code)
        if type(error).__name__ == "Abort":
            sys.exit(130)
        traceback.print_exc()
        _complain(
            "this is a fault of plaudit, not yours; a run that was cut off goes on with `plaudit resume RUN`"
        )
        sys.exit(1)


def _complain(text: str) -> None:
    import os

    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    head, _, rest = text.partition("\n")
    click.secho(f"plaudit: {head}", err=True, fg="red" if colour else None, color=colour)
    if rest:
        click.echo(rest, err=True)
