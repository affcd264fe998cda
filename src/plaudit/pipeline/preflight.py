"""What can be known before any weight is loaded, checked in one place: the same for a run and for ``--dry-run``.

Everything wrong is one UserError. Of hub models and hub data only what an earlier command has fetched is looked at.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from plaudit.config import Evaluate, Online, Pretrained, Rejection, RewardSettings
from plaudit.config.graph import EVALUATE, PROXY, Node
from plaudit.data.records import Demonstration, Labeled, Prompt, Rated
from plaudit.data.rendering.renderer import Renderer
from plaudit.errors import Problem, UserError
from plaudit.methods.lengths import bounded, foreseen
from plaudit.models.files import check_reward_config, fetched, read_config, read_tokenizer, refuse_no_decoder
from plaudit.models.positions import positions_of_config
from plaudit.pipeline.context import Context
from plaudit.pipeline.sizes import fixed_bytes_of, written_bytes
from plaudit.pipeline.steps.before_rl import check_suggested_kl
from plaudit.registry import resolve
from plaudit.rewards import FunctionReward
from plaudit.training.memory import memory_limit

T = TypeVar("T")
# Records of each role that are rendered with the model's own template before anything is loaded.
RENDERED = 20
# Records whose lengths are counted; evenly spaced ones of more.
COUNTED = 1000


def preflight(context: Context, todo: Sequence[str], tell: Callable[[str], None]) -> None:
    """UserError with all that is wrong with the steps that are to be done: models, rewards, data, lengths, disk.

    ``tell`` hears what will be shortened or dropped because it is too long, counted by the tokenizers alone.
    """
    problems: list[Problem] = []
    nodes = [context.graph[name] for name in todo]
    tokenizers = _models(context, nodes, problems)
    for node in nodes:
        _code(node, problems)
        _rewards(node, problems)
        _data(context, node, problems)
        if (problem := check_suggested_kl(context, node)) is not None:
            problems.append(problem)
        for config, tokenizer in tokenizers.get(node.name, ()):
            _lengths(node, config, problems)
            _template(context, node, tokenizer, problems)
            _memory(context, node, config, problems)
            _cut(context, node, (config, tokenizer), problems, tell)
        if node.name == EVALUATE and (pair := _asked(context, problems)) is not None:
            _cut(context, node, pair, problems, tell)
    _kept(context, nodes, problems)
    _disk(context, nodes, {name: pairs[0][0] for name, pairs in tokenizers.items()}, problems)
    if problems:
        raise UserError(f"recipe {context.config.name!r} cannot run", problems=_each_once(problems))


def _each_once(problems: Sequence[Problem]) -> list[Problem]:
    """Problems without those that say the same of another step."""
    return list({(p.message, p.remedy): p for p in reversed(problems)}.values())[::-1]


def _tried(problems: list[Problem], field: str, work: Callable[..., T], *arguments: Any) -> T | None:
    """What the work gives, or None with its error among the problems."""
    try:
        return work(*arguments)
    except UserError as error:
        problems.append(Problem(error.message, field=field, remedy=error.remedy))
        problems += error.problems
        return None


def _sources(context: Context, node: Node) -> Iterator[tuple[str, Pretrained]]:
    """The pretrained models that a step loads by itself, or that the one it starts from came from."""
    if isinstance(node.settings, RewardSettings) and isinstance(node.settings.backbone, Pretrained):
        yield f"steps.{node.name}.backbone.path", node.settings.backbone
    elif isinstance(source := context.source_of(node.name), Pretrained):
        own = node.policy is not None and node.name in context.config.steps
        yield (f"steps.{node.name}.policy.path" if own else "policy.path"), source


def _models(
    context: Context, nodes: Sequence[Node], problems: list[Problem]
) -> dict[str, list[tuple[Any, Any]]]:
    """Config and tokenizer of each step's pretrained models; models are looked at once, whatever many steps use."""
    known: dict[tuple[str, str | None, str | None], tuple[Any, Any] | None] = {}
    found: dict[str, list[tuple[Any, Any]]] = {}
    for node in nodes:
        for field, source in _sources(context, node):
            key = (source.path, source.revision, source.chat_template)
            if key not in known:
                known[key] = _tried(problems, field, _model, source, "backbone" not in field)
            if (pair := known[key]) is not None:
                found.setdefault(node.name, []).append(pair)
    return found


