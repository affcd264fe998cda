"""The address of a project's server, stored in the project folder while it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from plaudit.feedback.project_location import FOLDER
from plaudit.feedback.store.database import shown

FILE = "serving.json"


@dataclass(frozen=True)
class Whereabouts:
    """``runs``: whether the process that wrote it is there."""

    address: str
    runs: bool


@contextmanager
def noted(folder: Path, url: str, address: str) -> Iterator[None]:
    """Note the address in the folder while the block runs."""
    path, mine = folder / FILE, {"address": address, "process": os.getpid(), "database": _name(url)}
    path.write_text(json.dumps(mine) + "\n")
    try:
        yield
    finally:
        # Another server of the same project may have written since.
        if _read(path) == mine:
            path.unlink(missing_ok=True)


def server_address(folder: Path, url: str) -> Whereabouts | None:
    """The address at which that folder's (or else that database's) project is served; None if none is recorded."""
    for path in (folder / FILE, *sorted(FOLDER.glob(f"*/{FILE}"))):
        found = _read(path)
        if found is not None and found["database"] == _name(url):
            return Whereabouts(str(found["address"]), _runs(found["process"]))
    return None


def _name(url: str) -> str:
    """What all spellings of a database's address have in common, without its password."""
    made = make_url(url)
    is_file = made.get_backend_name() == "sqlite"
    return str(Path(made.database or "").resolve()) if is_file else shown(url)


def _read(path: Path) -> dict[str, object] | None:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text())
        if isinstance(found, dict) and {"address", "process", "database"} <= found.keys():
            return found
    return None


def _runs(process: object) -> bool:
    if not isinstance(process, int):
        return False
    if os.name == "nt":
        return True  # signal 0 would interrupt it there; a server that has ended is found when it is asked
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's: it is there
    return True
