"""A run's end against its start as a judge sees them, on the prompts that were held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plaudit.config import validate
from plaudit.config.graph import Graph, teachers
from plaudit.config.resolve import graph_of
from plaudit.config.sections import JudgeSpec
from plaudit.data.baselines import pair_verdicts
from plaudit.data.records import Response
from plaudit.errors import UserError
from plaudit.evaluation.corrected_rate import corrected_rate
from plaudit.evaluation.judged_win_rate import judged_win_rate
from plaudit.generation.chat import LocalChatModel
from plaudit.judges.language_options import folder_name
from plaudit.judges.work import judge_into
from plaudit.pipeline.datasets import materials_of
from plaudit.pipeline.judging import Bench, identity, made, spec_of, spent_of
from plaudit.pipeline.run_record import run_of_steps
from plaudit.runs import RunFolder
from plaudit.runs.files import read_json, write_json
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
    known = _calibrated(Path(calibration), parsed.judge) if calibration else None
    settings = config.evaluate
    count = prompts or (settings.prompts if settings else 200)
    asked = list(materials_of(config).prompts("test"))[:count]
    if not asked:
        raise UserError("no prompt is held out to evaluate on", remedy="hold some out: data.validation")
    temperature = settings.temperature if settings else 1.0
    length = settings.max_new_tokens if settings else 256
    answers = [
        LocalChatModel(name, folder.stage(name).model).draw(
            [p.messages for p in asked], temperature=temperature, max_new_tokens=length, seed=config.seed
        )
        for name in (end, start)
    ]
    items = [(p, tuple(Response(*drawn[0]) for drawn in pair)) for p, pair in zip(asked, zip(*answers))]
    place = folder.path / "judges" / folder_name(parsed.judge)
    judge = made(parsed, Bench(place))
    judged = judge_into(place / "evaluation", judge, items, spec=identity(judge, parsed), label="evaluate")
    results = [pair_verdicts(j.comparisons()).get((0, 1), float("nan")) for j in judged]
    longer = [len(a.text) - len(b.text) for _, (a, b) in items]
    found = judged_win_rate(results, longer, [p.id for p in asked]) | {
        "judge": parsed.judge,
        "end": end,
        "start": start,
        "prompts": len(asked),
        "temperature": temperature,
        "also_taught": taught,
        "spent": spent_of(judge),
    }
    if known is not None and found["pairs"]:
        found["corrected"] = corrected_rate(found["mean"] * found["pairs"], found["pairs"], *known)
    kept = read_json(folder.path / JUDGED) or {}
    write_json(folder.path / JUDGED, {**kept, parsed.judge: found})
    return found


def has_taught(spec: JudgeSpec, graph: Graph, folder: RunFolder) -> bool:
    """Whether a judge gave labels or scores that a run learned from, or is a reward model of its own."""
    if spec.judge in teachers(graph.nodes.values()):
        return True
    if spec.scheme != "reward":
        return False
    found = locate(spec.rest, "reward model").folder
    return found is not None and folder.path.resolve() in Path(found).resolve().parents


def _calibrated(path: Path, judge: str) -> tuple[tuple[float, int], tuple[float, int]]:
    """Sensitivity and specificity of a judge, as (right, of), from its calibration; UserError for another judge's."""
    read = read_json(path)
    if read is None or read.get("judge") != judge:
        whose = "is not there" if read is None else f"is of {read.get('judge')}"
        raise UserError(
            f"the calibration {path} {whose}", remedy=f"plaudit judge --with {judge} --calibrate RANKINGS"
        )
    parts = [read["sensitivity"], read["specificity"]]
    if not all(part["n"] for part in parts):
        raise UserError(
            f"the calibration {path} has no pair of one of both kinds", remedy="calibrate on more rankings"
        )
    sensitivity, specificity = ((part["mean"] * part["n"], part["n"]) for part in parts)
    return sensitivity, specificity
