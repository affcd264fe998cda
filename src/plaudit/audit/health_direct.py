"""Warning signs of methods that learn from judgements directly, or from groups of samples."""

from __future__ import annotations

from plaudit.audit.findings import Finding, Watched, mean, series, tail
from plaudit.display.formatting import number, percent

FALLEN = 1.0  # nats per answer: less is noise of which answers a batch holds
ZERO_VARIANCE = 0.5
CLIPPED = 0.1


def likelihood_displacement(seen: Watched) -> Finding | None:
    """Both winners and losers have become less likely: DPO only asks that losers fall further."""
    # Held-out answers are the same at every look; those of a training window are not.
    for prefix in ("eval/", ""):
        chosen, rejected = (series(seen.rows, f"{prefix}logps/{side}") for side in ("chosen", "rejected"))
        if len(chosen) >= 2 and len(rejected) >= 2:
            break
    else:
        return _by_reward(seen)
    fell = [mean(tail(points)) - mean(points[: max(1, len(points) // 4)]) for points in (chosen, rejected)]
    return _displaced(seen, fell[0], fell[1]) if max(fell) < -FALLEN else None


def _by_reward(seen: Watched) -> Finding | None:
    """Against the reference: an implicit reward below 0 is a log-prob that fell."""
    chosen, rejected = (series(seen.rows, f"eval/rewards/{side}") for side in ("chosen", "rejected"))
    if not chosen or not rejected or chosen[-1][1] >= 0 or rejected[-1][1] >= 0:
        return None
    return _displaced(seen, chosen[-1][1], rejected[-1][1], "implicit reward")


def _displaced(seen: Watched, chosen: float, rejected: float, what: str = "log-prob") -> Finding:
    return Finding(
        "likelihood_displacement",
        "note",
        "Preferred and rejected answers have both become less likely.",
        f"The {what} of preferred answers went by {number(chosen, sign=True)}, of rejected ones by "
        f"{number(rejected, sign=True)}.",
        *seen.advice(
            ("add {} if answers got worse: the loss asks for the difference alone", "nll"),
            ("raise {}", "beta"),
            otherwise="learn from own samples (online DPO, RLOO)",
        ),
        numbers={"chosen": chosen, "rejected": rejected},
    )


def groups_teach_nothing(seen: Watched) -> Finding | None:
    """Most groups score the same throughout: no sample is better than the others."""
    points = series(seen.rows, "group/zero_variance")
    late = tail(points)
    if not late or mean(late) <= ZERO_VARIANCE:
        return None
    cut = _cut(seen)
    return Finding(
        "groups_teach_nothing",
        "warning",
        "Most prompts teach nothing any more: all their samples score the same.",
        f"{percent(mean(late))} of groups in the last quarter have no spread of scores.{cut}",
        *seen.advice(
            *([("set {} to null or a larger number", "reward_clip")] if cut else []),
            ("raise {}", "samples_per_prompt"),
            ("raise {}", "temperature"),
            otherwise="take harder (or easier) prompts, or a finer reward",
        ),
        numbers={"share": mean(late)},
    )


def _cut(seen: Watched) -> str:
    """That scores were clipped in the last quarter, so that different ones became equal; empty where none was."""
    share = mean(tail(points)) if (points := series(seen.rows, "reward/clipped")) else 0.0
    return f" The bound on scores cut {percent(share, 1)} of them." if share else ""


def scores_clipped(seen: Watched) -> Finding | None:
    """So many scores lie beyond the bound that it decides what is learned."""
    late = tail(series(seen.rows, "reward/clipped"))
    if not late or mean(late) <= CLIPPED:
        return None
    return Finding(
        "scores_clipped",
        "warning",
        "Many scores are cut to the bound: among them, better answers are paid no more.",
        f"{percent(mean(late))} of the scores in the last quarter were cut.",
        *seen.advice(
            ("raise {} (null is no bound)", "reward_clip"),
            otherwise="read the best answers: scores that far from the reference answers may mean that the policy "
            "has found what the reward model is wrong about",
        ),
        numbers={"share": mean(late)},
    )
