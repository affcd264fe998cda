"""The evaluation step: the same held-out prompts answered by every policy that is shown, and judged.

In a made world the truth judges. On real data there is none: a reward model trained on a disjoint split and seed
stands in, and is labeled as a proxy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from plaudit.config.graph import PROXY, Node
from plaudit.data.records import Response
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.evaluation.exact_kl import response_kl
from plaudit.evaluation.statistics import gap_closed, mean_interval, win_rate
from plaudit.models.reward_model import load_reward_model
from plaudit.models.tokenizers import same_tokenizer
from plaudit.pipeline.context import Context
from plaudit.pipeline.steps.evaluation_prompts import test_prompts
from plaudit.pipeline.steps.reward_evaluation import evaluate_reward
from plaudit.pipeline.steps.sampling import answer
from plaudit.pipeline.steps.scoring import load_reward, step_reward
from plaudit.pipeline.steps.shown import rows_to_show
from plaudit.rewards import ModelReward, Sample, checked
from plaudit.runs import Stage

NO_GOLD = "real data has no known truth: no gold score exists for it"


def evaluate(context: Context, step: Node, stage: Stage) -> Mapping[str, Any]:
    """Answer, judge, compare; everything the report shows that training did not record."""
    settings, graph = step.settings, context.graph.before(step.name)
    context = replace(context, graph=graph)  # what comes after this step is not there yet
    places = graph.places
    names = graph.shown
    policies = {name: context.load(name) for name in names}
    prompts = test_prompts(context, list(policies.values()), stage)
    answers = {
        name: answer(
            context, policy, prompts, temperature=settings.temperature, max_new_tokens=settings.max_new_tokens
        )
        for name, policy in policies.items()
    }
    result: dict[str, Any] = {
        "kind": context.materials.kind,
        "policies": places,
        "method": graph[places["end"]].kind.name,
        "prompts": len(prompts),
        "prompts_asked": settings.prompts,
        "temperature": settings.temperature,
        "length": _placed({name: _lengths(samples) for name, samples in answers.items()}, places),
    }
    proxies = _proxy_scores(context, policies, answers)
    result["proxy"] = _placed({name: mean_interval(scores) for name, scores in proxies.items()}, places)
    result["kl"], kl = _kl(context, policies, answers, settings)
    gold: dict[str, np.ndarray] = {}
    if context.gold is not None:
        result["judge"] = "gold"
        gold = _judge_gold(context, settings, prompts, policies, answers, result)
    else:
        result |= {"judge": "proxy" if PROXY in graph.nodes else None, "gold": None, "gold_reason": NO_GOLD}
        _judge_proxy(context, policies, answers, result)
    models = {name: evaluate_reward(context, graph[name]) for name in _judged_models(context)}
    if models:
        result["reward_models"] = models
        result["reward_model"] = models[list(models)[-1]]
    if context.mesh.is_main:
        stage.write_json("evaluation.json", result)
        (stage.path / "samples.jsonl").unlink(missing_ok=True)
        stage.append_samples(rows_to_show(context, prompts, answers, proxies, gold, kl, settings.show))
    return {}


def _placed(values: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    """Values by step name, and by place."""
    return {**values, **{place: values[step] for place, step in places.items() if step in values}}


def _judged_models(context: Context) -> list[str]:
    """Reward models with rankings to be judged on: those of votes only start another one."""
    started = {node.start for node in context.graph.nodes.values()}
    return [n for n in context.graph.reward_models if n not in started]


def _interval(values: np.ndarray) -> dict[str, float]:
    found = mean_interval(values)
    return {"low": found["low"], "high": found["high"]}


def _lengths(samples: Sequence[Sample]) -> dict[str, float]:
    lengths = np.asarray([len(s.ids) for s in samples])
    finished = np.mean([s.finish != "length" for s in samples])
    return {
        "mean": float(lengths.mean()),
        "p90": float(np.quantile(lengths, 0.9)),
        "finished": float(finished),
    }


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


def _proxy_scores(
    context: Context, policies: Mapping[str, Any], answers: Mapping[str, list[Sample]]
) -> dict[str, np.ndarray]:
    """What the last step with a reward was trained on, else the newest reward model, for every policy's answers."""
    graph = context.graph
    end = policies[graph.places["end"]]
    rewarded = [node for node in graph.nodes.values() if node.rewards]
    if rewarded:
        reward = load_reward(context, rewarded[-1], end)
    elif graph.reward_models:
        reward = step_reward(context, graph.reward_models[-1], end)
    else:
        return {}
    return {name: checked(reward, samples, context.mesh).scores for name, samples in answers.items()}


