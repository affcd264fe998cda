"""The evaluation stage: the same held-out prompts answered by every policy, and judged.

In the pocket world the judge is gold, the known truth. On real data there is none: a reward model trained
on a disjoint split and seed stands in, and is labelled as a proxy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plaudit.data.records import Response
from plaudit.data.tokens import Segment, TokenItem
from plaudit.evaluation.exact_kl import response_kl
from plaudit.evaluation.statistics import gap_closed, mean_interval, win_rate
from plaudit.models.reward_model import load_reward_model
from plaudit.models.tokenizers import same_tokenizer
from plaudit.pipeline.answers import answer
from plaudit.pipeline.evaluation_prompts import test_prompts
from plaudit.pipeline.reward_evaluation import evaluate_reward
from plaudit.pipeline.rewards import load_reward
from plaudit.rewards import ModelReward, Sample
from plaudit.runs import Stage

NO_GOLD = "real data has no known truth: no gold score exists for it"


def evaluate(context: Any, stage: Stage) -> Mapping[str, Any]:
    """Answer, judge, compare; everything the report shows that training did not record."""
    settings = context.config.evaluate
    names = {"base": context.base_stage()}
    if context.config.sft:
        names["sft"] = "sft"
    final = context.config.final
    if final:
        names[final] = final
    policies = {name: context.load(folder) for name, folder in names.items()}
    prompts = test_prompts(context, list(policies.values()), stage)
    answers = {
        name: answer(
            context, policy, prompts, temperature=settings.temperature, max_new_tokens=settings.max_new_tokens
        )
        for name, policy in policies.items()
    }
    result: dict[str, Any] = {
        "kind": context.materials.kind,
        "prompts": len(prompts),
        "prompts_asked": settings.prompts,
        "temperature": settings.temperature,
        "length": {name: _lengths(samples) for name, samples in answers.items()},
    }
    proxies = _proxy_scores(context, policies, answers)
    result["proxy"] = {name: mean_interval(scores) for name, scores in proxies.items()}
    kl = np.zeros(len(prompts))
    start = "sft" if "sft" in policies else "base"
    if final:
        items = [TokenItem(s.prompt_ids, (Segment.of(s.ids),)) for s in answers[final]]
        kl = response_kl(
            policies[final], policies[start], items, temperature=settings.temperature, device=context.device
        )
        result["kl"] = {"exact": float(kl.mean()), **_interval(kl)}
    if context.materials.gold is not None:
        result["judge"] = "gold"
        gold = _judge_gold(context, prompts, policies, answers, result)
    else:
        result |= {"judge": "proxy", "gold": None, "gold_reason": NO_GOLD}
        gold = {}
        _judge_proxy(context, policies, answers, result, start)
    if context.config.reward:
        result["reward_model"] = evaluate_reward(context)
    stage.write_json("evaluation.json", result)
    (stage.path / "samples.jsonl").unlink(missing_ok=True)
    stage.append_samples(_show(context, prompts, answers, proxies, gold, kl, settings.show))
    return {}


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


def _proxy_scores(
    context: Any, policies: Mapping[str, Any], answers: Mapping[str, list[Sample]]
) -> dict[str, np.ndarray]:
    """The reward that was trained on, or else the run's reward model, for every policy's answers."""
    if not context.config.scoring and not context.config.reward:
        return {}
    reward = load_reward(context, list(policies.values())[-1])
    return {name: reward.score(samples).scores for name, samples in answers.items()}


def _judge_gold(
    context: Any,
    prompts: Sequence[Any],
    policies: Mapping[str, Any],
    answers: Mapping[str, list[Sample]],
    result: dict[str, Any],
) -> dict[str, np.ndarray]:
    gold, world = context.materials.gold, context.materials.world
    judged = {name: [gold.judge(s.prompt, s.response) for s in samples] for name, samples in answers.items()}
    judged["perfect"] = [gold.judge(p, Response(world.perfect(p))) for p in prompts]
    scores = {name: np.asarray([j.score for j in rows]) for name, rows in judged.items()}
    result["gold"] = {name: mean_interval(values) for name, values in scores.items()}
    result["attributes"] = {name: gold.summarise(prompts, rows) for name, rows in judged.items()}
    final = context.config.final
    if final and "sft" in scores:
        result["gap_closed"] = gap_closed(scores["sft"], scores[final], scores["perfect"])
        result["win_rate"] = {
            f"{final}_vs_sft": win_rate(scores[final], scores["sft"]),
            "perfect_vs_sft": win_rate(scores["perfect"], scores["sft"]),
        }
        result["best_temperature"] = _best_temperature(context, prompts, policies, scores["perfect"])
    return scores


def _best_temperature(
    context: Any, prompts: Sequence[Any], policies: Mapping[str, Any], perfect: np.ndarray
) -> dict[str, Any]:
    """SFT at the temperature that is best for it, and the trained policy there: sharpening alone is not learning."""
    settings, gold = context.config.evaluate, context.materials.gold

    def scores(policy: Any, on: Sequence[Any], temperature: float) -> np.ndarray:
        samples = answer(context, policy, on, temperature=temperature, max_new_tokens=settings.max_new_tokens)
        return np.asarray([gold.judge(s.prompt, s.response).score for s in samples])

    validation = context.materials.validation_prompts
    options = sorted({*settings.temperatures, settings.temperature})
    means = {t: float(scores(policies["sft"], validation, t).mean()) for t in options}
    best = max(options, key=lambda t: means[t])
    final = context.config.final
    sft, after = (scores(policies[name], prompts, best) for name in ("sft", final))
    return {
        "temperature": best,
        "validation": {str(t): m for t, m in means.items()},
        "sft": mean_interval(sft),
        final: mean_interval(after),
        "win_rate": win_rate(after, sft),
        "gap_closed": gap_closed(sft, after, perfect),
    }


def _judge_proxy(
    context: Any,
    policies: Mapping[str, Any],
    answers: Mapping[str, list[Sample]],
    result: dict[str, Any],
    start: str,
) -> None:
    """Win rate by a reward model that shares no prompt and no seed with the one that was trained on."""
    folder = context.folder.stage("judge")
    final = context.config.final
    if not final or not folder.model.exists():
        return
    model = load_reward_model(folder.model).to(context.device)
    judge = ModelReward(
        model,
        same_tokenizer=same_tokenizer(model.tokenizer, policies[final].tokenizer),
        normalisation="none",
        device=context.device,
    )
    scores = {name: judge.score(samples).scores for name, samples in answers.items()}
    result["win_rate"] = {f"{final}_vs_sft": win_rate(scores[final], scores[start])}
    if "base" in scores and start != "base":
        result["win_rate"]["sft_vs_base"] = win_rate(scores["sft"], scores["base"])


def _show(
    context: Any,
    prompts: Sequence[Any],
    answers: Mapping[str, list[Sample]],
    proxies: Mapping[str, np.ndarray],
    gold: Mapping[str, np.ndarray],
    kl: np.ndarray,
    count: int,
) -> list[dict[str, Any]]:
    """Prompts spread evenly over the ranking of the last policy's scores, by category in turn."""
    last = list(answers)[-1]
    key = gold.get(last, proxies.get(last, np.zeros(len(prompts))))
    groups: dict[str, list[int]] = {}
    for i in np.argsort(-key, kind="stable"):
        groups.setdefault(str(prompts[i].metadata.get("category", "")), []).append(int(i))
    picks: list[int] = []
    share = -(-count // max(1, len(groups)))
    for members_ in groups.values():
        places = np.unique(np.linspace(0, len(members_) - 1, min(share, len(members_))).round().astype(int))
        picks += [members_[p] for p in places]
    rows = []
    for i in picks[:count] if len(groups) == 1 else picks:
        row: dict[str, Any] = {"prompt": prompts[i].text, "category": prompts[i].metadata.get("category", "")}
        for name, samples in answers.items():
            entry: dict[str, Any] = {"text": samples[i].answer, "finished": samples[i].finish != "length"}
            if name in gold:
                entry["gold"] = float(gold[name][i])
            if name in proxies:
                entry["proxy"] = float(proxies[name][i])
            if name == context.config.final:
                entry["kl"] = float(kl[i])
            row[name] = entry
        if context.materials.world is not None:
            row["perfect"] = {"text": context.materials.world.perfect(prompts[i])}
        rows.append(row)
    return rows
