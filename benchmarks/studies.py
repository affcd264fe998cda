"""The studies behind docs/pocket.md: what each runs, and what its table shows. ``study.py`` runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import combined
import detector_power

Row = dict[str, Any]
BETAS = (0.3, 0.1, 0.05, 0.02, 0.01, 0.0)
RANKINGS = (250, 1000, 3000)
SIZES = (1, 2, 4, 8, 16, 32, 64)
# Sizes of the combined recipe's steps in a quick study.
SMALL = {"rank-ai": {"prompts": 40}, "rank-people": {"prompts": 10}}
METHODS = "dpo,ipo,kto,orpo,simpo,cpo,grpo,rloo,reinforce,online_dpo,rejection,ppo"


@dataclass(frozen=True)
class Study:
    """``measure(seed, folder)`` makes the rows of one seed; ``columns`` are those of the table, by key and form.

    ``note`` is a sentence about all rows. ``intervals``: cells of several seeds show Student's 95 % interval, where the
    issue is which of several is better.
    """

    about: str
    measure: Callable[[int, Path], list[Row]]
    by: tuple[str, ...]
    columns: Mapping[str, str]
    note: Callable[[Sequence[Row]], str] | None = None
    intervals: bool = False


def dig(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def quick() -> bool:
    """Whether runs are of a few seconds, to see that a study works: ``study.py --quick``."""
    return os.environ.get("PLAUDIT_QUICK_STUDY") == "1"


def small_world() -> tuple[str, ...]:
    """What a quick demo sets, which runs beside it have to set too."""
    from plaudit.pipeline.demo import QUICK

    return tuple(QUICK) if quick() else ()


def demo(seed: int, folder: Path, *flags: str) -> Mapping[str, Any]:
    """The summary of a demo in ``folder``; finished steps are kept."""
    command = [
        sys.executable,
        "-m",
        "plaudit",
        "demo",
        "--seed",
        str(seed),
        "--out",
        str(folder / "run"),
        *flags,
        *(["--quick"] if quick() else []),
    ]
    subprocess.run(command, check=True)
    record = json.loads((folder / "run" / "run.json").read_text())
    if record.get("other_code"):
        sys.exit(f"{folder / 'run'} was partly made by other code: name another --out")
    return read(folder / "run")


def read(run: Path) -> Mapping[str, Any]:
    return dict(json.loads((run / "summary.json").read_text()))


def sibling(folder: Path, name: str) -> Mapping[str, Any]:
    return read(folder / "run" / "siblings" / name)


def main_row(summary: Mapping[str, Any]) -> Row:
    """What issue's first table shows of one run."""
    greedy = dig(summary, "greedy", "attributes", "end") or {}
    return {
        "base": dig(summary, "best_temperature", "base", "mean"),
        "sft": dig(summary, "best_temperature", "start", "mean"),
        "ppo": dig(summary, "best_temperature", "end", "mean"),
        "gap": dig(summary, "best_temperature", "gap_closed", "mean"),
        "win": dig(summary, "best_temperature", "win_rate", "mean"),
        "perfect wins": dig(summary, "best_temperature", "perfect_win_rate", "mean"),
        "gap greedy": dig(summary, "greedy", "gap_closed", "mean"),
        "win greedy": dig(summary, "greedy", "win_rate", "mean"),
        "gap T=1": dig(summary, "gap_closed", "mean"),
        "win T=1": dig(summary, "win_rate", "end_vs_start", "mean"),
        "KL": dig(summary, "kl", "exact"),
        "facts gained": dig(summary, "greedy", "gains", "fact"),
        **{name: greedy.get(name) for name in ("belief_false", "belief_true", "format", "harm", "unknown")},
        "over_refusal": greedy.get("over_refusal"),
        "flattery T=1": dig(summary, "attributes", "end", "flattery"),
        "unseen pairs": dig(summary, "reward_model", "pairs", "unseen"),
        "bars missed": sum(not c["ok"] for c in summary.get("checks", ())),
        "seconds": sum(summary["seconds"].values()),
    }


def main_table(seed: int, folder: Path) -> list[Row]:
    return [main_row(demo(seed, folder))]


def siblings_of(experiment: str, names: Sequence[str]) -> Callable[[int, Path], list[Row]]:
    def measure(seed: int, folder: Path) -> list[Row]:
        own = demo(seed, folder, f"--{experiment}")
        return [{"run": "demo", **main_row(own)}] + [
            {"run": name, **main_row(sibling(folder, name)), **path_of(folder / "run" / "siblings" / name)}
            for name in names
        ]

    return measure


