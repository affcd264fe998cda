"""A run's end against its start as a judge sees them, on the prompts that were held out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plaudit.config import validate
from plaudit.config.graph import Graph, resolved, teachers
from plaudit.config.resolve import graph_of
from plaudit.config.sections import JudgeSpec
from plaudit.data.baselines import pair_shares, pair_verdicts
from plaudit.data.records import Prompt, Response
from plaudit.errors import UserError
from plaudit.evaluation.corrected_rate import corrected_rate
from plaudit.evaluation.judged_win_rate import judged_win_rate, settled
from plaudit.generation.chat import LocalChatModel
from plaudit.judges.language_options import folder_name
from plaudit.judges.work import Item, judge_into, place_of
from plaudit.pipeline.datasets import materials_of
from plaudit.pipeline.judging import Bench, identity, made, shown, spec_of, spent_of
from plaudit.pipeline.run_record import run_of_steps
from plaudit.runs import RunFolder
from plaudit.runs.files import plain, read_json, write_json
from plaudit.runs.locate import locate

JUDGED = "judged.json"


def judge_run(
    run: str | Path,
    spec: str,
    *,
    prompts: int | None = None,
    calibration: str | Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """How often a judge prefers the run's end to its start, raw and at equal length; kept in ``judged.json``.

    The judge sees both orders of every pair. ``calibration``, a file that ``plaudit judge --calibrate`` wrote for this
    judge, corrects the raw rate for its errors. UserError where it also gave labels or rewards that the run trained on
    (it would judge by what the model has learned from it), unless ``force``, which is recorded.
    """
    folder, record = run_of_steps(run)
    config = validate(record["config"], f"{run}/run.json")
    graph = graph_of(config)
    start, end = graph.places["start"], graph.places["end"]
    if start == end:
        raise UserError(f"{run} has nothing to compare: its start and its end are both {end}")
    parsed = spec_of(spec)
    taught = has_taught(parsed, graph, folder)
    if taught and not force:
        raise UserError(
            f"{parsed.judge} also gave what {run} was trained on: it is no independent judge of the result",
            remedy="name another judge, or --force, which is recorded",
        )
    settings = config.evaluate
    count = prompts or (settings.prompts if settings else 200)
    asked = list(materials_of(config).prompts("test"))[:count]
    if not asked:
        raise UserError("no prompt is held out to evaluate on", remedy="hold some out: data.validation")
    temperature = settings.temperature if settings else 1.0
    length = settings.max_new_tokens if settings else 256
    place = folder.path / "judges" / folder_name(parsed.judge)
    judge = made(parsed, Bench(place))
    manner = identity(judge, parsed)
    known = _calibrated(Path(calibration), manner, shown(parsed)) if calibration else None
    items = _items(folder, (end, start), asked, temperature, length, config.seed)
    judged = judge_into(place_of(place / "evaluation", manner), judge, items, spec=manner, label="evaluate")
    records = [j.comparisons() for j in judged]
    results = [settled(pair_shares(r).get((0, 1), math.nan)) for r in records]
    longer = [len(a.text) - len(b.text) for _, (a, b) in items]
    found = judged_win_rate(results, longer, [p.id for p, _ in items]) | {
        "judge": shown(parsed),
        "identity": manner,
        "end": end,
        "start": start,
        "prompts": len(items),
        "too_long": len(asked) - len(items),
        "temperature": temperature,
        "also_taught": taught,
        "spent": spent_of(judge),
    }
    _keep(folder, found)
    if known is not None and found["pairs"]:
        # As the calibration counts: whichever side of a half its share is on, and no wider tie.
        sides = [side for r in records if (side := pair_verdicts(r).get((0, 1))) is not None]
        found["corrected"] = corrected_rate(sum(sides), len(sides), *known)
        _keep(folder, found)
    return found


def _items(
    folder: RunFolder,
    names: Sequence[str],
    asked: Sequence[Prompt],
    temperature: float,
    length: int,
    seed: int,
) -> list[Item]:
    """An answer of each of these policies to every prompt that all of them can take; one policy is loaded at a time."""
    drawn: list[dict[str, Response]] = []
    for name in names:
        model = LocalChatModel(name, folder.stage(name).model)
        asked = [p for p in asked if model.fits(p.messages, length)]
        if not asked:
            raise UserError(
                f"all held-out prompts are too long for the models of {folder.path}",
                remedy="hold shorter ones out, or set evaluate.max_new_tokens lower",
            )
        answers = model.draw(
            [p.messages for p in asked], temperature=temperature, max_new_tokens=length, seed=seed
        )
        drawn.append({p.id: Response(*own) for p, (own,) in zip(asked, answers)})
    return [(p, tuple(own[p.id] for own in drawn)) for p in asked]


def _keep(folder: RunFolder, found: Mapping[str, Any]) -> None:
    kept = read_json(folder.path / JUDGED) or {}
    write_json(folder.path / JUDGED, {**kept, found["judge"]: plain(found)})


def has_taught(spec: JudgeSpec, graph: Graph, folder: RunFolder) -> bool:
    """Whether a judge gave labels or scores that a run learned from, or is a reward model of its own."""
    if resolved(spec.judge) in teachers(graph.nodes.values()):
        return True
    if spec.scheme != "reward":
        return False
    found = locate(spec.rest, "reward model").folder
    return found is not None and folder.path.resolve() in Path(found).resolve().parents


def _calibrated(path: Path, manner: str, judge: str) -> tuple[tuple[float, int], tuple[float, int]]:
    """Sensitivity and specificity of a judge, as (right, of), from its calibration; UserError for another manner's.

    ``of`` counts prompts: pairs of one prompt are not independent.
    """
    read = read_json(path)
    if read is None or read.get("identity") != manner:
        whose = "is not there"
        if read is not None:
            whose = f"is of {read.get('identity') or read.get('judge')}, not of {manner}"
        raise UserError(
            f"the calibration {path} {whose}", remedy=f"plaudit judge --with '{judge}' --calibrate RANKINGS"
        )
    parts = [read["sensitivity"], read["specificity"]]
    if not all(part["n"] for part in parts):
        raise UserError(
            f"the calibration {path} has no pair that people decided", remedy="calibrate on more rankings"
        )
    sensitivity, specificity = ((part["mean"] * part["prompts"], part["prompts"]) for part in parts)
    return sensitivity, specificity
