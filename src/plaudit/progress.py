"""Progress of long work: a bar with ETA and speed on a terminal, a plain line now and then elsewhere.

Drawn by hand rather than by a library's live display: an update costs microseconds and no thread writes
between the lines that others print.
"""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import ClassVar

LINE_EVERY = 10.0  # seconds between plain lines where there is no terminal
DRAW_EVERY = 0.1
WIDTH = 79  # the last column stays empty: some terminals wrap there
BAR = 12
NUMBERS = 4
ERASE = "\r\x1b[K"


class Progress:
    """Counts ``total`` units of work from ``start``; ``update(done, loss=…)`` shows up to four live numbers.

    On a terminal one line is redrawn within 80 columns; piped, a plain line appears at the start, about
    every ten seconds, and at the end. ``quiet`` shows nothing, and neither does a bar inside another.
    """

    _open: ClassVar[list[Progress]] = []

    def __init__(
        self, total: int, label: str, *, unit: str = "step", start: int = 0, quiet: bool = False
    ) -> None:
        self.total, self.label, self.unit = max(total, 1), label, unit
        self.start = self.done = start
        self.quiet = quiet
        self.printed = start  # the count in the last plain line
        self.numbers: dict[str, float] = {}

    def __enter__(self) -> Progress:
        self.silent = self.quiet or any(not outer.quiet for outer in Progress._open)
        Progress._open.append(self)
        self.terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.color = self.terminal and not os.environ.get("NO_COLOR")
        self.began = self.shown = time.monotonic()
        if not self.silent:
            if self.terminal:
                self._write(ERASE + self._bar())
            else:
                self._write(f"{self.label}: {self.start}/{self.total} {self.unit}s\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Progress._open.remove(self)
        if self.silent:
            return
        if self.terminal:
            self._write(ERASE + self._bar() + "\n")
        elif self.done != self.printed:
            self._tell()

    def update(self, done: int, **numbers: float | None) -> None:
        """``done`` units are done in all; a number that is None keeps what it was."""
        self.done = done
        for name, value in numbers.items():
            if value is not None:
                self.numbers[name] = value
        if self.silent:
            return
        now = time.monotonic()
        if now - self.shown >= (DRAW_EVERY if self.terminal else LINE_EVERY):
            self.shown = now
            if self.terminal:
                self._write(ERASE + self._bar())
            else:
                self._tell()

    def _pieces(self) -> list[str]:
        """Time left, speed and live numbers, the most important first."""
        elapsed = time.monotonic() - self.began
        here = self.done - self.start
        pieces = []
        if self.done >= self.total:
            pieces.append(clock(elapsed))
        elif here > 0:
            pieces.append("ETA " + clock(elapsed / here * (self.total - self.done)))
        if here > 0 and elapsed > 0:
            pieces.append(f"{here / elapsed:.3g}/s" if here > elapsed else f"{elapsed / here:.3g} s each")
        return pieces + [f"{name} {value:.3g}" for name, value in list(self.numbers.items())[:NUMBERS]]

    def _tell(self) -> None:
        self.printed = self.done
        self._write(f"{self.label}: {self.done}/{self.total} {self.unit}s, {', '.join(self._pieces())}\n")

    def _bar(self) -> str:
        filled = round(BAR * min(self.done, self.total) / self.total)
        count = f"{self.done:>{len(str(self.total))}}/{self.total}"
        room = WIDTH - max(9, len(self.label[:14])) - BAR - len(count) - 2
        tail = ""
        for piece in self._pieces():  # whole pieces only: a number cut short would be another number
            if len(tail) + 2 + len(piece) <= room:
                tail += "  " + piece
        done, rest = "━" * filled, "╌" * (BAR - filled)
        if self.color:
            done = f"\x1b[32m{done}\x1b[0m"
        return f"{self.label[:14]:<9} {done}{rest} {count}{tail}"

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def clock(seconds: float) -> str:
    """Seconds as 0:42, 12:05 or 1:02:03."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"