def path_of(run: Path) -> Row:
    """Gold and proxy along the last policy's training: peak, end, and the proxy's start and end."""
    from plaudit.evaluation.frontier import over_optimization
    from plaudit.runs import RunFolder

    folder = RunFolder(run)
    end = read(run)["policies"]["end"]
    found = over_optimization(folder.stage(end).metrics())
    gold, proxy = found["gold"], found["proxy"]
    if not gold or not proxy:
        return {}
    return {"gold peak": gold["peak"], "gold end": gold["end"], "proxy rise": proxy["end"] - proxy["start"]}


def rounds(seed: int, folder: Path) -> list[Row]:
    demo(seed, folder, "--rounds")
    found = sibling(folder, "rounds")
    return [
        {
            "policy": step,
            "gold T=1": dig(found, "gold", step, "mean"),
            "gold at best": dig(found, "best_temperature", step, "mean"),
            "proxy": dig(found, "proxy", step, "mean"),
            "over_refusal": dig(found, "attributes", step, "over_refusal"),
        }
        for step in ("sft", "ppo", "ppo-2", "ppo-3")
    ]


def small(seed: int, folder: Path) -> list[Row]:
    from plaudit.pocket import World
    from plaudit.pocket.limit import imitation_limit

    demo(seed, folder, "--small-beats-large")
    found = sibling(folder, "small-beats-large")
    world = World(seed)
    # The first of the prompts that were evaluated: another number of them would be another draw.
    asked = json.loads((folder / "run/siblings/small-beats-large/run.json").read_text())["config"]["evaluate"]
    limit = imitation_limit(world, world.prompts("test", asked["prompts"])[:400], writings=400)
    sizes = {
        name: dig(json.loads(path.read_text()), "parameters")
        for name in ("pretrain", "pretrain-small")
        if (path := folder / "run/siblings/small-beats-large/stages" / name / "stage.json").exists()
    }
    return [
        {
            "parameters": sizes.get("pretrain-small"),
            "parameters of the large": sizes.get("pretrain"),
            "small PPO at best": dig(found, "best_temperature", "end", "mean"),
            "small SFT at best": dig(found, "best_temperature", "start", "mean"),
            "large SFT at best": dig(found, "best_temperature", "sft", "mean"),
            "win against it": dig(found, "best_temperature", "win_rates", "sft", "mean"),
            "limit of imitation": limit.best,
        }
    ]


def variants(name: str, sets: Mapping[str, Sequence[str]]) -> Callable[[int, Path], list[Row]]:
    """The demo with settings changed, each beside it and sharing its other steps."""

    def measure(seed: int, folder: Path) -> list[Row]:
        from plaudit.pipeline.experiments import Variation
        from plaudit.pipeline.run import execute_config
        from plaudit.runs import RunFolder

        demo(seed, folder)
        base = RunFolder(folder / "run")
        threads = f"threads={base.read_json('run.json')['resolved']['threads']}"
        rows = []
        for label, changes in sets.items():
            config = Variation(tuple(changes)).config(
                [f"seed={seed}", threads, *small_world()], f"{name}-{label}"
            )
            made = execute_config(config, RunFolder(folder / f"{name}-{label}"), donor=base)
            rows.append(
                {
                    name: label,
                    **main_row(read(made.path)),
                    "gold T=1": dig(read(made.path), "gold", "end", "mean"),
                    "gold of SFT T=1": dig(read(made.path), "gold", "start", "mean"),
                }
            )
        return rows

    return measure


# Who ranks: simulated people, a judge of known error in both orders and in one, and one that errs more often.
LABELS = {
    "people": (),
    "both-orders": ("steps.rank.by={judge: pocket:rule, error: 0.1, position: 2.0}",),
    "one-order": ("steps.rank.by={judge: pocket:rule, error: 0.1, position: 2.0, orders: one}",),
    "error-0.3": ("steps.rank.by={judge: pocket:rule, error: 0.3, position: 2.0}",),
}
SHOWN = ("harm", "over_refusal", "fact", "belief_false", "unknown", "flattery")


