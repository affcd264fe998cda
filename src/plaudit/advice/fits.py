"""How well each method fits a situation: a score (0: not at all) and the reason."""

from __future__ import annotations

from plaudit.advice.situation import FEW, Situation

Fit = tuple[float, str]


def _ranked(found: Situation) -> bool:
    return bool(found.have & {"pairs", "rankings"})


def _verifiable(found: Situation) -> bool:
    return "function" in found.have


def _few(found: Situation) -> bool:
    """Too few rankings to fit a reward model to, and nothing else that scores."""
    scored = _verifiable(found) or "reward_model" in found.have
    return _ranked(found) and 0 < found.preferences < FEW and not scored


def sft(found: Situation) -> Fit:
    alone = not (_ranked(found) or _verifiable(found) or found.have & {"thumbs", "reward_model"})
    if alone:
        return 9.0, "only good answers are there: imitate them"
    return 1.0, "the ground for every other method"


def dpo(found: Situation) -> Fit:
    score = 6.0 + 1.5 * (found.quality != "best") + 1.0 * _few(found) - 3.0 * _verifiable(found)
    whole = "; rankings of K answers are used whole" if "rankings" in found.have else ""
    return (
        score,
        f"rankings are there; one model in memory, nothing to sample, and it is hard to break{whole}",
    )


def ppo(found: Situation) -> Fit:
    score = 5.0 + 3.0 * (found.quality == "best") - 2.0 * (found.quality == "draft")
    score -= 2.0 * _few(found) + 1.0 * found.needs_adapters(("policy", "critic", "reference", "reward model"))
    return score, "fresh samples against a reward model go beyond what the data holds; credit token by token"


def rloo(found: Situation) -> Fit:
    score = 5.2 + 2.5 * (found.quality == "best") - 1.5 * (found.quality == "draft")
    score += 2.0 * _verifiable(found) - 2.0 * _few(found)
    return score, "as PPO without a critic: less memory, fewer settings, the KL in the reward"


def grpo(found: Situation) -> Fit:
    score = 4.5 + 2.0 * (found.quality == "best") + 5.0 * _verifiable(found)
    score -= 1.5 * (found.quality == "draft") + 2.0 * _few(found)
    checked = (
        "answers can be checked" if _verifiable(found) else "as RLOO, with advantages scaled by the group"
    )
    return score, checked


def rejection(found: Situation) -> Fit:
    score = 4.0 + 3.0 * (found.quality == "draft") - 1.0 * _few(found)
    return score, "the best of n by the reward, imitated: SFT is all that runs, nothing can diverge"


def kto(found: Situation) -> Fit:
    thumbs = "thumbs" in found.have
    score = 8.0 if thumbs and not _ranked(found) else 2.0
    return score, "single labels are there" if thumbs else "rankings say more than the labels in them"


def orpo(found: Situation) -> Fit:
    score = 4.0 + 2.5 * ("demonstrations" not in found.have and _ranked(found))
    return (
        score,
        "no demonstrations beside the preferred answers: SFT and preference in one step, no reference",
    )


def simpo(found: Situation) -> Fit:
    return 3.5, "as DPO without a reference; watch that answers do not drift"


def cpo(found: Situation) -> Fit:
    return 3.0, "as DPO without a reference, with the preferred answers imitated"


def reinforce(found: Situation) -> Fit:
    return 4.0 + 1.0 * (found.quality == "best"), "as RLOO where prompts are many: one sample each"


def online_dpo(found: Situation) -> Fit:
    score = 4.2 + 1.0 * (found.quality == "best") - 1.0 * _few(found)
    return score, "DPO's loss on fresh samples that the reward ranks"
