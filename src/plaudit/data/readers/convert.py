"""Converts public data sets with a special layout into plaudit's JSONL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.data.readers import public_sets, public_texts
from plaudit.data.readers.file_formats import DataRow
from plaudit.data.readers.read_report import Fault, ReadReport
from plaudit.data.readers.record_kinds import as_kind, join_pairs, known_kind
from plaudit.data.readers.sources import rows
from plaudit.data.records import Record
from plaudit.data.records.writers import write_jsonl
from plaudit.errors import UserError, suggest
from plaudit.registry import READERS, resolve

# What a converter raises on a row of another data set.
UNLIKE = (KeyError, TypeError, AttributeError, IndexError, ValueError)


@dataclass(frozen=True)
class Converter:
    """How to convert a data set: ``row`` converts one row; ``files`` match the files to read in a folder.

    ``joined`` merges all judgements of a prompt into one record. A set whose rows refer to each other has
    ``tables`` instead of ``row``; it receives all rows by the first part of their file's name.
    """

    about: str
    files: tuple[str, ...]
    row: Callable[[Mapping[str, Any]], Iterable[Record | str | Fault]] = lambda row: ()
    joined: bool = False
    tables: Callable[[Mapping[str, Sequence[Any]]], Iterator[Record | str]] | None = None


CONVERTERS: dict[str, Converter] = {
    "advbench": Converter("harmful requests → prompts", ("harmful_behaviors.csv*",), public_texts.advbench),
    "alpaca_eval": Converter(
        "instruction, output_1, output_2, generator_1, generator_2, preference (1 … 2) → comparisons",
        ("**/*annotations*.json*",),
        public_sets.alpaca_eval,
    ),
    "anthropic_evals": Converter(
        "question, answer_matching_behavior, answer_not_matching_behavior → prompts",
        ("**/*.jsonl*",),
        public_texts.anthropic_evals,
    ),
    "finegrained_rlhf": Converter(
        "4 answers, 6 judgements → comparisons", ("*_feedback.json*",), public_sets.finegrained_rlhf
    ),
    "finegrained_rlhf_passages": Converter(
        "the same, passages in the prompt → comparisons",
        ("*_feedback.json*",),
        public_sets.finegrained_rlhf_passages,
    ),
    "gsm8k": Converter(
        "question, answer that ends in #### result → demonstrations",
        ("train.jsonl*", "test.jsonl*"),
        public_texts.gsm8k,
    ),
    "gsm8k_solutions": Converter(
        "models' solutions, right or wrong → labelled",
        ("example_model_solutions.jsonl*",),
        public_sets.gsm8k_solutions,
    ),
    "harmbench": Converter(
        "harmful requests → prompts", ("harmbench_behaviors*.csv*",), public_texts.harmbench
    ),
    "llmbar": Converter("objective pairs → rankings", ("*dataset.json*",), public_sets.llmbar),
    "oasst": Converter(
        "pairs, joined by prompt → comparisons", ("*dialogue.json*",), public_sets.oasst_pairs, joined=True
    ),
    "open_instruct_human": Converter(
        "graded judgements → comparisons", ("annotations_*.jsonl*",), public_sets.open_instruct_human
    ),
    "pandalm": Converter("3 raters per pair → comparisons", ("testset-v1.json*",), public_sets.pandalm),
    "self_instruct": Converter(
        "seed tasks and user-oriented tasks → demonstrations",
        ("*seed_tasks.jsonl*", "*user_oriented_instructions.jsonl*"),
        public_texts.self_instruct,
    ),
    "sgd_dialogues": Converter(
        "service dialogues → demonstrations", ("sgd_text.jsonl*",), public_texts.sgd_dialogues
    ),
    "stories": Converter(
        "children's stories, free licenses → text", ("stories_*.jsonl*",), public_texts.stories
    ),
    "strongreject": Converter(
        "harmful requests → prompts", ("strongreject.csv*",), public_texts.strongreject
    ),
    "sycophancy": Converter(
        "question, right, wrong → prompts", ("*.jsonl*", "*.csv*"), public_texts.sycophancy
    ),
    "taskmaster_dialogues": Converter(
        "coffee orders → demonstrations", ("*_dialogs_text.jsonl*",), public_texts.taskmaster_dialogues
    ),
    "taskmaster_reward": Converter(
        "agent turns, good or bad → labelled", ("*_reward.jsonl*",), public_sets.taskmaster_reward
    ),
    "topical_chat_rated": Converter(
        "chat turns rated 1 to 5 → rated", ("topical_chat_*.jsonl*",), public_sets.topical_chat_rated
    ),
    "truthfulqa": Converter(
        "correct before incorrect answers → rankings", ("TruthfulQA.csv*",), public_sets.truthfulqa
    ),
    "truthfulqa_labels": Converter(
        "answers labeled true or not → labelled", ("finetune_truth.jsonl*",), public_sets.truthfulqa_labels
    ),
    "vicuna80": Converter(
        "GPT-4's scores of answers → comparisons", ("*.jsonl*",), tables=public_sets.vicuna80
    ),
    "xstest": Converter(
        "completions of safe and unsafe prompts → labelled", ("model_completions*.csv*",), public_sets.xstest
    ),
}


def converters() -> dict[str, Converter]:
    """All converters by name: plaudit's, and those that installed packages register as ``plaudit.readers``."""
    added: dict[str, Converter] = {kind.name: resolve(kind.convert) for kind in READERS.values()}
    return CONVERTERS | added