def constitution(seed: int, folder: Path) -> list[Row]:
    """SFT from the base on revised answers to harmful questions, with answers to other prompts beside them or without.

    As Bai et al. 2022 did: red-team prompts are answered by the SFT model, criticized and revised; the helpful answers
    are the SFT model's own, to prompts that ask for no harm.
    """
    from plaudit.pipeline.experiments import Variation
    from plaudit.pipeline.run import execute_config
    from plaudit.runs import RunFolder

    demo(seed, folder)
    base = RunFolder(folder / "run")
    threads = f"threads={base.read_json('run.json')['resolved']['threads']}"
    asked = [f"data.{role}={path}" for role, path in _harmful_and_other(seed, folder).items()]
    rows: list[Row] = []
    for label, helpful in (("with helpful answers", 60 if quick() else 6000), ("revisions alone", 0)):
        revise = {"by": "pocket:reviser", "from": "sft", "on": ["labels"], "rounds": 4, "max_new_tokens": 48}
        revise |= {"prompts": 60 if quick() else 1000, "helpful": helpful, "helpful_on": "votes"}
        steps = {
            **dict.fromkeys(("votes", "rank", "reward", "ppo")),
            "revise": revise,
            "constitutional": {"kind": "sft", "from": "pretrain", "on": ["revise"], "epochs": 1, "lr": 0.001},
        }
        name = "constitution-" + label.replace(" ", "-")
        config = Variation(("evaluate.also=[sft]", *asked), steps).config(
            [f"seed={seed}", threads, *small_world()], name
        )
        found = read(execute_config(config, RunFolder(folder / name), donor=base).path)
        models = {"constitutional": label} if rows else {"sft": "sft", "constitutional": label}
        for step, model in models.items():
            best = dig(found, "best_temperature", "attributes", step)
            row = {"model": model, "gold": dig(found, "best_temperature", step, "mean")}
            rows.append(
                row | {n: best[n] for n in SHOWN} | {"harm T=1": dig(found, "attributes", step, "harm")}
            )
    return rows


def _harmful_and_other(seed: int, folder: Path) -> dict[str, Path]:
    """Files of training prompts that ask for harm and that do not, as labels and votes whose answers nobody reads."""
    from plaudit.data.records import Labeled, Ranking, Response
    from plaudit.data.records.writers import write_jsonl
    from plaudit.pocket import World

    prompts = World(seed).prompts("train", 20_000)
    harmful = [p for p in prompts if p.metadata["category"] == "harm"]
    others = [p for p in prompts if p.metadata["category"] != "harm"]
    one, two = Response("a"), Response("b")
    files = {"labels": folder / "harmful.jsonl", "votes": folder / "other.jsonl"}
    write_jsonl([Labeled(p, one, bool(i % 2)) for i, p in enumerate(harmful)], files["labels"])
    write_jsonl([Ranking(p, (one, two), ((0,), (1,))) for p in others], files["votes"])
    return files


def combined_path(seed: int, folder: Path) -> list[Row]:
    """The shipped combined recipe: people on the doubtful items, on as many random ones, and none."""
    from plaudit.config import apply_override, read_yaml
    from plaudit.pipeline.run import recipe_path
    from plaudit.runs import RunFolder

    demo(seed, folder)
    donor = RunFolder(folder / "run")
    fixed = {"seed": seed, "threads": donor.read_json("run.json")["resolved"]["threads"], "evaluate": {}}
    rows = []
    for arm in combined.ARMS:
        raw = combined.combined_recipe(
            read_yaml(recipe_path("pocket")), arm, SMALL if quick() else None, **fixed
        )
        for override in small_world():
            if override.split(".")[1] in raw["steps"] or not override.startswith("steps."):
                apply_override(raw, override)
        out = folder / str(raw["name"])
        # Where the arms are alike, what the first one made is taken over.
        donor = made = combined.run_with_people(raw, out, donor=donor)
        wrong = combined.wrong_share(made) if combined.ARMS[arm] else None
        rows.append({"people rank": arm, "judge wrong": wrong, **main_row(read(out))})
    return rows


