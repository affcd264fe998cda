"""The steps that train a policy: load what came before, call one method, save the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from plaudit.config import Ppo, Pretrained, Rejection, Scratch
from plaudit.config.graph import Node
from plaudit.errors import UserError
from plaudit.methods import train
from plaudit.methods.best_policy import SECOND
from plaudit.methods.lengths import bounded, fitting_prompts
from plaudit.methods.rollout_metrics import Truth
from plaudit.models.adapters import add_lora
from plaudit.models.policy import Policy, build_policy, load_policy
from plaudit.models.tokenizers import train_bpe
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.before_rl import before_rl
from plaudit.pipeline.steps.evaluation_prompts import more
from plaudit.pipeline.steps.sampling import answer
from plaudit.pipeline.steps.scoring import asked_reward, load_reward, new_critic
from plaudit.pipeline.steps.training_scores import unwatched
from plaudit.registry import resolve
from plaudit.rewards import checked
from plaudit.runs import Stage
from plaudit.training.cost_model import config_of

# Validation prompts that a second reward judges a policy on: ± .07 standard deviations of a score.
WATCHED = 200


def base(context: Context, step: Node, stage: Stage) -> Mapping[str, Any]:
    """The policy as it comes: the run's own copy of a pretrained one, or one built and not trained."""
    source = step.policy
    if isinstance(source, Pretrained):
        policy = load_policy(source.path, revision=source.revision, chat_template=source.chat_template)
        _say_type(context, source)
        context.save(policy, stage, f"Base model from {source.path}")
        return {"parameters": _parameters(policy.model)}
    policy, _ = _built(context, source)
    context.save(policy, stage, "Built from scratch, not trained")
    return {"parameters": _parameters(policy.model), "vocabulary": len(policy.tokenizer)}


def _say_type(context: Context, source: Pretrained) -> None:
    """Say that a half-precision model is kept in float32, so that no step loses what the one before learned."""
    found = getattr(config_of(source), "dtype", None)
    if found in (torch.bfloat16, torch.float16):
        name = str(found).removeprefix("torch.")
        context.say(f"{source.path} is {name}: its models are float32 between steps, twice the bytes")


def _built(context: Context, source: Scratch) -> tuple[Policy, list[str]]:
    """A policy of random weights, its tokenizer made of the run's own text, and the texts to pretrain on."""
    texts = list(context.materials.records("corpus")[0])
    demonstrations = context.materials.records("demonstrations")[0]
    spoken = [m.content for d in demonstrations for m in d.prompt.messages]
    spoken += [d.response.text for d in demonstrations]
    tokenizer = train_bpe(texts + spoken, vocabulary=source.vocabulary)
    policy = build_policy(tokenizer, **source.shape, seed=context.seed)
    policy.model.to(context.device)
    return policy, texts


