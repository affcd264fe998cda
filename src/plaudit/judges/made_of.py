"""What a judge is made of, as a hash: verdicts of other code, or of other weights of that name, are not its own."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

BLOCK = 1 << 20


def of_function(function: Callable[..., Any]) -> str:
    """The hash of the file that a function is written in; empty where it is in none, as one of C or of a prompt."""
    try:
        source = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        # An instance with __call__: its class is what is written somewhere.
        source = _source_of_class(type(function))
    return of_files([Path(source)]) if source and Path(source).is_file() else ""


def of_model(*folders: str | Path) -> str:
    """The hash of a model's files, read once; a name that is no file here (of a hub) stands for itself."""
    found: list[Path] = []
    names = []
    for folder in map(Path, folders):
        if folder.is_dir():
            found += sorted(path for path in folder.iterdir() if path.is_file())
        elif folder.is_file():
            found.append(folder)
        else:
            names.append(str(folder))
    return of_files(found, names)


def of_files(files: Iterable[Path], names: Iterable[str] = ()) -> str:
    """The hash of the names and the content of files."""
    made = hashlib.blake2b(repr(list(names)).encode(), digest_size=8)
    for path in files:
        made.update(f"{path.name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                made.update(block)
    return made.hexdigest()


def _source_of_class(kind: type) -> str | None:
    try:
        return inspect.getsourcefile(kind)
    except TypeError:
        return None
