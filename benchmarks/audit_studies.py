"""The studies behind docs/audit.md: what prevents over-optimization, planted biases, a repaired hack, the forecast."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import studies
from planted import BIASES, trial

Row = dict[str, Any]
HELD, LOOP = "ppo-held", 20
RUNS, CLEAN = (
    4,
    7,
)  # runs of each planted bias, and without one, for a seed: three seeds are 12 of each and 21

RANKED = {"prompts": 3000, "answers": [4, 9]}
FITTED = {"batch_size": 4, "lr": 0.0003, "epochs": 1}
FREE = {"iterations": 40, "schedule": "constant", "kl": {"coefficient": 0}}
FAVOURITES = {"prompts": 1000, "answers": [4, 9], "favourites": 0.5}
MANY = ("steps.votes.members=3", "steps.reward.members=3")


def unleashed(**changes: Any) -> dict[str, Any]:
    return {"ppo": {**FREE, **changes}}


# By name: settings, and steps that are added or changed. All but the first keep what that run ranked and trained.
PREVENTIONS: Mapping[str, tuple[Sequence[str], Mapping[str, Any]]] = {
    "none": ((), unleashed()),
    "PAR": ((), unleashed(shaping="par")),
    "ensemble of three": (MANY, unleashed()),
    "length_power .5": ((), unleashed(length_power=0.5)),
    "keep_best gold": ((), unleashed(keep_best="gold")),
    "keep_best second": (
        (),
        {
            "ppo": None,
            "rank-second": {"from": "sft", "prompts": 1000, "answers": [4, 9]},
            "reward-second": {"from": "votes", "on": ["rank-second"], **FITTED},
            HELD: {"from": "sft", "reward": "reward", "keep_best": "reward-second", **FREE},
        },
    ),
    "kl_max 6": ((), unleashed(kl={"coefficient": 0, "kl_max": 6})),
    "loop of two": (
        (),
        {
            **unleashed(iterations=LOOP),
            "rank-2": {"from": "ppo", "beside": ["sft"], **FAVOURITES},
            "reward-2": {"from": "votes", "on": ["rank", "rank-2"], **FITTED},
            "ppo-2": {"from": "sft", **FREE, "iterations": LOOP},
        },
    ),
}
PREVENTED = {
    "gold T=1": ".2f",
    "gold at best": ".2f",
    "gold peak": ".2f",
    "proxy": ".2f",
    "KL": ".1f",
    "over_refusal": ".2f",
}


def made(
    seed: int, folder: Path, name: str, donor: Any, sets: Sequence[str], steps: Mapping[str, Any]
) -> Any:
    """A run of the demo's recipe with these changes, which adopts every step that the donor has."""
    from plaudit.pipeline.run import execute_config
    from plaudit.runs import RunFolder

    threads = donor.read_json("run.json")["resolved"]["threads"]
    return execute_config(config(seed, threads, name, sets, steps), RunFolder(folder / name), donor=donor)


def config(seed: int, threads: int, name: str, sets: Sequence[str], steps: Mapping[str, Any]) -> Any:
    """The demo's recipe with these changes."""
    from plaudit.pipeline.demo import QUICK
    from plaudit.pipeline.experiments import Variation

    quick = QUICK if studies.quick() else ()
    if studies.quick():
        steps = {n: None if s is None else {**s, **_small(n)} for n, s in steps.items()}
    return Variation(tuple(sets), steps).config([f"seed={seed}", f"threads={threads}", *quick], name)


def _small(step: str) -> dict[str, Any]:
    """What keeps a step of ``study.py --quick`` to seconds."""
    kind = step.split("-")[0]
    return {"ppo": {"iterations": 2, "prompts_per_iteration": 32}, "rank": {"prompts": 40}}.get(kind, {})


def base_of(seed: int, folder: Path) -> Any:
    from plaudit.runs import RunFolder

    studies.demo(seed, folder)
    return RunFolder(folder / "run")


def preventions(seed: int, folder: Path) -> list[Row]:
    """Over-optimization by PPO without a penalty, and what each setting makes of it."""
    from plaudit.pipeline.experiments import OWN_ANSWERS

    donor, rows = base_of(seed, folder), []
    for label, (sets, steps) in PREVENTIONS.items():
        name = "prevention-" + "-".join(label.replace(".", "").split())
        run = made(seed, folder, name, donor, (OWN_ANSWERS, *sets), steps)
        donor = run if label == "none" else donor
        summary = studies.read(run.path)
        dig = studies.dig
        rows.append(
            {
                "setting": label,
                "gold T=1": dig(summary, "gold", "end", "mean"),
                "gold at best": dig(summary, "best_temperature", "end", "mean"),
                "gold peak": studies.path_of(run.path).get("gold peak"),
                "proxy": dig(summary, "proxy", "end", "mean"),
                "KL": dig(summary, "kl", "from_start", "exact"),
                "over_refusal": dig(summary, "attributes", "end", "over_refusal"),
            }
        )
    return rows