def pretrain(context: Context, step: Node, stage: Stage) -> Mapping[str, Any]:
    """Next-token prediction on raw text: of a model built from scratch, or of a pretrained one."""
    source = step.policy
    if isinstance(source, Scratch):
        policy, texts = _built(context, source)
    else:
        policy = load_policy(source.path, revision=source.revision, chat_template=source.chat_template)
        texts = list(context.materials.records("corpus")[0])
        if source.lora and texts:
            add_lora(policy.model, **source.lora.model_dump(), seed=context.seed)
        policy.model.to(context.device)
    outcome: dict[str, Any] = {"parameters": _parameters(policy.model), "vocabulary": len(policy.tokenizer)}
    if texts:
        renderer = bounded(context.renderer(policy.tokenizer), policy.model)
        items = renderer.documents(texts)
        held = items[: max(1, len(items) // 100)]
        result = train.pretrain(
            policy,
            items[len(held) :],
            step.settings,
            out=stage,
            seed=context.seed,
            held_out=held,
            label=step.name,
            runtime=context.runtime,
        )
        tokens = sum(item.trained_tokens for item in items)
        outcome |= {"documents": len(items), "tokens": tokens, "held_out": result.evaluation}
    context.save(policy, stage, "Next-token predictor")
    return outcome


def sft(context: Context, step: Node, stage: Stage) -> Mapping[str, Any]:
    """Imitate demonstrations."""
    policy = context.load_start(step)
    records, held = context.records(step, stage)
    renderer = context.renderer(policy.tokenizer)
    result = train.sft(
        policy,
        records,
        step.settings,
        out=stage,
        seed=context.step_seed(step),
        held_out=held,
        renderer=renderer,
        label=step.name,
        runtime=context.runtime,
    )
    context.save(policy, stage, "Fine-tuned on demonstrations")
    return {
        "demonstrations": len(records),
        "held_out": result.evaluation,
        "rendering": dict(renderer.counts),
    }


def _shared(context: Context, step: Node, stage: Stage, policy: Policy) -> dict[str, Any]:
    return {
        "out": stage,
        "seed": context.step_seed(step),
        "renderer": context.renderer(policy.tokenizer),
        "runtime": context.runtime,
    }


def direct(context: Context, step: Node, stage: Stage) -> Mapping[str, Any]:
    """Learn from rankings, pairs or labels without a reward model."""
    policy = context.load_start(step)
    records, held = context.records(step, stage)
    run = resolve(step.kind.function)  # type: ignore[attr-defined]
    shared = _shared(context, step, stage, policy)
    fitted = run(policy, records, step.settings, held_out=held, **shared)
    context.save(policy, stage, f"Trained by {step.kind.title}")
    return {"records": len(records), "steps": fitted.steps, "held_out": fitted.evaluation}


def online(context: Context, step: Node, stage: Stage) -> Mapping[str, Any]:
    """Learn from a reward on samples of its own."""
    policy = context.load_start(step)
    run = resolve(step.kind.function)  # type: ignore[attr-defined]
    shared = _shared(context, step, stage, policy)
    reward = load_reward(context, step, policy)
    prompts = context.prompts(step)
    if any(part.source in ("step", "model") for part in step.rewards) and (why := unwatched(context, step)):
        context.say(f"{step.name}: its scores are not watched for shift: {why}")
    settings, found = before_rl(context, step, stage, policy, reward)
    if isinstance(settings, Rejection):
        fitted = run(policy, reward, prompts, settings, **shared)
        outcome = {"steps": fitted.steps}
    else:
        if isinstance(settings, Ppo):
            shared["critic"] = new_critic(context, step, policy)
        demonstrations = context.materials.records("demonstrations")[0] if settings.ptx_coefficient else ()
        result = run(
            policy,
            reward,
            prompts,
            settings,
            demonstrations=demonstrations,
            watch=_watch(context, step, policy, settings),
            truth=_truth(context),
            **shared,
        )
        outcome = {"iterations": result.iterations, "stopped": result.stopped, **found}
        if best := result.best:
            outcome["rolled_back"] = asdict(best)
            context.say(
                f"{step.name}: the policy of iteration {best.iteration} is kept, {best.by} {best.value:.3f} on "
                "validation prompts"
                + (
                    f"; after iteration {best.last_iteration} it was {best.last:.3f}"
                    if best.last is not None
                    else ""
                )
            )
    context.save(policy, stage, f"Trained by {step.kind.title}")
    return outcome


def _watch(
    context: Context, step: Node, policy: Policy, settings: Any
) -> Callable[[int], Mapping[str, float]] | None:
    """Gold, and what ``keep_best`` names, on validation prompts, which neither training nor the test ever sees."""
    gold, second = context.gold, asked_reward(context, step, policy)
    if gold is None and second is None:
        return None
    prompts = context.materials.prompts("validation")
    if gold is None and prompts:
        renderer = bounded(context.renderer(policy.tokenizer), policy.model)
        length, runtime = settings.max_new_tokens, context.runtime
        prompts = fitting_prompts(renderer, prompts, length, None, runtime, "validation")[:WATCHED]
    if step.asked and not prompts:
        raise UserError(
            f"{step.name}.keep_best has no validation prompts to judge the policy on",
            remedy=more(context),
        )

    def watch(iteration: int) -> Mapping[str, float]:
        samples = answer(context, policy, prompts, settings)
        numbers = {}
        if gold is not None:
            scores = context.mesh.map(lambda s: gold.judge(s.prompt, s.response).score, samples)
            numbers["gold"] = float(np.mean(scores))
        if second is not None:
            numbers[SECOND] = float(np.mean(checked(second, samples, context.mesh).scores))
        return numbers

    return watch


def _truth(context: Context) -> Truth | None:
    """Gold of the samples that are kept for reading; None without a gold."""
    gold = context.gold
    if gold is None:
        return None
    return lambda samples: {"gold": [gold.judge(s.prompt, s.response).score for s in samples]}


def _parameters(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())
