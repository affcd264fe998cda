"""docs/cli.md from what `--help` says: `python tests/cli/reference.py` writes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"

HEAD = """\
# Command line

Written by `make docs` from what `--help` says; a test fails where the two differ.

Exit codes: 0 done, 1 a fault, 2 a mistake in what was asked (one message, all problems at once), 3 waiting for people
(`plaudit resume RUN` goes on), 130 interrupted. Progress and errors go to standard error, results to standard output.
Piped, both are plain text without colors; `NO_COLOR` takes the colors from a terminal too.
"""


def text() -> str:
    """The whole page."""
    from plaudit.cli import command, overview, verbs

    os.environ["COLUMNS"] = "80"
    parts = [HEAD, _fenced(overview())]
    for name in verbs():
        made = command(name)
        parts += [f"## plaudit {name}\n", _fenced(_help(made, f"plaudit {name}"))]
        for inner, found in getattr(made, "commands", {}).items():
            parts += [f"### plaudit {name} {inner}\n", _fenced(_help(found, f"plaudit {name} {inner}"))]
    return "\n".join(parts)


def _help(made: Any, name: str) -> str:
    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 80}
    with made.context_class(made, info_name=name, **settings) as context:
        return str(made.get_help(context))


def _fenced(shown: str) -> str:
    return f"```\n{shown.rstrip()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
    print(PAGE)
