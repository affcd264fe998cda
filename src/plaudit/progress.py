"""Progress of long work: a bar with ETA on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

LINE_EVERY = 10.0  # seconds between plain lines when no terminal is there
DRAW_EVERY = 0.1

_open: list[Any] = []  # the outermost open bar draws; what is nested inside it stays silent


class Progress:
    """Counts ``total`` units of work; ``update(done, loss=…)`` shows up to four live numbers.

    On a terminal one line is redrawn within 80 columns; piped, a plain line appears at the start, about
    every ten seconds, and at the end. ``quiet`` shows nothing.
    """

    def __init__(self, total: int, label: str, *, unit: str = "step", start: int = 0, quiet: bool = False) -> None:
        self.total, self.label, self.unit = max(total, 1), label, unit
        self.start = self.done = start
        self.quiet = quiet
        self.numbers: dict[str, float] = {}
        self.terminal = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        self.began = time.monotonic()
        self.shown = self.began
        self.silent = self.quiet or bool(_open)
        _open.append(self)
        if not self.silent and not self.terminal:
            self._write(f"{self.label}: {self.start}/{self.total} {self.unit}s")
        return self

    def __exit__(self, *problem: Any) -> None:
        _open.remove(self)
        if self.silent:
            return
        if self.terminal:
            self._draw()
            sys.stderr.write("\n")
            sys.stderr.flush()
        elif self.done != self.start:
            self._write(self._line())

    def update(self, done: int, **numbers: float | None) -> None:
        """``done`` units are done in all; numbers that are None are left out."""
        self.done = done
        self.numbers.update({k: v for k, v in numbers.items() if v is not None})
        if self.silent:
            return
        now = time.monotonic()
        if now - self.shown >= (DRAW_EVERY if self.terminal else LINE_EVERY):
            self.shown = now
            if self.terminal:
                self._draw()
            else:
                self._write(self._line())

    def _eta(self) -> str:
        elapsed = time.monotonic() - self.began
        if self.done >= self.total:
            return clock(elapsed)
        if self.done == self.start:
            return "…"
        return "ETA " + clock(elapsed / (self.done - self.start) * (self.total - self.done))

    def _line(self) -> str:
        live = " ".join(f"{k} {v:.3g}" for k, v in list(self.numbers.items())[:4])
        return f"{self.label}: {self.done}/{self.total} {self.unit}s, {self._eta()}{', ' + live if live else ''}"

    def _draw(self) -> None:
        width = 18
        filled = round(width * min(self.done, self.total) / self.total)
        bar = "━" * filled + "╌" * (width - filled)
        live = " ".join(f"{k} {v:.3g}" for k, v in list(self.numbers.items())[:4])
        text = f"{self.label[:14]:<14} {bar} {self.done}/{self.total} {self._eta()} {live}"
        sys.stderr.write("\r" + text[:79].ljust(79))
        sys.stderr.flush()

    def _write(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def clock(seconds: float) -> str:
    """Seconds as 0:42, 12:05 or 1:02:03."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
