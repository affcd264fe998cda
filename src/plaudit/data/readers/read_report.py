"""The report of reading a file: rows kept, rows dropped by reason, and problems with their lines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from plaudit.errors import Problem, UserError

# Problems listed per reason; the counts are complete.
SHOWN = 20

T = TypeVar("T")


class Fault(Exception):
    """Raised for a row that cannot be used; it is counted under ``reason``."""

    def __init__(self, reason: str, message: str, *, field: str | None = None, remedy: str | None = None):
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.remedy = remedy


class Stop(Fault):
    """Raised at a row which shows that rows before it were read wrongly: the file is refused."""


@dataclass
class ReadReport:
    """Counts and problems of one file; ``unused`` are the columns that training does not read.

    ``notes`` say how the rows were interpreted if that is not obvious, and what contradicts it. ``left_out`` counts
    valid rows that are not of use here, by reason.
    """

    file: str
    shape: str = ""
    rows: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    unreadable: list[Problem] = field(default_factory=list)
    unreadable_count: int = 0
    unused: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def dropped_rows(self) -> int:
        return sum(self.dropped.values())

    @property
    def dropped_share(self) -> float:
        return self.dropped_rows / self.rows if self.rows else 0.0

    def drop(self, fault: Fault, line: int | None, row: int | None = None) -> None:
        """Count a row that cannot be used, with the reason and line."""
        self.dropped[fault.reason] += 1
        if self.dropped[fault.reason] <= SHOWN:
            self.problems.append(Problem(fault.message, self.file, line, fault.field, fault.remedy, row))

    def refuse(
        self, message: str, *, line: int | None = None, field: str | None = None, remedy: str | None = None
    ) -> None:
        """Add a problem that makes the whole file unusable."""
        self.unreadable_count += 1
        if self.unreadable_count <= SHOWN:
            self.unreadable.append(Problem(message, self.file, line, field, remedy))

    def error(self, max_dropped: float) -> UserError | None:
        """The error if the file is unreadable or too many rows were dropped; else None."""
        if self.unreadable:
            more = self.unreadable_count - len(self.unreadable)
            rest = [Problem(f"… and {more} more like these", self.file)] if more else []
            return UserError(
                f"{self.file} cannot be read", problems=[*self.unreadable, *rest, *self.problems]
            )
        if self.dropped_share > max_dropped:
            reasons = ", ".join(f"{reason} {count}" for reason, count in self.dropped.most_common())
            more = self.dropped_rows - len(self.problems)
            rest = [Problem(f"… and {more} more like these", self.file)] if more else []
            return UserError(
                f"{self.file}: {self.dropped_rows} of {self.rows} rows cannot be used ({reasons}); "
                f"at most {max_dropped:.0%} may be dropped",
                problems=[*self.problems, *rest],
                remedy="fix these rows, or raise the share that may be dropped (--max-dropped; recipes: max_dropped)",
            )
        return None

    def note(self, sentence: str) -> None:
        """Add a note for the user, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count valid rows that are left out."""
        if count:
            self.left_out[reason] += count

    def lines(self) -> list[str]:
        """The report as lines of text, shown wherever a file is read."""
        dropped = [f"dropped {count:,}: {reason}" for reason, count in self.dropped.most_common()]
        left = [f"{count:,} rows left out: {reason}" for reason, count in self.left_out.most_common()]
        unused = [f"columns not used: {', '.join(self.unused)}"] if self.unused else []
        head = f"{self.file}: {self.kept:,} of {self.rows:,} rows, read as {{{self.shape}}}"
        return [head, *(f"  {line}" for line in (*self.notes, *dropped, *left, *unused))]

    def require(self, max_dropped: float) -> None:
        """Raise the ``UserError`` of ``error``, if any."""
        if error := self.error(max_dropped):
            raise error


@dataclass
class ReadResult(Generic[T]):
    """The records of a file in order, and the report."""

    records: list[T]
    report: ReadReport


def name_type(value: Any) -> str:
    """The type of a JSON value in a message: text, a number, a list …"""
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return "nothing" if value is None else names.get(type(value), "an object")
