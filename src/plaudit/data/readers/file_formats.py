"""Readers of file formats, each as a stream of rows.

A problem that makes a file unreadable is passed to ``refuse`` with its line. Reading continues where possible,
so that all problems are found at once.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from plaudit.data.readers.class_names import class_names, with_names
from plaudit.data.readers.json_objects import holds, once
from plaudit.data.readers.read_report import name_type

# A longer JSONL line is nearly always a file that lost its line breaks.
MAX_LINE = 8 * 2**20
# Plain text is split into documents at the first blank line after this many characters.
DOCUMENT = 4000
TOO_DEEP = "the JSON is nested too deeply"
END_OF_TEXT = "<|endoftext|>"
# Keys under which a JSON object may hold the list of rows.
WRAPPERS = ("data", "train", "validation", "test", "rows", "records", "examples", "items")


@dataclass(frozen=True, slots=True)
class DataRow:
    """One row and the line on which it begins (for Parquet and the hub: its number, from 1).

    ``number`` counts the rows of a JSON array, or of a table saved by column, from 1.
    """

    line: int
    values: Any
    number: int | None = None


class Refuse(Protocol):
    def __call__(self, message: str, *, line: int | None = None, remedy: str | None = None) -> None: ...


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


def jsonl_rows(file: BinaryIO, refuse: Refuse) -> Iterator[DataRow]:
    """One JSON value per line; blank lines are skipped."""
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
            value = json.loads(text.rstrip(), object_pairs_hook=once)
        except json.JSONDecodeError as error:
            refuse(
                f"not valid JSON: {error.msg} (column {error.colno})",
                line=number,
                remedy="write one JSON object per line",
            )
        except RecursionError:
            refuse(TOO_DEEP, line=number)
        else:
            yield DataRow(number, value)


def json_rows(file: BinaryIO, refuse: Refuse) -> Iterator[DataRow]:
    """Rows of a JSON array, of an object that holds one, or of JSONL in a .json file."""
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
            yield from jsonl_rows(io.BytesIO(text.encode()), refuse)
        else:
            yield from _array(text, start, refuse)
        return
    try:
        whole, end = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        if text.strip():
            _bad_json(error, refuse)
        return
    except RecursionError:
        refuse(TOO_DEEP, line=1)
        return
    if text[end:].strip():
        yield from jsonl_rows(io.BytesIO(text.encode()), refuse)
        return
    if not isinstance(whole, dict):
        twice = isinstance(whole, str) and whole.lstrip()[:1] in ("[", "{")
        refuse(
            f"the file holds {name_type(whole)}, not rows",
            line=1,
            remedy="it was encoded as JSON twice: decode it once, and save what that gives"
            if twice
            else 'write [{"prompt": "…", …}, …]',
        )
        return
    if isinstance(whole.get("columns"), list) and "data" in whole:
        # pandas' `split` format; `data.readers.column_tables` splits it into rows.
        yield DataRow(1, whole)
        return
    held = [k for k in WRAPPERS if isinstance(whole.get(k), list)]
    if len(held) > 1:
        refuse(
            f"the object holds several lists ({', '.join(map(repr, held))})",
            remedy="save each as a file of its own",
        )
        return
    places = re.finditer(rf'"{held[0]}"\s*:\s*\[', text) if held else ()
    found = next((m for m in places if holds(text, m.end() - 1, whole[held[0]])), None)
    if found:
        yield from _array(text, found.end() - 1, refuse, nested=True)
    else:
        yield DataRow(1, whole)


def _bad_json(error: json.JSONDecodeError, refuse: Refuse) -> None:
    refuse(
        f"not valid JSON: {error.msg} (column {error.colno})",
        line=error.lineno,
        remedy="fix it at this place",
    )


def _array(text: str, start: int, refuse: Refuse, *, nested: bool = False) -> Iterator[DataRow]:
    """Rows of a JSON array, decoded one by one so that each has its line."""
    decoder = json.JSONDecoder(object_pairs_hook=once)
    space = re.compile(r"\s*")

    def skip(at: int) -> int:
        found = space.match(text, at)
        return found.end() if found else at

    line, counted, number = 1, 0, 0
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
            except RecursionError:
                refuse(TOO_DEEP, line=line)
                return
            number += 1
            yield DataRow(line, value, number)
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


def csv_rows(file: BinaryIO, refuse: Refuse, delimiter: str) -> Iterator[DataRow]:
    """Rows of a CSV file with a header; every cell is text."""
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
                if len(header) == 1 and (mark := next((m for m in ";\t|" if m in header[0]), "")):
                    refuse(
                        f"the columns are separated by {'tabs' if mark == chr(9) else repr(mark)}",
                        line=begin,
                        remedy="call it .tsv" if mark == "\t" else "save it with commas, or as .tsv",
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
                    remedy='put cells that hold commas or line breaks in "double quotes"'
                    if len(cells) > len(header)
                    else "give every row a cell for each column, also an empty one; a cell that holds a line break "
                    'belongs in "double quotes"',
                )
            else:
                yield DataRow(begin, dict(zip(header, cells)))
    except csv.Error as error:
        refuse(
            f"not valid CSV: {error}",
            line=line,
            remedy="its lines may end in CR alone: tr '\\r' '\\n' < FILE > NEW"
            if "new-line character" in str(error)
            else "close every double quote, and double those inside a quoted cell",
        )


def parquet_rows(file: BinaryIO, refuse: Refuse) -> Iterator[DataRow]:
    """Rows of a Parquet file, a batch at a time; one that was compressed as a whole is unpacked in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    packed = isinstance(file, gzip.GzipFile)
    try:
        with pq.ParquetFile(io.BytesIO(file.read()) if packed else file) as table:
            names = class_names(table.schema_arrow.metadata)
            for batch in table.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield DataRow(number, with_names(values, names))
    except (pa.ArrowException, OSError) as error:
        refuse(
            f"not a complete Parquet file ({str(error).splitlines()[0]})",
            line=number or None,
            remedy="copy or download the file again",
        )


def text_rows(file: BinaryIO, refuse: Refuse, by_line: bool) -> Iterator[DataRow]:
    """Documents of a text file, split at ``<|endoftext|>`` and, if long enough, at blank lines."""
    parts: list[str] = []
    size, begin, number = 0, 1, 0

    def row() -> Iterator[DataRow]:
        nonlocal size
        text = "".join(parts).strip()
        parts.clear()
        size = 0
        if text:
            yield DataRow(begin, {"text": text})

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
