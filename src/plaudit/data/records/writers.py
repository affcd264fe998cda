"""Writes records as JSONL, atomically; ``read`` gives equal records back."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

from plaudit.data.records import Record
from plaudit.data.records.native_format import to_row
from plaudit.errors import UserError


def write_jsonl(records: Iterable[Record | str], path: str | Path) -> int:
    """Write one record per line, gzipped if ``path`` ends in .gz; returns the number of records.

    The file appears when it is complete and on disk; an error leaves an existing file unchanged. Raises
    ``UserError`` if it cannot be written, ``ValueError`` for a number that JSON does not have (NaN).
    """
    path = Path(path)
    temporary: Path | None = None
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as raw:
            with ExitStack() as stack:
                file: BinaryIO = raw
                if path.suffix == ".gz":
                    # No file name and no time in the archive: the same records give the same bytes.
                    file = cast(BinaryIO, stack.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0)))
                for record in records:
                    line = json.dumps(to_row(record), ensure_ascii=False, allow_nan=False)
                    file.write(line.encode() + b"\n")
                    count += 1
            raw.flush()
            os.fsync(raw.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(
                f"cannot write {path}: {error.strerror or error}",
                remedy="free some space or choose another folder; no incomplete file was left",
            ) from error
        raise
    return count
