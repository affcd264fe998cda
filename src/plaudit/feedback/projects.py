"""Labeling projects by their folder: set one up, export and measure its judgements, back it up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plaudit.errors import UserError
from plaudit.feedback.exporting import write_export
from plaudit.feedback.importing import read_items
from plaudit.feedback.project_location import DATABASE, new_folder, opened
from plaudit.feedback.project_setup import ProjectRequest, database_url, folder_of, prepare
from plaudit.feedback.quality.report import Quality, quality
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.projects import named_project, slug_of


@contextmanager
def existing(project: Path | None, database: str | None) -> Iterator[tuple[Database, Path]]:
    """The database of a project that exists, and its folder (None: the only one). UserError where there is none."""
    folder = project or (Path() if database else folder_of(None, None))
    if database is None and not (folder / DATABASE).is_file():
        raise UserError(
            f"there is no project in {folder}", remedy="name the folder that `plaudit collect` made"
        )
    with opened(database_url(folder, database)) as found:
        yield found, folder


def set_up_project(
    project: str | Path,
    responses: str | Path | None = None,
    *,
    gold: str | Path | None = None,
    calibration: str | Path | None = None,
    title: str = "",
    rules: Mapping[str, Any] | None = None,
    guidelines: str | None = None,
    max_dropped: float = 0.0,
    database: str | None = None,
) -> int:
    """Create a labeling project, or add to it: the number of new items. `plaudit collect --project` then serves it.

    ``responses``, ``gold`` and ``calibration`` are files of prompts with answers; ``rules`` such as ``{"overlap": 3}``;
    ``guidelines`` is Markdown that labelers see beside every item.
    """
    folder = Path(project)
    wanted = ProjectRequest(
        slug_of(folder.resolve().name), title, settings=dict(rules or {}), guidelines=guidelines
    )
    for path, purpose in ((responses, "work"), (gold, "gold"), (calibration, "calibration")):
        if path is not None:
            wanted.items.append(read_items(path, purpose=purpose, max_dropped=max_dropped))
    with new_folder(folder), opened(database_url(folder, database)) as store:
        _, added = prepare(store, wanted)
    return added


def export_judgements(
    project: str | Path | None,
    file: str | Path,
    *,
    purposes: Collection[str] = ("work",),
    not_rankable: bool = False,
    name: str | None = None,
    database: str | None = None,
) -> tuple[int, Counter[str]]:
    """Write a project's judgements as comparison records (JSONL): how many, and how many were left out by reason.

    ``project`` None is the only one in ``projects/``. ``name`` chooses among several in one database.
    """
    with existing(Path(project) if project is not None else None, database) as (store, _):
        return store.read(
            lambda session: write_export(
                session, named_project(session, name), file, purposes=purposes, not_rankable=not_rankable
            )
        )


def project_quality(
    project: str | Path | None = None, *, name: str | None = None, database: str | None = None
) -> Quality:
    """Agreement of the labelers, their times and biases, and the models' strengths, with intervals."""
    from plaudit.feedback.judgement_query import collected

    with existing(Path(project) if project is not None else None, database) as (store, _):
        data = store.read(collected, store.read(named_project, name).id)
    return quality(data.judged, data.answers, data.golds)
