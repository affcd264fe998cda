"""Checks a data file or the data of a recipe before training: contents, methods it fits, token lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.data.baselines import Agreement, agreement, longer_wins
from plaudit.data.checks.check_report import (
    CheckReport,
    Example,
    ExampleAnswer,
    ExampleSpan,
    FileCheck,
    Tokens,
)
from plaudit.data.checks.contamination import duplicate_problems
from plaudit.data.checks.method_compatibility import feeds
from plaudit.data.readers.convert import converted
from plaudit.data.readers.label_codes import known_labels
from plaudit.data.readers.read import scan
from plaudit.data.readers.read_report import ReadReport
from plaudit.data.records import Comparisons, Demonstration, Labeled, Prompt, Ranking, Rated
from plaudit.data.records.native_format import kind_of
from plaudit.data.rendering.byte_tokenizer import byte_tokenizer
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.splits import prompt_key
from plaudit.data.tokens.item import TokenItem
from plaudit.errors import Problem, UserError

# Records rendered to measure lengths; evenly spaced ones of a larger file.
SAMPLE = 1000
EXAMPLES = 2
# Below this share of trained tokens, most of the computation is spent on prompts.
LOW_TRAINED = 0.05


@dataclass(frozen=True)
class _Source:
    path: str
    kind: str | None = None
    role: str = ""
    convert: str | None = None
    limit: int | None = None
    fields: Mapping[str, str] | None = None
    labels: Mapping[Any, str] | None = None


def check(
    source: str | Path,
    *,
    tokenizer: Any = None,
    against: str | Path | None = None,
    kind: str | None = None,
    limit: int | None = None,
    fields: Mapping[str, str] | None = None,
    labels: Mapping[Any, str] | None = None,
    max_dropped: float | None = None,
    overrides: Sequence[str] = (),
) -> CheckReport:
    """Read a data file, or all data of a recipe (.yaml), and report on it without training or writing.

    ``tokenizer`` counts the lengths (without one, each byte counts as a token). ``against`` is a file of
    evaluation prompts that must not occur in training. Problems of the data are in the report; only a
    recipe that cannot be read raises ``UserError``.
    """
    settings: dict[str, Any] = {}
    labels = known_labels(labels)
    if Path(source).suffix in (".yaml", ".yml"):
        given = {"kind": kind, "limit": limit, "fields": fields, "labels": labels}
        if named := [name for name, value in given.items() if value]:
            raise UserError(
                f"{source} is a recipe: {', '.join(named)} belong to one file",
                remedy="write them beside its path ({path: FILE, limit: 100}), or check the file alone",
            )
        sources, settings, dropped = _of_recipe(source, overrides)
        max_dropped = dropped if max_dropped is None else max_dropped
    else:
        if overrides:
            raise UserError(
                f"{source} is no recipe: there is nothing for --set {overrides[0]} to change",
                remedy="leave it out, or check a recipe (.yaml)",
            )
        sources = [_Source(str(source), kind, "", None, limit, fields, labels)]
    name = getattr(tokenizer, "name_or_path", "") if tokenizer is not None else ""
    if tokenizer is None:
        tokenizer = byte_tokenizer()
        # Limits are in tokens: lengths in bytes cannot be compared with them.
        settings = {k: v for k, v in settings.items() if not k.startswith("max_")}
    evaluation = None if against is None else _read(_Source(str(against), "prompts"), 1.0)
    files = [] if evaluation is None or not evaluation[0].error else [evaluation[0]]
    for one in sources:
        file, records = _read(one, 0.05 if max_dropped is None else max_dropped)
        files.append(file)
        if not records:
            continue
        _describe(file, records)
        _render(file, records, Renderer(tokenizer, **settings))
        if evaluation is not None:
            file.problems += duplicate_problems(
                records, evaluation[1], training_file=file.path, evaluation_file=str(against)
            )
    return CheckReport(files, name)


def _of_recipe(source: str | Path, overrides: Sequence[str]) -> tuple[list[_Source], dict[str, Any], float]:
    from plaudit.config import load_recipe

    config = load_recipe(source, overrides)
    sources = [
        _Source(config.locate(s), role, role, s.convert, s.limit, s.fields, s.labels)
        for role in config.data_sources()
        for s in getattr(config.data, role)
    ]
    if not sources:
        if config.world is not None:
            remedy = "its world makes its data; `plaudit run RECIPE --dry-run` shows the plan"
        else:
            remedy = "name some, such as data: {preferences: FILE}, or check a file by itself"
        raise UserError(f"{source} names no data files", remedy=remedy)
    settings = {k: getattr(config.data, k) for k in ("max_length", "max_prompt_length", "train_on")}
    return sources, settings, config.data.max_dropped


def _read(source: _Source, max_dropped: float) -> tuple[FileCheck, list[Any]]:
    report = ReadReport(source.path)
    records: list[Any] = []
    error: UserError | None
    try:
        if source.convert:
            report.shape = f"converted by {source.convert}"
            records = list(converted(source.convert, source.path, report, kind=source.kind))[: source.limit]
            error = None
        else:
            result = scan(
                source.path,
                kind=source.kind,
                limit=source.limit,
                fields=source.fields,
                labels=source.labels,
            )
            records, report = result.records, result.report
            error = report.error(max_dropped)
    except UserError as caught:
        error = caught
    return FileCheck(source.path, source.role, report, error=error), records


def _metadata(record: Any) -> Mapping[str, Any]:
    if isinstance(record, str):
        return {}
    return record.metadata if isinstance(record, Prompt) else record.prompt.metadata


def _describe(file: FileCheck, records: Sequence[Any]) -> None:
    file.kinds = Counter(map(kind_of, records))
    file.feeds = feeds(records)
    file.prompts = len({prompt_key(r) for r in records}) if set(file.kinds) != {"text"} else 0
    file.facts["metadata"] = list(dict.fromkeys(key for r in records for key in _metadata(r)))
    preferences = [r for r in records if isinstance(r, Comparisons | Ranking)]
    if preferences:
        judged = [o for r in preferences for o in r.comparisons().outcomes]
        people: Agreement = agreement(preferences)
        file.facts |= {
            "answers": Counter(len(r.responses) for r in preferences),
            "judgements": len(judged),
            "ties": sum(o.result == 0.5 for o in judged),
            "longer_wins": longer_wins(preferences),
            "agreement": people.share,
            "agreement_pairs": people.pairs,
        }
    labels = [r.good for r in records if isinstance(r, Labeled)]
    if labels:
        file.facts |= {"good": sum(labels), "bad": len(labels) - sum(labels)}
    scores = [r.score for r in records if isinstance(r, Rated)]
    if scores:
        file.facts |= {"score_mean": float(np.mean(scores)), "score_range": (min(scores), max(scores))}


def _render(file: FileCheck, records: Sequence[Any], renderer: Renderer) -> None:
    step = max(1, -(-len(records) // SAMPLE))
    sample = records[::step]
    shown: list[tuple[Any, TokenItem]] = []
    prompts: list[int] = []
    answers: list[int] = []
    items: list[TokenItem] = []
    try:
        for record in sample:
            rendered = _items(record, renderer)
            if isinstance(record, Prompt):
                prompts += [len(ids) for ids in renderer.prompts([record])[1]]
                continue
            items += rendered
            if rendered and len(shown) < EXAMPLES:
                shown.append((record, rendered[0]))
        if {"demonstrations", "preferences"} & set(file.kinds):
            renderer.lint(items, ends="demonstrations" in file.kinds)
    except UserError as error:
        file.problems += error.problems or [Problem(error.message, file.path, remedy=error.remedy)]
    for item in items:
        if "text" not in file.kinds:
            prompts.append(len(item.prompt))
        answers += [len(r) for r in item.responses]
    trained, slots = sum(i.trained_tokens for i in items), sum(i.slots for i in items)
    share = trained / slots if slots else None
    file.tokens = Tokens(len(sample), np.asarray(prompts), np.asarray(answers), share, dict(renderer.counts))
    file.examples = [_example(record, item, renderer) for record, item in shown]
    alone = [r for r in sample[:EXAMPLES] if isinstance(r, Prompt)]
    file.examples += [
        Example(renderer.decode(ids, keep_special=True), ()) for ids in renderer.prompts(alone)[1]
    ]


def _items(record: Any, renderer: Renderer) -> list[TokenItem]:
    if isinstance(record, str):
        return renderer.documents([record])
    if isinstance(record, Prompt):
        return []
    if isinstance(record, Comparisons | Ranking):
        item = renderer.preference(record)
        return [item] if item is not None else []
    if isinstance(record, Demonstration):
        return renderer.demonstrations(record)
    return renderer.demonstrations(Demonstration(record.prompt, record.response))


def _example(record: Any, item: TokenItem, renderer: Renderer) -> Example:
    answers = []
    for title, segment in zip(_titles(record, len(item.responses)), item.responses):
        # Spans of consecutive tokens that are all trained or all not trained.
        cuts = np.flatnonzero(np.diff(segment.trained)) + 1
        runs = zip(np.split(segment.ids, cuts), np.split(segment.trained, cuts))
        parts = (ExampleSpan(renderer.decode(ids, keep_special=True), bool(mask[0])) for ids, mask in runs)
        answers.append(ExampleAnswer(title, tuple(parts)))
    return Example(renderer.decode(item.prompt, keep_special=True), tuple(answers))


def _titles(record: Any, n: int) -> list[str]:
    if isinstance(record, Ranking):
        place = {i: rank for rank, group in enumerate(record.groups, 1) for i in group}
        return [f"answer {i + 1} of {n}, place {place[i]}" for i in range(n)]
    if isinstance(record, Comparisons):
        wins = [0.0] * n
        for o in record.outcomes:
            wins[o.left] += o.result
            wins[o.right] += 1 - o.result
        return [f"answer {i + 1} of {n}, {wins[i]:g} wins" for i in range(n)]
    if isinstance(record, Labeled):
        return ["good answer" if record.good else "bad answer"]
    if isinstance(record, Rated):
        return [f"answer rated {record.score:g}"]
    return ["text" if isinstance(record, str) else "demonstration"]