@dataclass(frozen=True)
class Conversion:
    """The number of records that a conversion wrote, and the report of what it read."""

    written: int
    report: ReadReport


def convert(name: str, source: str | Path, *, kind: str | None = None) -> list[Any]:
    """The records of a data set (a file or a folder), as one ``kind`` of record as in ``read``.

    Raises ``UserError`` as ``convert_to_file`` does, and if the set has no records of that kind.
    """
    return list(converted(name, source, ReadReport(str(source)), kind=kind))


def convert_to_file(name: str, source: str | Path, out: str | Path) -> Conversion:
    """Convert a data set (a file or a folder) and write it to ``out`` as JSONL.

    Rows that cannot be used are dropped and counted in the report. Raises ``UserError`` for an unknown name,
    or a source that cannot be read or does not look like that set; ``out`` is then unchanged.
    """
    report = ReadReport(str(source))
    written = write_jsonl(converted(name, source, report), out)
    return Conversion(written, report)


def converted(
    name: str, source: str | Path, report: ReadReport, *, kind: str | None = None
) -> Iterator[Record | str]:
    """Iterate over the records of a data set; ``report`` is complete at the end of the iteration."""
    known = converters()
    converter = known.get(name)
    if converter is None:
        raise UserError(
            f"there is no converter {name!r}",
            remedy=suggest(name, known) or f"there are: {', '.join(known)}",
        )
    files = _files(name, converter, Path(source))
    rows_of = _tabled(converter, files, report) if converter.tables else _records(converter, files, report)
    records: Iterable[Any] = join_pairs(rows_of) if converter.joined else rows_of  # type: ignore[arg-type]
    kind = known_kind(kind)
    for record in records:
        try:
            found = as_kind(record, kind)
        except Fault as fault:
            report.drop(fault, None)
        else:
            report.kept += 1
            yield found
    if report.unreadable:
        report.require(1.0)
    if not report.kept:
        raise UserError(
            f"{source} holds no {kind or 'records'} of the data set {name}",
            problems=report.problems,
            remedy=f"expected: {converter.about.partition(' →')[0]}",
        )


def _files(name: str, converter: Converter, source: Path) -> Sequence[Path]:
    if not source.is_dir():
        return [source]
    found = sorted(file for pattern in converter.files for file in source.glob(pattern))
    if not found:
        raise UserError(
            f"the folder {source} holds no {' or '.join(converter.files)}",
            remedy=f"name the file of {name} itself",
        )
    return found


def _records(converter: Converter, files: Sequence[Path], report: ReadReport) -> Iterator[Record | str]:
    for file in files:
        for row in rows(file, report.refuse):
            report.rows += 1
            for record in _checked(converter, row):
                if isinstance(record, Fault):
                    report.drop(record, row.line)
                else:
                    yield record


def _checked(converter: Converter, row: DataRow) -> Sequence[Record | str | Fault]:
    """All records of a row, or a fault: a fault in its last record must also discard its first ones."""
    try:
        return list(converter.row(row.values))
    except Fault as fault:
        return [fault]
    except UNLIKE as error:
        what = f"has no {error}" if isinstance(error, KeyError) else f"is not as expected ({error})"
        return [Fault("not of this set", f"the row {what}", remedy="check that this is the right file")]


def _tabled(converter: Converter, files: Sequence[Path], report: ReadReport) -> Iterator[Record | str]:
    assert converter.tables
    try:
        yield from converter.tables(_tables(files, report))
    except UNLIKE as error:
        report.refuse(
            f"the tables do not fit together ({type(error).__name__}: {error})",
            remedy="name the folder that holds all files of the set",
        )


def _tables(files: Sequence[Path], report: ReadReport) -> dict[str, list[Mapping[str, Any]]]:
    """The rows of several files by the first part of the file name."""
    tables: dict[str, list[Mapping[str, Any]]] = {"question": [], "answer": [], "review": []}
    for file in files:
        table = file.name.partition("_")[0].partition(".")[0]
        if table in tables:
            for row in rows(file, report.refuse):
                report.rows += 1
                tables[table].append(row.values)
    return tables