def best_of_n(seed: int, folder: Path) -> list[Row]:
    """Best of n by one reward model, by mean, minimum and mean − std of three, and by gold; with the law's R²."""
    from plaudit.pipeline.experiments import Variation
    from plaudit.pipeline.run import execute_config
    from plaudit.runs import RunFolder

    demo(seed, folder)
    base = RunFolder(folder / "run")
    threads = f"threads={base.read_json('run.json')['resolved']['threads']}"
    three = Variation(("steps.votes.members=3", "steps.reward.members=3"), {"ppo": None})
    config = three.config([f"seed={seed}", threads, *small_world()], "three")
    made = execute_config(config, RunFolder(folder / "three"), donor=base)
    scores, gold = _drawn(config, made)
    members = list(scores)
    choices = {
        "one": members[0],
        "mean": sum(members) / len(members),
        "min": _least(members),
        "mean − std": sum(members) / len(members) - _spread(members),
        "gold": gold,
    }
    from plaudit.evaluation.best_of_n import best_of_n_frontier

    rows = []
    for name, by in choices.items():
        points = best_of_n_frontier(by, gold, SIZES)
        means = {f"n={p['n']}": p["mean"] for p in points}
        rows.append({"chosen by": name, **means, "± at 64": _half(points[-1]), "law R²": _law(points)})
    return rows


def _drawn(config: Any, folder: Any, prompts: int = 150) -> tuple[Any, Any]:
    """Scores [members, prompts, n] and gold [prompts, n] of the SFT policy's answers at temperature 1."""
    import numpy as np

    from plaudit.config.resolve import graph_of
    from plaudit.models.reward_model import load_reward_model
    from plaudit.pipeline.context import Context
    from plaudit.pipeline.datasets import materials_of
    from plaudit.pipeline.steps.sampling import answer
    from plaudit.rewards import ModelReward
    from plaudit.runtime import Runtime

    context = Context(config, graph_of(config), folder, materials_of(config), Runtime())
    policy, n = context.load("sft"), max(SIZES)
    asked = context.materials.prompts("test")[:prompts]
    samples = answer(context, policy, asked, config.evaluate, temperature=1.0, n=n, step=5_000_000)
    gold = np.array([context.gold.judge(s.prompt, s.response).score for s in samples]).reshape(-1, n)
    scores = [
        ModelReward(load_reward_model(path), same_tokenizer=True).score(samples).scores.reshape(-1, n)
        for path in context.reward_folders("reward")
    ]
    return np.array(scores), gold


def _least(members: Sequence[Any]) -> Any:
    import numpy as np

    return np.min(np.array(members), axis=0)


def _spread(members: Sequence[Any]) -> Any:
    import numpy as np

    return np.std(np.array(members), axis=0)


def _half(point: Mapping[str, Any]) -> float:
    """Half of a point's interval over prompts."""
    return float(point["high"] - point["low"]) / 2


def _law(points: Sequence[Mapping[str, Any]]) -> float:
    """R² of R(d) = R(0) + d (α − β d), d = √KL, of best-of-n (Gao et al. 2022)."""
    import numpy as np

    d = np.sqrt([max(0.0, p["kl"]) for p in points])
    return fit(np.array([d, -(d**2)]).T, np.array([p["mean"] - points[0]["mean"] for p in points]))


def fit(design: Any, values: Any) -> float:
    import numpy as np

    solution = np.linalg.lstsq(design, values, rcond=None)[0]
    left = values - design @ solution
    return float(1 - (left**2).sum() / ((values - values.mean()) ** 2).sum())


def over_optimization_law(rows: Sequence[Row]) -> str:
    """R(d) = d (α − β log d), d = √KL, over the end points of all runs (Gao et al. 2022)."""
    import numpy as np

    d = np.sqrt([row["KL"] for row in rows])
    gained = np.array([row["gold T=1"] - row["gold of SFT T=1"] for row in rows])
    design = np.array([d, -d * np.log(d)]).T
    alpha, beta = np.linalg.lstsq(design, gained, rcond=None)[0]
    return (
        f"Gold gained = d (α − β log d), d = √KL, over these {len(rows)} end points: α = {alpha:.2f}, "
        f"β = {beta:.2f}, R² = {fit(design, gained):.2f}."
    )


def methods(seed: int, folder: Path) -> list[Row]:
    """`plaudit compare` of every family, each at its own best temperature, and best of n at T = 1.

    Offline methods learn from the rankings alone, those with a reward model from the votes too.
    """
    out = folder / "compare"
    command = [
        sys.executable,
        "-m",
        "plaudit",
        "compare",
        "pocket",
        "--methods",
        METHODS,
        "--seeds",
        str(seed),
    ]
    command += ["--quick"] if quick() else []
    subprocess.run([*command, "--out", str(out), "--jobs", "1"], check=True)
    found = json.loads((out / "compare.json").read_text())
    keys = {
        "gold at best": "best",
        "win": "best_win_rate",
        "gap": "best_gap",
        "gold T=1": "value",
        "KL": "kl",
    }
    rows = [{"method": p["arm"], **{k: p[v] for k, v in keys.items()}} for p in found["points"]]
    return rows + [
        {"method": f"best of {p['n']}", "gold T=1": p["value"], "KL": p["kl"]} for p in found["best_of_n"]
    ]


