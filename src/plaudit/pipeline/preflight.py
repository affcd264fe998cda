"""What can be known before any weight is loaded, checked in one place: the same for a run and for ``--dry-run``.

Everything wrong is one UserError. Of hub models and hub data only what an earlier command has fetched is looked at.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from plaudit.config import Evaluate, Group, Online, Pretrained, RewardSettings, Scratch
from plaudit.config.graph import FIRST, Node
from plaudit.errors import Problem, UserError
from plaudit.methods.policy_gradient import PolicyGradient
from plaudit.methods.train_online import estimator
from plaudit.models.adapters import add_lora
from plaudit.models.files import fetched, has_weights, read_config, read_tokenizer, refuse_no_decoder
from plaudit.models.reward_model import check_reward_folder
from plaudit.pipeline.context import Context
from plaudit.pipeline.planning import judges_of, models_of
from plaudit.pipeline.preflight_records import check_data, check_template, tell_cut, tried
from plaudit.pipeline.sizes import adapters_of, fixed_bytes_of, written_bytes
from plaudit.pipeline.steps.before_rl import check_suggested_kl
from plaudit.registry import EVALUATE, PROXY, resolve
from plaudit.rewards import FunctionReward
from plaudit.runs.locate import locate
from plaudit.training.memory import memory_limit


def preflight(
    context: Context, todo: Sequence[str], tell: Callable[[str], None], *, planned: bool = False
) -> None:
    """UserError with all that is wrong with the steps that are to be done: models, rewards, data, lengths, disk.

    ``tell`` hears what will be shortened or dropped because it is too long, counted by the tokenizers alone. What is
    only ``planned`` needs no weights.
    """
    problems: list[Problem] = []
    nodes = [context.graph[name] for name in todo]
    tokenizers = _models(context, nodes, problems, tell if planned else None)
    for node in nodes:
        _taken(node, problems, tell)
        _code(node, problems)
        for key, message, remedy in node.settings.faults() if isinstance(node.settings, Online) else ():
            problems.append(Problem(message, field=f"steps.{node.name}.{key}", remedy=remedy))
        look_at_rewards(node, problems)
        look_at_judges(context, node, problems)
        check_data(context, node, problems)
        if (problem := check_suggested_kl(context, node)) is not None:
            problems.append(problem)
        if isinstance(source := _answering(context, node), Scratch):
            _lengths(node, source.max_positions, problems)
        _targets(context, node, [config for config, _ in tokenizers.get(node.name, ())], problems)
        for config, tokenizer in tokenizers.get(node.name, ()):
            _lengths(node, getattr(config.get_text_config(), "max_position_embeddings", None), problems)
            check_template(context, node, tokenizer, problems)
            _memory(context, node, config, problems)
            tell_cut(context, node, (config, tokenizer), problems, tell)
        if isinstance(node.settings, Evaluate) and (pair := _asked(context, problems)) is not None:
            tell_cut(context, node, pair, problems, tell)
    _kept(context, problems, tell)
    read = {role for name in context.graph.nodes for role in context.graph.roles_of(name)}
    read |= {getattr(n.settings, "helpful_on", "") for n in context.graph.nodes.values()}
    for role in sorted({"votes", "labels"} & set(context.config.data_sources()) - read):
        tell(f"data.{role}: no step reads it; name it under on of a step, such as `on: {role}`")
    _disk(context, nodes, {name: pairs[0][0] for name, pairs in tokenizers.items()}, problems)
    if problems:
        raise UserError(f"recipe {context.config.name!r} cannot run", problems=_each_once(problems))


def _each_once(problems: Sequence[Problem]) -> list[Problem]:
    """Problems without those that say the same of another step."""
    return list({(p.message, p.remedy): p for p in reversed(problems)}.values())[::-1]


def _sources(context: Context, node: Node) -> Iterator[tuple[str, Pretrained]]:
    """The pretrained models that a step loads by itself, or that the one it starts from came from."""
    if isinstance(node.settings, RewardSettings) and isinstance(node.settings.backbone, Pretrained):
        yield f"steps.{node.name}.backbone.path", node.settings.backbone
    elif isinstance(source := context.source_of(node.name), Pretrained):
        own = node.policy is not None and node.name in context.config.steps
        yield (f"steps.{node.name}.policy.path" if own else "policy.path"), source


def _models(
    context: Context, nodes: Sequence[Node], problems: list[Problem], tell: Callable[[str], None] | None
) -> dict[str, list[tuple[Any, Any]]]:
    """Config and tokenizer of each step's pretrained models; models are looked at once, whatever many steps use.

    ``tell`` hears of models without weights, which are a problem where nobody is there to hear.
    """
    known: dict[tuple[str, str | None, str | None], tuple[Any, Any] | None] = {}
    found: dict[str, list[tuple[Any, Any]]] = {}
    for node in nodes:
        for field, source in _sources(context, node):
            key = (source.path, source.revision, source.chat_template)
            if key not in known:
                known[key] = tried(problems, field, _model, source, "backbone" not in field, tell)
            if (pair := known[key]) is not None:
                found.setdefault(node.name, []).append(pair)
    return found


def _model(
    source: Pretrained, policy: bool, tell: Callable[[str], None] | None = None
) -> tuple[Any, Any] | None:
    if source.revision is not None and locate(source.path).hub is None:
        raise UserError(
            f"revision {source.revision!r} is of a model on the hub, and {source.path} lies on this machine",
            remedy="leave revision out",
        )
    folder = fetched(source.path, source.revision)
    if folder is None:
        return None  # on the hub, and not fetched yet
    if tell is not None and not has_weights(folder):
        tell(f"{folder} holds no weights: this is the plan for its config, and a run needs them")
    config = read_config(folder, weights=tell is None)
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


def _taken(node: Node, problems: list[Problem], tell: Callable[[str], None]) -> None:
    """Of a run that a step takes a model of: which one it is, or that the run has not come to it."""
    for spec, kind in models_of(node):
        try:
            found = locate(spec, kind)
        except UserError:
            continue  # said where it is looked at
        if found.awaited:
            problems.append(
                Problem(
                    f"{spec} is not finished: its step {found.awaited} is not trained yet",
                    field=f"steps.{node.name}",
                    remedy=f"plaudit resume {spec}, or name {found.run}@{found.step}",
                )
            )
        elif found.run and not spec.endswith(f"@{found.step}"):
            tell(f"{node.name}: {spec} is {found.name}")


def _code(node: Node, problems: list[Problem]) -> None:
    """A loss or an estimator of one's own that cannot be imported."""
    value = getattr(node.settings, "loss", None)
    if isinstance(value, str) and ":" in value:
        tried(problems, f"steps.{node.name}.loss", resolve, value, "loss")
    if isinstance(node.settings, Group):
        tried(problems, f"steps.{node.name}.algorithm", estimator, node.settings, PolicyGradient)


