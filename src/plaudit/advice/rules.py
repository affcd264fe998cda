"""From a situation to a method: rules over the methods' table, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plaudit.advice.situation import FEW, Situation
from plaudit.errors import UserError
from plaudit.methods_table import METHODS, Method

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
    """A method, why, what it takes, and the recipe that runs it."""

    method: str
    reason: str
    gib: float
    adapters: bool
    recipe: dict[str, Any]
    passes: float


@dataclass
class Path:
    """The answer: the first advice is the one to take; ``left_out`` says why not the others."""

    advice: list[Advice] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def advise(found: Situation) -> Path:
    """Methods that this situation can feed, best first, and the steps around them."""
    path = Path(warnings=_warnings(found))
    fed = found.feeds()
    for method in METHODS.values():
        missing = [MISSING[need] for need in method.needs if need not in fed]
        if missing:
            path.left_out[method.name] = f"needs {' and '.join(missing)}"
        elif method.name not in ("pretrain", "reward"):
            score, reason = _fit(method, found)
            if score <= 0:
                path.left_out[method.name] = reason
            else:
                path.advice.append(_made(method, reason, found))
    order = {a.method: _fit(METHODS[a.method], found)[0] for a in path.advice}
    path.advice.sort(key=lambda a: -order[a.method])
    if not path.advice and not found.have & {"people", "text"}:
        raise UserError(
            "nothing to learn from: no method can be fed",
            remedy="name data files, or --have what there is: demonstrations, pairs, thumbs, function, people …",
        )
    path.steps = _steps(found, path.advice[0].method if path.advice else None)
    return path


def _fit(method: Method, found: Situation) -> tuple[float, str]:
    """How well a method serves the situation (0: not at all), and why."""
    have, best, draft = found.have, found.quality == "best", found.quality == "draft"
    ranked, verifiable = bool(have & {"pairs", "rankings"}), "function" in have
    k_way = "rankings" in have
    full = found.memory is None or found.gib(method.models) <= found.memory
    lora = found.memory is not None and not full and found.gib(method.models, adapters=True) <= found.memory
    if not full and not lora:
        need = found.gib(method.models, adapters=True)
        return 0.0, f"takes {need:.1f} GiB even with adapters, more than {found.memory:g}"
    few = ranked and 0 < found.preferences < FEW and not verifiable and "reward_model" not in have
    if method.name == "sft":
        alone = not (ranked or verifiable or have & {"thumbs", "reward_model"})
        return (9.0 if alone else 1.0), (
            "only good answers are there: imitate them" if alone else "the ground for every other method"
        )
    if method.name == "dpo":
        score = 6.0 + 1.5 * (not best) + 1.0 * few - 3.0 * verifiable
        return (
            score,
            "rankings are there; one model in memory, nothing to sample, and it is hard to break"
            + ("; rankings of K answers are used whole" if k_way else ""),
        )
    if method.name == "ppo":
        score = 5.0 + 3.0 * best - 2.0 * draft - 2.0 * few - 1.0 * lora
        return (
            score,
            "fresh samples against a reward model go beyond what the data holds; credit token by token",
        )
    if method.name == "rloo":
        score = 5.2 + 2.5 * best - 1.5 * draft - 2.0 * few + 2.0 * verifiable
        return score, "as PPO without a critic: less memory, fewer knobs, the KL in the reward"
    if method.name == "grpo":
        score = 4.5 + 2.0 * best + 5.0 * verifiable - 1.5 * draft - 2.0 * few
        return (
            score,
            "answers can be checked" if verifiable else "as RLOO, with advantages scaled by the group",
        )
    if method.name == "rejection":
        score = 4.0 + 3.0 * draft - 1.0 * few
        return score, "the best of n by the reward, imitated: SFT is all that runs, nothing can diverge"
    if method.name == "kto":
        score = 8.0 if "thumbs" in have and not ranked else 2.0
        return (
            score,
            "single labels are there" if "thumbs" in have else "rankings say more than the labels in them",
        )
    if method.name == "orpo":
        score = 4.0 + 2.5 * ("demonstrations" not in have and ranked)
        return (
            score,
            "no demonstrations beside the preferred answers: SFT and preference in one stage, no reference",
        )
    notes = {
        "simpo": (3.5, "as DPO without a reference; watch that answers do not drift"),
        "cpo": (3.0, "as DPO without a reference, with the preferred answers imitated"),
        "reinforce": (4.0 + 1.0 * best, "as RLOO where prompts are many: one sample each"),
        "online_dpo": (4.2 + 1.0 * best - 1.0 * few, "DPO's loss on fresh samples that the reward ranks"),
    }
    return notes[method.name]


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
    recipe = _recipe(method, found, adapters)
    return Advice(
        method.name, reason, found.gib(method.models, adapters=adapters), adapters, recipe, _passes(method)
    )


def _passes(method: Method) -> float:
    """Forward-and-backward passes over the data's tokens, roughly, for a time estimate."""
    if method.online:
        return 20.0 * (2.0 if "critic" in method.models else 1.0)
    return 4.0 if method.name == "rejection" else 1.0 + (1 / 3 if "reference" in method.needs else 0.0)


def _recipe(method: Method, found: Situation, adapters: bool) -> dict[str, Any]:
    """A recipe that runs: stages that the method stands on, then the method."""
    files = found.files
    data = {
        "demonstrations": files.get("demonstrations", []),
        "preferences": [*files.get("pairs", []), *files.get("rankings", [])],
        "labels": files.get("thumbs", []) if method.name == "kto" else [],
        "prompts": files.get("prompts", []) if "prompts" in method.needs else [],
    }
    policy: dict[str, Any] = {"source": "pretrained", "path": found.model or "MODEL"}
    if adapters:
        policy["lora"] = {"rank": 16}
    recipe: dict[str, Any] = {"name": method.verb, "policy": policy}
    recipe["data"] = {role: _once(sources) for role, sources in data.items() if sources}
    if "demonstrations" in found.have and method.name not in ("sft", "orpo"):
        recipe["sft"] = {"lr": 2e-5}
    section: dict[str, Any] = {}
    if "reward" in method.needs:
        if "function" in found.have:
            section["reward_function"] = "my_rewards:score"
        elif "reward_model" in found.have:
            section["reward_model"] = "REWARD_MODEL"
        else:
            recipe["reward"] = {"lr": 1e-5}
    section["lr"] = {"sft": 2e-5, "rejection": 1e-5}.get(method.name, 1e-6 if not adapters else 1e-5)
    if method.name == "ppo":
        section["value_lr"] = 1e-5
    recipe[method.name] = section
    recipe["evaluate"] = {} if "preferences" in recipe["data"] or "prompts" in recipe["data"] else None
    return recipe


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
            "human rankings where the stakes are highest: on the prompts where AI feedback and people disagree",
            "a reward model on the human rankings, then PPO or RLOO with a KL leash, and the audit of `plaudit report`",
        ]
    elif people and first in ("dpo", "ppo", "rloo"):
        steps.append(
            "afterwards: rank fresh answers of the trained model; old rankings speak of a model that is gone"
        )
    return steps


def _once(sources: Sequence[Any]) -> list[Any]:
    """Sources in their order, each once: paths, or objects of a path and how it is read."""
    return [s for i, s in enumerate(sources) if s not in sources[:i]]