def planted(seed: int, folder: Path) -> list[Row]:
    """Short PPO by raters with one bias, from one start; what the audit names first."""
    base_of(seed, folder)
    runs, clean = (1, 1) if studies.quick() else (RUNS, CLEAN)
    kinds: list[str | None] = [kind for kind in BIASES for _ in range(runs)] + [None] * clean
    rows = []
    for number, kind in enumerate(kinds):
        rows.append(trial(seed, folder, kind, number, quick=studies.quick()))
        print(rows[-1], flush=True)
    return rows


def first_named(rows: Sequence[Row]) -> str:
    """How often each bias was named first, and what was named in its place."""
    parts = []
    for kind in dict.fromkeys(row["planted"] for row in rows):
        own = [row for row in rows if row["planted"] == kind]
        others = [row["first named"] for row in own if not row["named right"]]
        right = len(own) - len(others)
        parts.append(f"{kind} {right} of {len(own)}" + (f" (else {', '.join(others)})" if others else ""))
    return "Named first, or nothing named where nothing was planted: " + "; ".join(parts) + "."


MISTAKEN = "steps.rank.by={judge: pocket:raters, flattery: 2.0}"
REPAIRS = 2


def style_hack(seed: int, folder: Path) -> list[Row]:
    """Raters of the first round pay for flattery; those of two later rounds do not. Beside it, none ever does.

    The share of the loss that is removed is 1 − (clean − hacked) / (clean − hacked after round 1), by gold at
    temperature 1 after the same number of rounds.
    """
    donor = base_of(seed, folder)
    sets = {"hacked": (MISTAKEN,), "clean": ()}
    found = {
        k: studies.read(made(seed, folder, f"style-{k}", donor, v, rounds()).path) for k, v in sets.items()
    }
    rows: list[Row] = []
    for step in ("ppo", *(f"ppo-{n}" for n in range(2, REPAIRS + 2))):
        gold = {k: studies.dig(s, "gold", step, "mean") for k, s in found.items()}
        lost = gold["clean"] - gold["hacked"]
        rows.append(
            {
                "policy": step,
                "gold": gold["hacked"],
                "gold, never mistaken": gold["clean"],
                "loss": lost,
                "removed": None if not rows else 1 - lost / rows[0]["loss"],
                **{f"flattery{w}": studies.dig(found[k], "attributes", step, "flattery") for k, w in WORDS},
            }
        )
    return rows


def rounds() -> dict[str, Any]:
    """Round one, and two that rank favourites beside SFT's answers and begin from SFT with a new reward model.

    The newest rankings count four times as much as those before.
    """
    settings = {"iterations": LOOP, "kl": {"coefficient": 0.05}}
    steps: dict[str, Any] = {"ppo": settings}
    ranked: list[str] = ["rank"]
    for n in range(2, REPAIRS + 2):
        before = f"ppo-{n - 1}" if n > 2 else "ppo"
        steps |= {
            f"rank-{n}": {"from": before, "beside": ["sft"], **FAVOURITES},
            f"reward-{n}": {
                "from": "votes",
                "on": [*({old: 0.25} for old in ranked), f"rank-{n}"],
                **FITTED,
            },
            f"ppo-{n}": {"from": "sft", **settings},
        }
        ranked.append(f"rank-{n}")
    return steps


WORDS = (("hacked", ""), ("clean", ", never mistaken"))
SIZES = ((50, 32), (100, 64))


def forecasts(seed: int, folder: Path) -> list[Row]:
    """Gold at the forecast's β, of two sizes of forecast, beside six measured ones, where the reward is over-optimized.

    The runs are those of ``preventions`` with a penalty: long RL by a reward model that saw no scripted answers.
    """
    from plaudit.pipeline.auditing import audit_run

    base = _without_leash(seed, folder)
    betas = (0.0, *studies.BETAS[:1]) if studies.quick() else studies.BETAS
    rows: list[Row] = [
        {"β by": f"measured, {beta}", "β": beta, **_gold(seed, folder, base, beta)} for beta in betas
    ]
    scores, truth = _scored(base, *((20, 16) if studies.quick() else SIZES[-1]))
    for prompts, answers in SIZES:
        from plaudit.audit.forecast import forecast

        found = asdict(forecast(scores[:prompts, :answers], truth[:prompts, :answers]))
        beta = found["suggestion"]["beta"]
        beta = None if beta is None else float(f"{beta:.3g}")
        rows.append(
            {
                "β by": f"forecast, {prompts} × {answers}",
                "β": beta,
                **({} if beta is None else _gold(seed, folder, base, beta)),
                "law R²": (found["law"] or {}).get("r2"),
            }
        )
    copy = folder / "audited"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(base.path, copy, ignore=shutil.ignore_patterns("siblings", "checkpoints"))
    begun = time.perf_counter()
    audit_run(copy, with_forecast=True, **({"answers": 16, "prompts": 20} if studies.quick() else {}))
    rows.append({"β by": "plaudit audit RUN --forecast", "seconds": time.perf_counter() - begun})
    shutil.rmtree(copy)
    return rows


