"""The audit of a run, or of a reward before any RL: samples where asked, detectors, forecast, and their record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.audit.detect import Detector
from plaudit.audit.forecast import Forecast
from plaudit.audit.stored import NAME, detected, step_forecast, world_detectors
from plaudit.config import Online, validate
from plaudit.config.graph import Graph
from plaudit.config.resolve import graph_of
from plaudit.data.records import Prompt
from plaudit.errors import UserError
from plaudit.pipeline.preflight_audit import UNSEEN, Look, looked_at, no_prompts_out, of_run
from plaudit.pipeline.run_record import run_of_steps
from plaudit.pipeline.steps.forecasting import forecast_of, own_detectors
from plaudit.rewards import Sample, checked
from plaudit.runs import RunFolder

# A stream of random numbers of its own.
AUDIT_STEP = 5_000_000
ANSWERS, PROMPTS = 32, 100


@dataclass(frozen=True)
class ForecastDraw:
    """How answers are drawn for a forecast: how many to a prompt, at which temperature and length."""

    answers: int
    temperature: float
    max_new_tokens: int
    seed: int


def audit_run(
    run: str | Path,
    *,
    with_forecast: bool = False,
    with_shift: bool = False,
    answers: int = ANSWERS,
    prompts: int = PROMPTS,
    second: str | None = None,
    detectors: Sequence[Detector] = (),
) -> dict[str, Any]:
    """What the detectors see between a run's start and its end, and with ``with_forecast`` what its reward allows.

    The forecast samples ``answers`` answers of the start to ``prompts`` held-out prompts, scores them by the reward
    that RL was trained on (else the newest reward model), and judges them by gold, the run's proxy judge or
    ``second``, another reward. ``with_shift`` samples start and end, to see how far they are from what the reward model
    was trained on (``pipeline.shifting``). All of it is kept in ``audit.json``, and the run's findings and report show
    it. UserError where the run stores no answers, or nothing is to compare.
    """
    from plaudit.audit.write import write_findings
    from plaudit.pipeline.shifting import shift_look, shift_of
    from plaudit.report.build import build

    folder, record = run_of_steps(run)
    if second is not None and not with_forecast:
        raise UserError(
            "a second reward judges the answers of a forecast, and none was asked for",
            remedy="add --forecast",
        )
    world = world_detectors(record["config"].get("world"))
    looks = [_forecast_look(folder, record, second)] if with_forecast else []
    looks += [shift_look(folder, record)] if with_shift else []
    looked_at(None, prompts, rewards={"second": second}, detectors=(*world, *detectors), also=looks)
    places = record.get("places") or {}
    compares = places.get("start") is not None and places.get("start") != places.get("end")
    sampled = with_forecast or with_shift
    found: dict[str, Any] = detected(folder, detectors) if compares or not sampled else {}
    before = folder.read_json(NAME) or {}
    kept = before if before.get("answers") == found.get("answers") else {}
    if with_forecast:
        found["forecast"] = _forecast_of(folder, record, answers, prompts, second, detectors)
    elif "forecast" in kept:
        found["forecast"] = kept["forecast"]
    elif known := step_forecast(folder):
        found["forecast"] = known
    if with_shift:
        found["shift"] = shift_of(folder)
    elif "answers" in (kept.get("shift") or {}):  # sampled before, for these very answers
        found["shift"] = kept["shift"]
    folder.write_json(NAME, found)
    if record["config"].get("evaluate") is not None:
        write_findings(folder.path)
        build(folder.path)
    return found


def audit_reward(
    reward: str,
    policy: str | Path,
    prompts: str | Path | Sequence[Prompt],
    *,
    second: str | None = None,
    answers: int = ANSWERS,
    limit: int = PROMPTS,
    temperature: float = 1.0,
    max_new_tokens: int = 128,
    seed: int = 0,
    detectors: Sequence[Detector] = (),
) -> Forecast:
    """What a reward would do to a policy, before any RL.

    ``reward`` and ``second`` (another reward, in the place of the truth) are saved reward models or
    ``python:module:function``; ``policy`` any model; ``prompts`` a file of prompts, or records, of which the first
    ``limit`` are answered. Without ``second`` the forecast has no truth and suggests no β.
    """
    from plaudit.models.policy import load_policy
    from plaudit.runs.locate import locate

    rewards = {"reward": reward, "second": second}
    found = looked_at(
        prompts, limit, policy=policy, room=max_new_tokens, rewards=rewards, detectors=detectors
    )
    loaded = load_policy(locate(policy).source)
    asked = answerable(loaded, found, max_new_tokens, "audit")
    draw = ForecastDraw(answers, temperature, max_new_tokens, seed)
    scorers = [named_reward(spec, loaded) for spec in (reward, second) if spec is not None]
    samples = _answers(loaded, asked, draw)
    scores = [checked(s, samples).scores for s in scorers]
    return forecast_of(samples, scores[0].reshape(-1, draw.answers), scores[1] if second else None, detectors)


def say_what_is_asked(context: Any, step: Any, answers: int) -> None:
    """Before the first request, where the reward is a judge: each answer is a grading that somebody may pay for."""
    for part in step.rewards:
        if part.source == "judge":
            context.say(f"{answers:,} answers are graded by {part.path}, as the reward of {step.name}")


def answerable(policy: Any, prompts: Sequence[Prompt], room: int, label: str) -> list[Prompt]:
    """The prompts that leave room for an answer; those that do not are counted aloud. UserError where none does."""
    from plaudit.data.rendering.renderer import Renderer
    from plaudit.methods.lengths import bounded, fitting_prompts

    renderer = bounded(Renderer(policy.tokenizer), policy.model)
    return fitting_prompts(renderer, prompts, room, None, None, label)


def named_reward(spec: str, policy: Any) -> Any:
    from plaudit.pipeline.steps.scoring import saved_reward
    from plaudit.rewards import FunctionReward
    from plaudit.runtime import Runtime

    if spec.startswith("python:"):
        return FunctionReward.by_path(spec.removeprefix("python:"))
    return saved_reward(Runtime(), policy, spec.removeprefix("reward:"))


def _answers(policy: Any, prompts: Sequence[Prompt], draw: ForecastDraw, context: Any = None) -> list[Sample]:
    from plaudit.data.rendering.renderer import Renderer
    from plaudit.pipeline.steps.sampling import sampled

    renderer = context.renderer(policy.tokenizer) if context is not None else Renderer(policy.tokenizer)
    return sampled(
        policy,
        prompts,
        renderer=renderer,
        temperature=draw.temperature,
        max_new_tokens=draw.max_new_tokens,
        n=draw.answers,
        seed=draw.seed,
        step=AUDIT_STEP,
        label="audit",
    )


def _start_of(graph: Graph) -> str:
    """The step where RL with the run's reward began, which is what its KL is measured from."""
    step = graph[str(graph.rewarded_by)]
    return step.start if step.rewards and step.start is not None else graph.places["start"]


