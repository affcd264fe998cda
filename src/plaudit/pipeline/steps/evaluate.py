"""The evaluation step: the same held-out prompts answered by every policy that is shown, and judged.

In a synthetic world the truth judges. On real data there is none: a reward model trained on a disjoint split and seed
stands in, and is labeled as a proxy, or the judge that the recipe names compares the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from plaudit import intervals
from plaudit.config.graph import Node
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.evaluation.exact_kl import response_kl
from plaudit.evaluation.statistics import gap_closed, mean_interval, win_rate
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.evaluation_judge import PairJudge, answer_judge
from plaudit.pipeline.steps.evaluation_prompts import test_prompts, validation_prompts
from plaudit.pipeline.steps.reward_evaluation import evaluate_reward
from plaudit.pipeline.steps.scoring import run_reward
from plaudit.pipeline.steps.shown import answer_rows, rows_to_show
from plaudit.pipeline.steps.temperatures import GREEDY, Answers, by_temperature, lengths, placed
from plaudit.pipeline.steps.training_scores import NOT_KEPT, unwatched
from plaudit.rewards import RewardOutput, Sample, checked
from plaudit.runs import Stage

NO_GOLD = "nobody knows the true quality of answers to real prompts"


def evaluate(context: Context, step: Node, stage: Stage) -> Mapping[str, Any]:
    """Answer, judge, compare; everything the report shows that training did not record."""
    settings, graph = step.settings, context.graph.before(step.name)
    named = None if settings.judge is None else PairJudge(context, step, stage, settings.judge)
    context = replace(context, graph=graph)  # what comes after this step is not there yet
    places = graph.places
    names = [n for n in graph.policies if n in {*graph.shown, *settings.also}]
    policies = {name: context.load(name) for name in names}
    prompts = test_prompts(context, list(policies.values()), stage, label=step.name, settings=settings)
    judge = named or answer_judge(context, policies[places["end"]])
    shown = Answers(context, settings, prompts, policies, judge)
    answers = {name: shown.drawn(name, settings.temperature) for name in policies}
    result: dict[str, Any] = {
        "kind": context.materials.kind,
        "policies": places,
        "method": graph[places["end"]].kind.name,
        "prompts": len(prompts),
        "prompts_asked": settings.prompts,
        "temperature": settings.temperature,
        "length": placed({name: lengths(samples) for name, samples in answers.items()}, places),
    }
    reward = run_reward(context, policies[context.graph.places["end"]])
    paid: dict[str, RewardOutput] = {}
    if reward is not None:
        paid = {name: checked(reward, samples, context.mesh) for name, samples in answers.items()}
    proxies = {name: output.scores for name, output in paid.items()}
    result["proxy"] = placed({name: mean_interval(scores) for name, scores in proxies.items()}, places)
    result["kl"], kl = _kl(context, policies, answers, settings)
    result["judge"] = judge.name if judge is not None else None
    gold: dict[str, np.ndarray] = {}
    judged: dict[str, np.ndarray] = {}
    if context.gold is not None:
        gold = _truth(shown, result)
    else:
        result |= {"gold": None, "gold_reason": NO_GOLD}
        judged = _wins(shown, result)
    result |= _shift(context, paid, gold or judged)
    greedy: dict[str, list[Sample]] = {}
    if places["start"] != places["end"]:
        result |= by_temperature(shown, validation_prompts(context, list(policies.values()), settings))
        if judge is None and "greedy" in result:
            greedy = {name: shown.drawn(name, GREEDY) for name in policies}
            if reward is not None:
                scores = {
                    name: checked(reward, samples, context.mesh).scores for name, samples in greedy.items()
                }
                result["greedy"]["proxy"] = placed({n: mean_interval(s) for n, s in scores.items()}, places)
    models = {name: evaluate_reward(context, graph[name]) for name in _judged_models(context)}
    if models:
        result["reward_models"] = models
        result["reward_model"] = models[list(models)[-1]]
    told: dict[str, Any] = {}
    if named is not None:
        result["evaluator"], told = named.record(), named.told
    if context.mesh.is_main:
        stage.write_json("evaluation.json", result)
        stage.write_answers(answer_rows(prompts, answers, {"gold": gold, "judge": judged, "proxy": proxies}))
        (stage.path / "samples.jsonl").unlink(missing_ok=True)
        stage.append_samples(
            rows_to_show(context, prompts, answers, proxies, gold, kl, settings.show, greedy)
        )
    return told


def _judged_models(context: Context) -> list[str]:
    """Reward models with rankings to be judged on: those of votes only start another one."""
    started = {node.start for node in context.graph.nodes.values()}
    return [n for n in context.graph.reward_models if n not in started]


def _interval(values: np.ndarray) -> dict[str, float]:
    found = mean_interval(values)
    return {"low": found["low"], "high": found["high"]}


def _kl(
    context: Context, policies: Mapping[str, Any], answers: Mapping[str, list[Sample]], settings: Any
) -> tuple[dict[str, Any] | None, np.ndarray]:
    """Exact KL per response of the end from where it started, and from the start; other trained policies' beside."""
    graph = context.graph
    end, start = graph.places["end"], graph.places["start"]
    found: dict[str, Any] = {}
    own = np.zeros(len(answers[end]))

    def measured(name: str, origin: str) -> np.ndarray:
        items = [TokenItem(s.prompt_ids, (Segment.of(s.ids),)) for s in answers[name]]
        reference = policies[origin] if origin in policies else context.load(origin)
        return response_kl(
            policies[name], reference, items, temperature=settings.temperature, runtime=context.runtime
        )

    by_step: dict[str, Any] = {}
    for name in answers:
        origin = graph[name].start
        if not graph[name].kind.preference or origin is None:
            continue
        values = measured(name, origin)
        by_step[name] = {"from": origin, "exact": float(values.mean()), **_interval(values)}
        if name == end:
            own = values
            found = {"exact": float(values.mean()), **_interval(values), "from": origin}
            whole = values if origin == start else measured(name, start)
            found["from_start"] = {"step": start, "exact": float(whole.mean()), **_interval(whole)}
    return ({**found, "by_step": by_step} if found else None), own