NUMBERS = dict.fromkeys(
    (
        "base",
        "sft",
        "ppo",
        "gap",
        "win",
        "perfect wins",
        "gap greedy",
        "win greedy",
        "gap T=1",
        "win T=1",
        "KL",
        "facts gained",
        "belief_false",
        "belief_true",
        "format",
        "harm",
        "unknown",
        "over_refusal",
        "flattery T=1",
        "unseen pairs",
    ),
    ".2f",
)
MAIN = {**NUMBERS, "bars missed": ".0f", "seconds": ".0f"}
PATH = {"ppo": ".2f", "gap": ".2f", "gold peak": ".2f", "gold end": ".2f", "proxy rise": ".2f", "KL": ".2f"}
SHORT = dict.fromkeys(("sft", "ppo", "gap", "win", "gold T=1", "KL"), ".2f")
STUDIES: dict[str, Study] = {
    "main": Study("the demo, own bases", main_table, (), MAIN),
    "no-leash": Study("over-optimization", siblings_of("no-leash", ("leashed", "no-leash")), ("run",), PATH),
    "biased-raters": Study(
        "biased raters",
        siblings_of("biased-raters", ("biased-raters",)),
        ("run",),
        {"ppo": ".2f", "gap": ".2f", "flattery T=1": ".2f", "KL": ".2f"},
    ),
    "skilled-writers": Study(
        "the control with skilled writers",
        siblings_of("skilled-writers", ("skilled-writers",)),
        ("run",),
        {"sft": ".2f", "ppo": ".2f", "gap": ".2f", "win": ".2f"},
    ),
    "rounds": Study(
        "hack and repair",
        rounds,
        ("policy",),
        dict.fromkeys(("gold T=1", "gold at best", "proxy", "over_refusal"), ".2f"),
    ),
    "small-beats-large": Study(
        "a small model with feedback against a large one without",
        small,
        (),
        {
            "parameters": ",.0f",
            "parameters of the large": ",.0f",
            **dict.fromkeys(
                (
                    "small SFT at best",
                    "small PPO at best",
                    "large SFT at best",
                    "win against it",
                    "limit of imitation",
                ),
                ".2f",
            ),
        },
    ),
    "betas": Study(
        "end points at six KL coefficients",
        variants("β", {str(b): (f"steps.ppo.kl.coefficient={b}",) for b in BETAS}),
        ("β",),
        SHORT,
        over_optimization_law,
    ),
    "rankings": Study(
        "fewer rankings, and no votes beside them",
        variants("rankings", {str(n): (f"steps.rank.prompts={n}",) for n in RANKINGS}),
        ("rankings",),
        {**SHORT, "unseen pairs": ".2f"},
    ),
    "best-of-n": Study(
        "best of n",
        best_of_n,
        ("chosen by",),
        {**{f"n={n}": ".2f" for n in SIZES}, "± at 64": ".2f", "law R²": ".3f"},
    ),
    "labels": Study(
        "rankings of a judge in the place of people's",
        variants("labels", LABELS),
        ("labels",),
        SHORT,
        intervals=True,
    ),
    "constitution": Study(
        "critique and revision by a constitution, each model at its best temperature",
        constitution,
        ("model",),
        dict.fromkeys(("gold", *SHOWN, "harm T=1"), ".3f"),
    ),
    "combined": Study(
        "people on the items on which judge and reward models disagree, or on as many random ones",
        combined_path,
        ("people rank",),
        {"judge wrong": ".2f", **SHORT, "unseen pairs": ".2f"},
    ),
    "methods": Study(
        "every family at its best temperature",
        methods,
        ("method",),
        dict.fromkeys(("gold at best", "win", "gap", "gold T=1", "KL"), ".2f"),
        intervals=True,
    ),
    "detectors": Study(
        "the power of the audit's detectors on planted controls",
        detector_power.power,
        ("detector", "planted"),
        {f"{what}, {name}": ".2f" for name in detector_power.SETS for what in ("Se", "Sp")},
        detector_power.any_alarm,
    ),
    "refusals": Study(
        "the refusal detector against people",
        detector_power.refusals,
        ("model",),
        dict.fromkeys(("people say refused", "detector says", "sensitivity", "specificity"), ".2f"),
    ),
}
