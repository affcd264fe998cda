"""What a rank step shows and keeps: fresh prompts with different answers, and rankings split by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from plaudit.config.graph import Node
from plaudit.config.sections import JudgeSpec, Rank
from plaudit.data.records import Preference, Prompt, Response
from plaudit.data.records.writers import write_jsonl
from plaudit.data.splits import uniform
from plaudit.errors import UserError
from plaudit.methods.lengths import bounded, fitting_prompts
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.sampling import RANKING_STEP, answer
from plaudit.pipeline.steps.scoring import asked_reward
from plaudit.registry import WORLDS
from plaudit.rewards import Sample, checked
from plaudit.runs import Stage

# A prompt of which so few answers differ has nothing to rank.
FEWEST = 2
# Where an answer's metadata says who wrote it, and what stands there for the world's own.
MODEL, SCRIPTED = "model", "scripted"
CHOSEN = "chosen"  # and whether a reward chose it


def fresh_prompts(context: Context, step: Node) -> Sequence[Prompt]:
    """Training prompts that no rank step before has shown, or those of the one before it."""
    own: Rank = step.settings
    earlier = [n for n in context.graph.nodes.values() if n.kind.judged and isinstance(n.settings, Rank)]
    earlier = earlier[: [n.name for n in earlier].index(step.name)]
    skipped, count = 0, 0
    for node in [*earlier, step]:
        if node.settings.prompts != "same" and node.settings.recheck is None:
            skipped, count = skipped + count, int(node.settings.prompts)
    prompts = context.prompts(step)
    chosen = prompts[skipped : skipped + count]
    if not chosen:
        raise UserError(
            f"{step.name} has no fresh prompts: earlier rank steps took {skipped} of {len(prompts)}",
            remedy=f"set steps.{step.name}.prompts: same, rank fewer in the steps before, or bring more prompts",
        )
    if len(chosen) < count:
        context.say(f"{step.name}: {len(chosen)} fresh prompts are left of the {count} asked for")
    if own.prompts == "same":
        context.say(f"{step.name}: the {len(chosen)} prompts of the rank step before")
    return chosen


def to_draw(settings: Rank) -> int:
    """Answers of the policies' own that are drawn to a prompt: the pool of favourites, else what is shown."""
    if settings.favourites:
        return settings.pool or 4 * settings.high
    # As many as the longest ranking shows; rarely missing ones are scripted.
    return max(1, round(settings.high * (1 - settings.scripted_share)))


