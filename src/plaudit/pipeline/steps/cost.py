"""What each kind of step costs: counted from its settings and its records, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from plaudit.advice.costs import Amount
from plaudit.config import Kto, Online, Ppo, Rank, Referenced, Rejection
from plaudit.config.graph import Node
from plaudit.config.sections import AuditSettings, Revise
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.ranked_items import to_draw
from plaudit.pipeline.work import Work
from plaudit.registry import PROXY
from plaudit.training.fit import total_steps

SAMPLE = 200  # records whose lengths are taken to be usual
CHARACTERS_PER_TOKEN = 4  # English under a byte-level BPE; only estimates depend on it


def loaded(step: Node, context: Context) -> Work:
    """A policy is loaded, or built, and saved."""
    pretrained = getattr(step.policy, "path", None)
    return Work("loaded and copied" if pretrained else "built", Amount(loads=2 if pretrained else 1))


def fitted(step: Node, context: Context) -> Work:
    """Passes over records that are there, or that an earlier step will make."""
    settings = step.settings[1] if step.name == PROXY else step.settings
    longest = context.config.data.max_length
    items, tokens = _records(step, context)
    if not items:
        return Work("counted when the data is there", trained=1, frozen=0, longest=longest)
    steps = total_steps(settings, items)
    epochs = steps * settings.batch_size / items
    ranked = "reward model" in step.kind.gives
    # A live reference is a copy and one more forward pass; a precomputed one is neither.
    reference = settings.reference if isinstance(settings, Referenced) else None
    referenced, live = reference is not None, reference == "live"
    # A reward model scores what it learned from twice more: to be normalized, and for its distribution.
    again = 2 if ranked and step.name != PROXY else 0
    # KTO's mismatched answers are one more forward pass, a live reference is another.
    passes = live + isinstance(settings, Kto)
    words = f"{items} items, {steps} steps of {settings.batch_size}"
    if referenced:
        words += f", reference {reference}"
    return Work(
        words,
        Amount(tokens * epochs, tokens * (epochs * passes + (referenced and not live) + again), loads=2),
        trained=1,
        frozen=int(live),
        references=int(live),
        longest=longest * (2 if ranked else 1),
        usual=min(longest, max(8, round(tokens / items))),
        step=max(longest, round(settings.batch_size * tokens / items)),
        share=0.0 if ranked else 1.0,
        budget=settings.token_budget,
    )


def online(step: Node, context: Context) -> Work:
    """Iterations of sampling, scoring and training."""
    settings: Online = step.settings
    longest = context.config.data.max_length
    critic = isinstance(settings, Ppo)
    episodes = settings.iterations * settings.prompts_per_iteration * settings.samples_per_prompt
    # Memory holds answers that are as long as they may be, time is taken by those that are usual.
    usual = min(longest, settings.max_new_tokens + _usual_prompt(context))
    answer = _usual_answer(context, settings.max_new_tokens)
    read = min(longest, answer + _usual_prompt(context))
    scorers = _scorers(step)
    more = getattr(settings, "dynamic_sampling", 0)
    return Work(
        f"{settings.iterations} iterations, {episodes} episodes"
        + (f", up to {more} further rounds of sampling each" if more else ""),
        Amount(
            episodes * read * (1 + critic) * settings.epochs,
            # Log-probs of policy and reference, values, scores.
            episodes * read * (2 + critic + scorers),
            episodes * answer,
            episodes / settings.iterations,
            loads=3 + critic + scorers,
        ),
        trained=1 + critic,
        frozen=1 + scorers,
        references=1,
        longest=longest + settings.max_new_tokens * settings.samples_per_prompt,
        usual=usual,
        step=max(longest, settings.minibatch * usual),
        share=settings.max_new_tokens / usual,
        budget=settings.token_budget,
    )


def forecast(step: Node, context: Context, answers: int) -> Amount:
    """So many answers of an online step's start, drawn and scored before its first iteration."""
    settings: Online = step.settings
    answer = _usual_answer(context, settings.max_new_tokens)
    read = min(context.config.data.max_length, answer + _usual_prompt(context))
    return Amount(0, answers * read * _scorers(step), answers * answer, answers)