def _without_leash(seed: int, folder: Path) -> Any:
    """The run ``none`` of the preventions."""
    from plaudit.pipeline.experiments import OWN_ANSWERS

    sets, steps = PREVENTIONS["none"]
    return made(seed, folder, "prevention-none", base_of(seed, folder), (OWN_ANSWERS, *sets), steps)


def _gold(seed: int, folder: Path, base: Any, beta: float) -> Row:
    """Gold after the same RL with a penalty, at temperature 1 and at the policy's best, with the KL that it spent."""
    from plaudit.pipeline.experiments import OWN_ANSWERS

    leashed = unleashed(kl={"coefficient": beta})
    run = made(seed, folder, f"leash-{beta}", base, (OWN_ANSWERS,), leashed) if beta else base
    summary = studies.read(run.path)
    return {
        "gold T=1": studies.dig(summary, "gold", "end", "mean"),
        "gold at best": studies.dig(summary, "best_temperature", "end", "mean"),
        "KL": studies.dig(summary, "kl", "from_start", "exact"),
    }


def least_of_best(rows: Sequence[Row]) -> str:
    """What the forecast's β gives up against the best of the measured ones, in the mean over seeds."""
    parts = []
    measured: dict[float, list[Row]] = {}
    for row in rows:
        if str(row["β by"]).startswith("measured"):
            measured.setdefault(row["β"], []).append(row)
    for column in ("gold T=1", "gold at best"):
        seeds = range(len(next(iter(measured.values()))))
        best = [max(group[k][column] for group in measured.values()) for k in seeds]
        for name in (f"forecast, {p} × {a}" for p, a in SIZES):
            own = [row.get(column) for row in rows if row["β by"] == name]
            lost = [b - o for b, o in zip(best, own) if o is not None]
            if lost:
                parts.append(f"{column}, {name}: {statistics.fmean(lost):.2f} below the best measured")
    return "; ".join(parts) + "."


def _scored(base: Any, prompts: int, answers: int) -> tuple[Any, Any]:
    """Rewards and gold [prompts, answers] of the SFT policy's answers to validation prompts, as before PPO."""
    import numpy as np

    from plaudit.pipeline.finished_run import context_of
    from plaudit.pipeline.steps.sampling import FORECAST_STEP, answer
    from plaudit.pipeline.steps.scoring import step_reward

    context = context_of(base)
    policy = context.load("sft")
    asked = context.materials.prompts("validation")[:prompts]
    with context.runtime.computing():
        settings = context.graph["ppo"].settings
        samples = answer(context, policy, asked, settings, temperature=1.0, n=answers, step=FORECAST_STEP)
        scores = step_reward(context, "reward", policy).score(samples).scores
    gold = [context.gold.judge(s.prompt, s.response).score for s in samples]
    return np.asarray(scores).reshape(-1, answers), np.asarray(gold).reshape(-1, answers)


STUDIES = {
    "preventions": studies.Study(
        "over-optimization, and what prevents it",
        preventions,
        ("setting",),
        PREVENTED,
    ),
    "planted": studies.Study(
        "one planted bias at a time, and what the audit names first",
        planted,
        ("planted",),
        {"named right": ".2f", "hacks": ".1f", "change": ".2f", "reward gained": ".2f"}
        | {"gold gained": ".2f", "CPU seconds": ".0f"},
        first_named,
    ),
    "style-hack": studies.Study(
        "a planted style hack, and two rounds that rank favourites",
        style_hack,
        ("policy",),
        dict.fromkeys(("gold", "gold, never mistaken", "loss", "removed"), ".2f")
        | dict.fromkeys(("flattery", "flattery, never mistaken"), ".2f"),
    ),
    "forecast": studies.Study(
        "gold at the forecast's β beside that at six measured ones, where the reward is over-optimized",
        forecasts,
        ("β by",),
        {
            "β": ".3g",
            "gold T=1": ".2f",
            "gold at best": ".2f",
            "KL": ".1f",
            "law R²": ".3f",
            "seconds": ".0f",
        },
        least_of_best,
    ),
}