def _judge_gold(
    context: Context,
    settings: Any,
    prompts: Sequence[Any],
    policies: Mapping[str, Any],
    answers: Mapping[str, list[Sample]],
    result: dict[str, Any],
) -> dict[str, np.ndarray]:
    gold, places = context.gold, context.graph.places
    judged = {
        name: context.mesh.map(lambda s: gold.judge(s.prompt, s.response), samples)
        for name, samples in answers.items()
    }
    judged["perfect"] = [gold.judge(p, Response(context.world.perfect(p))) for p in prompts]
    scores = {name: np.asarray([j.score for j in rows]) for name, rows in judged.items()}
    result["gold"] = _placed({name: mean_interval(values) for name, values in scores.items()}, places)
    result["attributes"] = _placed(
        {name: gold.summarise(prompts, rows) for name, rows in judged.items()}, places
    )
    start, end = scores[places["start"]], scores[places["end"]]
    if places["start"] != places["end"]:
        result["gap_closed"] = gap_closed(start, end, scores["perfect"])
        result["win_rate"] = {
            "end_vs_start": win_rate(end, start),
            "perfect_vs_start": win_rate(scores["perfect"], start),
        }
        result["best_temperature"] = _best_temperature(
            context, settings, prompts, policies, scores["perfect"]
        )
    return scores


def _best_temperature(
    context: Context, settings: Any, prompts: Sequence[Any], policies: Mapping[str, Any], perfect: np.ndarray
) -> dict[str, Any]:
    """The start at the temperature that is best for it, and the end there: sharpening alone is not learning."""
    gold, places = context.gold, context.graph.places

    def scores(policy: Any, on: Sequence[Any], temperature: float) -> np.ndarray:
        samples = answer(context, policy, on, temperature=temperature, max_new_tokens=settings.max_new_tokens)
        return np.asarray(context.mesh.map(lambda s: gold.judge(s.prompt, s.response).score, samples))

    validation = context.materials.prompts("validation")
    options = sorted({*settings.temperatures, settings.temperature})
    start, end = policies[places["start"]], policies[places["end"]]
    means = {t: float(scores(start, validation, t).mean()) for t in options}
    best = max(options, key=lambda t: means[t])
    before, after = (scores(policy, prompts, best) for policy in (start, end))
    return {
        "temperature": best,
        "validation": {str(t): m for t, m in means.items()},
        "start": mean_interval(before),
        "end": mean_interval(after),
        "win_rate": win_rate(after, before),
        "gap_closed": gap_closed(before, after, perfect),
    }


def _judge_proxy(
    context: Context, policies: Mapping[str, Any], answers: Mapping[str, list[Sample]], result: dict[str, Any]
) -> None:
    """Win rate by a reward model that shares no prompt and no seed with the one that was trained on."""
    places = context.graph.places
    if PROXY not in context.graph.nodes or places["start"] == places["end"]:
        return
    model = load_reward_model(context.folder.stage(PROXY).model).to(context.device)
    judge = ModelReward(
        model,
        same_tokenizer=same_tokenizer(model.tokenizer, policies[places["end"]].tokenizer),
        normalisation="none",
        runtime=context.runtime,
    )
    scores = {name: checked(judge, samples, context.mesh).scores for name, samples in answers.items()}
    base, start, end = (scores[places[p]] for p in ("base", "start", "end"))
    result["win_rate"] = {"end_vs_start": win_rate(end, start)}
    if places["base"] != places["start"]:
        result["win_rate"]["start_vs_base"] = win_rate(start, base)
