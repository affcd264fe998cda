"""Atomic file writes: write to a temporary name, sync, rename."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plaudit.errors import Problem, UserError


def _sync_folder(path: Path) -> None:
    # A rename is durable only once the folder that holds the name is synced. Windows opens no folders.
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    # Windows syncs only what is open for writing; what may not be written was not written just now.
    if os.access(path, os.W_OK):
        with path.open("r+b") as file:
            os.fsync(file.fileno())


def disk_error(path: Path, error: OSError, left: str = "no incomplete file was left") -> UserError:
    """The error for a disk that refuses to write; ``left`` says what is there now."""
    return UserError(
        f"cannot write {path}: {error.strerror or error}",
        remedy=f"free some space or choose another folder with --out; {left}",
    )


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise disk_error(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. NaN and infinity are refused: JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """Values as JSON can hold them: arrays of one element become numbers, NaN and infinity become null."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def read_json(path: Path) -> Any:
    """The JSON value in ``path``, or None where there is no such file; UserError where it holds something else."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:  # also of text that is no UTF-8
        problem = Problem(f"not valid JSON: {error}", str(path), remedy="restore it from a copy")
        raise UserError(f"{Path(path).name} cannot be read", problems=[problem]) from None


def check_folder(path: Path, what: str = "the run", option: str = "--out") -> None:
    """UserError where a file stands in the place of a folder that is to be written, or of one above it."""
    taken = next((p for p in (path, *path.parents) if p.exists()), path)
    if taken.exists() and not taken.is_dir():
        raise UserError(
            f"{what} cannot be kept in {path}: {taken} is a file", remedy=f"name a folder with {option} DIR"
        )


def check_file(path: Path) -> None:
    """UserError where a file is to be written, and a folder has its name, or a file the name of its folder."""
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder", remedy="name a file")
    check_folder(path.parent, path.name)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a temporary folder that becomes ``path`` when the block ends without an error.

    An older folder of that name is replaced whole: a reader sees the old one or the new one.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync_file(file)
        os.chmod(temporary, 0o755)
        if path.exists():
            retired = temporary.with_name(temporary.name + ".old")
            os.replace(path, retired)
            os.replace(temporary, path)
            shutil.rmtree(retired, ignore_errors=True)
        else:
            os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
        raise disk_error(path, error) from error
    except BaseException as error:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
        # safetensors raises an error of its own class where the disk refuses.
        if isinstance(error, Exception) and "(os error " in str(error):
            raise disk_error(path, OSError(str(error))) from error
        raise


def sweep(path: Path) -> None:
    """Remove incomplete files that a killed process left below ``path``."""
    for leftover in Path(path).rglob(".*"):
        if leftover.name.count(".") >= 2:
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
