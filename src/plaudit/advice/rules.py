"""Recommends methods for a situation by rules over the registry, each with a reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plaudit.advice.costs import Amount
from plaudit.advice.situation import FEW, HAVE, Situation
from plaudit.config.pretrained import vetted
from plaudit.errors import UserError
from plaudit.registry import METHODS, Method, resolve

PROMPT = 64  # tokens of a usual prompt, where none is known
TIGHT = "memory"  # how the reason begins where a method is left out for it
# Placeholders in a recipe for names that only the user knows.
MODEL, REWARD_MODEL, SCORE = "MODEL", "REWARD_MODEL", "my_rewards:score"
# What the reason for leaving a method out is called.
MISSING: Mapping[str, str] = {
    "text": "raw text",
    "demonstrations": "demonstrations",
    "preferences": "rankings or pairs",
    "labels": "labels or rankings",
    "prompts": "prompts",
    "reward": "a reward: a function, a reward model, or rankings to fit one to",
}


@dataclass(frozen=True)
class Advice:
    """A method, why, what it takes, and the recipe that runs it; ``halved``: adapters on a base in bfloat16."""

    method: str
    reason: str
    gib: float
    adapters: bool
    halved: bool
    recipe: dict[str, Any]
    amount: Amount

    @property
    def to_fill_in(self) -> list[str]:
        """Placeholders in the recipe that the user has to replace."""
        data = [path for paths in self.recipe["data"].values() for path in paths]
        known = {MODEL, REWARD_MODEL, SCORE, *(f"{name.upper()}.jsonl" for name in HAVE)}
        sections = [self.recipe["policy"], *self.recipe["steps"].values()]
        named = [*(v for section in sections for v in section.values()), *data]
        return list(dict.fromkeys(v for v in named if isinstance(v, str) and v in known))


@dataclass
class Recommendation:
    """The answer: the first advice is the one to take; ``left_out`` says why not the others."""

    advice: list[Advice] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def advise(found: Situation) -> Recommendation:
    """Methods that this situation can feed, best first, and the steps around them."""
    path = Recommendation(warnings=_warnings(found))
    fed = found.feeds()
    for method in METHODS.values():
        missing = [MISSING[need] for need in method.needs if need not in fed]
        if missing:
            path.left_out[method.name] = f"needs {' and '.join(missing)}"
        elif method.fit is not None or method.trains_policy:
            score, reason = _fit(method, found)
            if score <= 0:
                path.left_out[method.name] = reason
            else:
                path.advice.append(_made(method, reason, found))
    order = {a.method: _fit(METHODS[a.method], found)[0] for a in path.advice}
    path.advice.sort(key=lambda a: -order[a.method])
    tight = {name: why for name, why in path.left_out.items() if why.startswith(TIGHT)}
    if not path.advice and tight and not found.have & {"people", "text"}:
        least = min(found.gib(METHODS[name].models, adapters=True, halved=True) for name in tight)
        raise UserError(
            f"{found.memory:g} GiB of memory are too few for {found.parameters / 1e9:.3g} billion parameters: of "
            f"{', '.join(tight)} the smallest takes {least:.1f} GiB with adapters on a base in bfloat16",
            remedy="take a smaller model, or a device with more memory",
        )
    if not path.advice and not found.have & {"people", "text"}:
        raise UserError(
            "no method can train on this data",
            remedy="name data files, or --have what there is: demonstrations, pairs, thumbs, function, people …",
        )
    path.steps = _steps(found, path.advice[0].method if path.advice else None)
    return path


def _fit(method: Method, found: Situation) -> tuple[float, str]:
    """How well a method serves the situation (0: not at all), and why."""
    need = found.gib(method.models, adapters=True, halved=True)
    if found.memory is not None and min(need, found.gib(method.models)) > found.memory:
        return (
            0.0,
            f"{TIGHT}: {need:.1f} GiB even with adapters on a base in bfloat16, more than {found.memory:g}",
        )
    if method.fit is None:
        return 1.0, method.when or method.summary
    score, reason = resolve(method.fit)(found)
    return float(score), str(reason)


def _warnings(found: Situation) -> list[str]:
    said = []
    if 0 < found.preferences < FEW:
        said.append(
            f"{found.preferences} rankings are few: a reward model on so few is hardly better than “longer wins”; "
            "collect more, or stay with DPO at a high β"
        )
    if found.agreement is not None and found.agreement < 0.7:
        said.append(
            f"people agree on only {found.agreement:.0%}: use dpo.label_smoothing (or loss: robust) and look at the "
            "guidelines first"
        )
    return said


def _made(method: Method, reason: str, found: Situation) -> Advice:
    adapters = found.memory is not None and found.gib(method.models) > found.memory
    halved = adapters and found.gib(method.models, adapters=True) > (found.memory or math.inf)
    lora = {"rank": 16} | ({"base_dtype": "bfloat16"} if halved else {}) if adapters else None
    recipe = _recipe(method, found, lora)
    gib = found.gib(method.models, adapters=adapters, halved=halved)
    return Advice(method.name, reason, gib, adapters, halved, recipe, _amount(recipe, found))


def _amount(recipe: Mapping[str, Any], found: Situation) -> Amount:
    """What all steps of the recipe compute: passes over the records, and what RL samples, scores and learns from."""
    made = Amount()
    for name, section in recipe["steps"].items():
        kind = METHODS[name]
        settings = resolve(kind.settings)(**section)
        made = _sum(made, _online(kind, settings) if kind.online else _offline(kind, settings, found))
    return made


def _offline(kind: Method, settings: Any, found: Situation) -> Amount:
    tokens = found.tokens * settings.epochs
    if not kind.rewarded:
        return Amount(tokens, found.tokens * ("reference" in kind.needs), loads=2)
    rows = settings.prompts * settings.n  # rejection sampling: all are sampled and scored, the best imitated
    new = rows * settings.max_new_tokens
    return Amount(settings.epochs * settings.prompts * settings.max_new_tokens, new, new, loads=3)


def _online(kind: Method, settings: Any) -> Amount:
    together = settings.prompts_per_iteration * settings.samples_per_prompt
    episodes = settings.iterations * together
    tokens = episodes * (settings.max_new_tokens + PROMPT)
    critic = "critic" in kind.models
    scored = tokens * (3 + critic)  # log-probs of policy and reference, scores, values
    return Amount(
        tokens * settings.epochs * (1 + critic),
        scored,
        episodes * settings.max_new_tokens,
        together,
        loads=4 + critic,
    )


def _sum(one: Amount, two: Amount) -> Amount:
    return Amount(
        one.trained + two.trained,
        one.forward + two.forward,
        one.sampled + two.sampled,
        two.at_once if two.sampled else one.at_once,
        one.loads + two.loads,
    )


def _recipe(method: Method, found: Situation, lora: Mapping[str, Any] | None) -> dict[str, Any]:
    """A recipe that runs: the steps that the method stands on, then the method."""
    files = {name: [f"{name.upper()}.jsonl"] for name in found.have} | found.files
    data = {
        "demonstrations": files.get("demonstrations", []),
        "preferences": [*files.get("pairs", []), *files.get("rankings", [])],
        "labels": files.get("thumbs", []) if method.data == "labels" else [],
        "prompts": _prompts(files) if "prompts" in method.needs else [],
    }
    policy: dict[str, Any] = {"path": found.model or MODEL}
    adapters = lora is not None
    if lora:
        policy["lora"] = dict(lora)
    recipe: dict[str, Any] = {"name": method.verb, "policy": policy}
    recipe["data"] = {role: _once(sources) for role, sources in data.items() if sources}
    steps: dict[str, Any] = {}
    if "demonstrations" in found.have and "demonstrations" not in method.needs and not method.imitates:
        steps["sft"] = vetted("sft", found.parameters, adapters=adapters)
    section: dict[str, Any] = {}
    if method.rewarded:
        if "function" in found.have:
            section["reward_function"] = SCORE
        elif "reward_model" in found.have:
            section["reward_model"] = REWARD_MODEL
        else:
            adapted = {"lora": dict(lora)} if lora else {}
            steps["reward"] = {**adapted, **vetted("reward", found.parameters, adapters=adapters)}
    section |= vetted(method.name, found.parameters, adapters=adapters)
    steps[method.name] = section
    recipe["steps"] = steps
    recipe["evaluate"] = {} if "preferences" in recipe["data"] or "prompts" in recipe["data"] else None
    return recipe


def _prompts(files: Mapping[str, list[Any]]) -> list[Any]:
    """Files to take prompts from; rankings and demonstrations in a recipe give theirs by themselves."""
    given = files.get("prompts", [])
    if given or any(name in files for name in ("pairs", "rankings", "demonstrations")):
        return given
    return files.get("thumbs", [])


def _steps(found: Situation, first: str | None) -> list[str]:
    """The path around the method: what to do before and after it."""
    steps = []
    people = "people" in found.have
    if first is None:
        steps.append("collect: let people rank answers of a model that you have (three to nine a prompt)")
    if found.quality == "best" and people:
        steps += [
            "AI feedback at scale: let a strong model rank many answers by written principles, and keep the principles",
            "DPO on those rankings: cheap, and one model in memory",
            "human rankings where these and a reward model disagree (rank: recheck; recipes/combined-feedback.yaml)",
            "a reward model on the human rankings, then PPO or RLOO with a KL penalty; read its report",
        ]
    elif people and first is not None and METHODS[first].trains_policy:
        steps.append(
            "afterwards: rank fresh answers of the trained model; old rankings speak of a model that is gone"
        )
    return steps


def _once(sources: Sequence[Any]) -> list[Any]:
    """Sources in their order, each once: paths, or objects of a path and how it is read."""
    return [s for i, s in enumerate(sources) if s not in sources[:i]]
