"""Errors for users: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input, with the place and the remedy.

    ``row`` counts rows from 1 where a line says little: the rows of a JSON array may all stand on one.
    """

    message: str
    file: str | None = None
    line: int | None = None
    field: str | None = None
    remedy: str | None = None
    row: int | None = None

    def __str__(self) -> str:
        place = self.file or ""
        if self.line is not None:
            place += f":{self.line}" if place else f"line {self.line}"
        if self.row is not None:
            place += f" (row {self.row})" if place else f"row {self.row}"
        if self.field is not None:
            place += f" [{self.field}]" if place else f"[{self.field}]"
        text = f"{place}: {self.message}" if place else self.message
        return f"{text} → {self.remedy}" if self.remedy else text


class PlauditError(Exception):
    """The root of plaudit's own errors."""


class UserError(PlauditError, ValueError):
    """An error that the user can fix. The CLI prints it without a traceback and exits with code 2."""

    def __init__(self, message: str, *, problems: Iterable[Problem] = (), remedy: str | None = None) -> None:
        self.message = message
        self.problems: Sequence[Problem] = tuple(problems)
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.message]
        lines += [f"  {problem}" for problem in self.problems]
        if self.remedy:
            lines.append(f"  → {self.remedy}")
        return "\n".join(lines)


class NotFiniteError(UserError):
    """A loss, a gradient or a model's output is no finite number; training on would destroy the weights."""


class Waiting(PlauditError):
    """A step waits for people, or for more money: the run ends here with exit code 3, and `plaudit resume` goes on."""


class MissingExtraError(UserError):
    """An optional library is not installed; names the extra that brings it."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed", remedy=f"pip install 'plaudit[{extra}]'")


def told_together(heading: str, *checks: Callable[[], object]) -> None:
    """Run all checks; one UserError with what they all find wrong, as it is where only one of them finds anything."""
    errors: list[UserError] = []
    for check in checks:
        try:
            check()
        except UserError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        found = [p for e in errors for p in e.problems or [Problem(e.message, remedy=e.remedy)]]
        raise UserError(heading, problems=found)


def dangling_link(path: Path) -> UserError:
    """The error for a link to what is not there."""
    return UserError(
        f"{path} is a link to {path.readlink()}, which is not there",
        remedy="mend the link, or name its target",
    )


def suggest(word: str, known: Iterable[str]) -> str | None:
    """The known word most similar to ``word``, as a question, or None."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None
