"""The command line: one thin command per file, imported when it runs, so that `plaudit --help` is quick."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from plaudit.errors import PlauditError, UserError, Waiting, suggest
from plaudit.readable import keep_output_readable
from plaudit.registry import METHODS, Method

if TYPE_CHECKING:
    from typer.core import TyperCommand, TyperGroup

ABOUT = """\
Human feedback into a better language model: rankings, a reward model, PPO with
a KL penalty, DPO and its successors, an honest report."""
OPTIONS = """\
Options:
  --version   Show the version.
  -h, --help  Show this; after a command, what it takes."""
RESUME = "completed work is kept: `plaudit resume RUN`, or the same command again, continues from there"
# What the system says of a path that a user named, wherever it is first touched.
OF_PATHS = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP,
)  # fmt: skip
WHOLE = ("demo", "run", "resume", "compare", "evaluate")


class Verb(NamedTuple):
    """A command: its module in this package, its name there, its line in the overview."""

    module: str
    name: str
    help: str


WHOLE_RUNS = {
    "demo": Verb("demo", "demo", "The whole loop on the pocket world, from raw text to report."),
    "run": Verb("run", "run", "Run a recipe to its report."),
    "resume": Verb("run", "resume", "Continue a run that was cut off, or that waited for people."),
    "compare": Verb("compare", "compare", "Several methods on the same data: reward against KL."),
}
DATA = {
    "collect": Verb("collect", "app", "People compare and rank answers on a local web page."),
    "advise": Verb("advise", "advise", "Which method serves your data, quality and machine."),
    "judge": Verb("judge", "judge", "An AI judge over a file of answers, or held against people."),
    "constitution": Verb("constitution", "constitution", "Show, check or try a constitution's principles."),
    "check": Verb("check", "check", "What a data file, or a recipe's data, is good for."),
    "data": Verb("data", "app", "Convert public data sets into plaudit's JSONL."),
}
RESULTS = {
    "sample": Verb("sample", "sample", "Answers of a model to a prompt."),
    "chat": Verb("chat", "chat", "Talk to a run's model, or to two side by side."),
    "evaluate": Verb("evaluate", "evaluate", "Show the numbers of a run's evaluation."),
    "audit": Verb("audit", "audit", "Did it get better, or learn to please? Before or after RL."),
    "redteam": Verb("redteam", "redteam", "Answers that a reward likes and a second opinion does not."),
    "report": Verb("report", "report", "Write a run's report anew."),
}


@cache
def by_verb() -> dict[str, Method]:
    """The methods that have a command, by its name."""
    return {m.verb: m for m in METHODS.values() if m.starts is not None}


@cache
def sections() -> dict[str, dict[str, Verb]]:
    """All commands, by the heading that they stand under."""
    methods = {verb: Verb("methods", m.name, m.summary) for verb, m in by_verb().items()}
    return {"Whole runs": WHOLE_RUNS, "Data": DATA, "One method": methods, "Results": RESULTS}


@cache
def verbs() -> dict[str, Verb]:
    """All commands by name."""
    return {name: verb for found in sections().values() for name, verb in found.items()}


def overview() -> str:
    """What `plaudit --help` prints."""
    width = max(map(len, verbs())) + 2
    parts = [
        f"{title}:\n" + "\n".join(f"  {name:<{width}}{verb.help}" for name, verb in found.items())
        for title, found in sections().items()
    ]
    return "\n\n".join(["Usage: plaudit COMMAND [ARGUMENTS]", ABOUT, *parts, OPTIONS])


def command(name: str) -> TyperCommand | TyperGroup:
    """The command of that name, its module imported."""
    import typer

    verb = verbs()[name]
    found: Any = getattr(importlib.import_module(f"plaudit.cli.{verb.module}"), verb.name)
    settings = {"help_option_names": ["-h", "--help"]}
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name, context_settings=settings)
    else:
        epilog = by_verb()[name].facts if name in by_verb() else None
        app.command(name, epilog=epilog, context_settings=settings)(found)
    app.callback()(lambda: None)  # keeps a lone command inside a group, where it can be taken from by name
    made: Any = typer.main.get_command(app)
    chosen: TyperCommand | TyperGroup = made.commands[name]
    return chosen


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a fault, 2 a mistake of the user, 3 waiting, 130 interrupted."""
    _open_streams()
    keep_output_readable()
    words = list(sys.argv[1:] if arguments is None else arguments)
    hint = f"\n  → {RESUME}" if words and (words[0] in WHOLE or words[0] in by_verb()) else ""
    try:
        code = _run(words)
        sys.stdout.flush()
    except Waiting as waiting:
        print(waiting, flush=True)
        code = 3
    except UserError as error:
        _complain(str(error))
        code = 2
    except KeyboardInterrupt:
        _complain(f"stopped{hint}")
        code = 130
    except BrokenPipeError:
        # The reader, `head` say, has what it wanted; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except PlauditError as error:
        _complain(str(error))
        code = 1
    except Exception as error:
        if isinstance(error, OSError) and error.errno in OF_PATHS and error.filename is not None:
            _complain(f"{error.filename}: {error.strerror}\n  → name another path, or change what it names")
            code = 2
        else:
            traceback.print_exc()
            _complain(f"internal error; please report it with the traceback above{hint}")
            code = 1
    sys.exit(code)


def _open_streams() -> None:
    """Nothing to read, and nowhere to write to, for a stream that whoever started the command closed: `<&-`."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0 if words else 2
    if words[0] == "--version":
        from plaudit import __version__

        print(f"plaudit {__version__}")
        return 0
    name, *rest = words
    if name not in verbs():
        kind = "option" if name.startswith("-") else "command"
        raise UserError(
            f"there is no {kind} {name!r}", remedy=suggest(name, verbs()) or "see `plaudit --help`"
        )
    chosen = command(name)
    try:
        # Not `main()` of the command: that would turn an interrupt into an exit code and hide it.
        with chosen.make_context(f"plaudit {name}", rest) as context:
            chosen.invoke(context)
    except Exception as error:
        # Ways out and mistakes in the arguments, whichever library typer takes their classes from.
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        if hasattr(error, "show"):
            error.show()
        return int(code)
    return 0


def _complain(text: str) -> None:
    head, _, rest = f"plaudit: {text}".partition("\n")
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        head = f"\x1b[31m{head}\x1b[0m"
    print(head, *([rest] if rest else []), sep="\n", file=sys.stderr, flush=True)