def look_at_rewards(node: Node, problems: list[Problem]) -> None:
    """Functions and saved models that score for a step: what cannot be imported, or is no reward model."""
    for part in node.scorers:
        field = f"steps.{node.name}.{'keep_best' if part in node.asked else 'reward'}"
        if part.source == "function":
            tried(problems, field, FunctionReward.by_path, str(part.path))
        elif part.source == "model":
            folder = tried(problems, field, _reward_folder, str(part.path))
            if folder is not None:
                normalization = getattr(node.settings, "normalisation", "none")
                tried(problems, field, check_reward_folder, folder, normalization)


def look_at_judges(context: Context, node: Node, problems: list[Problem]) -> None:
    """Models that judge by themselves: what the folder of a policy, or of a reward model, has to hold."""
    for spec in judges_of(node):
        field = f"steps.{node.name}" if node.name in context.config.steps else node.name
        if spec.scheme == "local":
            tried(problems, field, _model, Pretrained(path=spec.rest), True)
        elif spec.scheme == "reward" and not context.has_reward(spec.rest):
            folder = tried(problems, field, _reward_folder, spec.rest)
            if folder is not None:
                tried(problems, field, check_reward_folder, folder, "none")


def _reward_folder(spec: str) -> Path | None:
    return fetched(spec, None, kind="reward model")