def _scorers(step: Node) -> int:
    """Reward models that read every answer."""
    return sum(part.source in ("own", "step", "model") for part in step.rewards)


def rejection(step: Node, context: Context) -> Work:
    """Sampling n answers a prompt, then SFT on the best."""
    settings: Rejection = step.settings
    steps = total_steps(settings, settings.prompts)
    rows = settings.prompts * settings.n
    answer = _usual_answer(context, settings.max_new_tokens)
    trained = steps * settings.batch_size * answer
    return Work(
        f"{settings.prompts} prompts, {settings.n} answers each, {steps} steps of {settings.batch_size}",
        Amount(trained, rows * answer, rows * answer, loads=3),
        trained=1,
        longest=context.config.data.max_length,
        budget=settings.token_budget,
    )


def ranked(step: Node, context: Context) -> Work:
    """Answers drawn, to be ranked."""
    settings: Rank = step.settings
    prompts = settings.prompts if settings.prompts != "same" else _prompts_before(step, context)
    rows = prompts * (to_draw(settings) if settings.favourites else settings.high)
    if settings.recheck is not None:
        every = _to_come(context, context.graph[settings.recheck], step)[1] if settings.disagreement else 0
        return Work(f"{prompts} items of {settings.recheck}", Amount(0, every, 0, loads=len(step.asked)))
    answer = _usual_answer(context, settings.max_new_tokens)
    read = rows * (answer + _usual_prompt(context)) * len(step.asked)
    return Work(
        f"{rows} answers to {prompts} prompts",
        Amount(0, read, rows * answer, loads=1 + len(step.asked)),
    )


def audited(step: Node, context: Context) -> Work:
    """Answers of two policies to the same prompts, scored."""
    settings: AuditSettings = step.settings
    rows = 2 * _validation(context, settings.prompts)
    answer = _usual_answer(context, settings.max_new_tokens)
    read = rows * (answer + _usual_prompt(context)) * len(step.asked)
    return Work(
        f"{rows} answers",
        Amount(0, read, rows * answer, loads=2 + len(step.asked)),
        frozen=1,
    )


def revised(step: Node, context: Context) -> Work:
    """Drafts and helpful answers drawn; the revisions are another model's work, which is not counted."""
    settings: Revise = step.settings
    rows = settings.prompts + settings.helpful * settings.helpful_samples
    words = f"{rows} answers, {settings.rounds} rounds of revision of {settings.prompts} (not timed)"
    return Work(words, Amount(sampled=rows * _usual_answer(context, settings.max_new_tokens), loads=1))


def _prompts_before(step: Node, context: Context) -> int:
    counts = [n.settings.prompts for n in context.graph.nodes.values() if isinstance(n.settings, Rank)]
    return next((int(c) for c in reversed(counts) if c != "same"), 0)


def evaluated(step: Node, context: Context) -> Work:
    """Every shown policy answers; greedily too, and before a judge at every temperature on validation prompts."""
    settings = step.settings
    graph = context.graph.before(step.name)
    policies = len({*graph.shown, *settings.also})
    rows = settings.prompts * policies
    if policies and graph.places["start"] != graph.places["end"]:
        options = {*settings.temperatures, settings.temperature}
        rows += settings.prompts * policies * (0.0 in options)
        if context.world is not None or PROXY in graph.nodes or settings.judge is not None:
            # At its own best on the test, and at all of them on validation prompts, of which there are no more.
            rows += settings.prompts * policies + _validation(context, settings.prompts) * policies * len(
                options
            )
    answer = _usual_answer(context, settings.max_new_tokens)
    # A judge scores every answer; the exact KL asks every trained policy and the one it is measured to.
    read = rows + 2 * settings.prompts * max(0, policies - 1)
    read *= answer + _usual_prompt(context)
    amount = Amount(0, read, rows * answer, settings.prompts, loads=policies + 2)
    return Work(f"{rows} answers", amount, frozen=policies + 1)


