"""A recipe's judge at work: held against people's rankings first, then over the answers, with all evidence kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from plaudit.config.graph import Node, ranked_by_people
from plaudit.config.sections import JudgeSpec
from plaudit.data.records import Preference
from plaudit.errors import UserError
from plaudit.evaluation.judge_people import merged, said_by_judge
from plaudit.judges.work import Item, judge_into, judge_items, place_of
from plaudit.pipeline.context import Context
from plaudit.pipeline.judging import counts_of, gate, identity, spent_of
from plaudit.protocols import Judge
from plaudit.registry import JUDGES, call
from plaudit.runs import Stage

GATE = "gate.json"
# People's rankings that a judge is held against: enough for ± .06 at an agreement of .75.
MOST_PEOPLE = 200


def checked_judge(
    context: Context, step: Node, stage: Stage, spec: JudgeSpec
) -> tuple[Judge, dict[str, Any]]:
    """The judge of a spec, held against people's rankings where its kind asks for that, and what is recorded of it.

    UserError with all its figures where it does not pass. The temperature that people's rankings fit becomes its own,
    unless its options name one. Of several ranks rank 0 alone asks it: its evidence and its bill lie in files.
    """
    judge: Judge = call(JUDGES[spec.scheme].make, spec.rest, spec.options, context)
    if not JUDGES[spec.scheme].gated:
        return judge, {}
    if spec.ungated:
        context.say(f"{step.name}: gate: off, nobody has held {spec.judge} against people")
        return judge, {"judge": spec.judge, "gate": "off"}
    passed = context.mesh.from_main(lambda: _held_against_people(context, step, stage, judge, spec))
    manner = getattr(judge, "manner", None)
    if manner is not None and "temperature" not in spec.options:
        judge.manner = replace(manner, temperature=passed["temperature"])  # type: ignore[attr-defined]
    return judge, {"judge": spec.judge, "gate": passed}


def judgements(
    context: Context, step: Node, stage: Stage, spec: JudgeSpec, items: Sequence[Item]
) -> tuple[list[Preference], dict[str, Any]]:
    """What the judge says of all items that it can decide, and what is recorded of its work."""
    judge, told = checked_judge(context, step, stage, spec)
    if not told:
        return context.mesh.from_main(lambda: judge_items(judge, items, label=step.name)), {}

    def asked() -> tuple[list[Preference], dict[str, Any] | None]:
        manner = identity(judge, spec)
        folder = place_of(stage.path / "judge", manner)
        given = judge_into(folder, judge, items, spec=manner, label=step.name)
        return given, spent_of(judge)

    records, spent = context.mesh.from_main(asked)
    told |= {"counts": counts_of(records), "spent": spent}
    decided = [r for r in records if r.comparisons().outcomes]
    if len(decided) < len(records):
        context.say(
            f"{step.name}: {len(records) - len(decided)} of {len(records)} items are left out: no verdict"
        )
    if not decided:
        raise UserError(f"{spec.judge} decided nothing: all {len(records)} items are without a verdict")
    return decided, told


def _held_against_people(
    context: Context, step: Node, stage: Stage, judge: Judge, spec: JudgeSpec
) -> dict[str, Any]:
    given = people_of(context, step)
    people = merged([r for r in given if not said_by_judge(r)])[:MOST_PEOPLE]
    if left_out := sum(map(said_by_judge, given)):
        context.say(
            f"{step.name}: {left_out} rankings are left out of the gate: a judge gave them, no person"
        )
    if not people:
        raise UserError(
            f"{step.name}: the judge {spec.judge} cannot be held against people: a judge gave all their rankings",
            remedy="name rankings that people made as data.preferences, or gate: off, which the report then says",
        )
    manner = identity(judge, spec)
    found = gate(judge, people, place_of(stage.path / "judge", manner), manner)
    stage.write_json(GATE, {"judge": spec.judge, "rankings": len(people), **found.as_dict()})
    agreement = found.agreement
    if not found.passed:
        raise UserError(
            f"{step.name}: the judge {spec.judge} does not pass on {len(people)} rankings of people:\n  "
            + "\n  ".join(found.reasons),
            remedy=f"use a better judge; all figures: {stage.path / GATE}",
        )
    context.say(
        f"{step.name}: {spec.judge} agrees with people in {agreement['mean']:.2f} "
        f"[{agreement['low']:.2f}, {agreement['high']:.2f}] of {len(people)} rankings: passed"
    )
    return {"agreement": agreement, "temperature": found.temperature, "rankings": len(people)}


def people_of(context: Context, step: Node) -> list[Preference]:
    """People's rankings before a step, those held out first: the data role, then the steps that people rank."""
    before = context.graph.before(step.name)
    names = ["preferences"] if "preferences" in before.roles else []
    names += [n for n, node in before.nodes.items() if ranked_by_people(node)]
    parts = [context.parts(name) for name in names]
    return [*(r for _, held in parts for r in held), *(r for train, _ in parts for r in train)]