def _targets(context: Context, node: Node, configs: Sequence[Any], problems: list[Problem]) -> None:
    """Names of layers for adapters that the model does not have, looked up in the model without its weights."""
    lora = adapters_of(node, context) if node.kind.name != FIRST else None
    if lora is None or lora.targets == "all-linear":
        return
    from transformers import AutoModel, AutoModelForCausalLM, LlamaConfig

    settings = node.settings[0] if node.name == PROXY else node.settings
    auto, field = AutoModelForCausalLM, "policy.lora.targets"
    if isinstance(settings, RewardSettings):
        auto, field = AutoModel, f"steps.{node.name}.{'' if settings.lora else 'backbone.'}lora.targets"
    if not configs and isinstance(context.source_of(node.name), Pretrained):
        return  # on the hub, and not fetched yet
    # A model from scratch has the layers of Llama, whatever its size.
    for config in configs or [LlamaConfig(num_hidden_layers=1)]:
        try:
            with torch.device("meta"):
                model = auto.from_config(config)
        except Exception:  # of a family that needs its files for it: told where it is loaded
            continue
        tried(problems, field, partial(add_lora, model, **lora.model_dump()))


def _answering(context: Context, node: Node) -> Any:
    """The policy section of the model whose answers a step draws; an evaluation draws the end's."""
    last = isinstance(node.settings, Evaluate) and context.graph.places
    return context.source_of(context.graph.places["end"] if last else node.name)


def _lengths(node: Node, positions: int | None, problems: list[Problem]) -> None:
    """Answers that are longer than the model has positions."""
    asked = getattr(node.settings, "max_new_tokens", None)
    if positions and asked and asked >= positions and not getattr(node.settings, "recheck", None):
        problems.append(
            Problem(
                f"{node.name} asks for {asked} new tokens; the model has {positions} positions for prompt and answer",
                field=("" if node.name == EVALUATE else "steps.") + f"{node.name}.max_new_tokens",
                remedy=f"set it to at most {positions // 2}",
            )
        )


def _asked(context: Context, problems: list[Problem]) -> tuple[Any, Any] | None:
    """Config and tokenizer of the model whose answers an evaluation looks at."""
    source = context.source_of(context.graph.places["end"]) if context.graph.places else None
    if not isinstance(source, Pretrained) or problems:
        return None
    # Whether its weights are there was said of the step that loads it.
    return tried(problems, "policy.path", _model, source, True, lambda line: None)


def _memory(context: Context, node: Node, config: Any, problems: list[Problem]) -> None:
    """Weights, gradients and AdamW's moments that alone are more than the memory that there is."""
    if problems:
        return  # records that cannot be read cannot be counted either
    limit = memory_limit(context.device, context.config.memory) / 2**30
    work = resolve(node.kind.cost)(node, context) if node.kind.cost else None
    if work is None or not work.trained:
        return
    wanted = fixed_bytes_of(config, work, adapters_of(node, context)) / 2**30
    if wanted > limit:
        stated = (
            f"memory is {limit:g} GiB" if context.config.memory else f"a run takes at most {limit:g} GiB here"
        )
        problems.append(
            Problem(
                f"{node.name} takes {wanted:.3g} GiB for weights, gradients and optimizer alone, and {stated}",
                field="memory",
                remedy="raise memory, train adapters (policy.lora, of which base_dtype: bfloat16 takes the least), "
                "or take a smaller model",
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


def _kept(context: Context, problems: list[Problem], tell: Callable[[str], None]) -> None:
    """Adapters that are to be kept, where no step trains any: none to do, and none that is done.

    ``tell`` hears of adapters of ``policy`` that no step trains: a reward model has its own.
    """
    nodes = [n for n in context.graph.nodes.values() if n.name != PROXY]
    trained = [n for n in nodes if n.kind.name != FIRST and (n.gives("policy") or n.gives("reward model"))]
    adapted = [n.name for n in trained if adapters_of(n, context)]
    whole = [n.name for n in trained if n.gives("reward model") and n.name not in adapted]
    if whole and len(whole) == len(trained) and any(context.lora(n.name) for n in nodes):
        tell(
            f"policy.lora: no step trains a policy, and {', '.join(whole)} trains all weights; for adapters set "
            f"steps.{whole[0]}.lora"
        )
    if context.config.save != "merged" and nodes and not adapted:
        problems.append(
            Problem(
                f"save: {context.config.save} keeps adapters, and no step trains any",
                field="save",
                remedy="add policy.lora, or leave it at merged",
            )
        )