def _validation(context: Context, most: int) -> int:
    """Validation prompts of an evaluation: at most as many as it has test prompts, all where none can be read yet."""
    if context.world is None and not all(
        Path(p).exists() for p in context.materials.files("prompts", "preferences", "demonstrations")
    ):
        return most
    return min(most, len(context.materials.prompts("validation")))


def _usual_prompt(context: Context) -> int:
    """Tokens of a usual prompt, from the characters of those that are there; 32 where none can be read yet."""
    files = context.materials.files("prompts", "preferences", "demonstrations")
    if context.world is None and not (files and all(p.exists() for p in files)):
        return 32
    prompts = context.materials.prompts("train")[:SAMPLE]
    sizes = [sum(len(m.content) for m in p.messages) for p in prompts]
    limit = context.config.data.max_prompt_length or context.config.data.max_length
    return min(limit, round(fmean(sizes) / CHARACTERS_PER_TOKEN) + 8) if sizes else 32


def _usual_answer(context: Context, most: int) -> int:
    """Tokens of a usual answer of at most ``most``: those of the demonstrations, which policies learn to end as.

    ``most`` where there are none to be read: a model that nobody taught when to end goes on to the limit.
    """
    files = context.materials.files("demonstrations")
    if context.world is None and not (files and all(p.exists() for p in files)):
        return most
    shown = context.materials.records("demonstrations")[0][:SAMPLE]
    sizes = [min(most, len(d.response.text) / CHARACTERS_PER_TOKEN + 1) for d in shown]
    return max(1, round(fmean(sizes))) if sizes else most


def _records(step: Node, context: Context) -> tuple[int, float]:
    """Items and tokens of what a step learns from; hub data is not fetched, and rankings to come are estimated."""
    items, tokens = 0, 0.0
    for source in step.on:
        paths = context.materials.files(source.name)
        if context.graph.gives_records(source.name):
            count, size = _to_come(context, context.graph[source.name], step)
        elif not all(p.exists() for p in paths):
            return 0, 0.0
        elif step.name == PROXY:
            count, size = _counted(context, context.materials.proxy_preferences)
        else:
            records = context.materials.records(source.name)[0]
            count, size = _counted(context, records, labels=step.kind.data == "labels")
        items, tokens = items + count, tokens + size
    return items, tokens


def _to_come(context: Context, source: Node, step: Node) -> tuple[int, float]:
    settings = source.settings
    if not isinstance(settings, Rank):
        return 0, 0.0
    prompts = settings.prompts if settings.prompts != "same" else _prompts_before(source, context)
    count = int(prompts * (1 - settings.validation))
    answers = (settings.low + settings.high) / 2
    answer, prompt = _usual_answer(context, settings.max_new_tokens), _usual_prompt(context)
    labels = step.kind.data == "labels"
    shared = context.config.layout == "shared" and not labels
    items = int(count * answers) if labels else count
    return items, count * (answers * answer + prompt * (1 if shared else answers))


def _counted(context: Context, records: Sequence[Any], *, labels: bool = False) -> tuple[int, float]:
    """Items, and tokens as the layout computes them: a prompt once for all of its answers where it is shared."""
    data, shared = context.config.data, context.config.layout == "shared" and not labels
    items, size = 0, 0.0
    for record in records:
        if isinstance(record, str):
            items, size = items + 1, size + len(record) / CHARACTERS_PER_TOKEN
            continue
        answers = getattr(record, "responses", None) or (record.response,)
        # A ranking among labels gives one label an answer.
        items += len(answers) if labels else 1
        written = sum(len(a.text) for a in answers) / CHARACTERS_PER_TOKEN
        room = min(data.max_prompt_length or data.max_length, data.max_length)
        prompt = min(sum(len(m.content) for m in record.prompt.messages) / CHARACTERS_PER_TOKEN, room)
        size += (1 if shared else len(answers)) * prompt + min(written, len(answers) * data.max_length)
    return items, size
