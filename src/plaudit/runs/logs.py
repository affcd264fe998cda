"""Append-only logs of JSON lines that survive a kill at any byte."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def append_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Append rows as JSON lines; an incomplete last line is ended first. UserError where the disk refuses."""
    from plaudit.runs.files import disk_error

    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            if file.tell() and not _ends_with_newline(path):
                file.write(b"\n")
            file.write(data)
    except OSError as error:
        raise disk_error(path, error, "the lines before are whole") from error


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All complete rows of a log; incomplete lines are ignored; empty if there is no file."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_bytes().split(b"\n"):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def keep_lines(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Rewrite a log with only the rows that ``keep`` accepts, atomically."""
    from plaudit.runs.files import write_text

    if path.exists():
        rows = [row for row in read_lines(path) if keep(row)]
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
