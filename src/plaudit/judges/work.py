"""Judges many items in chunks; each verdict is stored at once, and none is requested twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from plaudit.data.records import Preference, Prompt, Response
from plaudit.data.records.native_format import from_row, to_row
from plaudit.errors import UserError
from plaudit.progress import Progress
from plaudit.runs.files import read_json, write_json
from plaudit.runs.logs import append_lines, read_lines

Item = tuple[Prompt, tuple[Response, ...]]
CHUNK = 32
VERDICTS = "judged.jsonl"
SPEC = "judge.json"


class Judging(Protocol):
    """Who judges one item, a ``plaudit.protocols.Judge``; one with ``judge_many`` takes many at once."""

    def judge(self, prompt: Prompt, responses: Sequence[Response]) -> Preference: ...


def judge_items(judge: Judging, items: Sequence[Item], *, label: str = "judge") -> list[Preference]:
    """Every item's judgement, in order; in chunks where the judge takes many at once (``judge_many``)."""
    return [judgement for _, judgement in _chunks(judge, items, label)]


def judge_into(
    folder: Path, judge: Judging, items: Sequence[Item], *, spec: str, label: str = "judge"
) -> list[Preference]:
    """Every item's judgement, kept in ``folder``; what is there already is not asked for again.

    ``spec`` names the judge and its manner. UserError where the folder holds the judgements of another one.
    """
    before = read_json(folder / SPEC)
    if before is not None and before["judge"] != spec:
        raise UserError(
            f"{folder} holds the judgements of {before['judge']}, not of {spec}",
            remedy="name another folder with --out",
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SPEC, {"judge": spec})
    path = folder / VERDICTS
    known = {row["key"]: row["record"] for row in read_lines(path) if "key" in row}
    keys = [item_key(item) for item in items]
    left = {key: item for key, item in zip(keys, items) if key not in known}
    todo = list(left.items())
    for index, judgement in _chunks(judge, [item for _, item in todo], label, done=len(items) - len(todo)):
        key, row = todo[index][0], to_row(judgement)
        append_lines(path, [{"key": key, "record": row}])
        known[key] = row
    return [cast(Preference, from_row(known[key])) for key in keys]


def place_of(folder: Path, spec: str) -> Path:
    """Where the verdicts of one manner of judging are kept below ``folder``: another manner finds another place."""
    return folder / hashlib.sha256(spec.encode()).hexdigest()[:8]


def item_key(item: Item) -> str:
    """A hash of everything about an item that a judge sees."""
    prompt, responses = item
    seen: list[Any] = [
        [(m.role, m.content) for m in prompt.messages],
        [(r.text, r.finished) for r in responses],
    ]
    # A prompt's own criteria are asked beside those of the judge's rubric.
    if own := prompt.metadata.get("rubric"):
        seen.append(own)
    return hashlib.sha256(json.dumps(seen, ensure_ascii=False, default=str).encode()).hexdigest()[:32]


def _chunks(
    judge: Judging, items: Sequence[Item], label: str, done: int = 0
) -> Iterator[tuple[int, Preference]]:
    many: Callable[[Sequence[Item]], list[Preference]] | None = getattr(judge, "judge_many", None)
    size = CHUNK if many is not None else 1
    with Progress(len(items) + done, label, unit="item", start=done) as bar:
        for at in range(0, len(items), size):
            part = items[at : at + size]
            found = many(part) if many is not None else [judge.judge(*part[0])]
            yield from zip(range(at, at + len(part)), found)
            bar.update(done + at + len(part), **_spent(judge))


def _spent(judge: Any) -> dict[str, float | None]:
    """What the bar shows beside the count: requests and cost, where there is a ledger."""
    ledger = getattr(getattr(judge, "model", None), "ledger", None)
    if ledger is None:
        return {}
    return {"requests": float(ledger.totals.requests), "cost": ledger.totals.cost}