def answers_to_rank(context: Context, step: Node) -> tuple[list[tuple[Prompt, tuple[Response, ...]]], int]:
    """K different answers to each prompt, the policies' own and scripted ones; and how many of all are scripted."""
    settings: Rank = step.settings
    assert step.start is not None
    prompts = fresh_prompts(context, step)
    names = [step.start, *settings.beside]
    each = -(-to_draw(settings) // len(names))
    policies = {name: context.load(name) for name in names}
    renderer = bounded(
        context.renderer(policies[step.start].tokenizer), *(p.model for p in policies.values())
    )
    asked = len(prompts)
    prompts = fitting_prompts(renderer, prompts, settings.max_new_tokens, None, context.runtime, step.name)
    if len(prompts) < asked:
        context.say(f"{step.name}: {asked - len(prompts)} of {asked} prompts are too long and left out")
    parts = [
        answer(
            context,
            policies[name],
            prompts,
            settings,
            n=each,
            step=RANKING_STEP + context.repetition(step),
            label=f"{step.name}: answers" if len(names) == 1 else f"{step.name}: answers of {name}",
        )
        for name in names
    ]
    # By prompt, the policies in turn: none of them is left out where fewer are shown.
    responses = [
        _of(part[i * each + j].response, f"{context.config.name}@{name}")
        for i in range(len(prompts))
        for j in range(each)
        for name, part in zip(names, parts, strict=True)
    ]
    scores = _scores(context, step, parts, len(prompts))
    return _items(context, settings, prompts, responses, each * len(names), scores)


def _scores(
    context: Context, step: Node, parts: Sequence[Sequence[Sample]], prompts: int
) -> np.ndarray | None:
    """The reward of every policy's samples, in the order of the answers; None where no favourites are chosen."""
    if not step.settings.favourites:
        return None
    assert step.start is not None
    reward = asked_reward(context, step, context.load(step.start))
    if reward is None:
        context.say(f"{step.name}: no reward model stands before it, so all answers are chosen at random")
        return None
    found = [checked(reward, part, context.mesh).scores.reshape(prompts, -1) for part in parts]
    # By prompt, the policies in turn.
    return np.stack(found, axis=2).reshape(-1)


def _of(response: Response, model: str) -> Response:
    """The answer with who wrote it."""
    return replace(response, metadata={**response.metadata, MODEL: model})


def _items(
    context: Context,
    settings: Rank,
    prompts: Sequence[Prompt],
    answers: Sequence[Response],
    drawn: int,
    scores: np.ndarray | None,
) -> tuple[list[tuple[Prompt, tuple[Response, ...]]], int]:
    found, blank = [], 0
    for i, prompt in enumerate(prompts):
        rng = np.random.default_rng([context.seed, int(prompt.id, 16)])
        k = int(rng.integers(settings.low, settings.high + 1))
        mine = list(range(i * drawn, (i + 1) * drawn))
        if _judged_by_world(context, settings.by):
            shown = [j for j in mine if answers[j].text.strip()]
            blank, mine = blank + len(mine) - len(shown), shown
        own = [answers[j] for j in mine]
        if scores is not None:
            own = with_favourites(own, scores[mine], k, settings.favourites, rng)
        scripted: list[Response] = []
        if settings.scripted_share:
            scripted = [_of(Response(text), SCRIPTED) for text in context.world.candidates(prompt, rng)]
        responses = _choose(own, scripted, k, settings.scripted_share, rng)
        if len(responses) >= FEWEST:
            found.append((prompt, responses))
    if blank:
        context.say(f"{blank} of {len(answers)} answers are empty, and the world's raters are not shown them")
    if len(found) < len(prompts):
        context.say(
            f"{len(prompts) - len(found)} of {len(prompts)} prompts left out: all their answers are the same"
        )
    if not found:
        raise UserError(
            "no prompt has two different answers to rank",
            remedy="raise the temperature, or ask for more answers",
        )
    return found, sum(r.metadata[MODEL] == SCRIPTED for _, shown in found for r in shown)


def _judged_by_world(context: Context, spec: JudgeSpec | None) -> bool:
    """Whether a made world's own raters judge: its truth says nothing about an empty answer."""
    own = WORLDS[context.materials.kind].judge if context.world is not None else None
    return own is not None and (spec is None or spec.scheme == own.partition(":")[0])


def _choose(
    own: Sequence[Response], scripted: Sequence[Response], k: int, share: float, rng: Any
) -> tuple[Response, ...]:
    """K different answers, about ``share`` of them scripted, in random order."""
    wanted = min(int(rng.binomial(k, share)), len(scripted))
    pool = [scripted[j] for j in rng.permutation(len(scripted))[:wanted]]
    rest = list(own) + [scripted[j] for j in rng.permutation(len(scripted))]
    chosen: dict[tuple[str, bool], Response] = {(r.text, r.finished): r for r in pool}
    for response in rest:
        if len(chosen) == k:
            break
        chosen.setdefault((response.text, response.finished), response)
    values = list(chosen.values())
    return tuple(values[j] for j in rng.permutation(len(values)))


def with_favourites(
    own: Sequence[Response], scores: Sequence[float] | np.ndarray, k: int, share: float, rng: Any
) -> list[Response]:
    """K different answers: ``share`` of them those with the highest scores, the rest random ones of the others.

    Each says in its metadata which it is.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    best: dict[tuple[str, bool], Response] = {}
    for j in order:
        best.setdefault((own[j].text, own[j].finished), own[j])
    different = list(best.values())
    count = round(k * share)
    others = [different[count:][j] for j in rng.permutation(max(0, len(different) - count))]
    marked = [(r, "favourite") for r in different[:count]] + [(r, "random") for r in others[: k - count]]
    return [replace(r, metadata={**r.metadata, CHOSEN: why}) for r, why in marked]


def written(context: Context, step: Node, stage: Stage, rankings: Sequence[Preference]) -> dict[str, Any]:
    """Keep the rankings, for training and held out by what their prompts are split by."""
    settings: Rank = step.settings
    keys = {context.materials.key(r) for r in rankings}
    out = {k for k in keys if uniform(k, "held out", context.seed) < settings.validation}
    trained = [r for r in rankings if context.materials.key(r) not in out]
    held_out = [r for r in rankings if context.materials.key(r) in out]
    if context.mesh.is_main:
        write_jsonl(trained, stage.path / "train.jsonl")
        write_jsonl(held_out, stage.path / "held_out.jsonl")
    context.mesh.barrier()
    return {
        "rankings": len(trained),
        "held_out": len(held_out),
        "mean_k": float(np.mean([len(r.responses) for r in rankings])) if rankings else 0.0,
    }