def _model(source: Pretrained, policy: bool) -> tuple[Any, Any] | None:
    folder = fetched(source.path, source.revision)
    if folder is None:
        return None  # on the hub, and not fetched yet
    config = read_config(folder)
    if policy:
        refuse_no_decoder(folder, config)
    tokenizer = read_tokenizer(folder, source.chat_template)
    words = config.get_text_config().vocab_size
    if len(tokenizer) > words:
        raise UserError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, the model embeddings for {words}",
            remedy="use the tokenizer that the model was trained with",
        )
    return config, tokenizer


def _code(node: Node, problems: list[Problem]) -> None:
    """A loss or an estimator of one's own that cannot be imported."""
    for key in ("loss", "algorithm"):
        value = getattr(node.settings, key, None)
        if isinstance(value, str) and ":" in value:
            _tried(problems, f"steps.{node.name}.{key}", resolve, value, key)


def _rewards(node: Node, problems: list[Problem]) -> None:
    for part in node.scorers:
        field = f"steps.{node.name}.{'keep_best' if part in node.asked else 'reward'}"
        if part.source == "function":
            _tried(problems, field, FunctionReward.by_path, str(part.path))
        elif part.source == "model":
            folder = _tried(problems, field, _reward_folder, str(part.path))
            if folder is not None:
                _tried(
                    problems,
                    field,
                    check_reward_config,
                    folder,
                    getattr(node.settings, "normalisation", "none"),
                )


def _reward_folder(spec: str) -> Path | None:
    return fetched(spec, None, kind="reward model")


def _data(context: Context, node: Node, problems: list[Problem]) -> None:
    """A step whose records are all there to be read, and of which none is left to learn from."""
    if context.world is not None or node.name == PROXY or not node.on:
        return
    if not _there(context, node):
        return
    prompts = node.kind.data == "prompts"
    field = f"data.{node.on[0].name}"
    records = _tried(problems, field, context.prompts if prompts else context.records, node)
    if records is None:
        return
    train: Sequence[Any] = records if prompts else records[0]  # type: ignore[assignment]
    held: Sequence[Any] = () if prompts else records[1]  # type: ignore[assignment]
    if not len(train):
        kept = f"; all {len(held)} records are held out" if len(held) else ""
        remedy = "lower data.validation and data.preference_validation, or add rows" if kept else "add rows"
        problems.append(Problem(f"{node.name} has nothing to learn from{kept}", field=field, remedy=remedy))


def _there(context: Context, node: Node) -> bool:
    """Whether all that a step learns from lies on this disk already: nothing is fetched, no step comes first."""
    roles = [s.name for s in node.on]
    if any(map(context.graph.gives_records, roles)):
        return False
    split_with = ("prompts", "preferences", "demonstrations") if node.kind.data == "prompts" else ()
    files = context.materials.files(*{*roles, *split_with})
    return bool(files) and all(Path(p).exists() for p in files)


def _lengths(node: Node, config: Any, problems: list[Problem]) -> None:
    """Answers that are longer than the model has positions."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    asked = getattr(node.settings, "max_new_tokens", None)
    if positions and asked and asked >= positions and isinstance(node.settings, Online | Rejection):
        problems.append(
            Problem(
                f"{node.name} asks for {asked} new tokens; the model has {positions} positions for prompt and answer",
                field=f"steps.{node.name}.max_new_tokens",
                remedy=f"set it to at most {positions // 2}",
            )
        )


def _template(context: Context, node: Node, tokenizer: Any, problems: list[Problem]) -> None:
    """The first records of a step under the model's own template: what blocks training blocks here."""
    if context.world is not None or node.kind.data not in ("demonstrations", "preferences", "prompts"):
        return
    if problems or not _there(context, node):
        return
    records = context.prompts(node) if node.kind.data == "prompts" else context.records(node)[0]
    renderer = context.renderer(tokenizer)
    _tried(problems, f"steps.{node.name}", _rendered, renderer, list(records)[:RENDERED])


