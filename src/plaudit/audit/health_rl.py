"""Warning signs of RL in a run's recorded numbers."""

from __future__ import annotations

from plaudit.audit.findings import Finding, Watched, mean, series, tail
from plaudit.audit.run import dig
from plaudit.display.formatting import after, finite, number, percent
from plaudit.evaluation.frontier import over_optimization

KL_WARNING, KL_SERIOUS = 6.0, 15.0  # nats per response; 6 is the usual target of the adaptive controller
ENTROPY_SHARE = 0.10
LENGTH_GROWTH = 1.5
FINISHED = 0.8
CLIP_FRACTION = 0.3
GOLD_FALL_WARNING, GOLD_FALL_SERIOUS = 0.25, 0.6  # of (perfect − start)
LOG_PROB_GAP = 0.1  # nats per token
FIRST_APPROX_KL = 1e-3
NEGATIVE_KL = -0.5
MINIMUM_POINTS = 4


def kl_too_high(seen: Watched) -> Finding | None:
    points = series(seen.rows, "objective/kl")
    if not points:
        return None
    end = mean(tail(points))
    if end <= KL_WARNING:
        return None
    first = (
        next(step for step, v in points if v > KL_WARNING) if max(v for _, v in points) > KL_WARNING else 0
    )
    return Finding(
        "kl_too_high",
        "serious" if end > KL_SERIOUS else "warning",
        "The policy has moved far from where it started.",
        f"KL passed {number(KL_WARNING, 0)} nats per response at iteration {first} and ended near {number(end, 1)}.",
        *seen.advice(
            ("raise {}", "kl.coefficient"),
            ("lower {}", "lr"),
            ("set {} to keep the last good policy", "kl.kl_max"),
        ),
        numbers={"end": end, "first_above": first},
    )


def kl_negative(seen: Watched) -> Finding | None:
    low = [(step, v) for step, v in series(seen.rows, "objective/kl") if v < NEGATIVE_KL]
    if not low:
        return None
    step, value = min(low, key=lambda p: p[1])
    return Finding(
        "kl_negative",
        "serious",
        "The measured KL is clearly below zero, which a true KL cannot be.",
        f"KL was {number(value)} nats per response at iteration {step}.",
        "The policy that is trained is not the one that was sampled: compare temperature and precision of both.",
        numbers={"kl": value, "iteration": step},
    )


def entropy_collapse(seen: Watched) -> Finding | None:
    points = series(seen.rows, "objective/entropy")
    if len(points) < MINIMUM_POINTS or points[0][1] <= 0:
        return None
    lengths = dict(series(seen.rows, "objective/response_length"))
    per_token = [(step, v / max(lengths.get(step, 1.0), 1.0)) for step, v in points]
    start, end = per_token[0][1], mean(tail(per_token))
    if end > ENTROPY_SHARE * start:
        return None
    first = next(step for step, v in per_token if v <= ENTROPY_SHARE * start)
    return Finding(
        "entropy_collapse",
        "warning",
        "The policy has almost stopped varying its answers.",
        f"It fell from {number(start, 3)} to {number(end, 3)} nats a token, under a tenth since iteration {first}.",
        *seen.advice(
            ("raise {}", "kl.coefficient"), ("add {}", "entropy_coefficient"), otherwise="stop earlier"
        ),
        numbers={"start": start, "end": end, "first_below": first},
    )


def length_runaway(seen: Watched) -> Finding | None:
    points = series(seen.rows, "objective/response_length")
    finished = series(seen.rows, "objective/finished")
    if len(points) < MINIMUM_POINTS:
        return None
    start, end = points[0][1], mean(tail(points))
    cut = mean(tail(finished)) if finished else 1.0
    grown = start > 0 and end > LENGTH_GROWTH * start
    if not grown and cut >= FINISHED:
        return None
    evidence = (
        f"Answers went from {number(start, 1)} tokens at iteration {points[0][0]} to {number(end, 1)} at "
        f"iteration {points[-1][0]}; {percent(cut)} of the last ones ended by themselves."
    )
    return Finding(
        "length_runaway",
        "serious" if cut < FINISHED else "warning",
        "Answers run into the length limit." if cut < FINISHED else "Answers keep growing.",
        evidence,
        *seen.advice(
            ("set {}", "unfinished_penalty"),
            ("raise {}", "max_new_tokens"),
            otherwise="check whether the reward model prefers length (see its baseline)",
        ),
        numbers={"start": start, "end": end, "finished": cut},
    )


def gold_falls_while_proxy_rises(seen: Watched) -> Finding | None:
    start, perfect = (
        finite(dig(seen.summary, "gold", "start", "mean")),
        finite(dig(seen.summary, "gold", "perfect", "mean")),
    )
    found = over_optimization(seen.rows, sft=start, perfect=perfect)
    share, gain = found["fall_share"], found["proxy_gain_past_peak"]
    if share is None or gain is None or share <= GOLD_FALL_WARNING or gain <= 0:
        return None
    gold = found["gold"]
    return Finding(
        "gold_falls_while_proxy_rises",
        "serious" if share >= GOLD_FALL_SERIOUS else "warning",
        "Reward hacking: the proxy went on rising while true quality fell.",
        f"Gold peaked at {number(gold['peak'])} {after(gold['peak_at'])} and ended at {number(gold['end'])} "
        f"({percent(share)} of the gap between {seen.start} and perfect); the proxy gained "
        f"{number(gain, 2, True)} meanwhile.",
        *seen.advice(
            ("raise {}", "kl.coefficient"),
            otherwise="stop at the peak, rank fresh answers and train the reward model again",
        ),
        numbers={"peak": gold["peak"], "end": gold["end"], "fall_share": share, "proxy_gain": gain},
    )


