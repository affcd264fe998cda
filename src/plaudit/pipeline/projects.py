"""Labeling projects as data of a run: what was collected when the run began, kept with the run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from plaudit.config import ROLES, Config
from plaudit.data.readers.sources import is_project
from plaudit.errors import UserError


def frozen(config: Config, folder: Path, *, keep: bool = False) -> Config:
    """The config with each ``project://…`` in its data replaced by a file in ``folder``, written now.

    A run must not see its data grow: what people judge later is for the next run. ``keep`` uses a file that was
    written before, so that several runs see the same. UserError where a project holds
    no judgement that ranks anything.
    """
    sources = {role: tuple(getattr(config.data, role)) for role in ROLES}
    found = sorted({s.path for role in sources.values() for s in role if is_project(s.path)})
    if not found:
        return config
    from plaudit.runtime import Mesh

    # Of several processes one looks at the projects: each would see another moment of them.
    paths = Mesh.from_environment().from_main(lambda: {a: str(_export(a, folder, keep)) for a in found})
    changed: dict[str, Any] = {
        role: tuple(s.model_copy(update={"path": paths.get(s.path, s.path)}) for s in own)
        for role, own in sources.items()
    }
    return config.model_copy(update={"data": config.data.model_copy(update=changed)})


@contextmanager
def removed_if_refused(folder: Path, begun: Path) -> Iterator[None]:
    """Removes what was kept in a new folder where the work is refused before it writes its record ``begun``."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except UserError:
        if made and not begun.exists():
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # one that others use is not empty
                for path in made[1:]:
                    path.rmdir()
        raise


def _export(address: str, folder: Path, keep: bool) -> Path:
    from plaudit.feedback.exporting import write_export
    from plaudit.feedback.project_location import opened, place_of
    from plaudit.feedback.store.projects import named_project

    place = place_of(address)
    with opened(place.url) as database:
        slug = database.read(named_project, place.slug).slug
        # A whole path, so that data.root is not put before it.
        path = (folder / f"{re.sub(r'[^a-z0-9-]', '', slug)}.jsonl").resolve()
        if keep and path.exists():
            return path
        count, left_out = database.read(lambda db: write_export(db, named_project(db, slug), path))
    if not count:
        path.unlink()
        more = f" ({sum(left_out.values())} of another kind)" if left_out else ""
        raise UserError(
            f"{address} holds no rankings yet{more}", remedy="`plaudit collect status` shows how it stands"
        )
    return path