def _shift(
    context: Context, paid: Mapping[str, RewardOutput], truths: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """How many answers of each policy score above the reward model's training answers, and what these are worth.

    Why not, where it is unknown.
    """
    graph = context.graph
    if not all("above_training" in output.parts for output in paid.values()) or not paid:
        rewarded = [node for node in graph.nodes.values() if node.rewards]
        why = "no reward model of this run scores these answers"
        if paid:
            why = unwatched(context, rewarded[-1]) if rewarded else f"{graph.reward_models[-1]} {NOT_KEPT}"
        return {"shift": None, "shift_reason": why}
    found: dict[str, Any] = {}
    for name, output in paid.items():
        above = output.parts["above_training"]
        low, high = intervals.share(above)
        found[name] = {"above": {"mean": float(above.mean()), "low": low, "high": high}}
        far = above > 0
        worth = truths.get(name, np.array([np.nan]))
        if not np.isnan(worth).any() and 0 < far.sum() < len(far):
            found[name]["truth"] = {"above": float(worth[far].mean()), "rest": float(worth[~far].mean())}
        if "disagreement" in output.parts:
            found[name]["disagreement"] = float(output.parts["disagreement"].mean())
    return {"shift": placed(found, graph.places)}


def _truth(shown: Answers, result: dict[str, Any]) -> dict[str, np.ndarray]:
    """Gold and attributes of every policy and of perfect answers, and what of the gap to these was closed."""
    places, usual = shown.context.graph.places, shown.settings.temperature
    assert shown.judge is not None
    judged = {name: shown.judged(name, usual) for name in shown.policies}
    perfect = shown.judge.perfect(shown.prompts)
    assert perfect is not None
    judged["perfect"] = perfect
    scores = {name: one.scores for name, one in judged.items()}
    result["gold"] = placed({name: mean_interval(values) for name, values in scores.items()}, places)
    result["attributes"] = placed({name: one.attributes for name, one in judged.items()}, places)
    start, end = scores[places["start"]], scores[places["end"]]
    if places["start"] != places["end"]:
        result["gap_closed"] = gap_closed(start, end, perfect.scores)
        result["win_rate"] = {
            "end_vs_start": win_rate(end, start),
            "perfect_vs_start": win_rate(perfect.scores, start),
        }
    return scores


def _wins(shown: Answers, result: dict[str, Any]) -> dict[str, np.ndarray]:
    """The end against the start, and this against the base, as the judge sees them; its scores by policy."""
    places = shown.context.graph.places
    if shown.judge is None or places["start"] == places["end"]:
        return {}
    usual = shown.settings.temperature
    base, start, end = ((places[p], usual) for p in ("base", "start", "end"))
    result["win_rate"] = {"end_vs_start": shown.win_rate(end, start)}
    if base != start:
        result["win_rate"]["start_vs_base"] = shown.win_rate(start, base)
    return {name: shown.judged(name, usual).scores for name in shown.policies}
