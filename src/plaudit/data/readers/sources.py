"""Streams the rows of a file of any format: JSONL, JSON, CSV, Parquet, text, also gzipped; or of another source.

Files are streamed if the format allows, hub data sets always.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

from plaudit.data.readers.class_names import with_names
from plaudit.data.readers.file_formats import (
    DataRow,
    Refuse,
    csv_rows,
    json_rows,
    jsonl_rows,
    parquet_rows,
    text_rows,
)
from plaudit.errors import UserError, dangling_link, suggest
from plaudit.registry import SOURCES, SourceKind, call

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
HUB_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?(?::([\w.+-]+))?")


def rows(path: str | Path, refuse: Refuse, *, by_line: bool = False) -> Iterator[DataRow]:
    """The rows of a file, of a hub data set, or of a registered source such as ``project://``.

    ``by_line``: each line of a text file is a row. Raises ``UserError`` if the source cannot be opened.
    """
    if source := _registered(str(path)):
        for number, values in enumerate(call(source.rows, str(path)), 1):
            yield DataRow(number, values)
        return
    file = Path(path)
    if not file.exists():
        if is_hub_name(str(path)):
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
    last = 0
    try:
        with ExitStack() as stack:
            for row in _rows_of(file, _open(file, stack), refuse, by_line):
                last = row.line
                yield row
    except (EOFError, gzip.BadGzipFile, zlib.error):
        refuse(
            "the .gz archive is damaged or cut short" + (" after this line" if last else ""),
            line=last or None,
            remedy="copy or download the file again",
        )
    except PermissionError:
        raise UserError(f"no permission to read {path}", remedy=f"chmod u+r {path}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _rows_of(file: Path, opened: BinaryIO, refuse: Refuse, by_line: bool) -> Iterator[DataRow]:
    kind = _format(file, opened)
    if kind == "parquet":
        return parquet_rows(opened, refuse)
    if kind == "json":
        return json_rows(opened, refuse)
    if kind == "jsonl":
        return jsonl_rows(opened, refuse)
    if kind == "csv":
        return csv_rows(opened, refuse, "\t" if ".tsv" in map(str.lower, file.suffixes) else ",")
    return text_rows(opened, refuse, by_line)


def _open(file: Path, stack: ExitStack) -> BinaryIO:
    raw = stack.enter_context(file.open("rb"))
    if raw.peek(2)[:2] != b"\x1f\x8b":
        return raw
    return cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=raw)))


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
            f"{file}: {suffix or 'a file without an extension'} is not a format that plaudit reads",
            remedy=f"save it as one of {', '.join(FORMATS)} (or any of these .gz)",
        )
    # The extensions .json and .jsonl are often mixed up; the first character decides.
    if kind == "jsonl" and start[:1] == b"[":
        return "json"
    return kind


def is_hub_name(path: str) -> bool:
    if not HUB_NAME.fullmatch(path) or Path(path).parent.exists():
        return False
    name = Path(path.partition(":")[0].partition("@")[0])
    return not any(s.lower() in {*FORMATS, *PACKED, ".gz", ".yaml", ".yml"} for s in name.suffixes)


def is_project(path: str | Path) -> bool:
    """Whether a source is a labeling project, ``project://FOLDER``."""
    return str(path).startswith("project://")


def _registered(address: str) -> SourceKind | None:
    """The registered kind of source that an address ``name://rest`` names."""
    scheme, separator, _ = address.partition("://")
    return SOURCES.get(scheme) if separator else None


def _missing(file: Path) -> UserError:
    if file.is_symlink():
        return dangling_link(file)
    folder = next((p for p in file.parents if p.exists()), Path())
    if folder != file.parent:
        return UserError(f"there is no file {file}", remedy=f"there is no folder {file.parent} either")
    close = suggest(file.name, (p.name for p in folder.iterdir()))
    return UserError(
        f"there is no file {file}", remedy=close or f"{folder} holds no file with a similar name"
    )


def _hub(path: str, refuse: Refuse) -> Iterator[DataRow]:
    """A data set of the Hugging Face hub: ``owner/name[@revision][:split]``, by default the split ``train``."""
    import datasets

    named = HUB_NAME.fullmatch(path)
    name, revision, split = named.groups() if named else (path, None, None)
    try:
        stream = datasets.load_dataset(name, split=split or "train", revision=revision, streaming=True)
        features = getattr(stream, "features", None) or {}
        names = {c: f.names for c, f in features.items() if getattr(f, "names", None)}
        for number, values in enumerate(stream, 1):
            yield DataRow(number, with_names(values, names))
    except Exception as error:  # the hub's client raises dozens of kinds, all with a usable message
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise UserError(
            f"there is no file {path}, and no data set of that name could be read from the hub: {reason}",
            remedy="check the path, or the name and split on huggingface.co (owner/name@revision:split)",
        ) from error