def _asked(context: Context, problems: list[Problem]) -> tuple[Any, Any] | None:
    """Config and tokenizer of the model whose answers an evaluation looks at."""
    source = context.source_of(context.graph.places["end"]) if context.graph.places else None
    known = isinstance(source, Pretrained) and not problems
    return _tried(problems, "policy.path", _model, source, True) if known else None


def _cut(
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
        records = context.prompts(node) if node.kind.data == "prompts" else context.records(node)[0]
    if not len(records) or isinstance(records[0], str | Labeled | Rated):
        return
    prompts = isinstance(records[0], Prompt)
    shown = list(records)[:: max(1, -(-len(records) // COUNTED))]
    what = "prompts" if prompts else "records"
    if len(shown) < len(records):
        what = f"{what} (evenly spaced of {len(records)})"
    config, tokenizer = pair
    renderer = bounded(context.renderer(tokenizer), positions=positions_of_config(config))
    room = getattr(node.settings, "max_new_tokens", 0) if prompts else 0

    def render(renderer: Renderer, records: Sequence[Any]) -> list[Any]:
        return renderer.prompts(records, room=room)[0] if prompts else _items(renderer, records)

    def counted() -> str:
        return foreseen(renderer, shown, render, node.name, what=what, room=room)

    if words := _tried(problems, f"steps.{node.name}", counted):
        tell(words)


def _items(renderer: Renderer, records: Sequence[Any]) -> list[Any]:
    items = []
    for record in records:
        if isinstance(record, Prompt):
            renderer.prompts([record])
        elif isinstance(record, Demonstration):
            items += renderer.demonstrations(record)
        else:
            made = renderer.preference(record)
            items += [made] if made is not None else []
    return items


def _rendered(renderer: Renderer, records: Sequence[Any]) -> None:
    items = _items(renderer, records)
    spans = any("trained_span" in getattr(getattr(r, "response", None), "metadata", {}) for r in records)
    if items:
        renderer.lint(items, ends=not spans)


def _memory(context: Context, node: Node, config: Any, problems: list[Problem]) -> None:
    """Weights, gradients and AdamW's moments that alone are more than the memory that there is."""
    limit = memory_limit(context.device, context.config.memory) / 2**30
    work = resolve(node.kind.cost)(node, context) if node.kind.cost else None
    if work is None or not work.trained:
        return
    wanted = (
        fixed_bytes_of(config, work, context.lora(node.name) or getattr(node.settings, "lora", None)) / 2**30
    )
    if wanted > limit:
        stated = (
            f"memory is {limit:g} GiB" if context.config.memory else f"a run takes at most {limit:g} GiB here"
        )
        problems.append(
            Problem(
                f"{node.name} takes {wanted:.3g} GiB for weights, gradients and optimizer alone, and {stated}",
                field="memory",
                remedy="raise memory, train adapters (policy.lora), or take a smaller model",
            )
        )


def _disk(
    context: Context, nodes: Sequence[Node], configs: Mapping[str, Any], problems: list[Problem]
) -> None:
    """Models and checkpoints of the steps that are to be done, against what is free where the run lies."""
    wanted = sum(written_bytes(node, configs[node.name]) for node in nodes if node.name in configs)
    folder = context.folder.path.absolute()
    free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
    if wanted > free:
        problems.append(
            Problem(
                f"the models of the run take {wanted / 2**30:.3g} GiB, and {free / 2**30:.3g} GiB are free at "
                f"{context.folder.path}",
                remedy="free some space, or choose another disk with --out DIR",
            )
        )


def _kept(context: Context, nodes: Sequence[Node], problems: list[Problem]) -> None:
    """Adapters that are to be kept, where none are trained."""
    adapted = [n for n in nodes if context.lora(n.name) or getattr(n.settings, "lora", None)]
    if context.config.save != "merged" and nodes and not adapted:
        problems.append(
            Problem(
                f"save: {context.config.save} keeps adapters, and no step trains any",
                field="save",
                remedy="add policy.lora, or leave it at merged",
            )
        )
