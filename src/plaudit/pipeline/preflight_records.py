"""What preflight can know of a run's records: none left to learn from, a template that refuses them, what is cut.

Only records that lie on this disk are looked at, and only by tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from plaudit.config import Evaluate, Kto, Online
from plaudit.config.graph import Node
from plaudit.config.sections import AuditSettings
from plaudit.data.records import Demonstration, Labeled, Prompt, Rated
from plaudit.data.rendering.renderer import Renderer
from plaudit.errors import Problem, UserError
from plaudit.methods.kto import check_partners, labels_of
from plaudit.methods.lengths import bounded, foreseen
from plaudit.models.positions import positions_of_config
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.evaluation_prompts import more
from plaudit.registry import PROXY

T = TypeVar("T")
# Records of each role that are rendered with the model's own template before anything is loaded.
RENDERED = 20
# Records whose lengths are counted; evenly spaced ones of more.
COUNTED = 1000


def tried(problems: list[Problem], field: str, work: Callable[..., T], *arguments: Any) -> T | None:
    """What the work gives, or None with its error among the problems."""
    try:
        return work(*arguments)
    except UserError as error:
        problems.append(Problem(error.message, field=field, remedy=error.remedy))
        problems += error.problems
        return None


def check_data(context: Context, node: Node, problems: list[Problem]) -> None:
    """A step whose records are all there to be read, and of which none is left to learn from."""
    if context.world is not None:
        return
    _check_watched(context, node, problems)
    if not node.on or not _there(context, node):
        return
    if node.name == PROXY:
        _check_proxy(context, problems)
        return
    prompts = node.kind.data == "prompts"
    field = f"data.{node.on[0].name}"
    records = tried(problems, field, context.prompts if prompts else context.records, node)
    if records is None:
        return
    train: Sequence[Any] = records if prompts else records[0]  # type: ignore[assignment]
    held: Sequence[Any] = () if prompts else records[1]  # type: ignore[assignment]
    if prompts:
        held = [*context.materials.prompts("validation"), *context.materials.prompts("test")]
    if isinstance(node.settings, Kto):
        _check_labels(train, node, field, problems)
    if getattr(node.settings, "keep_best", None) is True and node.kind.data != "text" and not len(held):
        message = f"{node.name}.keep_best chooses by records that are held out, and none are"
        remedy = "raise data.validation and data.preference_validation, or leave it out"
        problems.append(Problem(message, field=f"steps.{node.name}.keep_best", remedy=remedy))
    if not len(train):
        kept = f"; all {len(held)} records are held out" if len(held) else ""
        remedy = "lower data.validation and data.preference_validation, or add rows" if kept else "add rows"
        problems.append(Problem(f"{node.name} has nothing to learn from{kept}", field=field, remedy=remedy))


def _check_proxy(context: Context, problems: list[Problem]) -> None:
    """A proxy judge without a preference to learn from."""
    field = "evaluate.proxy"
    found = tried(problems, field, lambda: context.materials.proxy_preferences)
    if found is not None and not len(found):
        share = context.config.data.judge_share
        message = f"no preference is left for the proxy judge: data.judge_share is {share:g}"
        problems.append(
            Problem(
                message, field=field, remedy="raise data.judge_share, add pairs, or remove evaluate.proxy"
            )
        )


def _check_watched(context: Context, node: Node, problems: list[Problem]) -> None:
    """A policy that is to be judged or audited on validation prompts, where there are none."""
    audits = isinstance(node.settings, AuditSettings)
    if not audits and not (isinstance(node.settings, Online) and node.asked):
        return
    split_with = context.materials.files("prompts", "preferences", "demonstrations")
    if not all(Path(p).exists() for p in split_with):
        return
    field = f"steps.{node.name}" + ("" if audits else ".keep_best")
    found = tried(problems, field, context.materials.prompts, "validation")
    if found is not None and not len(found):
        what = f"{node.name} has" if audits else f"{node.name}.keep_best has"
        what += " no validation prompts to " + ("audit on" if audits else "judge the policy on")
        # A third of the prompts that are held out are for validation.
        if kept := len(context.materials.prompts("test")):
            what += f": {kept} prompts are held out, and of fewer than 3 all are for the test"
        problems.append(Problem(what, field=field, remedy=more(context)))


def _check_labels(records: Sequence[Any], node: Node, field: str, problems: list[Problem]) -> None:
    """Records of which KTO makes no label, or labels of one prompt alone."""
    labels = tried(problems, f"steps.{node.name}.threshold", labels_of, records, node.settings.threshold)
    if labels:
        tried(problems, field, check_partners, [label.prompt.id for label in labels])
    elif labels is not None and len(records):
        message = f"{node.name} has nothing to learn from: none of {len(records)} records says which answer is better"
        problems.append(Problem(message, field=field, remedy="give labels, or pairs that are no ties"))


def _learned(context: Context, node: Node) -> Sequence[Any]:
    """What a step learns from, as it renders it."""
    if node.kind.data == "prompts":
        return context.prompts(node)
    records = context.records(node)[0]
    return labels_of(records, node.settings.threshold) if isinstance(node.settings, Kto) else records


def _there(context: Context, node: Node) -> bool:
    """Whether all that a step learns from lies on this disk already: nothing is fetched, no step comes first."""
    roles = [s.name for s in node.on]
    if any(map(context.graph.gives_records, roles)):
        return False
    split_with = ("prompts", "preferences", "demonstrations") if node.kind.data == "prompts" else ()
    files = context.materials.files(*{*roles, *split_with})
    return bool(files) and all(Path(p).exists() for p in files)


def check_template(context: Context, node: Node, tokenizer: Any, problems: list[Problem]) -> None:
    """The first records of a step under the model's own template: what blocks training blocks here."""
    if context.world is not None or node.kind.data not in ("demonstrations", "preferences", "prompts"):
        return
    if problems or not _there(context, node):
        return
    records = context.prompts(node) if node.kind.data == "prompts" else context.records(node)[0]
    renderer = context.renderer(tokenizer)
    tried(problems, f"steps.{node.name}", _rendered, renderer, list(records)[:RENDERED])


