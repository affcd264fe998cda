"""The step of critique and revision: answers of a policy, mended principle by principle, become demonstrations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.config.graph import Node
from plaudit.config.sections import Revise
from plaudit.data.records import Demonstration, Prompt, Ranking, Response
from plaudit.data.records.writers import write_jsonl
from plaudit.data.splits import uniform
from plaudit.errors import UserError
from plaudit.judges.constitution import Constitution, read_constitution
from plaudit.judges.revision import Reviser, Revision, provenance, require_any, revised
from plaudit.methods.lengths import bounded, fitting_prompts
from plaudit.pipeline.context import Context
from plaudit.pipeline.judging import spent_of
from plaudit.pipeline.steps.sampling import REVISION_STEP, answer
from plaudit.progress import Progress
from plaudit.registry import JUDGES, call
from plaudit.runs import Stage
from plaudit.runs.logs import append_lines, read_lines

DONE = "revisions.jsonl"
CHUNK = 32


def revise(context: Context, step: Node, stage: Stage) -> Mapping[str, Any]:
    """Draw answers to prompts, criticize and revise them; beside them answers to helpful prompts as they are.

    All rounds' revisions become demonstrations (Bai et al. 2022), or draft and last revision a pair each.
    """
    settings: Revise = step.settings
    constitution = read_constitution(settings.constitution)
    prompts = list(context.prompts(step))[: settings.prompts]
    if not prompts:
        raise UserError(f"{step.name} has no prompts to answer")
    asked = len(prompts)
    prompts, drafts = _answers(context, step, prompts, "drafts")
    by = settings.by
    reviser: Reviser = call(JUDGES[by.scheme].reviser, by.rest, by.options, context, settings)
    # On one rank: it keeps what is revised as it goes.
    rounds = context.mesh.from_main(
        lambda: _revised(context, step, stage, reviser, constitution, list(zip(prompts, drafts)))
    )
    refused = sum(r.refused for rs in rounds for r in rs)
    if refused:
        said = getattr(getattr(reviser, "model", None), "refusals", ())
        context.say(
            f"{step.name}: {refused} of {len(prompts) * settings.rounds} revisions were not written: too long for "
            f"{reviser.name}{', or refused by its server, as: ' + said[-1] if said else ''}"
        )
    records = _records(settings, reviser, constitution, prompts, drafts, rounds)
    helpful = _helpful(context, step) if settings.gives == "demonstrations" else []
    return _written(context, step, stage, [*records, *helpful]) | {
        "revised": len(prompts),
        "helpful": len(helpful),
        "changed": sum(_changed(d, rs) for d, rs in zip(drafts, rounds)) / len(prompts),
        "too long": asked - len(prompts),
        "refused": refused,
        "cut off": sum(not r.finished and not r.refused for rs in rounds for r in rs),
        "principles": dict(Counter(r.rule for rs in rounds for r in rs)),
        "by": by.judge,
        "constitution": f"{constitution.name} {constitution.version}",
        "spent": context.mesh.from_main(lambda: spent_of(reviser)),
    }


def _changed(draft: Response, rounds: Sequence[Revision]) -> bool:
    return any(r.text != draft.text for r in rounds if not r.refused)


def _answers(
    context: Context, step: Node, prompts: Sequence[Prompt], label: str, n: int = 1
) -> tuple[list[Prompt], list[Response]]:
    """The prompts that the policy can take, and n answers to each; how many are left out is said."""
    assert step.start is not None
    policy = context.load(step.start)
    renderer = bounded(context.renderer(policy.tokenizer), policy.model)
    room = step.settings.max_new_tokens
    kept = fitting_prompts(renderer, prompts, room, None, context.runtime, step.name)
    if len(kept) < len(prompts):
        context.say(
            f"{step.name}: {len(prompts) - len(kept)} of {len(prompts)} prompts are too long and left out"
        )
    samples = answer(
        context,
        policy,
        kept,
        step.settings,
        n=n,
        step=REVISION_STEP + context.repetition(step),
        label=f"{step.name}: {label}",
    )
    return kept, [s.response for s in samples]


def _revised(
    context: Context,
    step: Node,
    stage: Stage,
    reviser: Reviser,
    constitution: Constitution,
    answers: Sequence[tuple[Prompt, Response]],
) -> list[list[Revision]]:
    """The rounds of every answer, each chunk kept when it is there: a killed step goes on behind it."""
    settings: Revise = step.settings
    path = stage.path / DONE
    found = [[Revision(**r) for r in row["rounds"]] for row in read_lines(path)][: len(answers)]
    with Progress(len(answers), step.name, unit="revision", start=len(found)) as bar:
        for at in range(len(found), len(answers), CHUNK):
            part = [(p, r.text) for p, r in answers[at : at + CHUNK]]
            made = revised(reviser, constitution, part, rounds=settings.rounds, seed=context.seed)
            append_lines(path, [{"rounds": [vars(r) for r in rounds]} for rounds in made])
            found += made
            bar.update(len(found))
    try:
        require_any(reviser, found)
    except UserError:
        path.unlink(missing_ok=True)  # a server with more room is asked anew
        raise
    return found


def _records(
    settings: Revise,
    reviser: Reviser,
    constitution: Constitution,
    prompts: Sequence[Prompt],
    drafts: Sequence[Response],
    rounds: Sequence[Sequence[Revision]],
) -> list[Demonstration | Ranking]:
    """Demonstrations of every round, or a ranking of the last revision before the draft where they differ."""
    found: list[Demonstration | Ranking] = []
    for prompt, draft, made in zip(prompts, drafts, rounds):
        for number, revision in enumerate(made, start=1):
            if not revision.text.strip() or not revision.finished:
                continue
            said = {"revision": provenance(reviser.name, constitution, prompt, made[:number])}
            answer = Response(revision.text, metadata=said)
            if settings.gives == "demonstrations":
                found.append(Demonstration(prompt, answer))
            elif number == len(made) and revision.text != draft.text:
                found.append(Ranking(prompt, (answer, draft), ((0,), (1,)), rater=reviser.name))
    return found


def _helpful(context: Context, step: Node) -> list[Demonstration]:
    """The policy's own answers to prompts of another role, unrevised: what keeps it helpful."""
    settings: Revise = step.settings
    if not settings.helpful:
        return []
    found: dict[str, Prompt] = {}
    for record in context.parts(settings.helpful_on)[0]:
        prompt = record if isinstance(record, Prompt) else record.prompt
        found.setdefault(prompt.id, prompt)
    prompts = list(found.values())[: settings.helpful]
    prompts, answers = _answers(context, step, prompts, "helpful answers", settings.helpful_samples)
    each = [p for p in prompts for _ in range(settings.helpful_samples)]
    return [Demonstration(p, a) for p, a in zip(each, answers) if a.finished and a.text.strip()]


def _written(
    context: Context, step: Node, stage: Stage, records: Sequence[Demonstration | Ranking]
) -> dict[str, Any]:
    """Keep the records, for training and held out by what their prompts are split by."""
    settings: Revise = step.settings
    keys = {context.materials.key(r) for r in records}
    out = {k for k in keys if uniform(k, "held out", context.seed) < settings.validation}
    trained = [r for r in records if context.materials.key(r) not in out]
    held_out = [r for r in records if context.materials.key(r) in out]
    if not trained:
        raise UserError(
            f"{step.name} made nothing to train on: all revisions are empty, cut off, or equal to the draft"
        )
    if context.mesh.is_main:
        write_jsonl(trained, stage.path / "train.jsonl")
        write_jsonl(held_out, stage.path / "held_out.jsonl")
    context.mesh.barrier()
    return {"records": len(trained), "held_out": len(held_out)}
