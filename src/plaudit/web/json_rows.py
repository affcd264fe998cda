"""Parse a large JSON object with one long list row by row, so that other threads run in between."""

from __future__ import annotations

import codecs
import json
import re
import time
from collections.abc import Iterable, Iterator
from typing import IO, Any, TypeVar

from plaudit.errors import Problem
from plaudit.feedback.store.errors import Invalid

T = TypeVar("T")
MOST_ROWS = 20_000
MOST_ROW = (
    4 * 2**20
)  # characters: decoding one takes some hundredths of a second, in which nobody else computes
PIECE = 2**16
WORK, REST = 0.004, 0.002  # seconds: after so much work in one thread, so long a rest

SPACE = re.compile(r"[ \t\n\r]*")
LONGEST_TAIL = 3  # characters by which a number may seem to have ended: 1e+|5


def rested(values: Iterable[T], rest: float = REST) -> Iterator[T]:
    """The values, with a short sleep every few milliseconds, so that waiting threads run first."""
    began = time.perf_counter()
    for value in values:
        yield value
        if time.perf_counter() - began > WORK:
            time.sleep(rest)
            began = time.perf_counter()


def import_of(file: IO[bytes]) -> Any:
    """The object of an import, ``{"items": [row, …], …}``. ValueError where it is no JSON, Invalid where too long.

    Anything but an object with a list under ``items`` is returned as it is, for the schema to refuse.
    """
    text = _Text(file)
    if text.peek() != "{":
        return text.rest()
    text.skip("{")
    found: dict[str, Any] = {}
    while text.peek() != "}":
        if found:
            text.skip(",")
        name = text.value()
        if not isinstance(name, str):
            raise text.fault("Expecting property name enclosed in double quotes")
        text.skip(":")
        found[name] = _items(text) if name == "items" and text.peek() == "[" else text.value()
    text.skip("}")
    if text.peek():
        raise text.fault("Extra data")
    return found


def _items(text: _Text) -> list[Any]:
    text.skip("[")
    rows: list[Any] = []

    def read() -> Iterator[Any]:
        while text.peek() != "]":
            if rows:
                text.skip(",")
            if len(rows) == MOST_ROWS:
                problem = Problem(f"there are more than {MOST_ROWS:,} rows", field="items")
                raise Invalid("too_many_rows", "send fewer rows at a time", problems=[problem])
            yield text.value()

    for row in rested(read()):
        rows.append(row)
    text.skip("]")
    return rows


class _Text:
    """Text that is taken from its beginning, value by value, and never held as a whole."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._ended = file, False
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._at, self._gone = "", 0, 0
        self._json = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is no white space; nothing at the end."""
        while True:
            found = SPACE.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
            if self._at < len(self._text) or not self._more(PIECE):
                return self._text[self._at : self._at + 1]

    def skip(self, wanted: str) -> None:
        if self.peek() != wanted:
            raise self.fault(f"Expecting {wanted!r}")
        self._at += 1

    def value(self) -> Any:
        """The next value. Tried again with twice as much text while it may only be cut off."""
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                fault = error
            else:
                # A number may go on in what was not yet read.
                if len(self._text) - end > LONGEST_TAIL or not self._more(PIECE):
                    self._at = end
                    return value
                continue
            held = len(self._text) - self._at
            if held > MOST_ROW:
                raise self.fault(f"A value is no JSON, or longer than {MOST_ROW:,} characters: {fault.msg}")
            if not self._more(max(PIECE, held)):
                raise self.fault(fault.msg, fault.pos)

    def rest(self) -> Any:
        while len(self._text) - self._at <= MOST_ROW and self._more(PIECE):
            pass
        return json.loads(self._text[self._at :])

    def fault(self, message: str, at: int | None = None) -> json.JSONDecodeError:
        """What is wrong at the place in the whole text."""
        made = json.JSONDecodeError(message, "", 0)
        made.pos = self._gone + (self._at if at is None else at)
        return made

    def _more(self, count: int) -> bool:
        """Read on, and let go of what was taken; False at the end."""
        if self._ended:
            return False
        self._gone += self._at
        raw = self._file.read(count)
        self._ended = not raw
        self._text = self._text[self._at :] + self._decoder.decode(raw, self._ended)
        self._at = 0
        return True