def clip_fraction_too_hot(seen: Watched) -> Finding | None:
    points = series(seen.rows, "policy/clipfrac")
    if not points:
        return None
    late = tail(points, 0.5)
    share = mean(late)
    if share <= CLIP_FRACTION:
        return None
    return Finding(
        "clip_fraction_too_hot",
        "warning",
        "The updates are larger than the clip is meant for.",
        f"{percent(share)} of tokens were clipped on average in iterations {late[0][0]} to {late[-1][0]}.",
        *seen.advice(("lower {}", "lr"), ("lower {}", "epochs"), ("set {}", "kl.epoch_target")),
        numbers={"share": share},
    )


def critic_explains_nothing(seen: Watched) -> Finding | None:
    points = series(seen.rows, "val/var_explained")
    if not seen.has("critic") or len(points) < MINIMUM_POINTS or max(v for _, v in points) > 0:
        return None
    return Finding(
        "critic_explains_nothing",
        "warning",
        "The critic never learned to foresee the reward.",
        f"Explained variance stayed at or below 0 from iteration {points[0][0]} to {points[-1][0]} "
        f"(best {number(max(v for _, v in points))}).",
        *seen.advice(("raise {}", "value_lr"), ("raise {}", "critic_warmup"), ("set {} to reward", "critic")),
        numbers={"best": max(v for _, v in points)},
    )


def score_never_rises(seen: Watched) -> Finding | None:
    points = series(seen.rows, "objective/scores")
    if len(points) < 2 * MINIMUM_POINTS:
        return None
    third = len(points) // 3
    early, late = mean(points[:third]), mean(points[-third:])
    if late > early:
        return None
    return Finding(
        "score_never_rises",
        "warning",
        f"{seen.title} did not raise the reward it was asked to raise.",
        f"Mean score {number(early)} until iteration {points[third - 1][0]}, {number(late)} in the last third.",
        *seen.advice(
            ("raise {}", "lr"),
            ("lower {}", "kl.coefficient"),
            otherwise="look at the scores of single answers",
        ),
        numbers={"early": early, "late": late},
    )


def sampler_disagrees(seen: Watched) -> Finding | None:
    points = series(seen.rows, "rollout/log_prob_gap_mean")
    late = [(s, v) for s, v in points if v > LOG_PROB_GAP]
    if not late:
        return None
    step, value = max(late, key=lambda p: p[1])
    return Finding(
        "sampler_disagrees",
        "serious",
        "Sampler and trainer disagree about the probability of the same tokens.",
        f"Mean gap {number(value, 3)} nats per token at iteration {step}.",
        "Use the native sampler, or the same precision in both; nothing else here can be trusted before.",
        numbers={"gap": value, "iteration": step},
    )


def first_minibatch_moved(seen: Watched) -> Finding | None:
    late = [(s, v) for s, v in series(seen.rows, "policy/approxkl_first") if v > FIRST_APPROX_KL]
    if not late:
        return None
    step, value = late[0]
    return Finding(
        "first_minibatch_moved",
        "serious",
        "The ratio of new to old policy was not 1 before the first update.",
        f"Approximate KL {number(value, 5)} on the first minibatch of iteration {step}; it must be 0.",
        "Old log-probs and training disagree: look for dropout, or another temperature or precision.",
        numbers={"approximate_kl": value, "iteration": step},
    )


def not_finite(seen: Watched) -> Finding | None:
    # The run folder writes NaN and infinity as null.
    bad = [(row.get("step"), key) for row in seen.rows for key, value in row.items() if value is None]
    if not bad:
        return None
    step, key = bad[0]
    return Finding(
        "not_finite",
        "serious",
        "Some recorded numbers were not finite.",
        f"{key} at iteration {step}, {len(bad)} in all.",
        "Lower the learning rate, and look at the samples of that iteration.",
        numbers={"count": len(bad)},
    )


def rolled_back(seen: Watched) -> Finding | None:
    found = dig(seen.summary, "rolled_back", seen.step)
    if not isinstance(found, dict):
        return None
    by = "gold" if found["by"] == "gold" else "the second reward"
    return Finding(
        "rolled_back",
        "note",
        f"{seen.title} ended with an earlier policy, the best on validation prompts.",
        f"Of iteration {found['iteration']}, {by} {number(found['value'], 3)}; after iteration "
        f"{found['last_iteration']} it was {number(found['last'], 3)}. The chosen value is a little too high: it is "
        "the best of several noisy ones.",
        *seen.advice(
            ("raise {}", "kl.coefficient"),
            otherwise="rank fresh answers and train the reward model again",
        ),
        numbers={"iteration": found["iteration"], "value": found["value"], "last": found["last"]},
    )


def stopped_early(seen: Watched) -> Finding | None:
    reason = dig(seen.summary, "stopped", seen.step)
    if not reason:
        return None
    return Finding(
        "stopped_early",
        "warning",
        f"{seen.title} was stopped by its limit on the KL before its last iteration.",
        f"{reason}.",
        *seen.advice(
            ("lower {} to go further", "lr"),
            ("raise {}", "kl.coefficient"),
            otherwise="keep the last good policy",
        ),
    )
