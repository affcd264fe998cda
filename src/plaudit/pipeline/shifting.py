"""Samples a run's start and end, and scores them by its reward model beside the answers that this was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from plaudit.audit.answers import AnswerSet
from plaudit.audit.detect import detect
from plaudit.audit.shift import PolicyScores, shift
from plaudit.config import validate
from plaudit.config.graph import Graph
from plaudit.config.resolve import graph_of
from plaudit.errors import UserError
from plaudit.pipeline.preflight_audit import Look, no_prompts_out, of_run
from plaudit.registry import DETECTORS
from plaudit.runs import RunFolder

SHIFT_STEP = 9_000_000  # a stream of random numbers of its own
ANSWERS, PROMPTS = 4, 100
RECORDS = 2000  # rankings of the training set


def shift_look(folder: RunFolder, record: Mapping[str, Any]) -> Look:
    """A look at what the shift needs of a run: UserError where it has no reward model of its own, or no prompts."""
    config = validate(record["config"], f"{folder.path}/run.json")
    graph = graph_of(config)
    source = _reward_step(folder, graph)
    if config.evaluate is None:
        raise no_prompts_out(folder)
    policies = list(dict.fromkeys((graph.places["start"], graph.places["end"])))
    return of_run(folder, config, policies, reward=source, second=None, splits=("test",), trained_on=True)


def shift_of(folder: RunFolder, *, answers: int = ANSWERS, prompts: int = PROMPTS) -> dict[str, Any]:
    """How far start and end are from the reward model's training answers (``audit.shift``), with where it came from.

    ``across`` holds the detectors that need several answers to a prompt, such as those of lost diversity. The truth is
    gold or the run's proxy judge. UserError where the run trained no reward model or holds no prompts
    out (``shift_look``).
    """
    from plaudit.data.rendering.template_date import pin_day
    from plaudit.methods.lengths import bounded
    from plaudit.methods.train import render_preferences
    from plaudit.models.reward_model import load_reward_model
    from plaudit.models.tokenizers import same_tokenizer
    from plaudit.pipeline.finished_run import context_of
    from plaudit.pipeline.run_record import run_day
    from plaudit.pipeline.steps.evaluation_judge import answer_judge
    from plaudit.pipeline.steps.evaluation_prompts import test_prompts
    from plaudit.pipeline.steps.sampling import sampled
    from plaudit.pipeline.steps.training_scores import spaced
    from plaudit.rewards import ModelReward, score_items

    config = validate(folder.record("config")["config"], f"{folder.path}/run.json")
    graph = graph_of(config)
    source = _reward_step(folder, graph)
    assert config.evaluate is not None  # else it was refused
    settings, context = config.evaluate, context_of(folder, config)
    steps = list(dict.fromkeys((graph.places["start"], graph.places["end"])))
    with pin_day(run_day(folder)), context.runtime.computing():
        models = [load_reward_model(path).to(context.device) for path in context.reward_folders(source)]
        train = spaced(context.records(graph[source])[0], RECORDS)
        items = render_preferences(bounded(context.renderer(models[0].tokenizer), *models), train)
        training = np.array(
            [
                score_items(m, items, pad_id=m.tokenizer.pad_token_id or 0, runtime=context.runtime)
                for m in models
            ]
        )
        policies = {step: context.load(step) for step in steps}
        asked = test_prompts(context, list(policies.values()), label="audit")[:prompts]
        judge = answer_judge(context, policies[steps[-1]])
        found, answered = {}, []
        for step, policy in policies.items():
            samples = sampled(
                policy,
                asked,
                renderer=context.renderer(policy.tokenizer),
                temperature=settings.temperature,
                max_new_tokens=settings.max_new_tokens,
                n=answers,
                seed=config.seed,
                step=SHIFT_STEP,
                label="audit",
            )
            scores = [
                ModelReward(
                    m,
                    same_tokenizer=same_tokenizer(m.tokenizer, policy.tokenizer),
                    normalisation="none",
                    runtime=context.runtime,
                )
                .score(samples)
                .scores.reshape(-1, answers)
                for m in models
            ]
            truth = None if judge is None else np.asarray(judge.judge(samples).scores).reshape(-1, answers)
            texts = [[s.answer for s in samples[i : i + answers]] for i in range(0, len(samples), answers)]
            found[step] = PolicyScores(texts, np.array(scores), truth)
            responses = [
                [s.response for s in samples[i : i + answers]] for i in range(0, len(samples), answers)
            ]
            answered.append(AnswerSet(step, [p.conversation for p in asked], responses))
    known = [r.text for item in items for r in item.payload.responses]
    across = [kind for kind in DETECTORS.values() if kind.across]
    changes = detect(answered[0], answered[-1], across) if len(answered) > 1 else []
    return {
        **shift(training, known, found),
        "of": source,
        "truth": judge.name if judge is not None else None,
        "across": [change.as_dict() for change in changes],
    }


def _reward_step(folder: RunFolder, graph: Graph) -> str:
    """The step whose reward model the run's end was trained on, else the newest."""
    rewarded = [node for node in graph.nodes.values() if node.rewards]
    own = (
        [str(p.path) for p in rewarded[-1].rewards if p.source == "step"] if rewarded else graph.reward_models
    )
    if not own:
        raise UserError(
            f"{folder.path} trained no reward model on answers to compare with",
            remedy="audit a run whose reward is a step of its own",
        )
    return own[-1]
