"""What reading a file came to: rows kept, rows dropped by reason, and every problem with its place."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from plaudit.errors import Problem, UserError

# Problems kept of each reason; the counts are always complete.
SHOWN = 20

T = TypeVar("T")


class Fault(Exception):
    """Why one row cannot be used. ``reason`` is what it is counted under."""

    def __init__(self, reason: str, message: str, *, field: str | None = None, remedy: str | None = None):
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.remedy = remedy


@dataclass
class ReadReport:
    """Counts and problems of one file; ``unused`` are the columns that no training reads.

    ``notes`` say how the rows were understood where that is not plain, and what in them speaks against it;
    ``left_out`` counts rows that are sound and of no use here, by reason.
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
        """Count a row that cannot be used, and keep where and why."""
        self.dropped[fault.reason] += 1
        if self.dropped[fault.reason] <= SHOWN:
            self.problems.append(Problem(fault.message, self.file, line, fault.field, fault.remedy, row))

    def refuse(
        self, message: str, *, line: int | None = None, field: str | None = None, remedy: str | None = None
    ) -> None:
        """Note something that makes the whole file unusable."""
        self.unreadable_count += 1
        if self.unreadable_count <= SHOWN:
            self.unreadable.append(Problem(message, self.file, line, field, remedy))

    def error(self, max_dropped: float) -> UserError | None:
        """Why the file may not be used, or None: it is unreadable, or too many rows were dropped."""
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
                remedy="mend these rows, or raise the share that may be dropped (--max-dropped; recipes: max_dropped)",
            )
        return None

    def note(self, sentence: str) -> None:
        """Say something once that everybody who reads the file should see."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count rows that are sound and not what is asked for."""
        if count:
            self.left_out[reason] += count

    def lines(self) -> list[str]:
        """What reading came to and what was left out, a line each: shown wherever a file is read."""
        dropped = [f"dropped {count:,}: {reason}" for reason, count in self.dropped.most_common()]
        left = [f"{count:,} rows left out: {reason}" for reason, count in self.left_out.most_common()]
        unused = [f"columns not used: {', '.join(self.unused)}"] if self.unused else []
        head = f"{self.file}: {self.kept:,} of {self.rows:,} rows, read as {{{self.shape}}}"
        return [head, *(f"  {line}" for line in (*self.notes, *dropped, *left, *unused))]

    def require(self, max_dropped: float) -> None:
        """Raise the ``UserError`` that ``error`` describes, if there is one."""
        if error := self.error(max_dropped):
            raise error


@dataclass
class ReadResult(Generic[T]):
    """The records of a file, in its order, and what happened to the others."""

    records: list[T]
    report: ReadReport


def name_type(value: Any) -> str:
    """What a JSON value is called in a message: text, a number, a list …"""
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return "nothing" if value is None else names.get(type(value), "an object")