def _forecast_look(folder: RunFolder, record: Mapping[str, Any], second: str | None) -> Look:
    """A look at what a forecast needs of a run; UserError where the run has no reward, or holds no prompts out."""
    config = validate(record["config"], f"{folder.path}/run.json")
    graph = graph_of(config)
    if graph.rewarded_by is None:
        raise UserError(
            f"{folder.path} has no reward to forecast with",
            remedy="name one: plaudit audit --reward SPEC --policy MODEL --prompts FILE",
        )
    if config.evaluate is None:
        raise no_prompts_out(folder)
    policies = [_start_of(graph)]
    return of_run(folder, config, policies, reward=graph.rewarded_by, second=second, splits=UNSEEN)


def _forecast_of(
    folder: RunFolder,
    record: Mapping[str, Any],
    answers: int,
    prompts: int,
    second: str | None,
    detectors: Sequence[Detector],
) -> dict[str, Any]:
    """The forecast of a run's reward on answers of its start, with where it came from."""
    from plaudit.data.rendering.template_date import pin_day
    from plaudit.methods.shaping import paid_at_the_start
    from plaudit.pipeline.finished_run import context_of
    from plaudit.pipeline.run_record import run_day
    from plaudit.pipeline.steps.evaluation_prompts import unseen_prompts
    from plaudit.pipeline.steps.scoring import run_reward

    config = validate(record["config"], f"{folder.path}/run.json")
    graph = graph_of(config)
    assert graph.rewarded_by is not None and config.evaluate is not None  # else it was refused
    context = context_of(folder, config)
    settings = config.evaluate
    draw = ForecastDraw(answers, settings.temperature, settings.max_new_tokens, config.seed)
    with pin_day(run_day(folder)), context.runtime.computing():
        step, start = graph[graph.rewarded_by], _start_of(graph)
        policy = context.load(start)
        asked = unseen_prompts(context, [policy], prompts, label="audit")
        say_what_is_asked(context, step, len(asked) * answers)
        reward = run_reward(context, policy)
        assert reward is not None  # a run without one is refused above
        judge = truth_of(context, policy, second)
        samples = _answers(policy, asked, draw, context)
        if isinstance(step.settings, Online):
            scores = paid_at_the_start(reward, step.settings, samples, answers)
        else:
            scores = checked(reward, samples).scores.reshape(-1, answers)
        truth = None if judge is None else judge[1](samples)
    made = forecast_of(samples, scores, truth, (*own_detectors(context), *detectors))
    return {
        **made.as_dict(),
        "of": graph.rewarded_by,
        "policy": start,
        "truth": judge[0] if judge else None,
    }


def truth_of(context: Any, policy: Any, second: str | None) -> tuple[str, Any] | None:
    """What judges: a second reward where named, else gold, else the run's proxy judge."""
    if second is not None:
        scorer = named_reward(second, policy)
        return second, lambda samples: checked(scorer, samples).scores
    from plaudit.pipeline.steps.evaluation_judge import answer_judge

    judge = answer_judge(context, policy)
    if judge is None:
        return None
    return "gold" if judge.name == "gold" else "judge", lambda samples: judge.judge(samples).scores
