"""Rankings by people: a labeling project is filled, the run waits, and what people gave is frozen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.config.graph import Node
from plaudit.config.sections import Enough, Rank
from plaudit.data.records import Prompt, Response
from plaudit.errors import UserError, Waiting
from plaudit.pipeline.context import Context
from plaudit.pipeline.stages import FROZEN, file_hash
from plaudit.pipeline.steps.ranked_items import CHOSEN, MODEL, written
from plaudit.pipeline.steps.recheck import items_to_rank
from plaudit.runs import Stage, files

ITEMS, JUDGEMENTS = "items.jsonl", "judgements.jsonl"


@dataclass(frozen=True)
class Standing:
    """How many items have all their judgements, of how many that are wanted."""

    done: int
    wanted: int
    overlap: int


def rank_by_people(context: Context, step: Node, stage: Stage) -> Mapping[str, Any]:
    """Fill the project, wait until enough is judged, and take what was judged.

    ``Waiting`` until then: the run ends with exit code 3, and `plaudit resume` looks again.
    """
    settings: Rank = step.settings
    folder = project_folder(context, step)
    items = _items(context, step, stage)
    enough = settings.enough or Enough()
    wanted = min(enough.items or len(items), len(items))
    if enough.items and enough.items > len(items):
        context.say(
            f"{step.name}: {enough.items} items were asked for, {len(items)} are there: all are enough"
        )
    standing = context.mesh.from_main(lambda: _filled(context, step, folder, items, enough.overlap, wanted))
    if standing.done < standing.wanted:
        by = f"by {standing.overlap} people each" if standing.overlap > 1 else "by people"
        raise Waiting(
            f"{step.name} waits: {standing.done} of {standing.wanted} items are judged {by}\n"
            f"  people judge: plaudit collect --project {folder}\n"
            f"  then:         plaudit resume {context.folder.path}"
        )
    return _frozen(context, step, stage, folder, items)


def project_folder(context: Context, step: Node) -> Path:
    """The labeling project of a step: the one that it names, or one of its own in the run's folder."""
    named = step.settings.project
    return Path(named) if named else context.folder.path / "projects" / step.name


def _items(context: Context, step: Node, stage: Stage) -> list[dict[str, Any]]:
    """What people are shown, drawn once and kept: rows of prompts and answers."""
    path = stage.path / ITEMS
    if not context.mesh.from_main(path.exists):
        drawn = [_row(prompt, responses) for prompt, responses in items_to_rank(context, step)[0]]
        rows = [row for row in drawn if _can_be_shown(row)]
        if len(rows) < len(drawn):
            context.say(
                f"{step.name}: {len(drawn) - len(rows)} of {len(drawn)} items cannot be shown to people (NUL …)"
            )
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        if context.mesh.is_main:
            files.write_text(path, text)
        context.mesh.barrier()
        return rows
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _can_be_shown(row: Mapping[str, Any]) -> bool:
    """Whether a labeling project takes a row: not every text that a model draws can be stored and shown."""
    from plaudit.feedback.importing import items_of_rows

    return bool(items_of_rows([row], purpose="work", source=ITEMS, max_dropped=1.0).items)


def _row(prompt: Prompt, responses: Sequence[Response]) -> dict[str, Any]:
    return {
        "prompt": [m.as_dict() for m in prompt.messages],
        "responses": [
            {
                "text": r.text,
                "finished": r.finished,
                **{k: v for k, v in r.metadata.items() if k in (MODEL, CHOSEN)},
            }
            for r in _distinct(responses)
        ],
        "source": prompt.source,
        "metadata": dict(prompt.metadata),
    }


def _distinct(responses: Sequence[Response]) -> list[Response]:
    """Answers of the same text once: nobody can say which of them is better."""
    found: dict[str, Response] = {}
    for response in responses:
        found.setdefault(response.text, response)
    return list(found.values())


def _filled(
    context: Context, step: Node, folder: Path, items: list[dict[str, Any]], overlap: int, wanted: int
) -> Standing:
    """Bring the items into the project, where they are not, and count what is judged of them."""
    from plaudit.feedback.importing import items_of_rows
    from plaudit.feedback.project_location import new_folder, opened, secret_in
    from plaudit.feedback.project_setup import ProjectRequest, database_url, only_project, prepare
    from plaudit.feedback.store.projects import slug_of

    with new_folder(folder), opened(database_url(folder, None)) as database:
        secret_in(folder)
        name = slug_of(f"{context.config.name}-{step.name}")
        slug = database.read(only_project) or name
        made = items_of_rows(items, purpose="work", source=str(ITEMS), max_dropped=0.0)
        title = f"{context.config.name}: {step.name}"
        prepare(database, ProjectRequest(slug, title, items=[made], settings={"overlap": overlap}))
        done = database.read(lambda db: _judged(db, slug, items, overlap))
    return Standing(done, wanted, overlap)


def _judged(db: Any, slug: str, items: list[dict[str, Any]], overlap: int) -> int:
    """How many of these items have ``overlap`` judgements."""
    from plaudit.feedback.exporting import exported
    from plaudit.feedback.store.projects import named_project

    counts: dict[str, int] = {}
    for record in exported(db, named_project(db, slug), not_rankable=True):
        key = _key([m.as_dict() for m in record.prompt.messages], [r.text for r in record.responses])
        counts[key] = counts.get(key, 0) + 1
    return sum(counts.get(_key_of(row), 0) >= overlap for row in items)


def _key_of(row: Mapping[str, Any]) -> str:
    return _key(row["prompt"], [r["text"] for r in row["responses"]])


def _key(messages: Sequence[Mapping[str, Any]], answers: Sequence[str]) -> str:
    """What an item is known by, whatever order its answers stand in."""
    return json.dumps([[m["role"], m["content"]] for m in messages] + sorted(answers))


def _frozen(
    context: Context, step: Node, stage: Stage, folder: Path, items: list[dict[str, Any]]
) -> dict[str, Any]:
    """What people gave, written once: later judgements are for the next run. Its hash is the step's key."""
    from plaudit.data.readers.read import read
    from plaudit.feedback.exporting import write_export
    from plaudit.feedback.project_location import opened
    from plaudit.feedback.project_setup import database_url, only_project
    from plaudit.feedback.store.projects import named_project

    path = stage.path / JUDGEMENTS
    if context.mesh.is_main and not path.exists():
        with opened(database_url(folder, None)) as database:
            slug = database.read(only_project)
            database.read(lambda db: write_export(db, named_project(db, slug), path))
    context.mesh.barrier()
    own = {_key_of(row) for row in items}
    records = [
        r
        for r in read(path, kind="preferences").records
        if _key([m.as_dict() for m in r.prompt.messages], [a.text for a in r.responses]) in own
    ]
    if not records:
        raise UserError(
            f"{step.name}: people ranked none of the items",
            remedy=f"plaudit collect status --project {folder}",
        )
    raters = {rater for r in records if (rater := getattr(r, "rater", None))}
    made = written(context, step, stage, records)
    return {**made, "judgements": len(records), "people": len(raters), FROZEN: file_hash(path)}
