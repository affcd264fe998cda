"""Rows of a file, one after another, whatever the format: JSONL, JSON, CSV, Parquet, text; gz too.

Files are streamed where the format allows. What stops a file from being read (bad JSON, a truncated
archive, a wrong encoding) goes to ``refuse`` with its line, and reading goes on where it can, so that
all problems are found at once.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from plaudit.errors import UserError, suggest

# A JSONL line longer than this is nearly always a file that lost its line breaks.
MAX_LINE = 8 * 2**20
# Plain text is cut into documents at blank lines, once they are this long.
DOCUMENT = 4000
END_OF_TEXT = "<|endoftext|>"

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
}
PACKED = {
    ".zip": "unzip",
    ".bz2": "bunzip2",
    ".xz": "unxz",
    ".zst": "unzstd",
    ".7z": "7z x",
    ".tar": "tar xf",
}
# Keys under which a JSON object may hold the list of rows.
WRAPPERS = ("data", "train", "validation", "test", "rows", "records", "examples", "items")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w.+-]+)?")


@dataclass(frozen=True, slots=True)
class Row:
    """One row and the line it begins on (for Parquet and the hub: its number, from 1)."""

    line: int
    values: Any


class Refuse(Protocol):
    def __call__(self, message: str, *, line: int | None = None, remedy: str | None = None) -> None: ...


def rows(path: str | Path, refuse: Refuse, *, by_line: bool = False) -> Iterator[Row]:
    """The rows of a file or hub data set. ``by_line``: each line of a text file is a row of its own.

    Raises ``UserError`` where there is nothing to open.
    """
    file = Path(path)
    if not file.exists():
        if _is_hub_name(str(path)):
            yield from _hub(str(path), refuse)
            return
        raise _missing(file)
    if file.is_dir():
        inside = sorted(p.name for p in file.iterdir() if p.is_file())
        raise UserError(
            f"{path} is a folder, not a file",
            remedy=f"name one of its files: {', '.join(inside[:5])}{' …' if len(inside) > 5 else ''}"
            if inside
            else "name a file",
        )
    try:
        with ExitStack() as stack:
            opened = _open(file, stack)
            kind = _format(file, opened)
            if kind == "parquet":
                yield from _parquet(file, refuse)
            elif kind == "json":
                yield from _json(opened, refuse)
            elif kind == "jsonl":
                yield from _jsonl(opened, refuse)
            elif kind == "csv":
                yield from _csv(opened, refuse, "\t" if ".tsv" in file.suffixes else ",")
            else:
                yield from _text(opened, refuse, by_line)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        refuse("the .gz archive is damaged or cut short", remedy="copy or download the file again")
    except PermissionError:
        raise UserError(f"{path} may not be read", remedy=f"chmod u+r {path}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _open(file: Path, stack: ExitStack) -> BinaryIO:
    raw = stack.enter_context(file.open("rb"))
    if raw.peek(2)[:2] != b"\x1f\x8b":
        return raw
    return io.BufferedReader(stack.enter_context(gzip.GzipFile(fileobj=raw)))


def _format(file: Path, opened: BinaryIO) -> str:
    suffixes = [s.lower() for s in file.suffixes if s.lower() != ".gz"]
    suffix = suffixes[-1] if suffixes else ""
    start = opened.peek(64)[:64].removeprefix(b"\xef\xbb\xbf").lstrip()  # type: ignore[attr-defined]
    kind = FORMATS.get(suffix)
    if suffix in PACKED:
        raise UserError(f"{file} is packed", remedy=f"unpack it first: {PACKED[suffix]} {file}")
    if kind is None and start.startswith(b"PAR1"):
        kind = "parquet"
    if kind is None and start[:1] in (b"{", b"["):
        kind = "json"
    if kind is None:
        raise UserError(
            f"{file}: {suffix or 'a file without an ending'} is no format that plaudit reads",
            remedy=f"save it as one of {', '.join(FORMATS)} (or any of these .gz)",
        )
    # The endings .json and .jsonl are used for one another; the first character tells.
    if kind == "jsonl" and start[:1] == b"[":
        return "json"
    return kind


def _decode(data: bytes, refuse: Refuse, line: int) -> str | None:
    try:
        return data.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        found = data.rfind(b"\n", 0, error.start)
        line += data.count(b"\n", 0, error.start)
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        refuse(
            f"not UTF-8 (byte {data[error.start]:#04x} at column {error.start - found})",
            line=line,
            remedy=f"iconv -f {'UTF-16' if wide else 'WINDOWS-1252'} -t UTF-8 FILE > NEW",
        )
        return None


def _jsonl(file: BinaryIO, refuse: Refuse) -> Iterator[Row]:
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            refuse(
                f"the line is longer than {MAX_LINE / 2**20:.0f} MB",
                line=number,
                remedy="write one record per line; long texts belong in a .txt file",
            )
            while line and not line.endswith(b"\n"):
                line = file.readline(2**20)
            continue
        text = _decode(line, refuse, number)
        if text is None and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return
        if text is None or not text.strip():
            continue
        try:
            value = json.loads(text.rstrip())
        except json.JSONDecodeError as error:
            refuse(
                f"not valid JSON: {error.msg} (column {error.colno})",
                line=number,
                remedy="write one JSON object per line",
            )
        except RecursionError:
            refuse("the JSON is nested too deeply", line=number)
        else:
            yield Row(number, value)


def _json(file: BinaryIO, refuse: Refuse) -> Iterator[Row]:
    """Rows of a JSON array, of an object that holds one, or of JSONL under a .json name."""
    data = file.read()
    text = _decode(data, refuse, 1)
    del data
    if text is None:
        return
    start = len(text) - len(text.lstrip())
    if text[start : start + 1] == "[":
        end = text.find("\n", start)
        lists = end > 0 and text[start:end].rstrip().endswith("]")
        if lists and re.compile(r"\s*\[").match(text, end):
            yield from _jsonl(io.BytesIO(text.encode()), refuse)
        else:
            yield from _array(text, start, refuse)
        return
    try:
        whole, end = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        if text.strip():
            _bad_json(error, refuse)
        return
    if text[end:].strip():
        yield from _jsonl(io.BytesIO(text.encode()), refuse)
        return
    held = [k for k in WRAPPERS if isinstance(whole.get(k), list)]
    if len(held) > 1:
        refuse(
            f"the object holds several lists ({', '.join(map(repr, held))})",
            remedy="save each as a file of its own",
        )
        return
    found = re.search(rf'"{held[0]}"\s*:\s*\[', text) if held else None
    if found:
        yield from _array(text, found.end() - 1, refuse, nested=True)
    else:
        yield Row(1, whole)


def _bad_json(error: json.JSONDecodeError, refuse: Refuse) -> None:
    refuse(
        f"not valid JSON: {error.msg} (column {error.colno})",
        line=error.lineno,
        remedy="mend it at this place",
    )


def _array(text: str, start: int, refuse: Refuse, *, nested: bool = False) -> Iterator[Row]:
    """Rows of a JSON array, decoded one by one so that each has its line."""
    decoder = json.JSONDecoder()
    space = re.compile(r"\s*")

    def skip(at: int) -> int:
        found = space.match(text, at)
        return found.end() if found else at

    line, counted = 1, 0
    at = skip(start + 1)
    if text[at : at + 1] != "]":
        while True:
            line += text.count("\n", counted, at)
            counted = at
            try:
                value, end = decoder.raw_decode(text, at)
            except json.JSONDecodeError as error:
                _bad_json(error, refuse)
                return
            yield Row(line, value)
            at = skip(end)
            if text[at : at + 1] != ",":
                break
            at = skip(at + 1)
    if text[at : at + 1] != "]":
        _bad_json(json.JSONDecodeError("Expecting ',' or ']'", text, at), refuse)
    elif not nested and text[at + 1 :].strip():
        _bad_json(json.JSONDecodeError("Extra data", text, skip(at + 1)), refuse)


def _lines(file: BinaryIO, refuse: Refuse) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        text = _decode(line, refuse, number)
        if text is None:
            return
        yield text


def _csv(file: BinaryIO, refuse: Refuse, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(MAX_LINE)
    reader = csv.reader(_lines(file, refuse), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            begin, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                if len(header) == 1 and ";" in header[0]:
                    refuse(
                        "the columns are separated by ';'",
                        line=begin,
                        remedy="save it with commas, or as .tsv",
                    )
                    return
                if twice := sorted({h for h in header if header.count(h) > 1}):
                    refuse(
                        f"the header names {twice[0]!r} twice",
                        line=begin,
                        remedy="give each column its own name",
                    )
                    return
            elif len(cells) != len(header):
                refuse(
                    f"{len(cells)} cells under a header of {len(header)}",
                    line=begin,
                    remedy='put cells that hold commas or line breaks in "double quotes"',
                )
            else:
                yield Row(begin, dict(zip(header, cells)))
    except csv.Error as error:
        refuse(
            f"not valid CSV: {error}",
            line=line,
            remedy="close every double quote, and double those inside a quoted cell",
        )


def _parquet(file: Path, refuse: Refuse) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, values)
    except (pa.ArrowException, OSError) as error:
        refuse(
            f"not a whole Parquet file ({str(error).splitlines()[0]})",
            line=number or None,
            remedy="copy or download the file again",
        )


def _text(file: BinaryIO, refuse: Refuse, by_line: bool) -> Iterator[Row]:
    """Documents of a text file: parted by ``<|endoftext|>``, and at blank lines once long enough."""
    parts: list[str] = []
    size, begin, number = 0, 1, 0

    def row() -> Iterator[Row]:
        nonlocal size
        text = "".join(parts).strip()
        parts.clear()
        size = 0
        if text:
            yield Row(begin, {"text": text})

    for number, line in enumerate(_lines(file, refuse), 1):
        line = line.replace("\r\n", "\n")
        *finished, rest = line.split(END_OF_TEXT)
        for part in finished:
            parts.append(part)
            yield from row()
        if not parts:
            begin = number
        parts.append(rest)
        size += len(rest)
        if by_line or (size >= DOCUMENT and not rest.strip()):
            yield from row()
    yield from row()


def _is_hub_name(path: str) -> bool:
    if not HUB_NAME.fullmatch(path) or Path(path).parent.exists():
        return False
    name = Path(path.partition(":")[0])
    return not any(s.lower() in {*FORMATS, *PACKED, ".gz", ".yaml", ".yml"} for s in name.suffixes)


def _missing(file: Path) -> UserError:
    folder = next((p for p in file.parents if p.exists()), Path())
    if folder != file.parent:
        return UserError(f"there is no file {file}", remedy=f"there is no folder {file.parent} either")
    close = suggest(file.name, (p.name for p in folder.iterdir()))
    return UserError(f"there is no file {file}", remedy=close or f"{folder} holds nothing of a like name")


def _hub(path: str, refuse: Refuse) -> Iterator[Row]:
    """A data set of the Hugging Face hub: ``owner/name`` or ``owner/name:split`` (train unless told)."""
    import datasets

    name, _, split = path.partition(":")
    try:
        stream = datasets.load_dataset(name, split=split or "train", streaming=True)
        for number, values in enumerate(stream, 1):
            yield Row(number, values)
    except Exception as error:  # the hub's client raises dozens of kinds, all with a usable message
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise UserError(
            f"there is no file {path}, and the hub has no data set of that name that can be read: {reason}",
            remedy="check the path, or the name and split on huggingface.co (owner/name:split)",
        ) from error
