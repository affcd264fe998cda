"""`plaudit check`: what a data file or a recipe's data is good for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from plaudit.cli.options import Fields, Labels, Overrides, pairs_of

if TYPE_CHECKING:
    from plaudit.data.checks.check_report import CheckReport, Example, FileCheck, Tokens
    from plaudit.errors import Problem

# Characters shown of one stretch of an example, and answers shown of one prompt.
STRETCH = 360
ANSWERS = 4
# Control characters as their pictures, all but tab and line feed.
VISIBLE = {c: 0x2400 + c for c in range(32) if c not in (9, 10)} | {127: 0x2421}


def check(
    source: Annotated[
        str,
        typer.Argument(help="A data file, a hub name (owner/name), project://DIR, or a recipe (.yaml)."),
    ],
    model: Annotated[
        str | None, typer.Option(help="Model whose tokenizer counts the tokens; else every byte is one.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Evaluation prompts that must not occur in the data.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="Read as: demonstrations, preferences, labels, labelled, rated, prompts, text."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Stop after so many records.", min=1)] = None,
    fields: Fields = None,
    labels: Labels = None,
    max_dropped: Annotated[
        float | None, typer.Option(help="Share of faulty rows that is let pass (0.05).", min=0, max=1)
    ] = None,
    chat_template: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which of the model's chat templates, if it has several."),
    ] = None,
    set_: Overrides = None,
) -> None:
    """Show what a file can feed, what is dropped and why, and how it looks in tokens."""
    from plaudit.pipeline.checking import check as run

    report = run(
        source,
        model=model,
        chat_template=chat_template,
        against=against,
        kind=kind,
        limit=limit,
        fields=pairs_of(fields, "--fields"),
        labels=pairs_of(labels, "--labels"),
        max_dropped=max_dropped,
        overrides=set_ or (),
    )
    console = Console(highlight=False, markup=False, emoji=False)
    for file in report.files:
        if console.is_terminal:
            console.print(_file(file, report, console))
            continue
        with console.capture() as captured:
            console.print(_file(file, report, console))
        # Lines are padded to the width, which a file has no use for.
        print("\n".join(line.rstrip() for line in captured.get().splitlines()))
    if not report.ok:
        raise typer.Exit(2)


def _file(file: FileCheck, report: CheckReport, console: Console) -> Group:
    """Everything about one file, top to bottom."""
    r = file.report
    title = Text(file.path, style="bold", overflow="fold")
    if file.role:
        title.append(f"  as {file.role}", style="not bold")
    parts: list[RenderableType] = [title]
    if r.shape:
        parts.append(_indent(Text(f"{', '.join(file.kinds) or 'nothing'}, read as {{{r.shape}}}"), 2))
    parts.append(_indent(_counts(file), 2))
    if file.feeds and not file.role:
        parts.append(_section("What it can feed", _feeds(file)))
    if file.tokens:
        unit = f"tokens of {report.tokenizer}" if report.tokenizer else "bytes (no --model named)"
        parts.append(_section(f"Lengths in {unit}", _lengths(file.tokens)))
    if file.examples:
        marks = "" if console.color_system else " (trained: between ▸ and ◂)"
        examples = Group(*(_example(e, bool(console.color_system)) for e in file.examples))
        parts.append(_section(f"First examples, prompt and trained tokens{marks}", examples))
    if file.report.problems or file.problems or file.error:
        parts.append(_problems(file))
    parts.append(Text())
    return Group(*parts)


def _indent(body: RenderableType, by: int) -> Padding:
    return Padding(body, (0, 0, 0, by), expand=False)


def _section(title: str, body: RenderableType) -> Group:
    return Group(Text(), _indent(Text(title, style="bold"), 2), _indent(body, 4))


def _grid(*right: bool) -> Table:
    table = Table.grid(padding=(0, 2))
    for is_number in right:
        table.add_column(justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    return table


def _counts(file: FileCheck) -> Table:
    r, facts = file.report, file.facts
    table = _grid(False, False)
    dropped = f", {r.dropped_rows:,} dropped ({r.dropped_share:.1%})" if r.dropped_rows else ""
    table.add_row("rows", f"{r.rows:,} read, {r.kept:,} kept{dropped}")
    for reason, count in r.dropped.most_common():
        table.add_row("", f"{count:,}  {reason}")
    if file.prompts:
        table.add_row("prompts", f"{file.prompts:,} different")
    if "answers" in facts:
        ks = ", ".join(f"{k} ({n:,})" for k, n in sorted(facts["answers"].items()))
        table.add_row("answers", f"per prompt: {ks}")
        table.add_row("judgements", f"{facts['judgements']:,}, of these {facts['ties']:,} ties")
        if facts["longer_wins"] is not None:
            table.add_row("longer wins", f"{facts['longer_wins']:.3f}, which a reward model must beat")
        if facts["agreement"] is not None:
            table.add_row(
                "agreement", f"{facts['agreement']:.3f} of {facts['agreement_pairs']:,} pairs of raters"
            )
    if "good" in facts:
        table.add_row("labels", f"{facts['good']:,} good, {facts['bad']:,} bad")
    if "score_mean" in facts:
        low, high = facts["score_range"]
        table.add_row("ratings", f"{low:g} to {high:g}, mean {facts['score_mean']:.2f}")
    for note in r.notes:
        table.add_row("note", note)
    kept = facts.get("metadata", ())
    if kept:
        table.add_row("metadata", f"columns {', '.join(kept)}: kept with the prompt, for reward functions")
    if lost := [column for column in r.unused if column not in kept]:
        table.add_row("not used", f"columns {', '.join(lost)}")
    return table


def _feeds(file: FileCheck) -> Table:
    table = _grid(False, False, False)
    for feed in file.feeds:
        mark = Text("✓", style="green") if feed.ok else Text("✗", style="red")
        table.add_row(feed.method, mark, Text(feed.reason, style="dim"))
    return table


def _lengths(tokens: Tokens) -> Group:
    import numpy as np

    from plaudit.data.checks.check import LOW_TRAINED

    table = _grid(False, True, True, True, True, False)
    table.add_row("", "least", "median", "95 %", "most", "")
    for name, values in (("prompt", tokens.prompts), ("answer", tokens.answers)):
        if len(values):
            cuts = np.percentile(values, (0, 50, 95, 100))
            table.add_row(name, *(f"{c:,.0f}" for c in cuts), _bars(values))
    lines: list[RenderableType] = [table]
    notes = [f"{n:,} {what}" for what, n in tokens.counts.items() if what != "kept" and n]
    note = f"from {tokens.sampled:,} records" + (f"; {', '.join(notes)}" if notes else "")
    style = "dim"
    if tokens.trained_share is not None:
        style = "yellow" if tokens.trained_share < LOW_TRAINED else "dim"
        note = f"{tokens.trained_share:.0%} of all tokens are trained; {note}"
    lines.append(Text(note, style=style))
    return Group(*lines)


def _bars(values: object, bins: int = 16) -> str:
    """A histogram in one line, from the least to the most."""
    import numpy as np

    counts, _ = np.histogram(np.asarray(values), bins=bins)
    top = counts.max()
    return "".join(" ▁▂▃▄▅▆▇█"[int(np.ceil(8 * c / top))] for c in counts)


def _example(example: Example, colored: bool) -> Group:
    lines: list[RenderableType] = [Text(_short(example.prompt), style="blue")]
    for answer in example.answers[:ANSWERS]:
        text = Text(f"{answer.title}: ", style="dim")
        for part in answer.parts:
            shown = _short(part.text)
            if part.trained:
                text.append(shown if colored else f"▸{shown}◂", style="not dim green")
            else:
                text.append(shown, style="not dim blue")
        lines.append(_indent(text, 2))
    if len(example.answers) > ANSWERS:
        lines.append(_indent(Text(f"… and {len(example.answers) - ANSWERS} more", style="dim"), 2))
    return Group(*lines, Text())


def _short(text: str) -> str:
    """Text with its middle left out where it is long, and without what a terminal would obey."""
    text = text.translate(VISIBLE)
    if len(text) <= STRETCH:
        return text
    half = STRETCH // 2
    return f"{text[:half]} … {text[-half:]}"


def _problems(file: FileCheck) -> Group:
    """Every problem, a block of lines each, so that it reads in 80 columns."""
    blocked = file.error is not None or bool(file.problems)
    listed = [*(file.error.problems if file.error else file.report.problems), *file.problems]
    head = file.error.message if file.error else f"{len(listed)} problems" if blocked else "Rows dropped"
    body = [_problem(p, file.path) for p in listed]
    if file.error and file.error.remedy:
        body.append(Text(f"→ {file.error.remedy}", style="cyan"))
    style = "bold red" if blocked else "bold"
    return Group(Text(), _indent(Text(head, style=style), 2), _indent(Group(*body), 4))


def _problem(problem: Problem, path: str) -> Text:
    place = f"line {problem.line}" if problem.line is not None else ""
    if problem.row is not None:
        place = f"row {problem.row}" + (f", {place}" if place else "")
    if problem.file and problem.file != path:
        place = f"{problem.file} {place}".strip()
    if problem.field:
        place += f" [{problem.field}]"
    text = Text(f"{place.strip()}: " if place else "", overflow="fold")
    text.append(problem.message)
    if problem.remedy:
        text.append(f" → {problem.remedy}", style="cyan")
    return text