def tell_cut(
    context: Context,
    node: Node,
    pair: tuple[Any, Any],
    problems: list[Problem],
    tell: Callable[[str], None],
) -> None:
    """What a step's records and prompts lose to max_length, max_prompt_length and the model's positions."""
    if problems or context.world is not None or node.name == PROXY:
        return
    if isinstance(node.settings, Evaluate):
        files = context.materials.files("prompts", "preferences", "demonstrations")
        known = bool(files) and all(Path(p).exists() for p in files)
        records: Sequence[Any] = context.materials.prompts("test") if known else ()
    elif not node.on or not _there(context, node):
        return
    else:
        records = _learned(context, node)
    if not len(records) or isinstance(records[0], str | Rated):
        return
    prompts = isinstance(records[0], Prompt)
    shown = list(records)[:: max(1, -(-len(records) // COUNTED))]
    what = "prompts" if prompts else "labels" if isinstance(records[0], Labeled) else "records"
    if len(shown) < len(records):
        what = f"{what} (evenly spaced of {len(records)})"
    config, tokenizer = pair
    renderer = bounded(context.renderer(tokenizer), positions=positions_of_config(config))
    room = getattr(node.settings, "max_new_tokens", 0) if prompts else 0

    def render(renderer: Renderer, records: Sequence[Any]) -> list[Any]:
        return renderer.prompts(records, room=room)[0] if prompts else _items(renderer, records)

    def counted() -> str:
        try:
            return foreseen(renderer, shown, render, node.name, what=what, room=room)
        except UserError:
            if len(shown) == len(records):
                raise
        # None of those that were looked at is left, which does not say that none of all is.
        return foreseen(renderer, list(records), render, node.name, what=what.split()[0], room=room)

    if words := tried(problems, f"steps.{node.name}", counted):
        tell(words)


def _items(renderer: Renderer, records: Sequence[Any]) -> list[Any]:
    items = []
    for record in records:
        if isinstance(record, Prompt):
            renderer.prompts([record])
        elif isinstance(record, Demonstration):
            items += renderer.demonstrations(record)
        else:
            made = renderer.labeled(record) if isinstance(record, Labeled) else renderer.preference(record)
            items += [made] if made is not None else []
    return items


def _rendered(renderer: Renderer, records: Sequence[Any]) -> None:
    items = _items(renderer, records)
    spans = any("trained_span" in getattr(getattr(r, "response", None), "metadata", {}) for r in records)
    # A prompt that cannot be rendered is left out; a demonstration that cannot blocks training.
    if items or (renderer.faults and not any(isinstance(r, Prompt) for r in records)):
        renderer.lint(items, ends=not spans)
